"""What an heir keeps of others' calls: the latest record of each, its script, and what was noted of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from itertools import islice
from typing import Final

from nodes.call.record import CallRecord, unpack
from nodes.edge.recent import Recent
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.replacing import replace
from protocols.wire.heirs import ForgetScript, KeepEvents, KeepOnly, KeepRecord, KeepScript
from protocols.wire.ids import CallId, Identity, ScriptHash

log = logs.get(__name__)
MAX_OVER: Final = 100_000
"""Ended calls whose ids are remembered: more than a node dials in a day."""


class StandbyRecords:
    """Keeps what it is told until it is needed. In what order that comes does not matter."""

    def __init__(self) -> None:
        self._kept: dict[CallId, KeepRecord] = {}
        self._scripts: dict[ScriptHash, bytes] = {}
        self._over: OrderedDict[CallId, None] = OrderedDict()
        self._only: dict[Identity, set[CallId]] = {}
        """The calls that an active edge has, as far as it has said so."""
        self.recent = Recent()
        """Events that the active edge may not have brought to their stream."""

    def learn(self, given: KeepScript) -> None:
        """Keep a script, which the records that come next may name."""
        self._scripts[given.script] = given.packed

    def told(self, given: KeepScript | ForgetScript | KeepEvents, now: float) -> None:
        """Take what records name, and what has been noted of their calls."""
        match given:
            case KeepScript():
                self.learn(given)
            case ForgetScript(script=script):
                self.forget(script)
            case KeepEvents():
                self.recent.learn(given, now)

    def forget(self, script: ScriptHash) -> None:
        """Keep a script no longer, unless a record that is kept names it."""
        if not any(kept.script == script for kept in self._kept.values()):
            self._scripts.pop(script, None)

    def keep(self, given: KeepRecord) -> None:
        """Keep a record, unless a later one is kept already, or the call is known to be over."""
        if not given.body:
            self.ended(given.call_id)
        elif given.call_id not in self._over:
            kept = self._kept.get(given.call_id)
            if kept is None or kept.order < given.order:
                self._kept[given.call_id] = given

    def drop(self, call_id: CallId) -> None:
        """Keep the record of a call no longer: somebody else is to go on with it."""
        self._kept.pop(call_id, None)

    def only(self, given: KeepOnly, sender: Identity) -> list[KeepScript | KeepRecord] | None:
        """Keep the records of these calls; return the others, with their scripts: their owner does not know them.

        None: more of it is to come.
        """
        calls = self._only.get(sender, set()) | set(given.calls)
        self._only = {} if given.is_last else {sender: calls}
        if not given.is_last:
            return None
        strays = [self._kept.pop(call_id) for call_id in self._kept.keys() - calls]
        scripts = {stray.script for stray in strays} & self._scripts.keys()
        return [*(KeepScript(script, self._scripts[script]) for script in scripts), *strays]

    def inherit(self, other: StandbyRecords) -> None:
        """Keep what another heir has, too."""
        self.recent.inherit(other.recent)
        for call_id in other._over:
            self.ended(call_id)
        for kept in other._kept.values():
            self.keep(kept)
        named = {kept.script for kept in self._kept.values()}
        self._scripts |= {script: packed for script, packed in other._scripts.items() if script in named}

    @property
    def calls(self) -> Collection[CallId]:
        """The calls of which a record is kept."""
        return self._kept.keys()

    @property
    def n_scripts(self) -> int:
        """How many scripts are kept."""
        return len(self._scripts)

    def ended(self, call_id: CallId) -> None:
        """Remember that this call has been."""
        self._kept.pop(call_id, None)
        self._over[call_id] = None
        if len(self._over) > MAX_OVER:
            self._over.popitem(last=False)

    def has_been(self, call_id: CallId) -> bool:
        """Say whether this call is over."""
        return call_id in self._over

    def last_over(self, n: int) -> list[CallId]:
        """Return the ids of the `n` calls that have ended last."""
        return list(islice(reversed(self._over), n))[::-1]

    def take(self, calls: Collection[CallId] | None = None) -> list[CallRecord]:
        """Return all records, or those of these calls, and keep them no longer: they are ours to go on with.

        One whose script is not known comes without: its call can only be ended.
        """
        taken = [self._kept.pop(call_id) for call_id in list(self._kept) if calls is None or call_id in calls]
        records = []
        for kept in taken:
            try:
                record = unpack(kept.body)
            except RemoteProtocolError as error:
                log.error("record.unreadable", call_id=kept.call_id, reason=str(error))
                continue
            script = self._scripts.get(kept.script, b"")
            records.append(replace(record, order=replace(record.order, script=script)))
        return records


__all__ = ["StandbyRecords"]
