"""What all calls of an edge share: the buses, the socket, the engines, and who is who."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from nodes.bus.bucket import Body
from nodes.call.effects import Moving, TakeOverLeg
from nodes.call.inputs import Input
from nodes.config import Config
from nodes.edge.ears import Engines
from nodes.edge.fetch import Fetcher
from nodes.edge.record_store import RecordStore, UntilKept, at_once
from nodes.edge.refusals import Refusals
from nodes.edge.tries import Tries
from nodes.edge.trunk import Trunk, route_to
from nodes.links.members import Members
from nodes.links.roster import NOBODY, Peer, Roster
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.agent import Seat
from protocols.wire.cluster import NodeState
from protocols.wire.events import CallEvent
from protocols.wire.ids import CallId, Identity, NodeId, node_of
from protocols.wire.load import GivesUp
from protocols.wire.messages import PlaceCall
from protocols.wire.recordings import name_of
from supervisors import Actor, Ref

log = logs.get(__name__)


def free_first(desks: Sequence[Peer], agents: Iterable[Body], skill: str) -> list[Peer]:
    """Return desks in their order, those first whose nodes have a free agent with a skill (empty: whatever it is).

    What everybody may see is late by milliseconds, and by more while NATS is away: so all are asked in the end.
    """
    free = {
        agent.get("node")
        for agent in agents
        if agent.get("state") == Seat.READY and (not skill or skill in agent.get("skills", ()))
    }
    return sorted(desks, key=lambda desk: node_of(desk.identity) not in free)


TakesOver: TypeAlias = Callable[[RecordStore, TakeOverLeg, Callable[[TakeOverLeg], object]], object]


def in_no_turn(store: RecordStore, order: TakeOverLeg, tell: Callable[[TakeOverLeg], object]) -> None:
    """Have a leg go on here at once."""
    tell(order)


class AnyCall(Actor):
    """What the rest of an edge tells a call."""

    def take(self, given: Input) -> None:
        """Something has happened that is this call's."""
        raise NotImplementedError


@dataclass(slots=True)
class EdgeServices:
    """Handed to each call. `post` takes an event at once; `refusals`: who must not be called."""

    config: Config
    mesh: Mesh
    trunk: Trunk
    engines: Engines
    post: Callable[[CallEvent], None]
    refusals: Refusals
    roster: Roster = NOBODY
    epoch: int = 0
    """Of the lives that calls begin in this process: above those of all its predecessors."""
    is_stopping: bool = False
    """The launcher has told this process to stop."""
    fetcher: Fetcher = field(default_factory=Fetcher)
    tries: Tries = field(default_factory=Tries)
    until_kept: UntilKept = at_once
    moving: Callable[[CallId, Moving], None] = lambda call_id, word: None
    """Where a call's words to the machine that it comes from, or goes to, are brought on their way."""
    take_over: TakesOver = in_no_turn
    """Has a leg tell its far end where we are, when it is its turn (`nodes.edge.flight`)."""
    agents: Callable[[], Iterable[Body]] = tuple
    """Who has signed in at any desk, as everybody may see it (`rm_agents`)."""
    given_up: Callable[[], GivesUp] = lambda: GivesUp.NOTHING
    """How far this edge is full just now (`gives_up`)."""
    fills_up: Callable[[], bool] = lambda: False
    """Whether so many events wait for their stream that no new call is to be taken."""
    calls: dict[CallId, Ref[AnyCall]] = field(default_factory=dict)
    """The actors whose channels media and speech talk about; a channel has its call's id."""
    members: Members = field(init=False)
    """Which processes there are on this node and on others, by role."""

    full_owners: frozenset[str] = frozenset()
    """Owners whose quota is used up: the keeper of this node's recordings says so (`OwnersFull`)."""

    def __post_init__(self) -> None:
        self.members = Members(self.mesh, self.config)

    def change(self, config: Config) -> None:
        """Go by other settings from now on: those of `nodes.config_running`."""
        self.config = config
        self.engines.speech = config.speech

    @property
    def node_id(self) -> NodeId:
        """This node."""
        return self.config.node.id

    def desks(self, skill: str | None = None) -> list[Peer]:
        """Return the desks that can be asked, in the order in which they are: ours, our zone's, all others.

        `skill`: those first where agents who have it (empty: any) are free, as far as is known.
        """
        desks = self.members.of_role("desk")
        return desks if skill is None else free_first(desks, self.agents(), skill)

    def desks_alive(self) -> frozenset[Identity]:
        """Return the desks that may have a seat of ours: also one whose node is silent, until it is dead."""
        ours = {peer.identity for peer in self.roster.processes if peer.role == "desk"}
        words = [one.word for one in self.members.nodes if one.state is not NodeState.DEAD]
        return frozenset(ours | {one.identity for word in words for one in word.processes if one.role == "desk"})

    def attach(self, call_id: CallId, call: Ref[AnyCall]) -> None:
        """What media and speech tell of this call is for this actor."""
        self.calls[call_id] = call

    def detach(self, call_id: CallId, call: Ref[AnyCall]) -> None:
        """The actor has ended."""
        if self.calls.get(call_id) is call:
            del self.calls[call_id]

    def rtp_host(self, hop: tuple[str, int]) -> str:
        """Return the address at which the far end of `hop` reaches our media."""
        return route_to(hop, self.config.rtp.bind)

    def gives_up(self, what: GivesUp) -> bool:
        """Say whether this is given up just now: the edge is so full, and the operator lets it."""
        return self.given_up() >= what and what.name.lower() in self.config.edge.gives_up

    def recording(self, order: PlaceCall, part: int = 0) -> str:
        """Return the base path of a part of a call's recording; empty: none is made just now.

        None while recordings are given up, or their owner's quota is used up. Each machine that a call comes to writes
        a part of its own: it may come back to one. An owner whom this node's file does not name gets none: theirs may
        be encrypted with a key that is not here.
        """
        if self.gives_up(GivesUp.RECORDINGS) or order.owner in self.full_owners:
            return ""
        try:
            directory = self.config.recordings_of(order.owner)
        except KeyError:
            log.error("recording.no_owner", call_id=order.call_id, campaign_id=order.campaign_id, owner=order.owner)
            return ""
        return str(directory / name_of(order.call_id, part))


__all__ = ["AnyCall", "EdgeServices"]
