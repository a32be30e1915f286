"""Who keeps a call's record: what its actors write, its heirs are given.

What it does: holds the last record, and says so when it has changed; beside it, what the actors of this process must
know of each other. What it does not: outlive the process; nothing of it but the record is ever sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from nodes.call.inputs import Moved, Telephone
from nodes.call.record import CallPhase, CallRecord
from protocols.replacing import replace
from protocols.wire.desk import SeatNews
from protocols.wire.heirs import ForgetRecord, KeepRecord
from supervisors import Ref, Supervisor

Version: TypeAlias = tuple[int, int]
"""Of two records of one call the one with the higher epoch is later, and in one epoch that with the higher revision."""


def version(record: CallRecord) -> Version:
    """Return what tells a record from an earlier one of its call."""
    return record.epoch, record.revision


class RecordStore:
    """The last record of one call. Its supervisor owns it, so that it outlives the actors that write it."""

    def __init__(self, record: CallRecord, wrote: Callable[[RecordStore], None]) -> None:
        self.record = record
        self._wrote = wrote
        self.happened: Callable[[Telephone], object] = lambda event: None
        """Where the leg's events go: set by the call's actor in each of its lives."""
        self.told: tuple[CallRecord, KeepRecord | ForgetRecord] | None = None
        """The last record that an heir was told of, packed, until the disk has taken it, too (`nodes.edge.heir`)."""
        self.is_dialling = False
        """The leg has been told to dial: one that knows of nothing has died of it, and nothing has been sent."""
        self.tree: Ref[Supervisor] | None = None
        """The call's supervision tree, once it has been started."""
        self.moved: Moved | None = None
        """What is ready here for a call that comes from another machine, until its first life has begun."""
        self.is_silent: Callable[[], bool] = lambda: False
        """Whether the call may be another machine's meanwhile, and nothing of it is to be said or decided here."""
        self.seats: dict[str, Callable[[SeatNews], object]] = {}
        """Who hears of a seat that is no agent's: a browser's leg, of its own. All others are the call's."""

    @property
    def is_anothers(self) -> bool:
        """Whether the call is on its way here, and another machine's still."""
        return self.record.is_waiting or (self.moved is not None and self.moved.is_planned)

    def write(self, **changes: Any) -> CallRecord:
        """Change fields of the record."""
        self.put(replace(self.record, **changes))
        return self.record

    def tell(self) -> None:
        """Have the heirs get the record as it is: it has come from elsewhere, and nothing of it has been written."""
        self._wrote(self)

    def put(self, record: CallRecord, *, may_wait: bool = False) -> None:
        """Take what a step has made of the record; the heirs get it. Nothing changed: nothing is sent.

        `may_wait` (`nodes.call.call`): the heirs get it with the next one. Of a call that goes on at another machine
        nothing is written any more.
        """
        if record == self.record or self.record.phase is CallPhase.MOVED:
            return
        if may_wait:
            self.record = record
        else:
            self.record = replace(record, revision=self.record.revision + 1)
            self._wrote(self)


UntilKept: TypeAlias = Callable[[RecordStore, Callable[[], object]], None]
"""Do something once others have the record that a call has now (`nodes.edge.hold_back`)."""


def at_once(store: RecordStore, do: Callable[[], object]) -> None:
    """Do it now: there is nobody else."""
    do()


__all__ = ["RecordStore", "UntilKept", "Version", "at_once", "version"]
