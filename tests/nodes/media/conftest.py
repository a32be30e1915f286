"""A plane with real sockets and a clock of the test's own, and a far end to speak with it."""

import select
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from nodes.media.plane import MediaPlane
from nodes.media.prompts import Prompts
from nodes.media.recording import Writer
from protocols.rtp.packet import Packet
from protocols.wire.ids import ChannelId, Identity, PromptHash
from protocols.wire.messages import Audio, AudioFrame, Channel

EDGE, ENGINE = Identity("n1.edge-0:1"), Identity("n1.speech-0:1")
BORN_S = 1000.0
M = TypeVar("M")


def udp(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


class Far:
    """The far end of one channel: sends packets in order, and reads what came."""

    def __init__(self, near_port: int, host: str) -> None:
        self.sock = udp(host)
        self.near = ("127.0.0.1", near_port)
        self.host, self.port = self.sock.getsockname()
        self.k = 0

    def say(self, payload: bytes, payload_type: int = 0, **fields: int) -> None:
        given = {"sequence": self.k, "timestamp": 160 * self.k, "ssrc": 77, **fields}
        self.send(Packet(payload_type, payload=payload, **given).build())  # type: ignore[arg-type]
        self.k += 1

    def send(self, data: bytes) -> None:
        self.sock.sendto(data, self.near)

    def heard(self) -> list[Packet]:
        return [Packet.parse(data) for data in self.datagrams()]

    def datagrams(self) -> Iterator[bytes]:
        while select.select([self.sock], [], [], 0)[0]:
            yield self.sock.recv(2048)


Incarnate = Callable[..., "Rig"]


class Rig:
    """One incarnation of a media process, without the process: the test is its clock and its pacer."""

    def __init__(
        self,
        sockets: dict[int, socket.socket],
        root: Path,
        at: float = BORN_S,
        is_spare: bool = False,
    ) -> None:
        self.root, self.sockets = root, sockets
        self.beat = round(at / 0.005) - 1  # the next one is the first slot's
        self.told: list[tuple[Identity, object]] = []
        self.writer = Writer(root)
        self.writer.start()
        self.reachable = True
        self.late_s = 0.0  # after the beat's instant
        self.plane = MediaPlane(
            sockets,
            self._tell,
            Prompts(root),
            self.writer,
            clock=lambda: self.now + self.late_s,
            is_spare=is_spare,
        )

    @property
    def now(self) -> float:
        return self.beat * 0.005

    def die(self) -> None:
        """End as a process that is told to stop: nothing is published."""
        self.plane.stop()
        self.writer.close()

    def _tell(self, to: Identity, message: object) -> bool:
        self.told.append((to, message))
        return self.reachable

    def heard_of(self, kind: type[M], to: Identity | None = None) -> list[M]:
        return [message for who, message in self.told if isinstance(message, kind) and to in (None, who)]

    def audio(self, to: Identity = ENGINE) -> list[AudioFrame]:
        return [frame for batch in self.heard_of(Audio, to) for frame in batch.frames]

    def beats(self, n: int = 4) -> None:
        """Pass `n` slots of 5 ms; four are a frame of every channel."""
        for _ in range(n):
            self.beat += 1
            self.plane.tick(self.beat % 4, self.now)

    def frames(self, n: int = 1) -> None:
        self.beats(4 * n)

    def converse(self, far: Far, payloads: list[bytes]) -> list[Packet]:
        """The far end says these, a frame at a time; returns what it heard meanwhile."""
        heard = []
        for payload in payloads:
            far.say(payload)
            self.frames()
            heard += far.heard()
        return heard

    def channel(self, far: Far, name: str = "c", **fields: object) -> Channel:
        """Return the wanted state of a channel that speaks with `far`."""
        wanted = Channel(
            ChannelId(name), EDGE, far.near[1], ssrc=5, seq0=65530, ts0=2**32 - 160, born_s=BORN_S,
            remote_host=far.host, remote_port=far.port, dtmf_type=101, agreed_s=BORN_S,
        )  # fmt: skip
        return replace(wanted, **fields)  # type: ignore[arg-type]

    def prompt(self, name: str, n_frames: float, first: int = 1) -> PromptHash:
        """Write a prompt whose frame k is filled with the byte `first + k`."""
        audio = b"".join(bytes((first + k,)) * 160 for k in range(int(n_frames + 0.99)))
        (self.root / f"{name}.ulaw").write_bytes(audio[: int(n_frames * 160)])
        return PromptHash(name)


@pytest.fixture
async def sockets() -> AsyncIterator[dict[int, socket.socket]]:
    bound = {sock.getsockname()[1]: sock for sock in (udp() for _ in range(3))}
    yield bound
    for sock in bound.values():
        sock.close()


@pytest.fixture
async def incarnate(sockets: dict[int, socket.socket], tmp_path: Path) -> AsyncIterator[Incarnate]:
    """Makes processes on the same sockets and the same disk, one after the other."""
    made: list[Rig] = []

    def make(at: float = BORN_S, is_spare: bool = False) -> Rig:
        made.append(Rig(sockets, tmp_path, at, is_spare))
        return made[-1]

    yield make
    for rig in made:
        rig.die()


@pytest.fixture
def rig(incarnate: Incarnate) -> Rig:
    return incarnate()


@pytest.fixture
def fars(sockets: dict[int, socket.socket]) -> Iterator[list[Far]]:
    """A far end for each socket, each on a host of its own."""
    made = [Far(port, f"127.0.0.{2 + n}") for n, port in enumerate(sockets)]
    yield made
    for far in made:
        far.sock.close()


@pytest.fixture
def far(fars: list[Far]) -> Far:
    return fars[0]
