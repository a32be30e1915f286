"""OTP's proc_lib_SUITE, case by case, by its names: starts that are waited for, stops, and reports of crashes."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import (
    INFINITY,
    Actor,
    Child,
    ChildExited,
    Crash,
    Exit,
    Gone,
    Name,
    NoProc,
    Normal,
    Ref,
    Restart,
    Shutdown,
    StartFailed,
    Supervisor,
    System,
    running,
)
from supervisors.events import report
from supervisors.testing import Recorder, virtual

A = TypeVar("A", bound=Actor)
E = TypeVar("E", bound=Exception)

NAME: Name[Process] = Name("to_stop")
odd: Any = "odd"


class Die(Exception):
    """What processes die of."""


class Process(Actor):
    """OTP's suite as a process: it waits until it is told to die."""

    def __init__(self, name: Name[Process] | None = None) -> None:
        self.name = name
        self.downs: list[Exit] = []

    def init(self) -> Any:
        if self.name is not None:
            self.register(self.name)

    def die(self, *words: object) -> None:
        raise Die(*words)

    def watch(self, ref: Ref[Actor]) -> None:
        self.monitor(ref)

    def join(self, ref: Ref[Actor]) -> None:
        self.link(ref)

    def on_down(self, ref: object, reason: Exit) -> None:
        self.downs.append(reason)

    def heard(self) -> list[Exit]:
        return self.downs


async def start(system: System, make: Callable[[], A], id: str = "p", **spec: Any) -> Ref[A]:
    """Start a temporary child of the root."""
    return await system.root.ask(Supervisor.start_child, Child(make, id=id, **{"restart": Restart.TEMPORARY} | spec))


async def stop(ref: Ref[Actor], reason: Exit = Normal(), seconds: float = INFINITY) -> Exit:  # noqa: B008 - frozen
    """Stop an actor and return how it ended (OTP: proc_lib:stop). Raises Gone, TimeoutError."""
    down = ref.down()
    await ref.ask(Actor.stop, reason)
    async with asyncio.timeout(None if seconds == INFINITY else seconds):
        return await down


async def fails(ask: Awaitable[object], error: type[E]) -> E:
    """Return the error that an ask fails with."""
    with pytest.raises(error) as failed:
        await ask
    return failed.value


def now() -> float:
    return asyncio.get_running_loop().time()


# --- crashes ----------------------------------------------------------------------------------------------------------


class Begetter(Process):
    """Dies in a task of its own."""

    def begin(self) -> None:
        _ = self.task(self.run())

    async def run(self) -> None:
        await asyncio.sleep(1.0)
        self.die()


@virtual
async def test_crash() -> None:
    """A shutdown is no crash; a crash tells where it was, with its ancestors, in which function, and who went along.

    Changed: an event tells it; the path has the ancestors, and who is linked has an event of its own.
    """
    recorder = Recorder()
    tree = Supervisor([Supervisor(id="above", intensity=9)])
    async with running(tree, hook=recorder) as system:
        above = system.ref("above", Supervisor)

        async def spawn(make: Callable[[], A], id: str) -> Ref[A]:
            return await above.ask(Supervisor.start_child, Child(make, id=id, restart=Restart.TEMPORARY))

        for reason in (Shutdown(), Shutdown("a, b, c")):
            assert await stop(await spawn(Process, "p0"), reason) == reason
        assert [event.reason for event in recorder.of(ChildExited, "above/p0")] == [Shutdown(), Shutdown("a, b, c")]

        (await spawn(Process, "p2")).tell(Process.die)
        (await spawn(Begetter, "p3")).tell(Begetter.begin)
        first, second = await spawn(Process, "p4"), await spawn(Process, "p5")
        await first.ask(Process.join, second)
        first.tell(Process.die)
        (await spawn(Process, "\u0447")).tell(Process.die)
        for id, during in (("p2", "Process.die"), ("p3", "above/p3 Begetter.run"), ("p4", "Process.die"), ("p5", "")):
            event = await recorder.until(ChildExited, f"above/{id}")
            assert isinstance(event.reason, Crash)
            assert isinstance(event.reason.error, Die)
            assert event.during == during
        assert (await recorder.until(ChildExited, "above/\u0447")).during == "Process.die"
        assert recorder.exits()["above/p5"] is recorder.exits()["above/p4"]


