"""The watchdog: a thread beside the event loop that says who blocks it, ends that life, and at last the process.

    async with running(tree, watchdog=Watchdog(interrupt_s=5.0, exit_s=15.0)) as system:
        ...

A blocked loop answers nobody, its supervisors least of all. So this thread asks it for a sign of life at every tick,
and looks at its stack when none comes. One callback that holds the loop for `warn_s` is reported, with its actor, its
handler and its stack; many short ones are not, however many. At `interrupt_s` Interrupted is raised in the handler: the
crash of its actor, for its supervisor to decide on. At `exit_s` all stacks go to stderr and the process ends with
EXIT_CODE, for whoever started it to start it again.

An interrupt is a signal and not PyThreadState_SetAsyncExc, because only a signal's handler can look before it raises.
It runs in the loop's own thread, on top of what it would end, and raises only when the callback that was found blocking
is still below it, when the same life of the same actor runs, and when the code it stopped is neither the kernel's nor
asyncio's. A handler that has returned in the meantime is not found, and nothing stays behind for those who come after
it. A signal also ends what Python can be woken from: sleeping, and waiting for a lock. SIGURG, because it harms nobody
who does not listen (Go preempts with it for this reason).

What no interrupt ends, as it computes in C or catches BaseException, is what `exit_s` is for. C code that keeps the
GIL stops this thread, too: it is reported when it lets go, and if it does not, the kernel ends the process when the
loop's thread has computed for a tick more than `exit_s` (`backstop.py`).

What counts is time in which somebody could have blocked something: a process that was stopped, by a signal or with its
whole machine, has blocked nothing, nor has one that waits for a processor (`starvation`).

Works with asyncio's own loops, on Linux. A loop that waits is not asked, where it says so itself (`eventloop`), and
looked at again when the first limit could be reached; others are woken once a tick. A message costs nothing.
"""

from __future__ import annotations

import asyncio
import faulthandler
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final, Never, Self

from supervisors.backstop import Backstop
from supervisors.cell import Cell, Life
from supervisors.culprit import frames_of, handler_of, is_ours, is_within, life_of, lines_of, systems_of, task_of
from supervisors.errors import BadSpec, Interrupted
from supervisors.eventloop import is_waiting, turned_s
from supervisors.events import LoopBlocked, LoopFreed
from supervisors.starvation import Starvation

EXIT_CODE: Final = os.EX_TEMPFAIL
"""How a process ends whose loop was blocked for `exit_s`: 75, "try again" in sysexits.h."""
_SIGNAL: Final = signal.SIGURG
_LEAST_PAUSE_S: Final = 0.01
_LATE_S: Final = 0.1
"""A turn that comes so much later than it should was kept from coming."""

Report = Callable[[LoopBlocked | LoopFreed], None]


