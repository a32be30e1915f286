"""This node's processes, and how each is; and who takes what is asked: here, or in another node of the cluster."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from grammars.errors import ScriptError
from nodes.bus.bucket import Body
from nodes.checking import Scripts
from nodes.config import ROLES, Config
from nodes.links import trees
from nodes.links.anywhere import ask_each, ask_first, spread
from nodes.links.errors import LinkError, Refused
from nodes.links.members import Members
from nodes.links.recordings import KEEPER, holders
from nodes.links.removed import KEEPERS, removed_everywhere
from nodes.links.roster import NOBODY, Peer, Roster
from nodes.mesh.mesh import Mesh, Request
from nodes.telemetry import spans
from protocols.wire import messages as wire
from protocols.wire.campaigns import Campaigns, ListCampaigns
from protocols.wire.cluster import Member, NodeState
from protocols.wire.desk import Drain
from protocols.wire.forgetting import GetRemoved, Removed
from protocols.wire.ids import CallId, Identity, NodeId, node_of
from protocols.wire.inspection import TreeRow
from protocols.wire.reports import GetParts
from protocols.wire.scale import GetScale, ScaleAdvice
from protocols.wire.subjects import numbered

R = TypeVar("R")

ASK_S: Final = 2.0
ASK_LONG_S: Final = 5.0
LATELY_S: Final = 1.0
NEEDED: Final = ("edge", "media", "speech")
"""Without one of each, no call can be placed."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `figures` are empty, and `answers` False, when it did not say in time how it is.

    `tree`: its supervision tree where that was asked for, from the root down; empty for a process without actors.
    """

    name: str
    role: str
    state: str
    pid: int
    answers: bool
    figures: dict[str, float]
    tree: tuple[TreeRow, ...] = ()


class Node:
    """The node, through the mesh. `roster`: the launcher's last word. `members`: whom other nodes have."""

    def __init__(self, mesh: Mesh, members: Members, config: Config) -> None:
        self._mesh, self._members, self._config = mesh, members, config
        self._scripts = Scripts(config.speech.hears)
        self.roster: Roster = NOBODY
        self._drains = Drain(False)
        self._lately: asyncio.Future[list[Process]] | None = None
        self._lately_s = 0.0
        mesh.serve(Drain, self._hear_drains)

    @property
    def is_draining(self) -> bool:
        """Whether the node takes no new calls."""
        return self._drains.is_draining

    def new_call(self) -> CallId:
        """Return the name of a new call, with the stream that its events are to have."""
        return CallId(numbered(secrets.token_hex(16), self._config.recorder.streams))

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word; an edge that is new is told whether we drain."""
        before, self.roster = self.roster, roster
        self._members.follow(roster)
        self._lately = None
        for peer in roster.active("edge"):
            if self.is_draining and before.by_identity(peer.identity) not in before.active("edge"):
                self._mesh.tell(peer.identity, self._drains)

    async def recall(self) -> None:
        """Learn from the edges whether we drain: whoever told them so may have died since."""
        told = await asyncio.gather(*map(self._status, self.roster.active("edge")))
        if any(status.figures.get("draining") for status in told if status) and not self.is_draining:
            self._drains = Drain(True)

    def _hear_drains(self, order: Drain, sender: Identity) -> wire.Done:
        """An edge of ours has been told by somebody else to drain, or not to."""
        if sender in {peer.identity for peer in self.roster.active("edge")}:
            self._drains = order
        return wire.Done()

    def missing(self) -> list[str]:
        """Return the roles without an active process, of those that a call needs and this node is meant to have."""
        return [role for role in NEEDED if role in self._config.node.roles and not self.roster.active(role)]

    async def processes(self) -> list[Process]:
        """Ask every process how it is, all at once."""
        return await self._processes(self.roster)

    async def processes_lately(self) -> list[Process]:
        """Return what every process has said within the last second: whoever asks often does not cost them more."""
        if self._lately is None or time.monotonic() - self._lately_s > LATELY_S:
            self._lately, self._lately_s = asyncio.ensure_future(self.processes()), time.monotonic()
        return await asyncio.shield(self._lately)

    async def tree(self) -> list[Process]:
        """Ask every process for its tree too; the launcher's is the first. Takes `OVER_S`, for rates."""
        roster = self.roster
        looking = trees.look(self._mesh, roster, trees.OVER_S)
        processes, looked = await asyncio.gather(self._processes(roster), looking)
        below = [replace(process, tree=rows) for process, (_, rows) in zip(processes, looked, strict=True)]
        if roster.launcher is None:
            return below
        rows = trees.of_launcher(roster.launcher, time.monotonic())
        return [Process("launcher", "launcher", "active", roster.launcher.pid, True, {}, rows), *below]

    async def packed(self, script: str) -> bytes:
        """Return a script's text as an order carries it. Raises: Refused (`bad_script: line N: ...`)."""
        try:
            return await self._scripts.packed(script)
        except ScriptError as error:
            raise Refused(f"bad_script: {error}") from error

    async def place(self, order: wire.PlaceCall) -> wire.CallAccepted:
        """Have an edge place a call: one of ours, or the next that takes one. Raises: LinkError."""
        n_ours = len(ours := self.roster.active("edge"))
        edges = [*spread(ours, order.call_id), *self._members.of_role("edge")[n_ours:]]
        with spans.stage("order", spans.begun(order.call_id)):
            _, reply = await ask_first(self._mesh, "edge", edges, order, ASK_LONG_S)
        return reply

    async def campaigns(self) -> Campaigns:
        """Ask the central that leads. Raises: LinkError; `not_leading` when none does."""
        return await self._ask("central", ListCampaigns(), ASK_S)

    async def scale(self) -> ScaleAdvice:
        """Ask the central that leads how many machines there should be. Raises: LinkError, as `campaigns`."""
        return await self._ask("central", GetScale(), ASK_S)

    async def of_people(self, asked: Request[R]) -> R:
        """Ask central about people: who must not be called, who is to be forgotten. Raises: LinkError."""
        return await self._ask("central", asked)

    async def of_settings(self, asked: Request[R]) -> R:
        """Ask central about settings that change while nodes run. Raises: LinkError."""
        return await self._ask("central", asked)

    async def removed(self, asked: GetRemoved) -> tuple[Mapping[str, Removed | None], list[NodeId]]:
        """Return what each process of the cluster has removed of somebody, and which nodes are away."""
        keepers = {role: self._members.of_role(role) for role in KEEPERS}
        away = [one.word.node for one in self._members.nodes if one.state is not NodeState.ALIVE]
        return await removed_everywhere(self._mesh, keepers, asked, ASK_LONG_S), sorted(away)

    async def drain(self, is_draining: bool) -> None:
        """Take no new calls on this node, or take them again. Raises: NotAll, with the edges that do not know it."""
        self._drains = Drain(is_draining)
        await ask_each(self._mesh, self.roster.active("edge"), self._drains, ASK_S)

    async def parts(self, call_id: CallId) -> Mapping[int, NodeId]:
        """Ask the recorder which parts a call's recording has; nothing, where it does not answer."""
        try:
            return (await self._ask("recorder", GetParts(call_id), ASK_S)).parts
        except LinkError:
            return {}

    def lives(self, process: Identity) -> bool:
        """Return whether a process has not ended, here or in another node; one that is only silent has not."""
        return self._members.peer(process) is not None

    def lent(self) -> list[str]:
        """Return the roles that this node is not meant to have, and another node has for it."""
        return [role for role in ROLES if role not in self._config.node.roles and self._members.of_role(role)]

    @property
    def bar(self) -> str | None:
        """Why this node is not in its cluster; empty: it is. None: it is meant to be alone."""
        return self._members.bar if self._config.cluster.is_joined else None

    def description(self) -> Body:
        """Return what this node is, as everybody may see it."""
        return {"zone": self._config.node.zone, "roles": list(self._config.node.roles)}

    def others(self) -> tuple[Member, ...]:
        """Return the other nodes of the cluster, as far as they are known."""
        return self._members.nodes

    def keepers(self) -> list[Peer]:
        """Return who keeps recordings and can read the store, ours first; nobody, where none is configured to."""
        return self._members.of_role(KEEPER)

    def holders(self) -> list[Peer]:
        """Return, for each other node that lives, who answers for its disk; here only who keeps recordings."""
        return [
            peer for peer in holders(self._members)
            if peer.role == KEEPER or node_of(peer.identity) != self._config.node.id
        ]  # fmt: skip

    async def _ask(self, role: str, message: Request[R], timeout_s: float = ASK_LONG_S) -> R:
        _, reply = await ask_first(self._mesh, role, self._members.of_role(role), message, timeout_s)
        return reply

    async def _processes(self, roster: Roster) -> list[Process]:
        return await asyncio.gather(*map(self._process, roster.processes))

    async def _process(self, peer: Peer) -> Process:
        status = await self._status(peer)
        figures = status.figures if status else {}
        return Process(peer.name, peer.role, peer.state.value, peer.pid, status is not None, figures)

    async def _status(self, peer: Peer) -> wire.Status | None:
        try:
            return await self._mesh.ask(peer.identity, wire.GetStatus(), ASK_S)
        except LinkError:
            return None


__all__ = ["Node", "Process"]
