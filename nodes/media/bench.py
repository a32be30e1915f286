"""How many calls a core can hold: a real plane, real sockets, a far end in another process.

What it does: for each number of calls, runs that many channels that play speech, of which a third hear it come back
and the others somebody who talks all the time, with everything a call has: jitter buffer, voice detection, tones, echo
cancelling, frames for an engine. What it does not: print; that is a command's.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from nodes import collector
from nodes.audio.g711 import encode
from nodes.media import realtime
from nodes.media.pacer import Lateness
from nodes.media.plane import MediaPlane
from nodes.media.prompts import Prompts
from nodes.media.recording import Writer
from protocols.wire.ids import ChannelId, Identity, PromptHash
from protocols.wire.messages import Audio, Channel, Playing

_SPEECH: Final = PromptHash("speech")
_SPEECH_S: Final = 10
_ENGINE, _OWNER = Identity("bench.speech"), Identity("bench.edge")
_SETTLE_S: Final = 1.0
_FLOOR_PACKETS: Final = 5000


@dataclass(frozen=True, slots=True)
class Row:
    """One run. `cpu_us` is processor time for one packet sent and one received, with all that is done for them."""

    calls: int
    seconds: float
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    cpu_us: float
    floor_us: float
    """The same for the two system calls alone."""
    cpu_share: float
    received_share: float
    frames_heard: int
    slots_missed: int
    scheduler: str
    load: float


async def measure(calls: Sequence[int], seconds: float, recording: bool = False) -> list[Row]:
    """Return a row for each number of calls, `seconds` long each, after a second of settling.

    Raises: OSError when the machine has too few ports or descriptors.
    """
    collector.settle()
    realtime.claim()
    async with _reflector() as port:
        return [await _run(n, seconds, port, recording) for n in calls]


async def _run(n: int, seconds: float, port: int, recording: bool) -> Row:
    heard = 0

    def tell(to: Identity, message: object) -> bool:
        nonlocal heard
        heard += len(message.frames) if isinstance(message, Audio) else 0
        return True

    sockets = {sock.getsockname()[1]: sock for sock in (_socket() for _ in range(n))}
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / f"{_SPEECH}.ulaw").write_bytes(speech())
        writer = Writer(Path(root))
        writer.start()
        plane = MediaPlane(sockets, tell, Prompts(Path(root)), writer)
        for k, local in enumerate(sockets):
            plane.set(_channel(k, local, port, seconds, str(k) if recording else ""))
        plane.start()
        await asyncio.sleep(_SETTLE_S)
        heard, plane.lateness = 0, Lateness()
        row = await _observe(plane, n, seconds, lambda: heard)
        plane.stop()
        writer.close()
    for sock in sockets.values():
        sock.close()
    return row


async def _observe(plane: MediaPlane, n: int, seconds: float, heard: Callable[[], int]) -> Row:
    began, cpu, before = time.monotonic(), time.process_time(), plane.figures()
    await asyncio.sleep(seconds)
    wall, cpu, after = time.monotonic() - began, time.process_time() - cpu, plane.figures()
    sent, received = (after[key] - before[key] for key in ("sent", "received"))
    return Row(
        calls=n,
        seconds=seconds,
        late_p50_ms=after["late_p50_ms"],
        late_p99_ms=after["late_p99_ms"],
        late_max_ms=after["late_max_ms"],
        cpu_us=round(cpu / max(sent, 1) * 1e6, 1),
        floor_us=round(_floor_us(), 1),
        cpu_share=round(cpu / wall, 3),
        received_share=round(received / max(sent, 1), 4),
        frames_heard=heard(),
        slots_missed=int(after["slots_missed"] - before["slots_missed"]),
        scheduler=realtime.scheduler(),
        load=round(os.getloadavg()[0], 2),
    )


def _floor_us() -> float:
    """Return what sending and receiving one packet costs on this machine, and nothing else."""
    with _socket() as here, _socket() as there:
        to, data, began = there.getsockname(), bytes(172), time.process_time()
        for _ in range(_FLOOR_PACKETS):
            here.sendto(data, to)
            there.recvfrom(2048)
        return (time.process_time() - began) / _FLOOR_PACKETS * 1e6


def speech() -> bytes:
    """Return ten seconds that a voice detector takes for a talker: some 120 Hz with harmonics, in syllables and pauses.

    The pitch rises and falls, so that what is said now and what was said a while ago do not sound the same.
    """
    at = np.arange(_SPEECH_S * 8000) / 8000
    turns = 120 * at + 20 * np.sin(2 * np.pi * at / 3)  # 78 to 162 Hz
    voice = sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 21))
    syllables = np.maximum(0, np.sin(2 * np.pi * 2 * at)) * (at % 5 < 3)
    return encode((4000 * voice * syllables).astype(np.int16))


def _channel(k: int, local: int, port: int, seconds: float, recording: str) -> Channel:
    now = time.monotonic()
    repeats = int(seconds / _SPEECH_S) + 3
    return Channel(
        ChannelId(f"bench-{k}"), _OWNER, local, ssrc=k + 1, seq0=0, ts0=0, born_s=now,
        remote_host="127.0.0.1", remote_port=port, engine=_ENGINE, recording=recording,
        playing=Playing(1, (_SPEECH,) * repeats, now - k * 0.37 % _SPEECH_S),
    )  # fmt: skip


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


@asynccontextmanager
async def _reflector() -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nodes.media.reflector", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


__all__ = ["Row", "measure", "speech"]
