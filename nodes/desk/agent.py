"""An agent's seat: steps `protocols.agent` with what the page and the call's edge say, and does what it instructs.

The page's WebSocket is the connected leg: an agent who has signed in can hear a caller with the next frame.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from nodes.desk import control
from nodes.desk.browser import Browser
from nodes.desk.seat import Seat
from nodes.links.errors import Refused
from nodes.mesh.mesh import Mesh
from protocols import agent
from protocols.machine import Expired
from protocols.wire import desk as wire
from protocols.wire.context import HandoverContext
from protocols.wire.ids import CallId, ChannelId, Identity


class AgentSeat(Seat):
    """One agent at one page. `changed(seat)` hears of every change of state."""

    def __init__(
        self, hello: control.Hello, browser: Browser, mesh: Mesh, changed: Callable[[AgentSeat], object]
    ) -> None:
        super().__init__(hello.agent, browser, mesh)
        self.skills = frozenset(hello.skills)
        self.since_s = time.monotonic()
        """When it came to its state: who has waited longest is asked first."""
        self._machine = agent.Agent()
        self._changed = changed
        self._answers: dict[CallId, asyncio.Future[bool]] = {}
        """Whether a reservation was granted."""
        self._shown: asyncio.Future[None] | None = None
        self._is_offered = self._is_probed = False
        self._last_word: type[wire.SeatNews] | None = None
        """What the agent has said about the call last; an edge that takes it over is told again."""
        self._alarm: asyncio.TimerHandle | None = None
        self._wants_ready = hello.ready

    def sign_in(self) -> None:
        """Take the seat."""
        self._step(agent.SignIn(self._wants_ready))

    @property
    def state(self) -> agent.Seat:
        """What may be done with the seat."""
        return self._machine.seat

    @property
    def call(self) -> CallId:
        """The call that has the seat; empty: none."""
        return self._machine.call

    @property
    def takes_calls(self) -> bool:
        """Whether it is worth waiting for this agent."""
        return self.state not in (agent.Seat.OFFLINE, agent.Seat.NOT_READY)

    def has(self, skill: str) -> bool:
        """Whether the agent has this skill; every agent has the empty one, and one without skills has all."""
        return not skill or not self.skills or skill in self.skills

    # ---- what an edge asks -----------------------------------------------------------------------------------------

    async def reserve(self, call: CallId, edge: Identity) -> bool:
        """Probe the page and keep the seat for this call; False when that was not possible."""
        if self.call == call and call not in self._answers:
            self.keep(edge)
            return True
        if call not in self._answers:
            self._answers[call] = asyncio.get_running_loop().create_future()
            self._step(agent.Reserve(call))
        try:
            granted = await asyncio.shield(self._answers[call])
        finally:
            self._answers.pop(call, None)
        if granted:
            self.keep(edge)
        return granted

    async def show(self, context: HandoverContext) -> None:
        """Return when the context of the seat's call is on the screen. Raises: Refused (`not_yours`).

        Asked again (by an edge that has taken the call over), whoever asked before is refused.
        """
        self._deny()
        self._shown = asyncio.get_running_loop().create_future()
        self.browser.say("context", call=self.call, context=context)
        await self._shown

    def offer(self, channel: ChannelId) -> None:
        """Ask the agent to take the call; one who has answered already is not asked again."""
        self.channel, self._is_offered = channel, True
        if self._last_word:
            self.tell(self._last_word, self.call)
        else:
            self.browser.say("offer", call=self.call)

    def keep(self, edge: Identity) -> None:
        """The call is another edge's now."""
        super().keep(edge)
        if self._last_word is wire.SeatFinished:
            self.tell(self._last_word, self.call)

    def release(self, is_missed: bool) -> None:
        """Give the seat back. An agent who missed an offer gets no other until they say that they are there."""
        if is_missed:
            self._step(agent.WantReady(False))
        self._step(agent.Release(self.call))

    def orphaned(self) -> None:
        """Nobody has the call any more."""
        self._step(agent.CallEnded(self.call))

    # ---- what the page says ----------------------------------------------------------------------------------------

    def said(self, given: control.Said) -> None:
        """Take one message of the page; what does not fit the state changes nothing."""
        match given:
            case control.Beat():
                self._step(agent.Beat())
                self._changed(self)
            case control.Ready():
                self._step(agent.WantReady(True))
            case control.NotReady():
                self._step(agent.WantReady(False))
            case control.WrappedUp():
                self._step(agent.WrappedUp())
            case control.Probed(call=call):
                self._step(agent.ProbeAnswered(call))
            case control.Shown(call=call) if call == self.call and self._shown and not self._shown.done():
                self._shown.set_result(None)
            case control.Accept(call=call) if call == self.call and self._is_offered:
                self._says(wire.SeatAccepted, call)
            case control.Decline(call=call) | control.Finish(call=call) if call and call == self.call:
                self._ends(call)
            case _:
                pass

    def gone(self) -> None:
        """The page has gone: a call that was the seat's is told so."""
        self._step(agent.SignOut())

    def heard(self) -> None:
        """The agent hears the caller."""
        self._step(agent.Bridged(self.call))
        self.browser.say("bridged", call=self.call)

    def _ends(self, call: CallId) -> None:
        """The agent ends the call, or does not take it: then they get no other until they say that they want one."""
        if self.state is agent.Seat.TALKING:
            self._says(wire.SeatFinished, call)
        else:
            self._step(agent.WantReady(False))
            self._says(wire.SeatDeclined, call)

    def _says(self, answer: type[wire.SeatNews], call: CallId) -> None:
        self._last_word = answer
        self.tell(answer, call)

    # ---- the machine -----------------------------------------------------------------------------------------------

    def _step(self, given: agent.AgentInput) -> None:
        before = self.call
        effects = self._machine.step(given, time.monotonic())
        for effect in effects:
            match effect.event:
                case agent.Instruct(act=act, call=call):
                    self._do(act, call)
                case agent.SeatChanged(seat=state):
                    self.since_s = time.monotonic()
                    self.browser.say("state", state=state.value)
                    if state is agent.Seat.OFFLINE:
                        self.browser.drop("offline")
                    self._changed(self)
        if before and before != self.call:
            self._lose(before)
        self._set_alarm()

    def _do(self, act: agent.Act, call: CallId) -> None:
        match act:
            case agent.Act.CONNECT_LEG if self._is_probed:
                self.browser.drop("no answer")  # the page is the leg: a living one connects anew
            case agent.Act.CONNECT_LEG:
                asyncio.get_running_loop().call_soon(self._step, agent.LegUp())
            case agent.Act.PROBE:
                self._is_probed = True
                self.browser.say("probe", call=call)
            case agent.Act.TELL_RESERVED | agent.Act.TELL_REFUSED:
                self._is_probed &= act is agent.Act.TELL_REFUSED
                if (answer := self._answers.get(call)) and not answer.done():
                    answer.set_result(act is agent.Act.TELL_RESERVED)
            case agent.Act.TELL_LOST:
                self.tell(wire.SeatLost, call)

    def _lose(self, call: CallId) -> None:
        self.clear()
        self._is_offered, self._last_word = False, None
        self._deny()
        self.browser.say("released", call=call)

    def _deny(self) -> None:
        """Whoever waits for the context to be shown waits in vain."""
        if self._shown and not self._shown.done():
            self._shown.set_exception(Refused("not_yours"))

    def _set_alarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if (deadline := self._machine.deadline) is not None:
            wait_s = max(0.0, deadline - time.monotonic())
            self._alarm = asyncio.get_running_loop().call_later(wait_s, self._step, Expired())


__all__ = ["AgentSeat"]
