"""Edges of several machines in one process, with real meshes between them, and a far end that reads what SIP it gets.

Who lives is told by the test (`Machine.sees`), as a spokesman would. Media and speech write down what they are told.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grammars
from grammars import load
from grammars.script_pack import pack
from nodes.bus.bus import Bus
from nodes.call.record import CallPhase, CallRecord
from nodes.config import parse
from nodes.edge import process
from nodes.edge.calls import Calls
from nodes.edge.ears import Engines
from nodes.edge.recent import Noted
from nodes.edge.refusals import Refusals
from nodes.edge.requests import Requests
from nodes.edge.services import EdgeServices
from nodes.edge.trunk import Trunk
from nodes.edge.views import Views
from nodes.links.do_not_call import DoNotCall
from nodes.links.kept_list import FILE, KeptList
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import Tasks, closing
from nodes.mesh.curve import ClusterKey
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from protocols.machine import Transmit
from protocols.sip import LegPhase, LegRecord, Local, Media
from protocols.sip.dialog import Dialog
from protocols.sip.message import BRANCH_MAGIC
from protocols.sip.sdp import LocalMedia
from protocols.wire import messages as wire
from protocols.wire.cluster import ClusterTold, Member, NodeProcess, NodeState, NodeWord
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, ChannelId, Identity, NodeId, PromptHash, process_of
from protocols.wire.subjects import Bucket
from protocols.wire.takeover import Beware
from supervisors import Dynamic, Restart, Supervisor, running

HERE = "127.0.0.1"
KEY = ClusterKey.make()
HELLO = pack(load((Path(grammars.__file__).parent / "scripts/hello.yaml").read_text()))
PLAYS = PromptHash("a" * 32)
MEDIA = (wire.OpenChannel, wire.SetChannel, wire.CloseChannel, Beware)


@dataclass
class Machine:
    """One machine's active edge, and what its media process was told."""

    name: NodeId
    calls: Calls
    requests: Requests
    services: EdgeServices
    state: Path
    events: list[CallEvent]
    told: list[object] = field(default_factory=list)
    epoch: int = 1
    revision: int = 0

    @property
    def identity(self) -> Identity:
        return self.services.mesh.identity

    def member(self, state: NodeState = NodeState.ALIVE, *, is_proven: bool = False) -> Member:
        name = process_of(self.identity)
        edge = NodeProcess("edge", name, self.identity, self.services.mesh.address, 1, True)
        word = NodeWord(self.name, self.epoch, 1, "c", 1, "1", "", ("edge",), "", 0.0, (edge,))
        return Member(word, state, is_proven)

    def sees(self, *members: Member) -> None:
        """Hear from its spokesman how the others are."""
        self.revision += 1
        self.services.members.take(ClusterTold(self.revision, members))

    def channel(self, call_id: CallId) -> wire.Channel | None:
        """What media was last told of a call's line."""
        told = [one.channel for one in self.told if isinstance(one, wire.SetChannel)]
        return next((one for one in reversed(told) if one.channel_id == call_id), None)

    async def until(self, condition: Callable[[], object], within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.005)

    @property
    def kinds(self) -> list[Kind]:
        return [event.kind for event in self.events]


