"""A desk in virtual time: agents, the call that one of them has, and the queue; as `nodes/desk` as a call sees it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from nodes.call.inputs import SeatTold
from protocols import handover as seats
from protocols.handover import HandoverInput
from protocols.wire.ids import ChannelId, Identity
from tests.nodes.call.audio import Clock, Line, Tell

ORPHAN_S: Final = 10.0
"""So long is a seat kept for an edge that has died (`nodes/desk/seats.py`)."""


@dataclass(slots=True)
class Agent:
    """One agent at the desk, and what they have said about the call last."""

    has_call: bool = False
    edge: Identity = Identity("")
    is_offered: bool = False
    hears: bool = False
    is_ready: bool = True
    last: HandoverInput | None = None


@dataclass
class Desk:
    """Agents, and whether the call waits for one. `name` is empty while there is no desk."""

    clock: Clock
    tell: Tell
    line: Line
    link: ChannelId
    name: Identity = Identity("")
    agents: dict[str, Agent] = field(default_factory=dict)
    waiting: Identity = Identity("")
    """The edge of the call that waits."""
    n: int = 0
    is_kind: bool = False
    """Agents take what they are offered, and have soon finished."""

    def comes(self, *names: str) -> None:
        """Have a desk with these agents."""
        self.n += 1
        self.name = Identity(f"n1.desk-0:{self.n}")
        self.agents = {name: Agent() for name in names}
        self.waiting = Identity("")

    def dies(self) -> None:
        """The desk dies, and with it what it knew."""
        self.name, self.agents, self.waiting = Identity(""), {}, Identity("")

    def sits(self, name: str) -> None:
        """Have one more agent."""
        if self.name and name not in self.agents:
            self.agents[name] = Agent()
            self._serve()

    # ---- what the call asks and tells --------------------------------------------------------------------------------

    def mine(self, seat: str = "") -> Agent | None:
        """The agent who has the call, at this seat if one is named."""
        return next((one for name, one in self.agents.items() if one.has_call and seat in ("", name)), None)

    def reserve(self, edge: Identity) -> HandoverInput:
        """Find a seat."""
        for name, one in self.agents.items():
            if one.has_call:
                self.keep(name, edge)
                return seats.SeatReserved(name)
        for name, one in self.agents.items():
            if one.is_ready:
                self.agents[name] = Agent(has_call=True, edge=edge, is_ready=False)
                return seats.SeatReserved(name)
        return seats.SeatRefused() if self._is_anybody_here() else seats.NobodyHere()

    def keep(self, seat: str, edge: Identity) -> bool:
        """The call is another edge's."""
        if (one := self.mine(seat)) is None:
            return False
        one.edge, one.hears = edge, False
        if isinstance(one.last, seats.AgentFinished):
            self._says(seat, one.last)
        self.flows()
        return True

    def offer(self, seat: str, edge: Identity) -> None:
        """Let the agent's page ring."""
        if (one := self.mine(seat)) is None:
            return self.tell(edge, SeatTold(seats.SeatLost(), self.name, seat))
        one.edge, one.is_offered = edge, True
        if one.last:
            self._says(seat, one.last)
        elif self.is_kind:
            self.clock.after(1.0, lambda: self.accept(seat))
        self.flows()

    def release(self, seat: str, is_missed: bool) -> None:
        """The call does not want the seat any more."""
        if self.mine(seat):
            self.agents[seat] = Agent(is_ready=not is_missed)
            self._serve()

    def join(self, edge: Identity) -> None:
        """Let the call wait."""
        if not self._is_anybody_here():
            return self.tell(edge, SeatTold(seats.NobodyHere(), self.name))
        self.waiting = edge
        self._serve()

    # ---- what agents do ----------------------------------------------------------------------------------------------

    def accept(self, seat: str) -> None:
        """Take the call that is offered."""
        if (one := self.mine(seat)) and one.is_offered and one.last is None:
            self._says(seat, seats.AgentConfirmed())

    def decline(self, seat: str) -> None:
        """Do not take it."""
        if (one := self.mine(seat)) and one.is_offered and one.last is None:
            self._says(seat, seats.SeatLost())

    def finish(self, seat: str) -> None:
        """End a call that has been heard."""
        if (one := self.mine(seat)) and one.hears:
            self._says(seat, seats.AgentFinished())

    def leaves(self, seat: str) -> None:
        """Close the page."""
        one = self.agents.pop(seat, None)
        if one and one.has_call:
            self.tell(one.edge, SeatTold(seats.SeatLost(), self.name, seat))

    def flows(self) -> None:
        """Tell that the agent hears the callee, if the first frame has come."""
        link = self.line.channels.get(self.link)
        for seat, one in self.agents.items():
            if one.has_call and one.is_offered and not one.hears and link and link.sends and link.bridge:
                one.hears = True
                self.tell(one.edge, SeatTold(seats.BridgeMade(), self.name, seat))
                if self.is_kind:
                    self.clock.after(2.0, lambda seat=seat: self.finish(seat))  # type: ignore[misc]

    def edge_died(self, edge: Identity) -> None:
        """Nobody may come back for a call: then its agent is free again."""

        def reap() -> None:
            for seat, one in self.agents.items():
                if one.has_call and one.edge == edge:
                    self.agents[seat] = Agent()

        if self.waiting == edge:
            self.waiting = Identity("")
        self.clock.after(ORPHAN_S, reap)

    def _is_anybody_here(self) -> bool:
        return any(one.is_ready or one.has_call for one in self.agents.values())

    def _says(self, seat: str, word: HandoverInput) -> None:
        self.agents[seat] = one = replace(self.agents[seat], last=word)
        self.tell(one.edge, SeatTold(word, self.name, seat))

    def _serve(self) -> None:
        if edge := self.waiting:
            found = self.reserve(edge)
            if isinstance(found, seats.SeatReserved):
                self.waiting = Identity("")
                self.tell(edge, SeatTold(found, self.name, found.seat))


__all__ = ["ORPHAN_S", "Agent", "Desk"]
