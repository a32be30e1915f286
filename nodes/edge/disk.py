"""The disk as an heir: the records of an edge's calls in a file, for whoever begins when nobody is left in memory.

    <state>/calls/checkpoint      frames (`checkpoint`), appended; written anew when it has grown

A thread packs and writes what has changed, every `FLUSH_S`; and one call's record at once when a person has answered,
the call is over, or somebody waits for it (`hold_back`). It is not synced: it outlives processes, not the machine,
which takes its calls with it anyway. When the disk refuses, the file is written anew until it takes it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeAlias

from nodes.call.record import GONE, CallPhase, CallRecord
from nodes.edge import checkpoint
from nodes.edge.checkpoint import LAYOUT, Alive, Checkpoint, Opened
from nodes.edge.heir import bequest
from nodes.edge.recent import Noted, tellings
from nodes.edge.record_store import RecordStore, Version, version
from nodes.errors import in_words
from nodes.links import incarnation
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.heirs import ForgetRecord, KeepRecord, KeepScript
from protocols.wire.ids import CallId, ScriptHash

log = logs.get(__name__)
FLUSH_S: Final = 0.25
"""What is not urgent is at most so old on disk: a call writes a dozen times a turn, and one of them is enough."""
BEAT_S: Final = 1.0
RETRY_S: Final = 1.0
GROWS: Final = 4
SMALLEST: Final = 1024 * 1024
"""The file is written anew at `GROWS` times its first size, and not below this many bytes, which are read in 2 ms."""
MAX_OVER: Final = 2_000
"""Ended calls whose ids are kept on disk: those whose last event may still be on its way, and many more."""
URGENT: Final = frozenset((CallPhase.ANSWERED, CallPhase.ENDING, *GONE))


_Packed: TypeAlias = tuple[CallRecord, KeepRecord | ForgetRecord | None]


class Disk:
    """`calls`: all that there are. `over(n)`: the last that have ended. `recent()`: what has just been noted.

    `launcher`: `incarnation.of` it. `former`: the files of edges that there are no more.
    """

    def __init__(
        self,
        path: Path,
        launcher: str,
        calls: Mapping[CallId, RecordStore],
        over: Callable[[int], list[CallId]],
        recent: Callable[[], Iterable[Noted]],
        former: Sequence[Path] = (),
    ) -> None:
        self._former, self._adopted = former, list[Path]()
        self._path, self._calls, self._over, self._recent = path, calls, over, recent
        self.opened = Opened(LAYOUT, launcher, incarnation.boot())
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._written: dict[CallId, RecordStore] = {}
        self._noted: list[Noted] = []
        self._phases: dict[CallId, CallPhase] = {}
        self._scripts: set[ScriptHash] = set()
        self._kept: dict[CallId, Version] = {}
        """Which record of each call is on disk."""
        self.wrote_some: Callable[[], None] = lambda: None
        """Told when something has come to the disk."""
        self._urgent: set[CallId] = set()
        self._due, self._is_urgent = asyncio.Event(), asyncio.Event()
        self._fd: int | None = None
        self._size = self._limit = 0
        self._is_closed = False
        self._renewed: asyncio.Future[None] | None = None
        """Somebody waits for a new file."""
        self.n_failed = 0

    def read(self) -> Checkpoint | None:
        """Return what the last edge has left; None when there is nothing, or nothing that can be read: it is set aside.

        Never raises: a file that is broken must not keep a node from starting.
        """
        return self._read(self._path)

    def abandoned(self) -> list[Checkpoint]:
        """Return what edges have left that there are no more: ours to end, and on our disk from its next file on.

        Not what an edge has written under this launcher: that one lives.
        """
        found = {path: left for path in self._former if (left := self._read(path))}
        theirs = {path: left for path, left in found.items() if left.opened.launcher != self.opened.launcher}
        self._adopted = list(theirs)
        return list(theirs.values())

    def _read(self, path: Path) -> Checkpoint | None:
        try:
            found = checkpoint.read(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, RemoteProtocolError) as error:
            aside = path.with_suffix(".unreadable")
            reason = in_words(error) if isinstance(error, OSError) else str(error)
            log.error("checkpoint.unreadable", reason=reason, aside=str(aside))
            try:
                path.replace(aside)
            except OSError as failed:
                log.error("checkpoint.not_set_aside", reason=in_words(failed))
            return None
        if found.n_torn:
            log.warning("checkpoint.torn", bytes=found.n_torn)
        return found

    def wrote(self, store: RecordStore) -> None:
        """A record has changed."""
        record = store.record
        call_id = record.order.call_id
        self._written[call_id] = store
        self._due.set()
        if record.phase is not self._phases.get(call_id, CallPhase.PLACING):
            if record.phase in URGENT:
                self.hurry(call_id)
            self._phases[call_id] = record.phase
            if record.phase in GONE:
                del self._phases[call_id]

    def noted(self, event: Noted) -> None:
        """An event has been handed to the bus."""
        self._noted.append(event)
        self._due.set()

    def hurry(self, call_id: CallId) -> None:
        """Write this call's record at once, and not with all others."""
        self._urgent.add(call_id)
        self._is_urgent.set()

    async def renew(self) -> None:
        """Return once the file has nothing but what there is now: somebody is to be forgotten.

        While this runs, its owner (`run`) does too.
        """
        self._renewed = self._renewed or asyncio.get_running_loop().create_future()
        self._due.set()
        await asyncio.shield(self._renewed)

    def keeps(self, call_id: CallId, wanted: Version) -> bool:
        """Say whether this record of a call is on disk, or a later one."""
        return call_id in self._kept and self._kept[call_id] >= wanted

    async def run(self) -> None:
        """Write for ever; while there are calls, also that we live."""
        loop = asyncio.get_running_loop()
        while not self._is_closed:
            is_well = True
            if await _within(BEAT_S if self._calls else None, self._due):
                until_s = loop.time() + FLUSH_S
                while is_well and await _within(until_s - loop.time(), self._is_urgent):
                    is_well = await self._flush(is_urgent=True)
            self._due.clear()
            if not (is_well and await self._flush()):
                self._due.set()
                await asyncio.sleep(RETRY_S)

    def close(self) -> None:
        """Write what has not been, and let go of the file."""
        self._is_closed = True
        self._thread.shutdown()
        self._write(*self._wanted(is_urgent=False))
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    async def _flush(self, *, is_urgent: bool = False) -> bool:
        if self._is_closed:
            return True
        renewed, wanted = self._renewed, self._wanted(is_urgent=is_urgent)
        is_well = await asyncio.get_running_loop().run_in_executor(self._thread, self._write, *wanted)
        if is_well:
            for record, _ in wanted[1]:
                self._keeps(record)
            self.wrote_some()
            if wanted[2] is not None and renewed is not None:
                renewed.set_result(None)
                self._renewed = None
        return is_well

    def _keeps(self, record: CallRecord) -> None:
        if record.phase in GONE:
            self._kept.pop(record.order.call_id, None)
        else:
            self._kept[record.order.call_id] = version(record)

    def _wanted(self, *, is_urgent: bool) -> tuple[list[Noted], list[_Packed], list[CallId] | None]:
        """Return the events and records to write, and for a new file, which has all, the calls that are over."""
        urgent, self._urgent = self._urgent, set()
        self._is_urgent.clear()
        noted, self._noted = self._noted, []
        is_new = self._fd is None or self._size > self._limit or self._renewed is not None
        names = urgent & self._written.keys() if is_urgent and not is_new else self._written.keys()
        written = {name: self._written.pop(name) for name in list(names)}
        if not is_new:
            return noted, list(map(_packed, written.values())), None
        records = map(_packed, ({**self._calls, **written}).values())
        return list(self._recent()), list(records), self._over(MAX_OVER)

    # ---- inside, on the thread -------------------------------------------------------------------------------------

    def _write(self, events: Sequence[Noted], records: Sequence[_Packed], over: Sequence[CallId] | None) -> bool:
        """Append these, or begin a new file with them. False when the disk does not take it."""
        try:
            if over is None:
                self._append(self._frames(events, records))
            else:
                self._begin(events, records, over)
        except OSError as error:
            self.n_failed += 1
            if self._fd is not None:  # a torn frame in the middle would hide what comes after it
                os.close(self._fd)
                self._fd = None
            log.error("checkpoint.failed", reason=in_words(error))
            return False
        return True

    def _begin(self, events: Sequence[Noted], records: Sequence[_Packed], over: Sequence[CallId]) -> None:
        """Write a new file, and put it in the place of the old one when it is whole."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_suffix(".new")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        before, self._fd = self._fd, fd
        if before is not None:
            os.close(before)
        self._scripts.clear()
        self._size = 0
        ended = [checkpoint.frame(KeepRecord(call_id, 0, ScriptHash(""), b"")) for call_id in over]
        self._append([checkpoint.frame(self.opened), *ended, *self._frames(events, records)])
        draft.replace(self._path)
        while self._adopted:
            self._adopted.pop().unlink(missing_ok=True)
        self._limit = max(SMALLEST, GROWS * self._size)

    def _frames(self, events: Sequence[Noted], records: Iterable[_Packed]) -> list[bytes]:
        frames = [checkpoint.frame(told) for told in tellings(events)]
        for record, told in records:
            for message in bequest(record, self._scripts.__contains__, told):
                frames.append(checkpoint.frame(message))
                if isinstance(message, KeepScript):
                    self._scripts.add(message.script)
        return [*frames, checkpoint.frame(Alive(time.monotonic()))]

    def _append(self, frames: Sequence[bytes]) -> None:
        assert self._fd is not None
        data = b"".join(frames)
        while data:
            n = os.write(self._fd, data)
            self._size += n
            data = data[n:]


def _packed(store: RecordStore) -> _Packed:
    """Return a call's record, and what heirs have been told of it, which nobody else needs packed any more."""
    told, store.told = store.told, None
    return store.record, told[1] if told and told[0] is store.record else None


async def _within(timeout_s: float | None, event: asyncio.Event) -> bool:
    """Wait for an event, so long at most; say whether it has come."""
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False


__all__ = ["Disk"]
