"""Calls through the proxy of ops/ansible, as its role configures a real kamailio: also after a take-over.

Only the legs are ours, each with a socket of its own, as two edges have. The carrier is a telephone.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from nodes import ports
from protocols.machine import Address, Expired, Notify, Transmit
from protocols.sip import (
    Answered,
    Dial,
    Ended,
    LegInput,
    LegRecord,
    Listening,
    Local,
    MediaChanged,
    Received,
    Request,
    Responder,
    Response,
    TakeOver,
    Uac,
)
from tests.journeys.peers.baresip import Baresip, baresip
from tests.journeys.peers.programs import HOST, program
from tests.ops.roles import inventory, rendered

DICE = random.Random(12)
T = TypeVar("T")
PATIENCE_S = 60.0
PATIENCE_MS = 1000
INSIDE, OUTSIDE, SECURE, CARRIER, FIRST, SECOND = range(61001, 61007)
"""Ports, as they are rendered; each test has others."""
TLS = Path(__file__).parents[1] / "nodes/bus/tls"
STRANGER = "127.0.0.2"
"""An address of this machine that is neither an edge's nor a carrier's."""


class Edge(asyncio.DatagramProtocol):
    """An edge's socket: its one leg has what is its own; others are answered as an edge does, also whether it lives."""

    _at: asyncio.DatagramTransport

    def __init__(self, sock: socket.socket) -> None:
        self.local = Local(*sock.getsockname())
        self._responder, self._alarm = Responder(), asyncio.get_running_loop().call_later(0, lambda: None)
        self._events: asyncio.Queue[object] = asyncio.Queue()
        self.leg: Uac | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._at = transport

    def has(self, leg: Uac) -> None:
        self.leg = leg

    def do(self, given: LegInput | Received | Expired) -> None:
        """Give the leg this, and do what it wants."""
        assert self.leg
        now = asyncio.get_running_loop().time()
        for effect in self.leg.step(given, now):
            if isinstance(effect, Transmit) and effect.to:
                self._at.sendto(effect.data, effect.to)
            elif isinstance(effect, Notify):
                self._events.put_nowait(effect.event)
        self._alarm.cancel()
        if self.leg.deadline is not None:
            self._alarm = asyncio.get_running_loop().call_at(self.leg.deadline, self.do, Expired())

    async def tells(self, kind: type[T]) -> T:
        """Return what the leg tells next of this kind."""
        async with asyncio.timeout(PATIENCE_S):
            while not isinstance(told := await self._events.get(), kind):
                assert not isinstance(told, Ended), told
        return told

    def datagram_received(self, data: bytes, source: Address) -> None:
        match self._responder.admit(data, source):
            case Request() | Response() as message:
                if self.leg and message.sip_call_id == self.leg.record.dialog.sip_call_id:
                    self.do(Received(message, source))
                elif answer := self._responder.answer(message, source):
                    self._at.sendto(answer.data, answer.to)
            case Transmit(data=data, to=to) if to:
                self._at.sendto(data, to)

    def dies(self) -> None:
        """Say nothing any more."""
        self._alarm.cancel()
        self._at.close()


@dataclass
class Site:
    """Two edges, the proxy that they call through, and the telephone that answers at the carrier."""

    edges: tuple[Edge, Edge]
    inside: Address
    outside: Address
    telephone: Baresip

    async def is_called(self) -> LegRecord:
        """Have the first edge call, and be answered; return what its heir has."""
        edge = self.edges[0]
        edge.has(Uac(edge.local, DICE.randbytes))
        edge.do(Dial(self.telephone.uri, f"sip:ringmaster@{HOST}", Listening(HOST, 40_000), self.inside))
        await edge.tells(Answered)
        assert edge.leg
        return edge.leg.record

    def inherits(self, record: LegRecord) -> Edge:
        """Have the second edge own the call, that knows of no other."""
        heir = self.edges[1]
        heir.has(Uac.resume(record, asyncio.get_running_loop().time(), DICE.randbytes))
        return heir


