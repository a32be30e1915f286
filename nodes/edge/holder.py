"""Who has the calls of an edge, as those see it who bring calls there and take them away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from nodes.call.inputs import Input, Moved
from nodes.call.record import CallRecord
from nodes.edge.load import Load
from nodes.edge.record_store import RecordStore
from protocols.wire.ids import CallId


class Holder(Protocol):
    """`nodes.edge.calls.Calls`."""

    @property
    def stores(self) -> Mapping[CallId, RecordStore]:
        """Of the calls that there are."""

    @property
    def is_active(self) -> bool:
        """Whether this is the active edge."""

    @property
    def is_draining(self) -> bool:
        """Whether this edge takes no new calls."""

    @property
    def load(self) -> Load:
        """How many it takes."""

    @property
    def is_settled(self) -> bool:
        """Whether nobody may know of a call that is ours and has not come to us yet."""

    def has_been(self, call_id: CallId) -> bool:
        """Say whether this call is over."""

    def keep(self, record: CallRecord, moved: Moved | None = None) -> RecordStore:
        """Have a call, from this moment on. `moved`: it comes from another machine."""

    def keep_all(self, records: Iterable[CallRecord], moved: Moved | None = None) -> list[RecordStore]:
        """Have these calls, from this moment on."""

    def is_asleep(self, call_id: CallId) -> bool:
        """Say whether a call of ours does not live here yet."""

    def arrives(self, store: RecordStore) -> None:
        """A call of ours is not ready to live here yet: what comes for it waits until it has `arrived`."""

    async def arrived(self, store: RecordStore) -> None:
        """Have it live here, unless it is over meanwhile."""

    async def go_on(self, store: RecordStore) -> None:
        """Have a call live here."""

    def tell(self, call_id: CallId, given: Input) -> None:
        """Tell a call that something has happened."""

    def let_go(self, store: RecordStore) -> None:
        """End what is left of a call that goes on at another machine."""


__all__ = ["Holder"]
