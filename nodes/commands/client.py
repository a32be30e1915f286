"""A command's way to the running node: its roster, a place on the mesh as a guest, and its events.

Everything here is what an operator could do with the same files and subjects; there is no back door.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from nodes import lock
from nodes.config import Config, load
from nodes.errors import NodeError
from nodes.links.anywhere import PASSED_OVER, ask_each, ask_first, spread
from nodes.links.errors import LinkError, PeerGone, Refused
from nodes.links.members import peer_of
from nodes.links.roster import Peer, Roster, State, make_identity
from nodes.mesh.mesh import Mesh, Request
from nodes.mesh.outside import Outside
from protocols.errors import RemoteProtocolError
from protocols.wire.cluster import SPEAKERS, ClusterSeen, GetCluster, NodeProcess, NodeState, spokesman
from protocols.wire.events import CallEvent, from_body
from protocols.wire.ids import NodeId
from protocols.wire.messages import GetStatus
from protocols.wire.roles import Role
from protocols.wire.subjects import ALL_EVENTS

R = TypeVar("R")

LOOK_S = 0.1
SPOKESMAN_S = 2.0
"""So long may it take until somebody says who is in the cluster; a spokesman's successor needs some tenths."""


class NotUp(NodeError):
    """No node runs with this state directory, or the part of it that is wanted is not up."""


def configured(args: argparse.Namespace) -> Config:
    """Return the configuration that the command was given. Raises: ConfigError."""
    return load(Path(args.config) if args.config else None)