class FarEnd:
    """A callee's SIP, as datagrams."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((HERE, 0))
        self.sock.setblocking(False)

    @property
    def port(self) -> int:
        return int(self.sock.getsockname()[1])

    async def hears(self) -> tuple[str, tuple[str, int]]:
        """Return the next message, and from where it came."""
        async with asyncio.timeout(60):
            data, source = await asyncio.get_running_loop().sock_recvfrom(self.sock, 4096)
        return data.decode(), source

    async def answer(self, code: int = 200) -> str:
        """Answer the next INVITE; return it. What is heard before it is dropped."""
        while True:
            text, source = await self.hears()
            if text.startswith("INVITE"):
                self.says(code, text, source)
                return text

    def says(self, code: int, invite: str, source: tuple[str, int]) -> None:
        """Answer this INVITE."""
        kept = [line for line in invite.split("\r\n") if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        body = f"v=0\r\no=- 1 2 IN IP4 {HERE}\r\ns=-\r\nc=IN IP4 {HERE}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
        about = [f"Contact: <sip:ann@{HERE}:{self.port}>", "Content-Type: application/sdp"] if code == 200 else []
        said = body if code == 200 else ""
        head = [f"SIP/2.0 {code} Said", *kept, *about, f"Content-Length: {len(said)}", "", said]
        self.sock.sendto("\r\n".join(head).encode(), source)

    def heard(self) -> list[str]:
        """Return what has come meanwhile."""
        found = []
        while True:
            try:
                found.append(self.sock.recv(4096).decode())
            except BlockingIOError:
                return found


@asynccontextmanager
async def machine(
    root: Path, name: str, left: bytes = b"", epoch: int = 1, edge: str = "edge-0"
) -> AsyncIterator[Machine]:
    """Have a machine's edge, active and alone until it is told of others. `left`: a checkpoint on its disk."""
    state = root / f"{name}-{epoch}{edge.removeprefix('edge').removesuffix('-0')}"  # short: sockets lie below it
    state.mkdir()
    config = parse(
        f'[node]\nid = "{name}"\n[paths]\nstate = "."\n[cluster]\nbind = "{HERE}"', "test", state
    )  # fmt: skip
    if left:
        config.paths.checkpoint.parent.mkdir()
        config.paths.checkpoint.write_bytes(left)
    async with AsyncExitStack() as stack:
        nowhere = await stack.enter_async_context(
            closing(await Bus.connect("nats://127.0.0.1:1", name="edge-0", node_id=NodeId(name)))
        )
        tasks = await stack.enter_async_context(Tasks())
        meshes = {}
        for process_name in (edge, "media-0"):
            outside = Outside(KEY, HERE, (0, 0)) if process_name == edge else None
            mesh = await Mesh.start(
                Identity(f"{name}.{process_name}:{epoch}"), f"ipc://{state}/{process_name}", outside
            )
            meshes[process_name] = await stack.enter_async_context(closing(mesh))
        us, media = meshes[edge], meshes["media-0"]
        sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind((HERE, 0))
        KeptList(state / FILE, "").add([], is_whole=True)
        events: list[CallEvent] = []
        refusals = Refusals(DoNotCall(nowhere.kv(Bucket.DNC), KeptList(state / FILE, "")), bytes(32), tasks)

        def post(event: CallEvent) -> None:
            events.append(event)
            calls.noted(Noted.of(event))

        services = EdgeServices(config, us, Trunk(config, sock), Engines(us, config.paths.prompts), post, refusals)
        start = process.one_call(services)
        tree = Supervisor([Dynamic(start, id="calls", max_children=200, restart=Restart.TEMPORARY)])
        system = await stack.enter_async_context(running(tree))
        calls = Calls(services, system.dynamic("calls", start), Views(nowhere, NodeId(name)), "nobody", tasks)
        requests = Requests(services, calls)
        calls.serve()
        requests.serve()
        made = Machine(NodeId(name), calls, requests, services, state, events, epoch=epoch)
        ports = iter(range(40000, 50000, 2))
        for kind in MEDIA:
            media.serve(kind, _taking(made, ports))
        peers = [Peer(one.partition("-")[0], one, mesh.identity, mesh.endpoint, 1, State.ACTIVE)
                 for one, mesh in meshes.items()]  # fmt: skip
        media.roster(Roster(1, tuple(peers)))
        calls.follow(Roster(1, tuple(peers)))
        calls.activate()
        yield made
        services.is_stopping = True
        services.trunk.close()


def together(*machines: Machine, state: NodeState = NodeState.ALIVE, is_proven: bool = False) -> Member:
    """Return the node of several active edges, as its spokesman tells of it."""
    first = machines[0].member(state, is_proven=is_proven)
    processes = tuple(process for one in machines for process in one.member().word.processes)
    return replace(first, word=replace(first.word, processes=processes))


