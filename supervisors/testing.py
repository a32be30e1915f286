"""What tests of supervised code need: virtual time, a recorder of events, and a bestiary of misbehaving children.

@virtual
async def test_a_child_that_would_not_stop_is_killed_after_its_shutdown() -> None:
    recorder = Recorder()
    async with running(Supervisor([Child(Hanger, id="a", shutdown=3600)]), hook=recorder) as system:
        ...
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar

from supervisors.actor import Actor
from supervisors.events import ChildExited, ChildStarted, Event
from supervisors.exits import Exit
from supervisors.ref import Ref

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=Event)


class NothingWillHappen(RuntimeError):
    """The loop has nothing to do, now or later: the test would wait for ever."""


class _Jumping(selectors.SelectSelector):
    """Where a real selector would sleep, the clock jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise NothingWillHappen
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else is to be done, and then at once."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._jumping.now

    def get_debug(self) -> bool:
        """Return False: futures, tasks and handles need not know where they were made, which takes most of the time.

        What the debug mode checks, threads and callbacks, is checked all the same.
        """
        return False

    def jump(self, seconds: float) -> None:
        """Let time pass in which the loop does nothing, as when its process is stopped."""
        self._jumping.now += seconds


def run_virtual(main: Coroutine[object, None, T]) -> T:
    """Run `main` on a VirtualLoop, with asyncio's debug mode on. Raises NothingWillHappen instead of hanging."""
    with asyncio.Runner(debug=True, loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def virtual(test: Callable[P, Coroutine[object, None, None]]) -> Callable[P, None]:
    """Make an async test run in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(test(*args, **kwargs))

    return run


class Recorder:
    """A hook that keeps every event, and can wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news: asyncio.Event = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """Record `event`."""
        self.events.append(event)
        self._news.set()

    def of(self, kind: type[E], path: str | None = None) -> list[E]:
        """Return the events of one kind, of one child when `path` is given."""
        return [event for event in self.events if isinstance(event, kind) and path in (None, event.path)]

    async def until(self, kind: type[E], path: str | None = None, n: int = 1) -> E:
        """Wait until there are `n` such events and return the n-th."""
        while len(found := self.of(kind, path)) < n:
            self._news.clear()
            await self._news.wait()
        return found[n - 1]

    def exits(self) -> dict[str, Exit]:
        """Return how each child ended last, in the order they ended."""
        last: dict[str, Exit] = {}
        for event in self.of(ChildExited):
            last.pop(event.path, None)
            last[event.path] = event.reason
        return last

    def started(self) -> list[str]:
        """Return the paths of the children in the order they came up."""
        return [event.path for event in self.of(ChildStarted)]


class Boom(Exception):
    """What the bestiary raises."""


class Echo(Actor):
    """Behaves: the control group."""

    def __init__(self) -> None:
        self.n = 0

    def add(self, n: int = 1) -> int:
        """Count, and return the sum of this life."""
        self.n += n
        return self.n

    def boom(self) -> None:
        """Crash."""
        raise Boom

    def end(self, reason: Exit) -> None:
        """End for `reason`."""
        self.stop(reason)


class AsyncEcho(Echo):
    """As Echo, with a handler that waits: the other engine."""

    async def nap(self, seconds: float) -> int:
        """Sleep, then return the sum."""
        await asyncio.sleep(seconds)
        return self.n

    async def nap_and_boom(self, seconds: float) -> None:
        """Sleep, then crash."""
        await asyncio.sleep(seconds)
        raise Boom

    async def leak(self) -> None:
        """Raise a CancelledError that nobody sent: a crash, not a stop."""
        raise asyncio.CancelledError


class Stillborn(Echo):
    """Its init raises for as long as `fails[0]` is above 0; each failure takes one off."""

    def __init__(self, fails: list[int]) -> None:
        super().__init__()
        self.fails = fails

    def init(self) -> None:
        """Fail, or not."""
        if self.fails[0] > 0:
            self.fails[0] -= 1
            raise Boom


class SlowStillborn(Stillborn):
    """As Stillborn, after a second."""

    async def init(self) -> None:  # type: ignore[override] # both kinds of init are fine
        """Wait, then fail, or not."""
        await asyncio.sleep(1.0)
        Stillborn.init(self)


class NeverBorn(Echo):
    """Its init never returns."""

    async def init(self) -> None:
        """Wait for ever."""
        await asyncio.get_running_loop().create_future()


class LastWords(Echo):
    """Takes `seconds` to terminate."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def terminate(self, reason: Exit) -> None:
        """Take its time."""
        await asyncio.sleep(self.seconds)


class Swallower(Echo):
    """Its task ignores the first `n` cancellations."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n_left = n

    def init(self) -> None:
        """Start the task."""
        _ = self.task(self._swallow())

    async def _swallow(self) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.n_left -= 1
                if self.n_left < 0:
                    raise


class Immortal(Echo):
    """Its task ignores everything, GeneratorExit too, until `mercy` is set. Whenever it is woken it tells `victim`."""

    def __init__(self, mercy: asyncio.Event, victim: Callable[[], Ref[Echo]] | None = None) -> None:
        super().__init__()
        self.mercy = mercy
        self.victim = victim

    def init(self) -> None:
        """Start the task."""
        _ = self.task(self._live_on())

    async def _live_on(self) -> None:
        while not self.mercy.is_set():
            try:
                await asyncio.sleep(3600)
            except BaseException:  # noqa: BLE001 - the beast
                if self.victim is not None:
                    self.victim().tell(Echo.add)
