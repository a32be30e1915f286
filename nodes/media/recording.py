"""Recordings: the caller on the left, what we send on the right, 16-bit at 8 kHz, in `<base>.wav`.

What it does: gathers a second of both sides on the loop, writes it in a thread of normal priority, and publishes the
file by renaming `<base>.part`. What it does not: stop a call. A full disk is counted and logged; silence takes the
place of what could not be written.

Where a frame goes follows from its packet number, as its RTP numbers do, and from that of the first, in the file's
header (`nodes.audio.wav`). So a successor process goes on in its predecessor's `.part` at the right place, and what
lies between, or was lost, reads as silence, because a hole in a file reads as zeros.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Final

import numpy as np

from nodes.audio.g711 import FRAME_BYTES, SILENCE, ULAW_TO_PCM
from nodes.audio.wav import CHANNELS, FRAME_FILE_BYTES, HEADER_BYTES, first_of, header
from nodes.telemetry import logs

BLOCK_FRAMES: Final = 50
"""One second: what a crash can lose."""
LEFT_S: Final = 60.0
"""What has not been written for so long is left over: a call goes on within 20 s on its own machine, or on another."""
MAX_BYTES: Final = 1024 * 1024 * 1024
"""Of one recording: nine hours. A call that nobody ends must not fill the disk of all, and a header counts to 4 GB."""
MAX_WAITING: Final = 1024
"""Blocks that may wait for the disk, 32 MB; later ones are dropped and counted."""

log = logs.get(__name__)


class Tap:
    """One channel's last second, both sides, on the loop.

    `phase` is when its second is over, different from channel to channel: 300 at once would cost a slot its deadline.
    """

    __slots__ = ("_codes", "_end", "_first", "_phase", "_used", "_write", "base")

    def __init__(self, base: str, phase: int, write: Callable[[str, int, bytes], None]) -> None:
        self.base = base
        self._phase = phase
        self._write = write
        self._first: int | None = None
        self._end = self._used = 0
        self._codes = bytearray()

    def add(self, n: int, caller: bytes, ours: bytes) -> None:
        """Keep packet number `n`'s 20 ms: 160 bytes of mu-law from either side."""
        if self._first is None or not self._first <= n < self._end:
            self.flush()
            self._first, self._end = n, n + BLOCK_FRAMES - (n + self._phase) % BLOCK_FRAMES
            self._codes = bytearray(SILENCE * CHANNELS * BLOCK_FRAMES)
        at = (n - self._first) * FRAME_BYTES * CHANNELS
        end = at + FRAME_BYTES * CHANNELS
        self._codes[at:end:2], self._codes[at + 1 : end : 2] = caller, ours
        self._used = end

    def flush(self) -> None:
        """Hand over what there is. Here and not in the thread: table look-up would hold the interpreter there as well,
        at a priority at which it can be kept from giving it back."""
        if self._first is not None:
            samples = ULAW_TO_PCM[np.frombuffer(self._codes, np.uint8, self._used)]
            self._write(self.base, self._first, samples.tobytes())
            self._first = None


class Writer:
    """The thread that owns the files below `root`. `dropped`, `failed` and `too_long` count blocks that are missing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._files: dict[str, tuple[int, int]] = {}  # base -> (descriptor, number of the first packet); the thread's
        self._thread = Thread(target=self._run, name="recordings", daemon=True)
        self._told: set[str] = set()
        self.dropped = self.failed = self.too_long = 0

    def start(self) -> None:
        """Begin to take blocks."""
        self._thread.start()

    def write(self, base: str, n: int, samples: bytes) -> None:
        """Put samples where packet `n` belongs; returns at once. Dropped and counted when the disk is too slow."""
        if self._jobs.qsize() >= MAX_WAITING:
            self.dropped += 1
            return
        self._jobs.put(lambda: self._write(base, n, samples))

    def finish(self, base: str) -> None:
        """Publish a recording without waiting for it; every block before is in it."""
        self._jobs.put(lambda: self._publish(base, None))

    async def publish(self, base: str) -> str:
        """Publish a recording and return its path, or nothing when there is none."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()

        def report(path: str) -> None:
            loop.call_soon_threadsafe(_settle, done, path)

        self._jobs.put(lambda: self._publish(base, report))
        return await done

    def close(self) -> None:
        """Write what is waiting, then stop; again: nothing. Unpublished recordings stay `.part`, for a successor."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        for descriptor, _ in self._files.values():
            os.close(descriptor)

    def _write(self, base: str, n: int, samples: bytes) -> None:
        try:
            descriptor, first = self._files.get(base) or self._open(base, n)
            at = HEADER_BYTES + (n - first) * FRAME_FILE_BYTES
            if at + len(samples) > MAX_BYTES:
                self._cut(base)
            elif at >= HEADER_BYTES and os.pwrite(descriptor, samples, at) < len(samples):
                raise OSError("the disk took a part of the block")
        except OSError as error:
            self._fail(base, error)

    def _publish(self, base: str, report: Callable[[str], None] | None) -> None:
        path = ""
        try:
            if base in self._files or self._path(base, "part").exists():
                path = self._close(base)
        except OSError as error:
            self._fail(base, error)
        self._told.discard(base)
        if report:
            report(path)

    def _close(self, base: str) -> str:
        """Complete the header and give the file its name."""
        descriptor, first = self._files.get(base) or self._open(base, 0)
        del self._files[base]
        try:
            os.pwrite(descriptor, header(first, os.fstat(descriptor).st_size - HEADER_BYTES), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        wav = self._path(base, "wav")
        try:
            return str(self._path(base, "part").rename(wav))
        except FileNotFoundError:
            if not wav.exists():
                raise
            return str(wav)  # somebody took it for left over

    def _open(self, base: str, n: int) -> tuple[int, int]:
        """Open the recording that this one goes on with, a predecessor's or a paused one, or begin it at packet `n`."""
        part, wav = self._path(base, "part"), self._path(base, "wav")
        part.parent.mkdir(parents=True, exist_ok=True)
        if wav.exists() and not part.exists():
            wav.rename(part)
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            head = os.pread(descriptor, HEADER_BYTES, 0)
            known = first_of(head)
            first = n if known is None else known
            os.pwrite(descriptor, header(first, 0), 0)
        except OSError:
            os.close(descriptor)
            raise
        self._files[base] = descriptor, first
        return descriptor, first

    def _path(self, base: str, suffix: str) -> Path:
        return self._root / f"{base}.{suffix}"

    def _cut(self, base: str) -> None:
        self.too_long += 1
        if base not in self._told:
            self._told.add(base)
            log.warning("recording.too_long", recording=base, limit_mb=MAX_BYTES // 2**20)

    def _fail(self, base: str, error: OSError) -> None:
        self.failed += 1
        if base not in self._told:
            self._told.add(base)
            log.error("recording.failed", recording=base, error=str(error))


def left_over(root: Path, wall_s: float) -> list[str]:
    """Return the bases of recordings on which nobody goes on: their machine has died, and their call is another's."""
    found = []
    for part in root.glob("*.part"):
        with suppress(FileNotFoundError):  # published just now
            if wall_s - part.stat().st_mtime > LEFT_S:
                found.append(str(part.with_suffix("")))
    return found


def _settle(done: asyncio.Future[str], path: str) -> None:
    if not done.done():  # whoever waited may have gone
        done.set_result(path)


__all__ = ["BLOCK_FRAMES", "MAX_WAITING", "Tap", "Writer", "left_over"]