@asynccontextmanager
async def spare(of: Machine, number: int) -> AsyncIterator[Calls]:
    """Have a spare of a machine's edge, which nobody has been told of; it shares no disk with it."""
    async with AsyncExitStack() as stack:
        name, theirs = Identity(f"{of.name}.edge-0:{number}"), of.services
        (state := of.state / f"spare-{number}").mkdir()
        config = parse(f'[node]\nid = "{of.name}"\n[paths]\nstate = "."', "test", state)
        mesh = await stack.enter_async_context(closing(await Mesh.start(name, f"ipc://{state}/edge")))
        tasks = await stack.enter_async_context(Tasks())
        sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        services = EdgeServices(
            config, mesh, Trunk(config, sock), Engines(mesh, config.paths.prompts), of.events.append, theirs.refusals
        )
        start = process.one_call(services)
        tree = Supervisor([Dynamic(start, id="calls", max_children=200, restart=Restart.TEMPORARY)])
        system = await stack.enter_async_context(running(tree))
        calls = Calls(services, system.dynamic("calls", start), of.calls._views, "nobody", tasks)
        calls.serve()
        yield calls


def _taking(made: Machine, ports: object) -> Callable[[object, Identity], object]:
    def take(message: object, sender: Identity) -> object:
        made.told.append(message)
        match message:
            case wire.OpenChannel():
                return wire.ChannelOpened(next(ports))  # type: ignore[call-overload]
            case wire.CloseChannel():
                return wire.ChannelClosed(1, 1, 0, 0, 0.0)
            case _:
                return wire.Done()

    return take


def talking(far: FarEnd, machine: Machine, name: str = "c1", **fields: object) -> CallRecord:
    """A call that is up at a machine, with a far end that listens at port 4000."""
    call_id, local = CallId(name), Local(HERE, machine.services.trunk.port)
    order = wire.PlaceCall(AttemptId(name), call_id, f"sip:ann@{HERE}:{far.port}", HELLO)
    dialog = Dialog(
        sip_call_id=f"{name}@y", local="<sip:us@127.0.0.1>", remote="<sip:ann@127.0.0.1>", local_tag="t",
        remote_tag="u", local_cseq=1, remote_target=f"sip:ann@{HERE}:{far.port}",
    )  # fmt: skip
    there = Media(HERE, 4000, payload_type=0, dtmf_type=101, sends=True, hears=True)
    here = LocalMedia(1, 1, HERE, 39998)
    leg = LegRecord("uac", LegPhase.CONFIRMED, local, (HERE, far.port), "", dialog, here, there)
    now = asyncio.get_running_loop().time()
    channel = wire.Channel(
        ChannelId(name), machine.identity, 39998, 7, 1, 1, now - 9.0, remote_host=HERE, remote_port=4000,
        playing=wire.Playing(8000, (PLAYS,), now - 0.5),
    )  # fmt: skip
    made = CallRecord(
        order, CallPhase.ANSWERED, 1, 1, leg=leg, media="media-0", channel=channel, placed_s=now - 10,
        answered_s=now - 8, version=1,
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def ringing(far: FarEnd, machine: Machine, name: str = "c1") -> CallRecord:
    """A call whose callee's phone rings, and has said so."""
    record = talking(far, machine, name, phase=CallPhase.RINGING, answered_s=0.0)
    assert record.leg is not None
    assert record.channel is not None
    early = record.leg.dialog
    dialog = replace(early, remote_tag="")
    invite = Transmit(bytes(dialog.request("INVITE", 1, record.leg.local, BRANCH_MAGIC + name)), (HERE, far.port))
    leg = replace(
        record.leg, phase=LegPhase.INVITING, dialog=dialog, media=None, invite=invite, is_proceeding=True, early=early
    )
    return replace(record, leg=leg, channel=replace(record.channel, playing=None))


__all__ = ["HERE", "PLAYS", "FarEnd", "Machine", "machine", "ringing", "spare", "talking", "together"]