class Stacked(Process):
    """Ends in three ways."""

    def error(self) -> None:
        [][1]

    def exit(self) -> None:
        self.stop(Shutdown("bye"))

    async def throw(self) -> None:
        raise asyncio.CancelledError("ball")


@virtual
async def test_stacktrace() -> None:
    """An error comes with its stack, an exit with its reason, and what is thrown past everybody is a crash.

    Changed: an exit is a stop; what is thrown is any BaseException that is not for the whole process.
    """
    async with running(Supervisor()) as system:
        for handler, kind in ((Stacked.error, IndexError), (Stacked.throw, asyncio.CancelledError)):
            ref = await start(system, Stacked)
            down = ref.down()
            ref.tell(handler)
            crash = await down
            assert isinstance(crash, Crash)
            assert isinstance(crash.error, kind)
            assert traceback.extract_tb(crash.error.__traceback__)[-1].name == handler.__name__
        ref = await start(system, Stacked)
        down = ref.down()
        ref.tell(Stacked.exit)
        assert await down == Shutdown("bye")


# --- synchronous start ------------------------------------------------------------------------------------------------


class Gated(Process):
    """Begins when the gate is open; ends at once, Normal, when `is_short`."""

    def __init__(self, gate: asyncio.Event, is_short: bool = False) -> None:
        super().__init__()
        self.gate = gate
        self.is_short = is_short

    async def init(self) -> None:
        await self.gate.wait()
        if self.is_short:
            self.after(1.0, Actor.stop)


class Starter(Process):
    """Starts another, as children of its own supervisor, and links or monitors it once it is up."""

    def __init__(self, gate: asyncio.Event, then: Callable[[Process, Ref[Actor]], object], seconds: float) -> None:
        super().__init__()
        self.gate = gate
        self.then = then
        self.seconds = seconds
        self.failed: StartFailed | None = None

    def begin(self) -> asyncio.Future[Ref[Gated] | None]:
        return self.task(self.run())

    async def run(self) -> Ref[Gated] | None:
        try:
            made = lambda: Gated(self.gate, is_short=True)  # noqa: E731 - a line of its own for the start
            ref = await start(self.system, made, "started", start_timeout_s=self.seconds)
        except StartFailed as failed:
            self.failed = failed
            return None
        self.then(self, ref)
        return ref


def leave(process: Process, ref: Ref[Actor]) -> None:
    """Neither link nor monitor."""


async def sync_start(then: Callable[[Process, Ref[Actor]], object]) -> list[Exit]:
    """Start a process that waits a second before it begins; return what its starter has heard of its end."""
    gate = asyncio.Event()
    async with running(Supervisor()) as system:
        starter = await start(system, lambda: Starter(gate, then, seconds=30.0), "starter")
        started = starter.ask(Starter.begin)
        await asyncio.sleep(1.0)
        assert not started.done()
        gate.set()
        ref = await started
        assert now() == pytest.approx(1.0)
        assert ref is not None
        assert await ref.down() == Normal()
        assert starter.is_alive
        return await starter.ask(Process.heard)


@virtual
async def test_sync_start_nolink() -> None:
    """A start has returned when init has, and not before. Changed: the child belongs to a supervisor."""
    assert await sync_start(leave) == []


@virtual
async def test_sync_start_link() -> None:
    """The same, and linked: a Normal end leaves the starter alone. Changed: it links when the start has returned."""
    assert await sync_start(Process.join) == []


@virtual
async def test_sync_start_monitor() -> None:
    """The same, and monitored: the starter hears of the end. Changed: it monitors when the start has returned."""
    assert await sync_start(Process.watch) == [Normal()]


