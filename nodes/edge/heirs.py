"""Who goes on with our calls when we die: the spares of this edge and the disk get every record as it is written.

So does, of each call, the edge of the other machine that its record names as its heir (`ownership`).

What was written within one turn of the loop goes as one record, its script by hash. A new spare is given everything. A
call that is over is forgotten with an empty body; its id is remembered, so that the same attempt is not dialled again
after a takeover.

No heir need have everything: what a successor goes on with is what any of them knows, without what any of them knows
to be over, and of two records of one call the later.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Final

from grammars.script_pack import script_hash
from nodes.call.inputs import HangUpOrdered
from nodes.call.record import GONE, UP
from nodes.edge.heir import Heir, Received, bequest, only, told_of
from nodes.edge.other_edges import OtherEdges, heir_of
from nodes.edge.recent import Noted, Recent, tellings
from nodes.edge.record_store import RecordStore, Version
from nodes.links.roster import Roster
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.sip import Disposition
from protocols.wire.heirs import KeepRecord, Kept
from protocols.wire.ids import CallId, Identity, ScriptHash, node_of, process_of

log = logs.get(__name__)
ASK_S: Final = 0.5
"""So often heirs are asked how much has come, as long as it is more than they have said; at once, if somebody waits or
much is under way. A question and its answer cost as much as two records, and nobody needs most of the answers."""
MAX_RECORD: Final = 192 * 1024
"""Bytes of one, packed, its script apart: a hundred turns are 30 kB. What heirs are told has `codec.MAX_BODY` at most,
and a call must not get there, for nobody could go on with it."""
ENOUGH: Final = 2
"""Heirs that must have a record which nobody else has: one of them may die together with us."""


class Heirs:
    """The active side: sends what changes."""

    def __init__(self, mesh: Mesh, calls: Mapping[CallId, RecordStore]) -> None:
        self._mesh, self._calls = mesh, calls
        self._heirs: dict[Identity, Heir] = {}
        self._spares: set[Identity] = set()
        self._near: list[Heir] = []
        self._afar: OtherEdges = {}
        """The edges of other nodes."""
        self._told_afar: dict[CallId, Identity] = {}
        """Which of them has been told each call, and what had been noted of it before."""
        self._untold: list[Identity] = []
        self._unsettled: set[Identity] = set()
        """Those that may still have a call to give back."""
        self._scripts: dict[CallId, ScriptHash] = {}
        """Of each call that has been written and is not over; and how many have each."""
        self._users: Counter[ScriptHash] = Counter()
        self.unused: Callable[[ScriptHash], None] = lambda script: None
        """Told of a script when the last call that had it is over."""
        self.tell: Callable[[CallId, HangUpOrdered], object] = lambda call_id, order: None
        """Tells a call whose record has grown beyond `MAX_RECORD` to end."""
        self._too_long: set[CallId] = set()
        self._n_too_long = 0
        self.heard: Callable[[], None] = lambda: None
        """Told when an heir has acknowledged something."""
        self._written: dict[CallId, RecordStore] = {}
        self._noted: list[Noted] = []
        self.recent = Recent()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, roster: Roster) -> None:
        """We are the active edge from now on: spares are told which calls there are, and give back the others.

        What is in their records they have from our predecessor; what is later they are told as each call wakes, and
        until then it is on the disk. To tell them all of it now would be half of the time until anybody is answered.
        """
        self._spares = self._spares_of(roster)
        for spare in self._spares:
            self._heirs[spare] = heir = Heir(self._mesh, spare)
            self._near.append(heir)
            if heir.only(tuple(self._calls)):
                self._unsettled.add(spare)
        self._ask_soon()

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word on who our spares are; one that still takes us for a spare is as old as that."""
        self._spares = self._spares_of(roster)
        self._meet()

    def _spares_of(self, roster: Roster) -> set[Identity]:
        name = process_of(self._mesh.identity)  # another edge of this node has spares of its own
        return {peer.identity for peer in roster.spare("edge") if peer.name == name} - {self._mesh.identity}

    def follow_afar(self, edges: OtherEdges) -> None:
        """Take the cluster's word on which edges other nodes have: each keeps the calls that name its node."""
        if edges != self._afar:
            self._afar = dict(edges)
            self._meet()

    def retell(self, heir: Identity, calls: Iterable[CallId]) -> None:
        """Tell an heir these calls anew: it has given up what it had of them."""
        for call_id in calls:
            if (one := self._heirs.get(heir)) and (store := self._calls.get(call_id)):
                one.leave(call_id)
                one.record(store.record, self._loop.time())
        self._ask_soon()

    def _meet(self) -> None:
        living = self._spares | {*chain.from_iterable(self._afar.values())}
        new = living - self._heirs.keys()
        self._heirs = {one: self._heirs.get(one) or Heir(self._mesh, one) for one in living}
        self._near = [self._heirs[one] for one in self._spares]
        self._unsettled &= living
        for heir in new & self._spares:
            self._tell_all(self._heirs[heir])
        if not self._untold and new - self._spares:
            self._loop.call_soon(self._tell_next)
        self._untold += new - self._spares
        for store in filter(self._has_former, self._calls.values()):
            self._soon()
            self._written[store.record.order.call_id] = store

    def _has_former(self, store: RecordStore) -> bool:
        """Say whether another edge than its heir has been told a call, and lives: its node has other edges now."""
        before, now = self._told_afar.get(store.record.order.call_id), heir_of(store.record, self._afar)
        return before in self._heirs and now is not None and before != now

    def _tell_next(self) -> None:
        """Tell one more of the heirs elsewhere that are new: all of them are many, and a successor has better to do."""
        if heir := self._heirs.get(self._untold.pop()):
            self._tell_all(heir)
        if self._untold:
            self._loop.call_soon(self._tell_next)

    def _tell_all(self, heir: Heir) -> None:
        """It is to give back what we do not have; one that reads nothing has nothing to give back."""
        stores = [one for one in self._calls.values() if heir in self._of(one)]
        is_spare = heir.identity in self._spares
        events = self.recent if is_spare else self._by_heir(self.recent, {}).get(heir, ())
        if heir.all(events, stores, self._loop.time()) and is_spare:
            self._unsettled.add(heir.identity)
        self._ask_soon()

    def _of(self, store: RecordStore) -> list[Heir]:
        """Return who keeps a call: our spares, and its heir elsewhere."""
        return [*self._near, afar] if (afar := self._heir_afar(store)) else self._near

    def _heir_afar(self, store: RecordStore | None) -> Heir | None:
        edge = heir_of(store.record, self._afar) if store else None
        return self._heirs.get(edge) if edge else None

    def _by_heir(self, noted: Iterable[Noted], written: Mapping[CallId, RecordStore]) -> dict[Heir, list[Noted]]:
        """Return the events of the calls that heirs elsewhere keep; of one that has just ended, `written` knows."""
        found: defaultdict[Heir, list[Noted]] = defaultdict(list)
        for event in noted if self._afar else ():
            if heir := self._heir_afar(written.get(event.call_id) or self._calls.get(event.call_id)):
                found[heir].append(event)
        return found

    def settled(self, heir: Identity) -> None:
        """An heir has given back what it had."""
        self._unsettled.discard(heir)

    @property
    def is_settled(self) -> bool:
        """Whether no heir may know of a call that we do not have."""
        return not self._unsettled

    def wrote(self, store: RecordStore) -> None:
        """A record has changed."""
        order = store.record.order
        if store.record.phase not in GONE and order.call_id not in self._scripts:
            self._scripts[order.call_id] = script = script_hash(order.script)
            self._users[script] += 1
        self._soon()
        self._written[order.call_id] = store

    def noted(self, event: Noted) -> None:
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
        now = self._loop.time()
        told = list(tellings(noted))  # once, for all of them
        for heir in self._near if noted else ():
            heir.events(noted, told)
        for heir, events in self._by_heir(noted, written).items():
            heir.events(events)
        self._meet_afar(written)
        for store in written.values():
            self._judge_length(store)
            for heir in self._of(store):
                heir.record(store.record, now, told_of(store))
            if store.record.phase in GONE:
                self._over(store.record.order.call_id)
        self._ask_soon()

    def _judge_length(self, store: RecordStore) -> None:
        """Have a call ended while its record is still one that heirs can be told."""
        call_id, told = store.record.order.call_id, told_of(store)
        if isinstance(told, KeepRecord) and len(told.body) > MAX_RECORD and call_id not in self._too_long:
            self._too_long.add(call_id)
            self._n_too_long += 1
            log.error("record.too_long", call_id=call_id, n_bytes=len(told.body))
            self.tell(call_id, HangUpOrdered(Disposition.FAILED, "record_too_long"))

    def _meet_afar(self, written: Mapping[CallId, RecordStore]) -> None:
        """Tell heirs elsewhere that are new to calls what has been noted of these before; count on no former one."""
        new: dict[CallId, RecordStore] = {}
        for call_id, store in written.items():
            now = heir_of(store.record, self._afar)
            if (before := self._told_afar.get(call_id)) == now:
                continue
            if before in self._heirs:
                self._heirs[before].leave(call_id)
                if now and node_of(before) == node_of(now):  # another node is asked to give it up
                    self._heirs[before].drop(call_id)
            if now in self._heirs:
                self._told_afar[call_id], new[call_id] = now, store
        of_these = [event for event in self.recent if event.call_id in new] if new else []
        for heir, events in self._by_heir(of_these, new).items():
            heir.events(events)

    def _over(self, call_id: CallId) -> None:
        """Have everybody forget the script of a call that is over, unless another call has it, too."""
        self._told_afar.pop(call_id, None)
        self._too_long.discard(call_id)
        script = self._scripts.pop(call_id, None)
        if script is None:
            return
        self._users[script] -= 1
        if self._users[script]:
            return
        del self._users[script]
        for heir in self._heirs.values():
            heir.forget(script)
        self.unused(script)

    # ---- what they have acknowledged ---------------------------------------------------------------------------------

    def acknowledged(self, given: Kept, sender: Identity) -> None:
        """An heir says how much has come."""
        if (heir := self._heirs.get(sender)) is None:
            return
        if heir.acknowledged(given):
            self._ask_soon()
            self.heard()
        else:
            log.warning("heir.missed_something", heir=sender)
            self._tell_all(heir)

    def kept(self, call_id: CallId) -> dict[Identity, Version]:
        """Return up to which record each heir keeps a call."""
        return {one.identity: one.kept[call_id] for one in self._heirs.values() if call_id in one.kept}

    def keep(self, call_id: CallId, wanted: Version) -> bool:
        """Say whether two heirs have this record or a later one; where only one lives, whether that has."""
        n = sum(one >= wanted for one in self.kept(call_id).values())
        n_living = len(self._spares & self._heirs.keys()) + (self._told_afar.get(call_id) in self._heirs)
        return n >= min(ENOUGH, n_living) > 0

    @property
    def n_unkept_afar(self) -> int:
        """How many calls have no heir elsewhere that has acknowledged a record of them."""
        afar = {call_id: self._heir_afar(store) for call_id, store in self._calls.items()}
        return sum(heir is None or call_id not in heir.kept for call_id, heir in afar.items())

    def figures(self) -> dict[str, float]:
        """Say how many heirs there are, of how many calls none has a record, and how old what they lack is.

        `unkept_afar`: calls that are up, and of which the machine that they name has acknowledged no record yet.
        """
        oldest = now = self._loop.time()
        n_unkept_afar = n_unreplicated = 0
        for call_id, store in self._calls.items():
            afar = self._heir_afar(store)
            heirs = [*self._near, afar] if afar else self._near
            lack = [since for heir in heirs if (since := heir.lacks_since(call_id)) is not None]
            if lack and len(lack) == len(heirs):
                oldest = min(oldest, max(lack))
            n_unreplicated += not any(call_id in heir.kept for heir in heirs)
            n_unkept_afar += bool(afar and store.record.phase in UP and call_id not in afar.kept)
        return {
            "heirs": float(len(self._heirs)),
            "unkept_afar": float(n_unkept_afar),
            "unreplicated": float(n_unreplicated),
            "unkept_ms": round((now - oldest) * 1000, 1),
            "records_too_long": float(self._n_too_long),
        }

    def _ask_soon(self) -> None:
        """Ask in a while; at once those that would soon be told no more before they have answered."""
        for heir in self._heirs.values():
            if heir.is_pressed:
                heir.ask(self._loop.time())
        if self._timer is None and any(heir.is_behind for heir in self._heirs.values()):
            self._timer = self._loop.call_later(ASK_S, self._ask)

    def ask(self) -> None:
        """Ask now."""
        for heir in self._heirs.values():
            heir.ask(self._loop.time())

    def _ask(self) -> None:
        self._timer = None
        self.ask()
        self._ask_soon()


__all__ = ["Heirs", "Received", "bequest", "only"]
