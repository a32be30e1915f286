"""The means of an edge for tests of what its calls have done: real buses, peers that write down what they are told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nodes.bus.bucket import Bucket
from nodes.bus.connection import Connection
from nodes.bus.login import Login
from nodes.config import parse
from nodes.edge.ears import Engines
from nodes.edge.refusals import Refusals
from nodes.edge.services import EdgeServices
from nodes.edge.trunk import Trunk
from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import Refused
from nodes.links.kept_list import FILE, KeptList
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import Tasks, closing
from nodes.mesh.mesh import Mesh
from protocols.wire import desk, messages
from protocols.wire.campaigns import contact_id
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import Identity, PromptHash, ScriptHash
from protocols.wire.messages import PlaceCall
from protocols.wire.subjects import Bucket as Name

KEY = bytes(32)
EDGE = Identity("n1.edge-0:1")
CLOSED = messages.ChannelClosed(7, 8, 0, 0, 0.5)
PROMPT = messages.Prompt(PromptHash("p"), 400, "Hello.")
TOLD = (
    desk.ReserveSeat, desk.ShowContext, desk.OfferCall, desk.KeepSeat, desk.ReleaseSeat, desk.JoinQueue,
    desk.LeaveQueue, messages.SetChannel, messages.OpenChannel, messages.CloseChannel, messages.WarmScript,
    messages.Render, messages.Hear, messages.Deafen,
)  # fmt: skip
ANSWERS: dict[type, object] = {
    desk.ReserveSeat: desk.SeatReserved("ann"),
    messages.OpenChannel: messages.ChannelOpened(40000),
    messages.CloseChannel: CLOSED,
    messages.WarmScript: messages.ScriptWarmed(ScriptHash("5"), 1),
    messages.Render: PROMPT,
}
"""What a peer says to a question; to any other: done."""


@dataclass
class Surroundings:
    """One edge's services. Each peer is named by its process, as the roster says, and does what it is asked."""

    services: EdgeServices
    peers: dict[str, Mesh]
    listed: DoNotCall
    events: list[CallEvent] = field(default_factory=list)
    """What calls have noted."""
    _noted: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Queue[tuple[str, object]] = field(default_factory=asyncio.Queue)
    """Who was told what, in order."""
    refusals: dict[tuple[str, type], str] = field(default_factory=dict)
    """With which word a peer refuses a message."""
    waits: dict[type, asyncio.Event] = field(default_factory=dict)
    """What peers answer when this is set."""

    def note(self, event: CallEvent) -> None:
        """Take an event, as the bus would."""
        self.events.append(event)
        self._noted.set()

    async def event(self, kind: Kind, n: int = 1) -> CallEvent:
        """Return the n-th event of a kind, when it has been noted."""
        async with asyncio.timeout(60):
            while len(found := [one for one in self.events if one.kind is kind]) < n:
                self._noted.clear()
                await self._noted.wait()
        return found[n - 1]

    async def hears(self, kind: type) -> tuple[str, object]:
        """Return the next message of a kind, and who was told it."""
        async with asyncio.timeout(60):
            while not isinstance((said := await self.told.get())[1], kind):
                pass
        return said

    def lists(self, order: PlaceCall) -> None:
        """Put the callee of this order on the do-not-call list."""
        self.listed.hold(self.listed.entry(contact_id(order.target, KEY), "callee", "stop"))

    def follow(self, *gone: str, spares: tuple[str, ...] = ()) -> Roster:
        """Tell everybody who lives: all but these; return the roster."""
        peers = [
            Peer(name.rpartition("-")[0], name.removesuffix("s"), mesh.identity, mesh.endpoint, 1,
                 State.SPARE if name in spares else State.ACTIVE)
            for name, mesh in self.peers.items() if name not in gone
        ]  # fmt: skip
        self.services.roster = Roster(self.services.roster.revision + 1, tuple(peers))
        for mesh in self.peers.values():
            mesh.roster(self.services.roster)
        self.services.members.follow(self.services.roster)
        self.services.engines.follow(self.services.roster)
        return self.services.roster

    def serve(self, name: str) -> None:
        """Have a peer write down what it is told."""
        for kind in TOLD:
            self.peers[name].serve(kind, self._taking(name))

    def _taking(self, name: str) -> Callable[[object, Identity], object]:
        async def take(message: object, sender: Identity) -> object:
            self.told.put_nowait((name, message))
            if (wait := self.waits.get(type(message))) is not None:
                await wait.wait()
            if reason := self.refusals.get((name, type(message))):
                raise Refused(reason)
            return ANSWERS.get(type(message), messages.Done())

        return take


@asynccontextmanager
async def surroundings(tmp_path: Path, *names: str, is_known: bool = True) -> AsyncIterator[Surroundings]:
    """An edge with these peers (`desk-0`; `media-0s` is a spare of `media-0`), and an empty do-not-call list.

    `is_known`: whether the edge knows the list.
    """
    config = parse('[paths]\nstate = "."', "test", tmp_path)
    async with AsyncExitStack() as stack:
        nowhere = Connection(Login("nats://127.0.0.1:1", ""), "edge-0")
        tasks = await stack.enter_async_context(Tasks())
        sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind(("127.0.0.1", 0))
        peers = {}
        for name in ("edge-0", *names):
            mesh = await Mesh.start(Identity(f"n1.{name}:1"), f"ipc://{tmp_path}/{name}")
            peers[name] = await stack.enter_async_context(closing(mesh))
        if is_known:
            KeptList(tmp_path / FILE, "").add([], is_whole=True)
        us, listed = peers["edge-0"], DoNotCall(Bucket(nowhere, Name.DNC), KeptList(tmp_path / FILE, ""))
        refusals = Refusals(listed, KEY, tasks)
        services = EdgeServices(
            config, us, Trunk(config, sock), Engines(us, config.paths.prompts), lambda event: made.note(event), refusals
        )
        made = Surroundings(services, peers, listed)
        for name in names:
            made.serve(name)
        made.follow(spares=tuple(name for name in names if name.endswith("s")))
        yield made


__all__ = ["CLOSED", "EDGE", "KEY", "PROMPT", "Surroundings", "surroundings"]