@virtual
async def test_sync_start_monitor_link() -> None:
    """The same, monitored and linked. Changed: it does both when the start has returned."""

    def both(process: Process, ref: Ref[Actor]) -> None:
        process.join(ref)
        process.watch(ref)

    assert await sync_start(both) == [Normal()]


async def sync_start_timeout(then: Callable[[Process, Ref[Actor]], object], then_early: bool = False) -> list[Exit]:
    """Start a process that never begins, for half a second; return what its starter has heard of it."""
    gate, recorder = asyncio.Event(), Recorder()
    async with running(Supervisor(), hook=recorder) as system:
        starter = await start(system, lambda: Starter(gate, then, seconds=0.5), "starter")
        started = starter.ask(Starter.begin)
        await asyncio.sleep(0.1)
        if then_early:
            await starter.ask(then, system.ref("started", Gated))
        assert await started is None
        assert now() == pytest.approx(0.5)
        gate.set()
        await asyncio.sleep(0.5)
        assert [event.path for event in recorder.of(ChildExited)] == ["started"]
        assert await system.root.ask(Supervisor.which_children) == [
            row for row in system.census().children if row.path == "starter"
        ]
        return await starter.ask(Process.heard)


@virtual
async def test_sync_start_timeout() -> None:
    """A start that takes too long fails, ends what was begun, and nothing comes of it later. Changed: see the table."""
    assert await sync_start_timeout(leave) == []


@virtual
async def test_sync_start_link_timeout() -> None:
    """The same with a starter that would have linked: it hears of the failed start alone. Changed: see the table."""
    assert await sync_start_timeout(Process.join) == []


@virtual
async def test_sync_start_monitor_link_timeout() -> None:
    """Who monitors one that is starting hears of its end, and why. Changed: it is a crash, with the TimeoutError."""
    (reason,) = await sync_start_timeout(Process.watch, then_early=True)
    assert isinstance(reason, Crash)
    assert isinstance(reason.error, TimeoutError)


# --- tickets, stop and reports ----------------------------------------------------------------------------------------


class Hibernating(Process):
    """Keeps its loop data while it is at rest."""

    def __init__(self, loop_data: object) -> None:
        super().__init__()
        self.loop_data = loop_data

    def ask_data(self) -> object:
        return self.loop_data


@virtual
async def test_hibernate() -> None:
    """What is at rest keeps its data, wakes at a message, and crashes as any. Changed: it rests by itself."""
    recorder, loop_data = Recorder(), object()
    async with running(Supervisor(), hook=recorder) as system:
        ref = await start(system, lambda: Hibernating(loop_data))
        for _ in range(2):
            assert await ref.ask(Hibernating.ask_data) is loop_data
            await asyncio.sleep(1.0)
            assert ref._box is None
        ref.tell(Process.die)
        event = await recorder.until(ChildExited, "p")
        assert isinstance(event.reason, Crash)
        assert event.during == "Process.die"


@virtual
async def test_init_dont_hang() -> None:
    """A start whose init raises fails at once, with that error, however it is started."""

    class Bad(Process):
        def init(self) -> None:
            raise Die("bad_init")

    class SlowlyBad(Process):
        async def init(self) -> None:
            await asyncio.sleep(0)
            raise Die("bad_init")

    for make in (Bad, SlowlyBad):
        async with running(Supervisor()) as system:
            for seconds in (1.0, INFINITY):
                failed = await fails(start(system, make, start_timeout_s=seconds), StartFailed)
                assert isinstance(failed.__cause__, Die)
        failed = await fails(running(Supervisor([Child(make, id="p")])).__aenter__(), StartFailed)
        assert "Die: bad_init" in str(failed)
    assert now() == 0.0


class Hanging(Process):
    """Takes five seconds to end."""

    async def terminate(self, reason: Exit) -> None:
        await asyncio.sleep(5.0)


class Clumsy(Process):
    """Fails while it ends."""

    def terminate(self, reason: Exit) -> None:
        raise Die("in terminate")


