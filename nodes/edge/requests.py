"""What other processes ask of an edge, over the mesh: place and end calls, say which there are, and how the edge is.

What it does: answers or refuses for the calls of this process, and brings each what media, speech and desks have to
say to it. What it does not: hold or start calls (`calls`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import get_args

from grammars.errors import GrammarError
from grammars.script_pack import unpack
from nodes.call import handing
from nodes.call.inputs import ChannelNews, HangUpOrdered, MediaLacks, SeatTold
from nodes.call.line import channels_of, is_known
from nodes.call.placing import seat_of
from nodes.call.record import CallRecord
from nodes.edge import orders
from nodes.edge.calls import Calls
from nodes.edge.fence import Fence
from nodes.edge.services import EdgeServices
from nodes.links.errors import Refused
from nodes.links.recordings import Recordings
from nodes.links.roster import Peer, State
from nodes.mesh.pieces import Shelves
from nodes.telemetry import logs
from protocols.sip import Disposition
from protocols.wire import messages as wire
from protocols.wire.cluster import EdgeWord
from protocols.wire.desk import SEAT_NEWS, Drain, MoveShare, SeatNews, ShareMoves
from protocols.wire.ids import CallId, ChannelId, Identity, node_of, process_of
from protocols.wire.reconcile import CallsFound, ChannelsOwned, FindCalls, FindChannels
from protocols.wire.recordings import OwnersFull
from supervisors import TooManyChildren

log = logs.get(__name__)


class Requests:
    """Answers for the calls of one edge."""

    def __init__(
        self, services: EdgeServices, calls: Calls, figures: Callable[[], dict[str, float]] = dict,
        settings: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:  # fmt: skip
        """`figures`: further ones, for the status. `settings`: the version by which this edge goes, and one refused."""
        self._services, self._calls, self._figures, self._settings = services, calls, figures, settings
        self._drains, self._fence = Drain(False), Fence()
        self._know: frozenset[Identity] = frozenset()
        """Processes of this node that know whether it drains."""

    def serve(self) -> None:
        """Answer the mesh from now on."""
        mesh = self._services.mesh
        mesh.serve(wire.PlaceCall, self.place)
        mesh.serve(wire.EndCall, self.end)
        mesh.serve(FindCalls, self.find_calls)
        mesh.serve(FindChannels, self.find_channels)
        mesh.serve(wire.GetStatus, self.status)
        mesh.serve(Drain, self.drain)
        mesh.serve(MoveShare, self.move_share)
        shelves = Shelves.of(self._services.config)
        shelves.serve(mesh)
        Recordings(shelves).serve(mesh)
        mesh.serve(OwnersFull, self._owners_full)
        for message in get_args(ChannelNews):  # each goes to the call whose channel it names
            mesh.serve(message, self._told)
        for news in SEAT_NEWS:
            mesh.serve(news, self._seat_told)

    def _owners_full(self, told: OwnersFull, sender: Identity) -> None:
        if node_of(sender) == self._services.node_id:
            self._services.full_owners = frozenset(told.owners)

    async def place(self, order: wire.PlaceCall, sender: Identity) -> wire.CallAccepted:
        """Take an order, once.

        Refuses: `not_active not_leading draining do_not_call_unknown spool_full node_full bad_script:`, `orders`.
        """
        if not self._calls.is_active:
            raise Refused("not_active")
        if not self._fence.heard(order.token):
            raise Refused("not_leading")
        if self._calls.is_draining:
            raise Refused("draining")
        if not seat_of(order.target) and not await self._services.refusals.are_known():
            raise Refused("do_not_call_unknown")
        if order.call_id in self._calls.stores or self._calls.has_been(order.call_id):
            return wire.CallAccepted(order.call_id, duplicate=True)
        order = orders.with_uri(order, self._services.config.sip)
        if reason := orders.objection(order, self._services.config.sip):
            raise Refused(reason)
        if self._services.fills_up():
            raise Refused("spool_full")
        if not self._calls.load.takes():
            raise Refused("node_full")
        try:
            unpack(order.script)
        except GrammarError as error:
            raise Refused(f"bad_script: {error}") from error
        try:
            await self._calls.begin(order)
        except TooManyChildren as error:
            raise Refused("node_full") from error
        return wire.CallAccepted(order.call_id)

    def end(self, order: wire.EndCall, sender: Identity) -> wire.Done:
        """Hang up a call; one that is over stays over. Refuses: `bad_disposition`."""
        try:
            disposition = Disposition(order.disposition)
        except ValueError as error:
            raise Refused("bad_disposition") from error
        self._calls.tell(order.call_id, HangUpOrdered(disposition, "ordered"))
        return wire.Done()

    def find_calls(self, asked: FindCalls, sender: Identity) -> CallsFound:
        """Say which of these calls we have, and which have been here. Refuses: `not_active`, `unsettled`."""
        self._know_all()
        self._fence.heard(asked.token)
        held = tuple(call_id for call_id in asked.calls if call_id in self._calls.stores)
        return CallsFound(held, tuple(call_id for call_id in asked.calls if self._calls.has_been(call_id)))

    def find_channels(self, asked: FindChannels, sender: Identity) -> ChannelsOwned:
        """Say which of these channels our calls have, and tell what the asker lacks. Refuses as `find_calls`."""
        self._know_all()
        ours = {channel for store in self._calls.stores.values() for channel in channels_of(store.record)}
        if asker := self._services.roster.by_identity(sender):
            self._tell_what_is_lacking(asker, asked.channels)
        return ChannelsOwned(tuple(channel_id for channel_id in asked.channels if channel_id in ours))

    def _tell_what_is_lacking(self, media: Peer, has: Mapping[ChannelId, int]) -> None:
        for call_id, store in self._calls.stores.items():
            is_ours = store.record.media == media.name
            if is_ours and not is_known(store.record, has, media.state is State.SPARE):
                log.info("channel.told_again", call_id=call_id, media=media.identity)
                self._calls.tell(call_id, MediaLacks())

    def _know_all(self) -> None:
        """Refuse to say what we have not, while there may be calls that are ours and have not come to us yet."""
        if not self._calls.is_active:
            raise Refused("not_active")
        if not self._calls.is_settled:
            raise Refused("unsettled")

    def of_node(self) -> EdgeWord:
        """Return what this edge adds to its node's word."""
        held, limit = len(self._calls.stores), self._calls.load.limit
        load = round(held / limit, 3) if limit else 1.0
        return EdgeWord(self._calls.is_draining, len(self._ours()), load, self._calls.n_unkept_afar, *self._settings())

    def _ours(self) -> list[CallRecord]:
        """Return the records of our calls: one that is on its way here is counted where it is still."""
        return [one.record for one in self._calls.stores.values() if not one.is_anothers]

    def drain(self, order: Drain, sender: Identity) -> wire.Done:
        """Take no new calls, or take them again."""
        self._drains, self._know = order, frozenset()
        self._calls.is_draining = order.is_draining
        self._calls.elsewhere.mover.want(order.is_draining and order.moves)
        self._tell_drains()
        return wire.Done()

    def move_share(self, order: MoveShare, sender: Identity) -> ShareMoves:
        """Move some of the calls away. Refuses as `MoveShare` says."""
        if not self._calls.is_active:
            raise Refused("not_active")
        return self._calls.elsewhere.mover.share(order)

    def follow(self) -> None:
        """The launcher has said who lives: our spares go on draining when we die, and our desks show it."""
        if self._drains.is_draining:
            self._tell_drains()

    def _tell_drains(self) -> None:
        """Tell those who have not been told."""
        if not self._calls.is_active:
            return
        roster = self._services.roster
        name = process_of(self._services.mesh.identity)
        spares = [peer for peer in roster.spare("edge") if peer.name == name]
        ours = frozenset(peer.identity for peer in (*spares, *roster.active("desk")))
        for identity in ours - self._know:
            self._services.mesh.tell(identity, self._drains)
        self._know = ours

    def status(self, _: wire.GetStatus, sender: Identity) -> wire.Status:
        """How this edge is: its calls by phase, and what it dropped."""
        phases = [record.phase.value for record in self._ours()]
        figures = {f"calls_{phase}": float(phases.count(phase)) for phase in sorted(set(phases))}
        dropped = {f"sip_{word}": float(count) for word, count in self._services.trunk.drops.items()}
        figures["draining"] = float(self._calls.is_draining)
        figures["registrations"] = float(len(self._services.trunk.registered))
        figures |= {"calls": float(len(phases)), **dropped, **self._services.fetcher.figures}
        figures |= self._services.engines.figures() | self._services.tries.figures()
        figures |= self._services.refusals.figures | self._calls.figures() | self._figures()
        if self._services.fills_up():
            figures["room"] = 0.0
        return wire.Status("edge", os.getpid(), figures)

    def _told(self, given: ChannelNews, sender: Identity) -> None:
        self._calls.tell(CallId(given.channel_id), given)

    def _seat_told(self, news: SeatNews, desk: Identity) -> None:
        """A desk's word on a seat: for the leg whose seat it is, else for the call that is being handed over."""
        if self._calls.later(news.call_id, partial(self._seat_told, news, desk)):
            return
        if (store := self._calls.stores.get(news.call_id)) and (leg := store.seats.get(news.seat)):
            leg(news)
        else:
            self._calls.tell(news.call_id, SeatTold(handing.input_of(news), desk, news.seat))


__all__ = ["Requests"]