class Client:
    """A guest of the node."""

    def __init__(self, config: Config, mesh: Mesh) -> None:
        self.config, self.mesh = config, mesh
        self._stack = AsyncExitStack()
        self._stack.push_async_callback(mesh.close)

    def roster(self) -> Roster:
        """Return who lives, as the launcher last wrote, and let the mesh know. Raises: NotUp."""
        state, file = self.config.paths.state, self.config.paths.run / "roster.json"
        if lock.holder(state) is None:  # what a killed launcher has written is not true any more
            raise NotUp(f"no node is up with state in {state} (start it: ringmaster up)")
        try:
            roster = Roster.read(file)
        except OSError as error:
            raise NotUp(f"the node with state in {state} is not ready yet: {file}: {error.strerror}") from error
        except RemoteProtocolError as error:
            raise NotUp(f"{file} is not the launcher's: {error}") from error
        self.mesh.roster(roster)
        return roster

    def one(self, role: str, key: str = "") -> Peer:
        """Return the active process of a role; of several the first, or a key's own (`spread`). Raises: NotUp."""
        peers = self.all(role)
        return (spread(peers, key) if key else peers)[0]

    def all(self, role: str) -> list[Peer]:
        """Return all active processes of a role, one at least. Raises: NotUp."""
        if not (active := self.roster().active(role)):
            raise NotUp(_down(role))
        return active

    async def figures(self, role: str) -> dict[str, float]:
        """Return what the active processes of a role say of themselves, added. Raises: NotUp, LinkError."""
        total: Counter[str] = Counter()
        for status in await ask_each(self.mesh, self.all(role), GetStatus()):
            total.update(status.figures)
        return dict(total)

    async def ask(self, role: str, message: Request[R], timeout_s: float = 5.0) -> R:
        """Return what the process of a role says, here or, where it does not take it, in another node of the cluster.

        Raises: NotUp, LinkError.
        """
        return (await self.first(role, message, timeout_s))[1]

    async def first(self, role: str, message: Request[R], timeout_s: float = 5.0) -> tuple[Peer, R]:
        """Return the first of a role that takes a message, and what it says. Raises: NotUp, LinkError."""
        here = self.roster().active(role)
        try:
            return await ask_first(self.mesh, role, here, message, timeout_s)
        except (PeerGone, Refused) as error:
            if isinstance(error, Refused) and error.reason not in PASSED_OVER:
                raise
            others = await self._elsewhere(role)
            if not (here or others):
                is_one_of_many = self.config.cluster.is_joined
                raise NotUp(f"no {role} process of the cluster is up" if is_one_of_many else _down(role)) from error
            if not others:
                raise
        return await ask_first(self.mesh, role, others, message, timeout_s)

    async def cluster(self) -> ClusterSeen:
        """Return who is in the cluster, as the node's spokesman sees it, who may just be becoming another.

        Raises: NotUp.
        """
        give_up_s = time.monotonic() + SPOKESMAN_S
        while True:
            if (who := spokesman(map(_process_of, self.roster().processes))) is None:
                raise NotUp("no process of the node can speak for it: edge, central, desk and recorder are not up")
            try:
                return await self.mesh.ask(who, GetCluster(), SPOKESMAN_S)
            except LinkError as error:
                if time.monotonic() > give_up_s:
                    raise NotUp(f"{who} does not say who is in the cluster: {error}") from error
                await asyncio.sleep(LOOK_S)

    async def everywhere(self, role: str) -> list[Peer]:
        """Return the active processes of a role, this node's first. Raises: NotUp."""
        return [*self.roster().active(role), *await self._elsewhere(role)]

    async def log_keepers(self) -> dict[NodeId, Peer | str]:
        """Return of each node of the cluster, this one first, who answers for its log, or why nobody does.

        Not an edge, if there is another: to look through a log takes a second of it. Raises: NotUp.
        """
        found = {self.config.node.id: _keeper(self.roster().processes)}
        if self.config.cluster.is_joined:
            others: dict[NodeId, Peer | str] = {}
            for one in (await self.cluster()).nodes:
                word, state = one.member.word, one.member.state
                reached = [peer_of(process) for process in word.processes if process.is_active and process.address]
                others[word.node] = _keeper(reached) if state is NodeState.ALIVE else f"it is {state.value}"
            self.mesh.members([peer for peer in others.values() if isinstance(peer, Peer)])
            found |= others
        return found

    async def _elsewhere(self, role: str) -> list[Peer]:
        """Return the active processes of a role in living nodes of the cluster, and let the mesh know them."""
        if not self.config.cluster.is_joined:
            return []
        living = [one.member.word for one in (await self.cluster()).nodes if one.member.state is NodeState.ALIVE]
        peers = [peer_of(one) for word in living for one in word.processes if one.is_active and one.address]
        self.mesh.members(peers)
        return [peer for peer in peers if peer.role == role]

    async def ready(self, needed: Mapping[str, int], within_s: float) -> Roster:
        """Return the roster once so many processes of each role are active. Raises: NotUp, saying what is missing."""
        give_up_s = time.monotonic() + within_s
        while missing := self._missing(needed):
            if time.monotonic() > give_up_s:
                raise NotUp(f"not up after {within_s:g} s: {', '.join(missing)}")
            await asyncio.sleep(LOOK_S)
        return self.roster()

    def _missing(self, needed: Mapping[str, int]) -> list[str]:
        try:
            roster = self.roster()
        except NotUp:
            return list(needed)
        return [role for role, count in needed.items() if len(roster.active(role)) < count]

    async def events(self, take: Callable[[CallEvent], object], subject: str = ALL_EVENTS) -> None:
        """Hand every call's events to `take` from now on, in each call's order. Raises: NotUp when NATS is away.

        `subject`: of fewer of them (`subjects.call_events`, `subjects.events_of`).
        """
        from nodes.bus.bus import Bus  # as much to import as all the rest, and most commands need none
        from nodes.bus.login import login

        def receive(body: object, _: str) -> None:
            try:
                take(from_body(body))
            except RemoteProtocolError:
                pass  # an event of a newer node

        me = login(self.config, Role.COMMAND)
        bus = await Bus.connect(me, name=self.mesh.identity, node_id=self.config.node.id)
        self._stack.push_async_callback(bus.close)
        if not bus.connected:
            raise NotUp(f"nats.url: {me.url} does not answer, so there are no events to follow")
        await bus.subscribe(subject, receive)

    async def close(self) -> None:
        """Leave."""
        await self._stack.aclose()


@asynccontextmanager
async def connected(config: Config, within_s: float = 0.0) -> AsyncIterator[Client]:
    """Be a guest of the node for the length of the block, once it has been up for the first time. Raises: NotUp."""
    await _first_up(config.paths.run / "roster.json", within_s)
    identity = make_identity(config.node.id, "command", f"{os.getpid()}-{time.time_ns():x}")
    client = Client(config, await Mesh.start(identity, outside=Outside.of(config, is_guest=True)))
    try:
        client.roster()
        yield client
    finally:
        await client.close()


def _process_of(peer: Peer) -> NodeProcess:
    is_active = peer.state is State.ACTIVE
    return NodeProcess(peer.role, peer.name, peer.identity, peer.address, peer.pid, is_active)


def _keeper(peers: Iterable[Peer]) -> Peer | str:
    active = [peer for peer in peers if peer.state is State.ACTIVE and peer.role in SPEAKERS]
    return max(active, key=lambda peer: SPEAKERS.index(peer.role), default="no process of it is up that could")


def _down(role: str) -> str:
    return f"the node's {role} process is not up"


async def _first_up(roster: Path, within_s: float) -> None:
    """Return once the launcher, another process, has written the roster; or when it takes too long."""
    for _ in range(int(within_s / LOOK_S)):
        if await asyncio.to_thread(roster.exists):
            return
        await asyncio.sleep(LOOK_S)


__all__ = ["Client", "NotUp", "configured", "connected"]