@virtual
async def test_stop() -> None:
    """A stop returns when it is over, with the reason it was for or the crash that came of it; or gives up in time.

    Giving up does not take the stop back. Changed: see `stop`; who is far is stopped by a message of the wire.
    """
    async with running(Supervisor()) as system:
        ref = await start(system, Process)
        assert await stop(ref) == Normal()
        assert (await fails(stop(ref), Gone)).reason == NoProc()

        ref = await start(system, Process)
        crash = ref.ask(Process.die)
        assert isinstance((await fails(stop(ref), Gone)).__cause__, Die)
        assert isinstance((await fails(crash, Gone)).__cause__, Die)

        for seconds in (1.0, 0.0):
            hanging = await start(system, Hanging, shutdown=10.0)
            down, began_at = hanging.down(), now()
            await fails(stop(hanging, Normal(), seconds), TimeoutError)
            assert now() - began_at == pytest.approx(seconds)
            assert await down == Normal()
            assert now() - began_at == pytest.approx(5.0)

        assert await stop(await start(system, Process), Shutdown("other_reason")) == Shutdown("other_reason")
        end = await stop(await start(system, Clumsy), Shutdown("crash"))
        assert isinstance(end, Crash)
        assert isinstance(end.error, Die)

        await start(system, lambda: Process(NAME))
        named = system.find(NAME)
        assert named is not None
        assert await stop(named) == Normal()
        assert system.find(NAME) is None


async def event_of(*words: object) -> ChildExited:
    """Return the event of a crash with `words`."""
    recorder = Recorder()
    async with running(Supervisor([Child(Process, id="p")]), hook=recorder) as system:
        await fails(system.ref("p", Process).ask(Process.die, *words), Gone)
        return await recorder.until(ChildExited, "p")


@virtual
async def test_t_format() -> None:
    """A report tells any letters and numbers, and less when it may say less. Changed: it is made of an event."""
    event = await event_of(set(range(100)), "\u00f6", "\u0400")
    whole, short = report(event, depth=1000), report(event, depth=20, limit=200)
    assert "\u00f6" in whole
    assert "\u0400" in whole
    assert len(short) <= 200 < len(whole)


class Unspeakable:
    """Cannot be told."""

    def __repr__(self) -> str:
        raise Die


anything = st.one_of(
    st.text(),
    st.binary(),
    st.floats(),
    st.none(),
    st.just(Unspeakable()),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.text()),
)


@given(st.lists(anything, max_size=4), st.integers(0, 50), st.integers(100, 1000))
def test_t_format_arbitrary(words: list[object], depth: int, limit: int) -> None:
    """Whatever it is that a process dies of, there is a report, in one line and within its limit. Changed: as above."""

    @virtual
    async def scenario() -> None:
        event = await event_of(*words)
        text = report(event, depth=depth, limit=limit)
        assert len(text) <= limit
        assert len(text.splitlines()) == 1
        assert len(report(event, depth=depth, limit=limit, lines=True).splitlines()) <= 5
        assert str(event)

    scenario()


@virtual
async def test_report_cb() -> None:
    """A report begins with who crashed; depth, size and lines can be chosen. Changed: who went along is not in it."""
    event = await event_of(list(range(100)), "x" * 5000)
    whole = report(event, lines=True, depth=1000, limit=100_000)
    assert whole.startswith("supervisor: /\ncontext: child_terminated\nreason: Die([0, 1, 2,")
    assert whole.endswith("offender: p\nduring: Process.die")
    assert len(report(event, lines=True, depth=10, limit=100_000)) < len(whole)
    assert len(report(event, lines=True, depth=1000, limit=500)) <= 500
    line = report(event, depth=1000, limit=100_000)
    assert line.startswith("supervisor: /; context: child_terminated; reason: Die([0, 1, 2,")
    assert line.count("\n") == 0
    assert len(report(event, depth=1000, limit=500)) <= 500