class Watchdog:
    """A watchdog over one event loop, and so over every tree that runs on it.

    The limits are seconds, each above the one before it, or None: never. Times are right to a tick of `tick_s`.
    `report` is called at once, in the watchdog's thread: it must be safe there and must not wait for the loop; without
    it events go to stderr. The hook of every tree hears them, too, as soon as the loop is free. Raises BadSpec.
    """

    def __init__(
        self,
        *,
        warn_s: float | None = 0.25,
        interrupt_s: float | None = None,
        exit_s: float | None = None,
        tick_s: float = 0.1,
        report: Report | None = None,
    ) -> None:
        limits = [limit for limit in (warn_s, interrupt_s, exit_s) if limit is not None]
        if limits != sorted({*limits}) or not all(0 < seconds < math.inf for seconds in (tick_s, *limits)):
            raise BadSpec(f"times must be above 0 and finite, each limit above the one before: {limits}, {tick_s}")
        self.warn_s = warn_s
        self.interrupt_s = interrupt_s
        self.exit_s = exit_s
        self.tick_s = tick_s
        self._limits = limits
        self._idle_s = max([tick_s, *limits[:1]])
        self._report = report or _to_stderr
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch the loop that runs this. Raises BadSpec: only what runs in the main thread can be interrupted."""
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._cpu = time.pthread_getcpuclockid(self._ident)
        self._starvation = Starvation(threading.get_native_id())
        self._stopping = threading.Event()
        self._has_answered, self._is_idle = True, False
        self._silent_s = self._answered_s = 0.0
        self._hold: _Hold | None = None
        self._sentence: _Hold | None = None
        # What was looked at goes back with the next question: what dies with a frame must die in the loop's thread.
        self._seen: set[object] = set()
        if self.interrupt_s is not None:
            if threading.current_thread() is not threading.main_thread():
                raise BadSpec("interrupt_s needs a loop in the main thread: signals go there")
            self._outer = signal.signal(_SIGNAL, self._on_signal)
        self._backstop = None if self.exit_s is None else Backstop(self._ident, self.exit_s + self.tick_s)
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more: the thread has ended when this returns. Twice is once. Called where `start` was."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        thread.join()
        self._starvation.close()
        if self._backstop is not None:
            self._backstop.cancel()
        if self.interrupt_s is not None:
            signal.signal(_SIGNAL, self._outer or signal.SIG_DFL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # In the watchdog's thread.

    def _watch(self) -> None:
        self._wall_s, self._cpu_s = time.monotonic(), time.clock_gettime(self._cpu)
        while not self._stopping.wait(pause_s := self._pause()):
            if self._backstop is not None:
                self._backstop.arm()
            self._due_s = pause_s
            self._turn(self._passed())
        self._let_go()

    def _pause(self) -> float:
        """Return when to look again: in a tick, or at the next limit; at the first one if nothing is held now."""
        if self._is_idle:
            return self._idle_s
        held = self._hold.seconds if self._hold is not None else 0.0
        return max(_LEAST_PAUSE_S, min([self.tick_s, *(limit - held for limit in self._limits if limit > held)]))

    def _passed(self) -> float:
        """Return the seconds since the last turn that count: a tick at most when this thread could not run.

        Or as long as the loop's thread has computed meanwhile, for then C code kept the GIL. The rest of the time the
        process was stopped, and nobody has blocked anything; nor while the loop's thread waited for a processor.
        """
        wall_s, cpu_s = self._wall_s, self._cpu_s
        self._wall_s, self._cpu_s = time.monotonic(), time.clock_gettime(self._cpu)
        passed, computed = self._wall_s - wall_s, self._cpu_s - cpu_s
        if self._has_answered and (not self._is_idle or is_waiting(self._loop)):
            self._starvation.mark()
            counts = passed
        else:
            counts = passed - self._starvation.since()  # below 0: a wait that has counted before it was known
        return counts if passed < self._due_s + _LATE_S else min(counts, max(self.tick_s, computed))

    def _turn(self, passed: float) -> None:
        if self._has_answered and passed < self._due_s + _LATE_S:
            self._let_go()
            was_idle, self._is_idle = self._is_idle, not self._seen and is_waiting(self._loop)
            if not self._is_idle:
                self._ask()
                if was_idle and (held_s := min(passed, time.monotonic() - turned_s(self._loop))) >= self.tick_s:
                    self._silent_s = held_s
                    self._look(held_s)
            return
        self._is_idle = False
        self._silent_s = max(0.0, self._silent_s + passed)
        self._look(passed)
        if self._has_answered:  # it was this thread that was held up
            self._ask()

    def _ask(self) -> None:
        self._has_answered = False
        self._silent_s = 0.0
        seen, self._seen = self._seen, set()
        self._post(self._answer, seen)

    def _look(self, passed: float) -> None:
        """See which callback holds the loop, and do what is due after so long."""
        hold = self._hold
        if hold is not None and self._is_all_done(hold):
            hold.count(passed, self._wall_s)
            return
        frames = frames_of(self._ident)
        self._seen.update(frames)
        if not frames:
            self._let_go()
            self._silent_s = 0.0
            return
        if hold is None or hold.callback is not frames[-1]:
            passed = self._silent_s if hold is None else passed
            self._let_go()
            hold = self._hold = _Hold(frames[-1])
        hold.count(passed, self._wall_s)
        hold.ref, hold.life = life_of(self._loop)
        path = task_of(self._loop) if hold.ref is None else hold.ref.path
        event = LoopBlocked(path, handler_of(frames), hold.seconds, lines_of(frames))
        if frames_of(self._ident)[-1:] == [hold.callback]:  # still, so the name is right
            self._act(hold, event)

    def _is_all_done(self, hold: _Hold) -> bool:
        return self.interrupt_s is None and hold.seconds > max(self._limits, default=0.0)

    def _act(self, hold: _Hold, event: LoopBlocked) -> None:
        if self.exit_s is not None and hold.seconds >= self.exit_s:
            self._end(event)
        if self.warn_s is not None and hold.seconds >= self.warn_s and hold.told is None:
            hold.told = event.path
            self._tell(event)
        if self.interrupt_s is not None and hold.seconds >= hold.spared_s + self.interrupt_s and hold.ref is not None:
            self._sentence = hold
            signal.pthread_kill(self._ident, _SIGNAL)

    def _let_go(self) -> None:
        """The callback that held the loop holds it no more."""
        hold, self._hold, self._sentence = self._hold, None, None
        if hold is not None:
            self._seen.add(hold)
            if self._has_answered:
                hold.count(max(0.0, self._answered_s - hold.seen_s), self._answered_s)
            if hold.told is not None:
                self._tell(LoopFreed(hold.told, hold.seconds))

    def _tell(self, event: LoopBlocked | LoopFreed) -> None:
        try:
            self._report(event)
        except Exception:  # noqa: BLE001 - told, and the watch goes on
            traceback.print_exc()
        self._post(self._emit, event)

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # closed: nobody to tell, nobody to watch
            self._loop.call_soon_threadsafe(callback, *args)

    def _end(self, event: LoopBlocked) -> Never:
        faulthandler.dump_traceback(file=2)
        os.write(2, f"{event}: ends with code {EXIT_CODE}\n".encode(errors="replace"))
        os._exit(EXIT_CODE)

    # In the loop's thread.

    def _answer(self, seen: set[object]) -> None:
        seen.clear()
        self._answered_s = time.monotonic()
        self._has_answered = True

    def _emit(self, event: LoopBlocked | LoopFreed) -> None:
        for system in systems_of(self._loop):
            system.emit(event)

    def _on_signal(self, _number: int, frame: FrameType | None) -> None:
        """Raise Interrupted in what the signal stopped, if that is what it was sent for. Otherwise it comes again."""
        hold = self._sentence
        if hold is None or frame is None or is_ours(frame):
            return
        ref, life = life_of(self._loop)
        if ref is None or ref is not hold.ref or life is not hold.life or not is_within(frame, hold.callback):
            return
        self._sentence = None
        hold.spared_s = hold.seconds
        raise Interrupted(ref.path, hold.seconds)


class _Hold:
    """A callback that holds the loop: asyncio's frame of it, for how long, and what has been done about it."""

    __slots__ = ("callback", "life", "ref", "seconds", "seen_s", "spared_s", "told")

    def __init__(self, callback: FrameType) -> None:
        self.callback = callback
        self.seconds = 0.0
        self.seen_s = 0.0
        self.spared_s = 0.0
        """Until then it is not interrupted again: what it does in a `finally` gets its time, too."""
        self.told: str | None = None
        self.ref: Cell | None = None
        self.life: Life | None = None

    def count(self, seconds: float, now: float) -> None:
        self.seconds = max(0.0, self.seconds + seconds)
        self.seen_s = now


def _to_stderr(event: LoopBlocked | LoopFreed) -> None:
    sys.stderr.write(f"{event}\n")
