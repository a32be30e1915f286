"""Calls and the other machines: who is to have ours, whose are ours now, and what is let go.

What it does: brings what other machines' edges tell to those who keep it, has ready what a call needs that goes on
here, and takes from a call that goes on elsewhere all that is left of it. What it does not: decide who owns a call
(`ownership`, `inheritance`), or hold one (`calls`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from nodes.call.inputs import Left
from nodes.call.moving import heard_first, inherited
from nodes.call.record import GONE, CallPhase, CallRecord
from nodes.edge import line
from nodes.edge.arrivals import AudioFirst, have_ready
from nodes.edge.ears import NoEngine
from nodes.edge.flight import Turns
from nodes.edge.holder import Holder
from nodes.edge.inheritance import PROVEN_S, Inheritance, Inherited
from nodes.edge.line import NoMedia
from nodes.edge.mover import Mover
from nodes.edge.ownership import Ownership, order_of
from nodes.edge.prompts_ahead import PromptsAhead
from nodes.edge.record_store import RecordStore
from nodes.edge.returning import ask_all
from nodes.edge.services import EdgeServices
from nodes.edge.trunk import Unreachable
from nodes.edge.will import Will
from nodes.links.errors import Refused
from nodes.telemetry import logs
from protocols.heir import Order
from protocols.wire.heirs import ForgetRecord, ForgetScript, KeepEvents, KeepOnly, KeepRecord, KeepScript
from protocols.wire.ids import CallId, Identity, NodeId, PromptHash, node_of
from protocols.wire.takeover import Had, WhoHas
from supervisors import Gone

log = logs.get(__name__)
OVER: Final[Order] = (sys.maxsize, 0, 0)
"""The order of what has been said of a call that is over: nothing comes after it."""


class Elsewhere:
    """`calls`: who has ours. `spawn`: runs what waits for others."""

    def __init__(
        self, services: EdgeServices, calls: Holder, spawn: Callable[[Coroutine[object, object, None]], object]
    ) -> None:  # fmt: skip
        self._services, self._calls, self._spawn = services, calls, spawn
        self.ownership = Ownership(services, calls.stores, spawn)
        self.ownership.let_go = self._let_go
        self.inheritance = Inheritance(services, self._take_over, self._order_of, spawn)
        self.turns = Turns()
        services.take_over = self.turns.take
        self._prompts = PromptsAhead(services.mesh, services.config.paths.prompts, spawn)
        services.engines.on_prompt = lambda key, prompt: self._copy_ahead(CallId(key), (prompt.prompt,))
        services.engines.on_forget = self._prompts.forget
        self.mover = Mover(services, calls, self.ownership, self._prompts.is_here, spawn)
        self.is_back = False
        """Calls that were found on the disk may be another machine's: their heirs are asked."""

    def serve(self) -> None:
        """Answer other machines from now on."""
        self._services.mesh.serve(WhoHas, self._who_has)
        self._prompts.serve()
        self.mover.serve()

    def stop(self) -> None:
        """Ask nobody, and take nothing, any more: the process ends."""
        self.ownership.stop()
        self.inheritance.stop()
        self.turns.stop()

    # ---- calls of ours ----------------------------------------------------------------------------------------------

    def kept(self, stores: Sequence[RecordStore]) -> None:
        """These calls are ours from now on."""
        for store in stores:
            store.is_silent = partial(self.ownership.is_silent, store.record.order.call_id)
        self.ownership.has(stores)

    def wrote(self, store: RecordStore) -> None:
        """A record has changed: what it plays is copied; one that is over, or another's, has no heir any more."""
        record = store.record
        self.turns.wrote(record)
        if record.phase in GONE:
            self.ownership.over(record.order.call_id, order_of(record))
            self.mover.over(record.order.call_id)
        elif record.channel and record.channel.playing:
            self._copy_ahead(record.order.call_id, record.channel.playing.prompts)

    async def come_back(self, records: Sequence[CallRecord], taken_up: Callable[[CallRecord], CallRecord]) -> None:
        """Go on with those that nobody has gone on with while this node was away (`is_back`)."""
        late = [record for record in records if taken_up(record).phase is CallPhase.ENDING]
        soon = [record for record in records if record not in late]
        await asyncio.gather(self._settle(soon, taken_up, is_late=False), self._settle(late, taken_up, is_late=True))
        self.is_back = False

    async def _settle(
        self, records: Sequence[CallRecord], taken_up: Callable[[CallRecord], CallRecord], *, is_late: bool
    ) -> None:
        if not records:
            return
        answers = await ask_all(self._services, records, is_late=is_late)
        log.info("node.back", calls=len(records), taken=len(answers.taken), closed=len(answers.closed),
                 unknown=len(answers.unknown), is_late=is_late)  # fmt: skip
        for record in records:
            call_id = record.order.call_id
            if call_id in answers.taken:
                continue
            if call_id in answers.closed:  # it has been said; but they may still ring
                Will(RecordStore(record, lambda store: None), self._services).hang_up()
                continue
            heir = record.heir if call_id in answers.unknown else NodeId("")  # who has answered keeps nothing of it
            await self._calls.go_on(self._calls.keep(taken_up(replace(record, heir=heir))))

    def _copy_ahead(self, call_id: CallId, prompts: Sequence[PromptHash]) -> None:
        if heir := self.ownership.heir_of(call_id):
            self._prompts.tell(heir, prompts)

    def _let_go(self, call_id: CallId, was_closed: bool) -> None:
        """Have nothing of a call any more: it is another machine's. `was_closed`: only we can hang up on who rings."""
        store = self._calls.stores[call_id]
        if was_closed:
            Will(store, self._services).hang_up()
        line.let_go(self._services, store.record)
        store.write(phase=CallPhase.MOVED)
        self._calls.let_go(store)

    # ---- calls of others --------------------------------------------------------------------------------------------

    def is_of(self, sender: Identity) -> bool:
        """Say whether another machine's edge has said something."""
        return node_of(sender) != self._services.node_id

    def take(
        self, given: KeepScript | ForgetScript | KeepEvents | KeepRecord | ForgetRecord | KeepOnly, sender: Identity
    ) -> None:
        """Keep what another machine's edge tells its heir. A later record of a call of ours: it is ours no more."""
        match given:
            case KeepRecord():
                if (ours := self._order_of(given.call_id)) is not None:
                    if ours >= given.order:
                        return
                    self.ownership.overruled(given.call_id)
                self.inheritance.keep(given, sender)
            case ForgetRecord():
                self.inheritance.forget(given, sender)
            case KeepOnly():
                self.inheritance.only(given, sender)
            case _:
                self.inheritance.learn(given, sender)

    def _order_of(self, call_id: CallId) -> Order | None:
        """Return how late our word on this call is; nothing is later than its end. None: it is not ours to speak of."""
        if self.mover.is_waiting(call_id):
            return None
        if store := self._calls.stores.get(call_id):
            return order_of(store.record)
        return OVER if self._calls.has_been(call_id) else None

    def _who_has(self, asked: WhoHas, sender: Identity) -> Had:
        """Say which of another machine's calls are ours. Refuses: `not_active`, and `unsettled` as for `FindCalls`."""
        if not self._calls.is_active:
            raise Refused("not_active")
        if asked.calls and not self._calls.is_settled:
            raise Refused("unsettled")
        return self.inheritance.who_has(asked, sender)

    def _take_over(self, given: Inherited) -> None:
        """Have the calls of a dead machine from this moment on."""
        for event in given.events:
            self._services.post(event)
        records = [inherited(one, given.ahead_s, is_to_end=one.order.call_id in given.closes) for one in given.records]
        coming = [record for record in records if self.mover.is_waiting(record.order.call_id)]
        stores = self._calls.keep_all([record for record in records if record not in coming])
        first = AudioFirst(len(stores))
        for store in stores:
            self._calls.arrives(store)
            self._spawn(self._arrive(store, given.outage_s, first))
        self._spawn(self._tell(stores))  # behind the first step of each of these
        for record in coming:  # it was on its way here
            self._calls.tell(record.order.call_id, Left(None, given.outage_s))

    async def _tell(self, stores: Sequence[RecordStore]) -> None:
        """Have heirs here know of calls that have come, before these begin here: the edge may be killed meanwhile."""
        for store in stores:
            store.tell()

    async def get_ready(self, store: RecordStore) -> None:
        """Have ready what a call lacks here, if it has not begun here yet: an edge before us died first.

        Raises: NoMedia, Unreachable.
        """
        owner = store.record.owner
        if owner and node_of(owner) != self._services.node_id and store.moved is None:
            await self._have_audio(store, PROVEN_S)

    async def _arrive(self, store: RecordStore, outage_s: float, first: AudioFirst) -> None:
        """Have a call's audio go on, and that of all others that come with it; then have the call live here."""
        try:
            await self._have_audio(store, outage_s)
        except (NoMedia, Unreachable) as error:
            log.error("call.not_taken_over", call_id=store.record.order.call_id, reason=str(error))
            await Will(store, self._services).carry_out()
            return
        finally:
            first.one()
        await first.all()
        with suppress(Gone):  # we are told to stop
            await self._calls.arrived(store)

    async def _have_audio(self, store: RecordStore, outage_s: float) -> None:
        await self._have_words(store.record)
        services = self._services
        store.moved = moved = await have_ready(services, store.record, outage_s)
        if (channel := heard_first(store.record, moved, services.mesh.identity, services.epoch)) is not None:
            line.set_channel(services, moved.media, channel, to_spares=True)

    async def _have_words(self, record: CallRecord) -> None:
        """Render what plays, if it has not come here in time: a play without its file would be over at once."""
        playing = record.channel.playing if record.channel else None
        if playing is None or record.conversation is None or self._prompts.is_here(playing.prompts):
            return
        log.warning("prompt.rendered_again", call_id=record.order.call_id)
        with suppress(NoEngine):
            for sentence in record.conversation.prompt:
                await self._services.engines.render(record.order.call_id, sentence)


__all__ = ["Elsewhere"]
