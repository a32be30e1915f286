"""Callees on lines with an echo, as the product's own media hears them, in virtual time: what `bench hearing` measures.

A media plane plays prompts over a real socket to a far end that sends them back fainter and later, through mu-law and
our jitter buffer, with a room's tail or none; and now and then the callee speaks over them. Only the clock is ours.
"""

from __future__ import annotations

import select
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from nodes.audio import g711
from nodes.media.plane import MediaPlane
from nodes.media.prompts import Prompts
from nodes.media.recording import Writer
from protocols.replacing import replace
from protocols.rtp.packet import HEADER_BYTES, Packet
from protocols.wire.ids import ChannelId, Identity, PromptHash
from protocols.wire.messages import Audio, Channel, Playing

EDGE, ENGINE = Identity("bench.edge"), Identity("bench.speech")
CALLEE: Final = ChannelId("callee")
FRAME: Final = 160
FRAME_S: Final = 0.02
START_S: Final = 1000.0
"""Of the clock, when a call begins."""
HISS: Final = 10 ** (-62 / 20) * 32768
"""Of the line: -62 dBov."""
TAIL_MS: Final = {"digital": 0.0, "hybrid": 1.5, "room": 10.0}
"""What kind of echo: the time in which it falls by 8.7 dB."""

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EchoLine:
    """A line that returns what it is sent: so loud, so late, with such a tail. `moved_ms` later from the middle on."""

    level_db: float
    delay_ms: float
    tail: str = "digital"
    moved_ms: float = 0.0


class FarEnd:
    """The other end of a line: `hear` what came, and get what it sends in the same 20 ms."""

    def __init__(self, line: EchoLine, seed: int) -> None:
        self._line, self._dice = line, np.random.default_rng(seed)
        self._taps = self._tail(TAIL_MS[line.tail]) * 10 ** (line.level_db / 20)
        self._delay = int(line.delay_ms * 8)
        self.last = g711.SILENCE
        """What it sent last."""
        self._came: Samples = np.zeros(FRAME * 50 + len(self._taps))

    def _tail(self, ms: float) -> Samples:
        if not ms:
            return np.ones(1)
        n = np.arange(int(ms * 8 * 5))
        taps = self._dice.normal(size=len(n)) * np.exp(-n / (8 * ms))
        taps[0] = 3.0
        return np.asarray(taps / np.sqrt(np.square(taps).sum()))

    def move(self) -> None:
        """Let the echo come later from now on, as after a far jitter buffer has grown."""
        self._delay += int(self._line.moved_ms * 8)

    def turn(self, ulaw: bytes, said: Samples | None) -> bytes:
        """Take 20 ms, and return 20 ms: the echo, the line's hiss, and what the callee says."""
        self._came = np.concatenate([self._came[FRAME:], g711.decode(ulaw).astype(np.float64)])
        end = len(self._came) - self._delay
        back = np.convolve(self._came[end - FRAME - len(self._taps) + 1 : end], self._taps, "valid")
        back += self._dice.normal(0, HISS, FRAME)
        if said is not None:
            back[: len(said)] += said
        self.last = g711.encode(np.clip(np.rint(back), -32768, 32767).astype(np.int16))
        return self.last


class Ringing:
    """A channel of a media plane, and its far end: `turns` moves the clock by frames, and yields what media tells."""

    def __init__(self, sock: socket.socket, far: socket.socket, root: Path, *, cancels: bool) -> None:
        self._far, self._at = far, round(START_S / FRAME_S)
        self._told: list[object] = []
        self._waiting: list[bytes] = []  # on the way
        self._sockets, self._root, self._cancels = {sock.getsockname()[1]: sock}, root, cancels
        self._plane = self._new_plane()
        port = sock.getsockname()[1]
        host, far_port = far.getsockname()
        self._wanted = Channel(
            CALLEE, EDGE, port, ssrc=5, seq0=0, ts0=0, born_s=self.now, remote_host=host, remote_port=far_port,
            engine=ENGINE, agreed_s=self.now,
        )  # fmt: skip
        self._plane.set(self._wanted)
        self._port, self._n, self._n_plays = port, 0, 0

    def _new_plane(self) -> MediaPlane:
        prompts, writer = Prompts(self._root), Writer(self._root)
        return MediaPlane(
            self._sockets, self._tell, prompts, writer, clock=lambda: self.now, cancels_echo=self._cancels
        )  # fmt: skip

    def succeed(self) -> None:
        """Let another media process go on, which knows what its predecessor was told last."""
        self._plane = self._new_plane()
        self._plane.set(self._wanted)

    @property
    def now(self) -> float:
        """Seconds of the virtual clock."""
        return self._at * FRAME_S

    def play(self, prompt: PromptHash | None) -> None:
        """Play this from the next frame on, or nothing."""
        self._n_plays += 1
        playing = Playing(self._n_plays, (prompt,), self.now) if prompt else None
        self._wanted = replace(self._wanted, playing=playing)
        self._plane.set(self._wanted)

    def turn(self, end: FarEnd, said: Samples | None = None, *, is_late: bool = False) -> list[object]:
        """Let 20 ms go by; return what was told: events, and frames for the engine. `is_late`: what the far end sends
        comes with the next."""
        self._plane.tick(0, self.now)
        came = g711.SILENCE
        while select.select([self._far], [], [], 0)[0]:
            came = self._far.recv(2048)[HEADER_BYTES:]
        back = end.turn(came, said)
        packet = Packet(0, sequence=self._n % 65536, timestamp=FRAME * self._n, ssrc=77, payload=back)
        self._waiting.append(packet.build())
        while self._waiting and not is_late:
            self._far.sendto(self._waiting.pop(0), ("127.0.0.1", self._port))
        self._n, self._at = self._n + 1, self._at + 1
        told, self._told = self._told, []
        return told

    def _tell(self, to: Identity, message: object) -> bool:
        self._told += message.frames if isinstance(message, Audio) else [message]
        return True


@contextmanager
def ringing(prompts: Sequence[bytes], *, cancels: bool) -> Iterator[tuple[Ringing, list[PromptHash]]]:
    """Yield a call, and the names of its prompts."""
    with tempfile.TemporaryDirectory() as root, _udp() as near, _udp() as far:
        names = [PromptHash(f"prompt{n}") for n in range(len(prompts))]
        for name, audio in zip(names, prompts, strict=True):
            (Path(root) / f"{name}.ulaw").write_bytes(audio)
        yield Ringing(near, far, Path(root), cancels=cancels), names


def _udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


__all__ = ["EchoLine", "START_S", "FarEnd", "Ringing", "ringing"]
