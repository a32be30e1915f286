"""Which seats there are, and what edges and media processes say about them.

What it does: finds a seat for a caller (the right skill, longest ready first), carries messages to the seat that they
name, serves those who wait. What it does not: a seat's own rules (`agent.py`, `phone.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from nodes.desk.agent import AgentSeat
from nodes.desk.browser import STAY_AWAY
from nodes.desk.seat import Seat
from nodes.desk.waiting import Caller, Waiting
from nodes.links.errors import Refused
from nodes.links.tasks import Tasks
from nodes.links.work import INTENSITY, PERIOD_S
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs, spans
from protocols.agent import Seat as State
from protocols.wire import desk as wire
from protocols.wire.ids import CallId, ChannelId, Identity
from protocols.wire.messages import Done
from supervisors import RestartWindow

ORPHAN_S: Final = 10.0
"""A successor claims its calls within a second; an agent whose call nobody has claimed after this is free."""

log = logs.get(__name__)


class Seats:
    """The seats of one desk, by name.

    `changed(seat)` hears of every agent's change of state. `lives`: whether a process has not ended, here or in another
    node, as far as is known; whoever is only silent has not.
    """

    def __init__(
        self, mesh: Mesh, tasks: Tasks, changed: Callable[[AgentSeat], object], lives: Callable[[Identity], bool]
    ) -> None:
        self._mesh, self._tasks, self._changed, self._lives = mesh, tasks, changed, lives
        self._seats: dict[str, Seat] = {}
        self._channels: dict[ChannelId, Seat] = {}
        self._waiting = Waiting()
        self._failures = RestartWindow(INTENSITY, PERIOD_S)
        self._failed = ""
        """Who has failed last: an agent by name; all telephones are one, for each call of theirs is another seat."""

    def serve(self) -> None:
        """Answer the mesh from now on."""
        mesh = self._mesh
        mesh.serve(wire.ReserveSeat, self.reserve)
        mesh.serve(wire.ShowContext, self.show)
        mesh.serve(wire.OfferCall, self.offer)
        mesh.serve(wire.KeepSeat, self.keep)
        mesh.serve(wire.ReleaseSeat, self.release)
        mesh.serve(wire.JoinQueue, self.join)
        mesh.serve(wire.LeaveQueue, self.leave)
        mesh.serve(wire.LinkAudio, self.hear)

    def add(self, seat: Seat) -> None:
        """Have a seat; a page that comes back takes the place of what it left."""
        if before := self._seats.get(seat.name):
            self.remove(before)
            before.browser.drop("signed in elsewhere", STAY_AWAY)
        self._seats[seat.name] = seat

    def remove(self, seat: Seat) -> None:
        """The page of a seat has gone."""
        if self._seats.get(seat.name) is seat:
            del self._seats[seat.name]
            self._channels = {channel: one for channel, one in self._channels.items() if one is not seat}
            seat.gone()

    def follow(self) -> None:
        """Take note of edges that have gone, of any node. Another edge claims their calls soon, or nobody does."""
        for seat in self._seats.values():
            if seat.call and seat.edge and not self._lives(seat.edge):
                asyncio.get_running_loop().call_later(ORPHAN_S, self._reap, seat, seat.call, seat.edge)
        for caller in self._waiting:
            if not self._lives(caller.edge):
                self._waiting.leave(caller.call_id)

    @property
    def agents(self) -> list[AgentSeat]:
        """The agents who are here."""
        return [seat for seat in self._seats.values() if isinstance(seat, AgentSeat)]

    # ---- what edges ask --------------------------------------------------------------------------------------------

    async def reserve(self, order: wire.ReserveSeat, edge: Identity) -> wire.SeatReserved:
        """Find a seat: the one that the call has, else the ready one that has waited longest.

        Refused: `nobody_here`, `no_seat_free`.
        """
        with spans.stage("seat", skill=order.skill):
            if (mine := self._of(order.call_id)) and await mine.reserve(order.call_id, edge):
                return wire.SeatReserved(mine.name)
            while seat := self._ready(order.skill):
                if await seat.reserve(order.call_id, edge):
                    return wire.SeatReserved(seat.name)
        raise Refused("no_seat_free" if self._is_anybody_here(order.skill) else "nobody_here")

    async def show(self, order: wire.ShowContext, edge: Identity) -> Done:
        """Answer when the page has the context on the screen. Refused: `not_yours`."""
        seat = self._held(order.call_id, order.seat)
        if not isinstance(seat, AgentSeat):
            raise Refused("not_yours")
        await seat.show(order.context)
        return Done()

    def offer(self, order: wire.OfferCall, edge: Identity) -> None:
        """Let the page ring; a seat that is not the call's is lost to it."""
        seat = self._held(order.call_id, order.seat)
        if seat is None:
            self._mesh.tell(edge, wire.SeatLost(order.call_id, order.seat))
            return
        seat.edge = edge
        self._channels[order.channel_id] = seat
        seat.offer(order.channel_id)

    def keep(self, order: wire.KeepSeat, edge: Identity) -> Done:
        """An edge has taken a call over. Refused: `not_yours`."""
        seat = self._held(order.call_id, order.seat)
        if seat is None:
            raise Refused("not_yours")
        seat.keep(edge)
        return Done()

    def release(self, order: wire.ReleaseSeat, edge: Identity) -> None:
        """The call does not want the seat any more."""
        if seat := self._held(order.call_id, order.seat):
            self._channels.pop(seat.channel, None)
            seat.release(order.is_missed)

    def join(self, order: wire.JoinQueue, edge: Identity) -> None:
        """Let a caller wait; for the first seat that is free, which may be now."""
        if not self._is_anybody_here(order.skill):
            self._mesh.tell(edge, wire.NobodyHere(order.call_id))
            return
        caller = Caller(order.call_id, order.skill, order.urgency, edge)
        self._waiting.join(caller)
        if seat := self._of(order.call_id):
            self._tasks.spawn(self.alone(seat, self._give(seat, caller)))
        elif seat := self._ready(order.skill):
            self._tasks.spawn(self.alone(seat, self._serve_waiting(seat)))

    def leave(self, order: wire.LeaveQueue, edge: Identity) -> None:
        """A caller does not wait any more."""
        self._waiting.leave(order.call_id)

    def hear(self, audio: wire.LinkAudio, media: Identity) -> None:
        """Play what callers say to their seats."""
        for frame in audio.frames:
            if seat := self._channels.get(frame.channel_id):
                seat.hear(frame, media)

    # ---- what seats do ---------------------------------------------------------------------------------------------

    def seat_changed(self, seat: AgentSeat) -> None:
        """An agent's state has changed. One who is ready now may serve a caller who waits."""
        self._changed(seat)
        if seat.state is State.READY:
            self._tasks.spawn(self.alone(seat, self._serve_waiting(seat)))
        elif not seat.takes_calls:
            for caller in self._waiting:
                if not self._is_anybody_here(caller.skill):
                    self._waiting.leave(caller.call_id)
                    self._mesh.tell(caller.edge, wire.NobodyHere(caller.call_id))

    async def alone(self, seat: Seat, work: Coroutine[Any, Any, None]) -> None:
        """Do something with one seat. When it fails, the seat ends and no other: its page comes back, to a new one.

        Raises what it was, and so ends the process, when one seat after the other fails: it is nobody's own fault then.
        """
        try:
            await work
        except Exception:
            log.exception("seat.failed", call_id=seat.call)
            self.remove(seat)
            seat.browser.drop("seat failed")
            before, self._failed = self._failed, seat.name if isinstance(seat, AgentSeat) else "a telephone"
            if self._failed != before and not self._failures.admits(time.monotonic()):
                raise

    async def _serve_waiting(self, seat: AgentSeat) -> None:
        """Give a seat to the caller whose turn it is."""
        if caller := self._waiting.next(seat.has):
            await self._give(seat, caller)

    async def _give(self, seat: AgentSeat, caller: Caller) -> None:
        self._waiting.leave(caller.call_id)
        try:
            is_given = await seat.reserve(caller.call_id, caller.edge)
        except Exception:
            self.remove(seat)  # so that the caller, who waits again, does not meet it
            self.join(wire.JoinQueue(caller.call_id, caller.skill, caller.urgency), caller.edge)
            raise
        if is_given:
            self._mesh.tell(caller.edge, wire.SeatFound(caller.call_id, seat.name))
        else:
            self.join(wire.JoinQueue(caller.call_id, caller.skill, caller.urgency), caller.edge)

    def _ready(self, skill: str) -> AgentSeat | None:
        ready = [seat for seat in self.agents if seat.state is State.READY and seat.has(skill)]
        return min(ready, key=lambda seat: seat.since_s, default=None)

    def _is_anybody_here(self, skill: str) -> bool:
        return any(seat.takes_calls and seat.has(skill) for seat in self.agents)

    def _of(self, call_id: CallId) -> AgentSeat | None:
        return next((seat for seat in self.agents if seat.call == call_id), None)

    def _held(self, call_id: CallId, name: str) -> Seat | None:
        seat = self._seats.get(name)
        return seat if seat and seat.call == call_id else None

    def _reap(self, seat: Seat, call_id: CallId, edge: Identity) -> None:
        if seat.call == call_id and seat.edge == edge and not self._lives(edge):
            log.warning("seat.orphaned", call_id=call_id)
            self._channels.pop(seat.channel, None)
            seat.orphaned()


__all__ = ["Seats"]