class Asker:
    """Somebody who sends requests, each once, and reads what comes back."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._n = sock, 0

    def asks(self, method: str, uri: str, *route: Address) -> None:
        """Send it to the first of the route, in a dialog where there is more of it."""
        self._n += 1
        host, port = self._sock.getsockname()
        told = f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{self._n}-{port}\r\n"
        if len(route) > 1:
            told += "".join(f"Route: <sip:{host}:{port};lr;r2=on>\r\n" for host, port in route)
        told += (
            f"From: <sip:carrier@{host}>;tag=1\r\nTo: <{uri}>{';tag=2' if len(route) > 1 else ''}\r\n"
            f"Call-ID: {self._n}-{port}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:{host}:{port}>\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        self._sock.sendto(told.encode(), route[0])

    async def is_told(self, method: str, uri: str, *route: Address) -> int:
        """Return the status of the final answer."""
        self.asks(method, uri, *route)
        own = f"Call-ID: {self._n}-".encode()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                said = await asyncio.get_running_loop().sock_recv(self._sock, 65_535)
                if own in said and not said.startswith(b"SIP/2.0 1"):
                    return int(said.split()[1])

    def has_heard_nothing(self) -> bool:
        try:
            self._sock.recv(65_535)
        except BlockingIOError:
            return True
        return False


@asynccontextmanager
async def asker(host: str) -> AsyncIterator[Asker]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.setblocking(False)
        yield Asker(sock)


@asynccontextmanager
async def edge() -> AsyncIterator[Edge]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    _, made = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Edge(sock), sock=sock)
    try:
        yield made
    finally:
        made.dies()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, str]]:
    """What the role writes, by the transport to the carrier."""
    place = tmp_path_factory.mktemp("proxy")

    def values(transport: str) -> Mapping[str, object]:
        carrier = {"name": "carrier", "host": HOST, "port": CARRIER, "transport": transport, "sources": [HOST]}
        return {
            "ansible_host": HOST, "kamailio_carriers": [carrier], "kamailio_inside_port": INSIDE,
            "kamailio_edges": [f"{HOST}:{FIRST}", f"{HOST}:{SECOND}"], "kamailio_outside_port": OUTSIDE,
            "kamailio_outside_tls_port": SECURE, "kamailio_ca": "ca.pem", "kamailio_children": 1, "kamailio_ping_s": 1,
            "kamailio_patience_ms": PATIENCE_MS,
        }  # fmt: skip

    hosts = {transport: values(transport) for transport in ("udp", "tls")}
    told = rendered(place / "home", [inventory(place / "inventory", hosts)], role="kamailio")
    assert [one["wrong"] for one in told] == [[], []]
    return {one["host"]: one["files"] for one in told}


@asynccontextmanager
async def site(place: Path, written: Mapping[str, str], *, is_secure: bool = False) -> AsyncIterator[Site]:
    """Have all of it run."""
    with wave.open(str(place / "silence.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000 * 60))
    (place / "both.pem").write_text((TLS / "server.pem").read_text() + (TLS / "server.key").read_text())
    directory, inside, outside, secure = place / "proxy", ports.take(), ports.take(), ports.take()
    async with AsyncExitStack() as stack:
        telephone = await stack.enter_async_context(
            baresip(place / "silence.wav", place / "telephone", certificate=place / "both.pem")
        )
        edges = (await stack.enter_async_context(edge()), await stack.enter_async_context(edge()))
        carrier = int(telephone.uri.rpartition(":")[2]) + is_secure  # TLS is at the next one
        is_for = {INSIDE: inside, OUTSIDE: outside, SECURE: secure, CARRIER: carrier}
        is_for |= {FIRST: edges[0].local.port, SECOND: edges[1].local.port}
        directory.mkdir()
        for name, text in written.items():
            text = text.replace("/etc/kamailio/ringmaster", str(directory)).replace("/run/kamailio", str(directory))
            for port, ours in is_for.items():
                text = text.replace(str(port), str(ours))
            (directory / name.removesuffix(".j2")).write_text(text)
        for name in ("ca.pem", "server.pem", "server.key"):
            shutil.copy(TLS / name, directory)
        argv = [
            "kamailio",
            "-f",
            str(directory / "kamailio.cfg"),
            "-DD",
            "-E",
            "-m",
            "32",
            "-M",
            "8",
            "-Y",
            str(directory),
        ]
        await stack.enter_async_context(program(argv, inside, place / "kamailio.log"))
        yield Site(edges, (HOST, inside), (HOST, outside), telephone)


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_a_call_goes_through_the_proxy_and_on_after_its_edge_has_died(
    tmp_path: Path, written: Mapping[str, Mapping[str, str]], transport: str
) -> None:
    async with site(tmp_path, written[transport], is_secure=transport == "tls") as here:
        record = await here.is_called()
        here.edges[0].dies()
        heir = here.inherits(record)
        heir.do(TakeOver(heir.local, Listening(HOST, 40_010)))
        await heir.tells(MediaChanged)
        here.telephone.command("hangup")
        assert (await heir.tells(Ended)).cause == "remote_hangup"


async def test_who_hangs_up_before_the_heir_has_told_them_of_itself_is_heard_by_the_heir(
    tmp_path: Path, written: Mapping[str, Mapping[str, str]]
) -> None:
    async with site(tmp_path, written["udp"]) as here:
        record = await here.is_called()
        here.edges[0].dies()
        heir = here.inherits(record)
        here.telephone.command("hangup")
        assert (await heir.tells(Ended)).cause == "remote_hangup"


async def test_carriers_reach_edges_and_edges_carriers_and_strangers_nobody(
    tmp_path: Path, written: Mapping[str, Mapping[str, str]]
) -> None:
    """A carrier is told 481 only where each edge has said so: one that is silent may have the call."""
    async with site(tmp_path, written["udp"]) as here, asker(STRANGER) as stranger, asker(HOST) as carrier:
        first = f"sip:ringmaster@{HOST}:{here.edges[0].local.port}"
        stranger.asks("OPTIONS", f"sip:{HOST}", here.outside)
        stranger.asks("INVITE", f"sip:+12025550100@{HOST}", here.inside)
        while (
            await carrier.is_told("OPTIONS", f"sip:{HOST}", here.outside) != 200
        ):  # until an edge has said that it lives
            await asyncio.sleep(0.05)
        assert await carrier.is_told("INVITE", f"sip:+12025550100@{HOST}", here.outside) == 404  # an edge's own word
        assert await carrier.is_told("BYE", first, here.outside, here.inside) == 481
        assert await carrier.is_told("BYE", f"sip:{STRANGER}", here.outside, here.inside) == 403
        here.edges[0].dies()
        assert await carrier.is_told("BYE", first, here.outside, here.inside) == 500
        assert stranger.has_heard_nothing()


async def test_an_edge_calls_carriers_of_the_table_and_nobody_else(
    tmp_path: Path, written: Mapping[str, Mapping[str, str]]
) -> None:
    async with site(tmp_path, written["udp"]) as here:
        edge = here.edges[0]
        edge.has(Uac(edge.local, DICE.randbytes))
        edge.do(Dial(f"sip:ann@{STRANGER}", f"sip:ringmaster@{HOST}", Listening(HOST, 40_000), here.inside))
        assert (await edge.tells(Ended)).code == 403
