"""A browser that the robot calls: rings, is answered and hangs up, as a telephone does; the leg is the edge's."""

from __future__ import annotations

from collections.abc import Callable

from nodes.desk import control
from nodes.desk.browser import Browser
from nodes.desk.seat import Seat
from nodes.mesh.mesh import Mesh
from protocols.wire import desk as wire
from protocols.wire.ids import CallId, ChannelId, Identity


class PhoneSeat(Seat):
    """One page with one button. `call_me(seat, script, slots)` has an edge place the call."""

    def __init__(
        self, name: str, browser: Browser, mesh: Mesh, call_me: Callable[[PhoneSeat, str, dict[str, str]], object]
    ) -> None:
        super().__init__(name, browser, mesh)
        self._call_me = call_me
        self._call = CallId("")
        self._has_accepted = False

    @property
    def call(self) -> CallId:
        """The call that rings or is up; empty: none."""
        return self._call

    def expect(self, call: CallId) -> None:
        """This call is being placed for us."""
        self._call = call

    def offer(self, channel: ChannelId) -> None:
        """Ring."""
        self.channel = channel
        self.browser.say("offer", call=self._call)

    def release(self, is_missed: bool) -> None:
        """The robot has hung up."""
        self._end()

    def orphaned(self) -> None:
        """Nobody has the call any more."""
        self._end()

    def said(self, given: control.Said) -> None:
        """Take one message of the page; what does not fit changes nothing."""
        match given:
            case control.CallMe(script=script, slots=slots) if not self._call:
                self._call_me(self, script, slots)
            case control.Accept(call=call) if call == self._call and self.channel:
                self._has_accepted = True
                self.tell(wire.SeatAccepted, call)
            case control.Decline(call=call) | control.Finish(call=call) if call and call == self._call:
                self.tell(wire.SeatFinished if self._has_accepted else wire.SeatDeclined, call)
                self._end()
            case _:
                pass

    def keep(self, edge: Identity) -> None:
        """The call is another edge's now."""
        super().keep(edge)
        if self._has_accepted:
            self.tell(wire.SeatAccepted, self._call)

    def gone(self) -> None:
        """The page has gone: it has hung up."""
        if self._call:
            self.tell(wire.SeatLost, self._call)
        self._end()

    def heard(self) -> None:
        """The robot can be heard."""
        self.browser.say("bridged", call=self._call)

    def _end(self) -> None:
        if self._call:
            self.browser.say("released", call=self._call)
        self._call, self._has_accepted = CallId(""), False
        self.clear()


__all__ = ["PhoneSeat"]
