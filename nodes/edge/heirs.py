"""Who goes on with our calls when we die: the spare of this edge gets every record as it is written.

What was written within one turn of the loop goes as one record, its script by hash. A new spare is given everything. A
call that is over is forgotten with an empty body; its id is remembered, so that the same attempt is not dialled again
after a takeover.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from grammars.script import script_hash
from nodes.edge.record import CallRecord, Keeper, Phase, pack, unpack
from nodes.links.mesh import Mesh
from nodes.links.roster import Roster
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.heirs import KeepRecord, KeepScript
from protocols.wire.ids import CallId, Identity, ScriptHash

log = logs.get(__name__)
MAX_OVER: Final = 100_000
"""Ended calls whose ids are remembered: more than a node dials in a day."""


class Heirs:
    """The active side: sends what changes."""

    def __init__(self, mesh: Mesh, calls: dict[CallId, Keeper]) -> None:
        self._mesh, self._calls = mesh, calls
        self._heirs: dict[Identity, set[ScriptHash]] = {}
        """Who they are, and which scripts each has."""
        self._written: dict[CallId, Keeper] = {}
        self._loop = asyncio.get_running_loop()

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word on who our spare is."""
        living = {peer.identity for peer in roster.spare("edge")}
        new = living - self._heirs.keys()
        self._heirs = {heir: self._heirs.get(heir, set()) for heir in living}
        for heir in new:
            for keeper in self._calls.values():
                self._bequeath(heir, keeper.record)

    def wrote(self, keeper: Keeper) -> None:
        """A record has changed."""
        if not self._written:
            self._loop.call_soon(self._send)
        self._written[keeper.record.order.call_id] = keeper

    def _send(self) -> None:
        written, self._written = self._written, {}
        for keeper in written.values():
            for heir in self._heirs:
                self._bequeath(heir, keeper.record)

    def _bequeath(self, heir: Identity, record: CallRecord) -> None:
        order, script = record.order, ScriptHash("")
        if record.phase is Phase.DONE:
            self._mesh.tell(heir, KeepRecord(order.call_id, record.revision, script, b""))
            return
        script = script_hash(order.script)
        if script not in self._heirs[heir]:
            self._heirs[heir].add(script)
            self._mesh.tell(heir, KeepScript(script, order.script))
        body = pack(replace(record, order=replace(order, script="")))
        self._mesh.tell(heir, KeepRecord(order.call_id, record.revision, script, body))


class Legacy:
    """The spare's side: keeps what it is sent until it is needed."""

    def __init__(self) -> None:
        self._kept: dict[CallId, KeepRecord] = {}
        self._scripts: dict[ScriptHash, str] = {}
        self._over: OrderedDict[CallId, None] = OrderedDict()

    def learn(self, given: KeepScript, sender: Identity) -> None:
        """Keep a script. There are as many as campaigns: they are kept for this process's life."""
        self._scripts[given.script] = given.text

    def keep(self, given: KeepRecord, sender: Identity) -> None:
        """Keep a record, unless a later one is kept already."""
        if not given.body:
            self._kept.pop(given.call_id, None)
            self.ended(given.call_id)
        elif (kept := self._kept.get(given.call_id)) is None or kept.revision < given.revision:
            self._kept[given.call_id] = given

    def ended(self, call_id: CallId) -> None:
        """Remember that this call has been."""
        self._over[call_id] = None
        if len(self._over) > MAX_OVER:
            self._over.popitem(last=False)

    def has_been(self, call_id: CallId) -> bool:
        """Say whether this call is over."""
        return call_id in self._over

    def take(self) -> list[CallRecord]:
        """Return all records and keep none: they are ours to go on with."""
        records = []
        for kept in self._kept.values():
            try:
                record = unpack(kept.body)
                script = self._scripts[kept.script]
            except (RemoteProtocolError, KeyError) as error:
                log.error("record.lost", call_id=kept.call_id, reason=repr(error))
                continue
            records.append(replace(record, order=replace(record.order, script=script)))
        self._kept.clear()
        return records


__all__ = ["Heirs", "Legacy"]
