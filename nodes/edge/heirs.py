"""Who goes on with our calls when we die: the spares of this edge and the disk get every record as it is written.

What was written within one turn of the loop goes as one record, its script by hash. A new spare is given everything. A
call that is over is forgotten with an empty body; its id is remembered, so that the same attempt is not dialled again
after a takeover.

No heir need have everything: what a successor goes on with is what any of them knows, without what any of them knows
to be over, and of two records of one call the later.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from grammars.script_pack import script_hash
from nodes.call.record import CallPhase, CallRecord, pack, unpack
from nodes.edge.keeper import Keeper
from nodes.edge.recent import Recent, tellings
from nodes.links.mesh import Mesh
from nodes.links.roster import Roster
from nodes.telemetry import logs
from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.wire.events import CallEvent
from protocols.wire.heirs import ForgetScript, KeepOnly, KeepRecord, KeepScript
from protocols.wire.ids import CallId, Identity, ScriptHash
from protocols.wire.reconcile import MAX_ASKED

log = logs.get(__name__)
MAX_OVER: Final = 100_000
"""Ended calls whose ids are remembered: more than a node dials in a day."""


def to_keep(record: CallRecord) -> KeepRecord:
    """Return what every heir is told of a record, packed; of a call that is over, only that it is."""
    order = record.order
    if record.phase is CallPhase.DONE:
        return KeepRecord(order.call_id, record.revision, ScriptHash(""), b"", record.epoch)
    body = pack(replace(record, order=replace(order, script=b"")))
    return KeepRecord(order.call_id, record.revision, script_hash(order.script), body, record.epoch)


def bequest(
    record: CallRecord, knows: Callable[[ScriptHash], bool], told: KeepRecord | None = None
) -> Iterable[KeepScript | KeepRecord]:
    """Yield what an heir must be told of a call: the record, and before it the script if it does not know that yet.

    `told`: the record as all heirs are told it (`to_keep`), where it is packed already.
    """
    told = told or to_keep(record)
    if told.script and not knows(told.script):
        yield KeepScript(told.script, record.order.script)
    yield told


def only(calls: Sequence[CallId]) -> Iterator[KeepOnly]:
    """Yield what says that these are all calls, in as many messages as that takes."""
    for begin in range(0, max(1, len(calls)), MAX_ASKED):
        yield KeepOnly(tuple(calls[begin : begin + MAX_ASKED]), is_last=begin + MAX_ASKED >= len(calls))


class Heirs:
    """The active side: sends what changes."""

    def __init__(self, mesh: Mesh, calls: Mapping[CallId, Keeper]) -> None:
        self._mesh, self._calls = mesh, calls
        self._heirs: dict[Identity, set[ScriptHash]] = {}
        """Who they are, and which scripts each has."""
        self._unsettled: set[Identity] = set()
        """Those that may still have a call to give back."""
        self._scripts: dict[CallId, ScriptHash] = {}
        """Of each call that has been written and is not over; and how many have each."""
        self._users: Counter[ScriptHash] = Counter()
        self.unused: Callable[[ScriptHash], None] = lambda script: None
        """Told of a script when the last call that had it is over."""
        self._written: dict[CallId, Keeper] = {}
        self._noted: list[CallEvent] = []
        self.recent = Recent()
        self._loop = asyncio.get_running_loop()

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word on who our spares are."""
        living = {peer.identity for peer in roster.spare("edge")}
        new = living - self._heirs.keys()
        self._heirs = {heir: self._heirs.get(heir, set()) for heir in living}
        self._unsettled = (self._unsettled & living) | new
        for heir in new:
            for told in tellings(self.recent):
                self._mesh.tell(heir, told)
            for keeper in self._calls.values():
                self._bequeath(heir, keeper.record)
            if not all([self._mesh.tell(heir, part) for part in only(tuple(self._calls))]):
                self._unsettled.discard(heir)  # one that reads nothing has nothing to give back

    def settled(self, heir: Identity) -> None:
        """An heir has given back what it had."""
        self._unsettled.discard(heir)

    @property
    def is_settled(self) -> bool:
        """Whether no heir may know of a call that we do not have."""
        return not self._unsettled

    def wrote(self, keeper: Keeper) -> None:
        """A record has changed."""
        order = keeper.record.order
        if keeper.record.phase is not CallPhase.DONE and order.call_id not in self._scripts:
            self._scripts[order.call_id] = script = script_hash(order.script)
            self._users[script] += 1
        self._soon()
        self._written[keeper.record.order.call_id] = keeper

    def noted(self, event: CallEvent) -> None:
        """An event has been handed to the bus: heirs hear of it before they hear of a record that counts it."""
        self._soon()
        self._noted.append(event)
        self.recent.add(event, self._loop.time())

    def _soon(self) -> None:
        if not self._written and not self._noted:
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        written, self._written = self._written, {}
        noted, self._noted = self._noted, []
        for told in tellings(noted) if self._heirs else ():
            for heir in self._heirs:
                self._mesh.tell(heir, told)
        for keeper in written.values():
            record = to_keep(keeper.record) if self._heirs else None  # packed once, for all of them
            for heir in self._heirs:
                self._bequeath(heir, keeper.record, record)
            if keeper.record.phase is CallPhase.DONE:
                self._over(keeper.record.order.call_id)

    def _over(self, call_id: CallId) -> None:
        """Have everybody forget the script of a call that is over, unless another call has it, too."""
        script = self._scripts.pop(call_id, None)
        if script is None:
            return
        self._users[script] -= 1
        if self._users[script]:
            return
        del self._users[script]
        for heir, known in self._heirs.items():
            if script in known:
                known.discard(script)
                self._mesh.tell(heir, ForgetScript(script))
        self.unused(script)

    def _bequeath(self, heir: Identity, record: CallRecord, told: KeepRecord | None = None) -> None:
        known = self._heirs[heir]
        try:
            for message in bequest(record, known.__contains__, told):
                self._mesh.tell(heir, message)
                if isinstance(message, KeepScript):
                    known.add(message.script)
        except LocalProtocolError as error:  # too long for a message: this call alone has no heir
            log.error("record.not_told", call_id=record.order.call_id, reason=str(error))


class Legacy:
    """The heir's side: keeps what it is told until it is needed. In what order that comes does not matter."""

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
            if kept is None or (kept.epoch, kept.revision) < (given.epoch, given.revision):
                self._kept[given.call_id] = given

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

    def inherit(self, other: Legacy) -> None:
        """Keep what another heir has, too."""
        self.recent.inherit(other.recent)
        for call_id in other._over:
            self.ended(call_id)
        for kept in other._kept.values():
            self.keep(kept)
        named = {kept.script for kept in self._kept.values()}
        self._scripts |= {script: packed for script, packed in other._scripts.items() if script in named}

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

    def take(self) -> list[CallRecord]:
        """Return all records and keep none: they are ours to go on with.

        One whose script is not known comes without: its call can only be ended.
        """
        records = []
        for kept in self._kept.values():
            try:
                record = unpack(kept.body)
            except RemoteProtocolError as error:
                log.error("record.unreadable", call_id=kept.call_id, reason=str(error))
                continue
            script = self._scripts.get(kept.script, b"")
            records.append(replace(record, order=replace(record.order, script=script)))
        self._kept.clear()
        return records


__all__ = ["Heirs", "Legacy", "bequest", "only"]
