"""Children that will not stop: every rung of the ladder, and nothing ever waits on the last."""

import asyncio
from functools import partial

import pytest

from supervisors import (
    BRUTAL_KILL,
    INFINITY,
    Actor,
    Child,
    ChildExited,
    ChildStarted,
    Dynamic,
    Killed,
    Shutdown,
    Supervisor,
    WouldNotStop,
    running,
)
from supervisors.testing import AsyncEcho, Echo, Immortal, LastWords, Recorder, Swallower, virtual


def now() -> float:
    return asyncio.get_running_loop().time()


async def stop(child: Child[Actor]) -> tuple[Recorder, float]:
    """Run and stop a tree of this child; return what happened and how long it took."""
    recorder = Recorder()
    async with running(Supervisor([child]), hook=recorder):
        await asyncio.sleep(1)
    return recorder, now() - 1


@virtual
async def test_a_child_that_stops_in_time_ends_with_shutdown() -> None:
    recorder, took_s = await stop(Child(partial(LastWords, 3.0), id="a", shutdown=5.0))
    assert recorder.exits()["a"] == Shutdown()
    assert took_s == pytest.approx(3.0)


@virtual
async def test_a_child_that_does_not_is_killed_at_its_shutdown() -> None:
    recorder, took_s = await stop(Child(partial(LastWords, 30.0), id="a", shutdown=5.0))
    assert recorder.exits()["a"] == Killed()
    assert took_s == pytest.approx(5.0)


@virtual
async def test_infinity_waits_for_as_long_as_it_takes() -> None:
    recorder, took_s = await stop(Child(partial(LastWords, 86400.0), id="a", shutdown=INFINITY))
    assert recorder.exits()["a"] == Shutdown()
    assert took_s == pytest.approx(86400.0)


@pytest.mark.parametrize("start", [Echo, AsyncEcho, partial(LastWords, 30.0), partial(Swallower, 4)])
def test_brutal_kill_does_not_wait(start: type[Echo]) -> None:
    @virtual
    async def scenario() -> None:
        recorder, took_s = await stop(Child(start, id="a", shutdown=BRUTAL_KILL))
        assert recorder.exits()["a"] == Killed()
        assert took_s == 0.0

    scenario()


@pytest.mark.parametrize("n_swallowed", [1, 2, 3, 4, 1000])
def test_a_task_that_swallows_cancellations_ends_on_the_ladder(n_swallowed: int) -> None:
    @virtual
    async def scenario() -> None:
        recorder, took_s = await stop(Child(partial(Swallower, n_swallowed), id="a", shutdown=2.0))
        assert recorder.exits()["a"] == Killed()
        assert took_s == pytest.approx(2.0)
        assert not recorder.of(WouldNotStop)

    scenario()


@virtual
async def test_a_task_that_outlives_the_ladder_is_abandoned_and_what_it_sends_is_dropped() -> None:
    recorder, mercy = Recorder(), asyncio.Event()
    immortal = Child(lambda: Immortal(mercy, lambda: system.ref("victim", Echo)), id="a", shutdown=2.0)
    async with running(Supervisor([Child(Echo, id="victim"), immortal]), hook=recorder) as system:
        await system.root.ask(Supervisor.terminate_child, "a")
        assert recorder.of(WouldNotStop) == [WouldNotStop("a", 1)]
        assert recorder.exits()["a"] == Killed()
        (undead,) = system.abandoned
        assert undead is not None
        before = await system.ref("victim", Echo).ask(Echo.add, 0)
        undead.cancel()
        await asyncio.sleep(1)
        assert await system.ref("victim", Echo).ask(Echo.add, 0) == before
        mercy.set()
        undead.cancel()
        await asyncio.sleep(1)
        assert not system.abandoned


@virtual
async def test_a_child_that_was_abandoned_can_be_started_again() -> None:
    mercy = asyncio.Event()
    async with running(Supervisor([Child(lambda: Immortal(mercy), id="a", shutdown=BRUTAL_KILL)])) as system:
        await system.root.ask(Supervisor.terminate_child, "a")
        ref = await system.root.ask(Supervisor.restart_child, "a")
        assert ref.is_alive
        await system.root.ask(Supervisor.terminate_child, "a")
        mercy.set()
        for undead in system.abandoned:
            assert undead is not None
            undead.cancel()


@virtual
async def test_a_supervisor_that_is_killed_takes_its_children_along() -> None:
    recorder = Recorder()
    inner = Supervisor([Child(partial(LastWords, 3600.0), id="slow", shutdown=INFINITY)], id="inner", shutdown=2.0)
    calls = Supervisor([Dynamic(partial(LastWords, 3600.0), id="calls", shutdown=INFINITY)], id="outer", shutdown=2.0)
    async with running(Supervisor([inner, calls]), hook=recorder) as system:
        await system.ref("outer/calls", Dynamic).ask(Dynamic.start_child)
    await recorder.until(ChildExited, "inner/slow")
    await recorder.until(ChildExited, "outer/calls/1")
    assert now() == pytest.approx(4.0)
    assert recorder.exits()["inner/slow"] == Killed()
    assert recorder.exits()["outer/calls/1"] == Killed()


@pytest.mark.parametrize("start", [Echo, partial(LastWords, 3600.0), partial(Swallower, 4)])
@pytest.mark.parametrize("how", ["ends as killed", "is killed brutally"])
def test_a_supervisor_that_is_killed_while_it_works_leaves_nobody_alive_and_comes_back_whole(
    start: type[Echo], how: str
) -> None:
    @virtual
    async def scenario() -> None:
        recorder = Recorder()
        below = Supervisor([Child(start, id="a", shutdown=INFINITY), Dynamic(start, id="calls")], id="below")
        async with running(Supervisor([Supervisor([below], id="s", shutdown=BRUTAL_KILL)]), hook=recorder) as system:
            s, a = system.ref("s", Supervisor), system.ref("s/below/a", Echo)
            call = await system.dynamic("s/below/calls", start).start()
            recorder.events.clear()
            if how == "ends as killed":
                s.tell(Actor.stop, Killed())
            else:
                await system.root.ask(Supervisor.terminate_child, "s")
                await system.root.ask(Supervisor.restart_child, "s")
            await recorder.until(ChildStarted, "s")
            assert recorder.exits() == dict.fromkeys(
                ["s/below/calls/1", "s/below/calls", "s/below/a", "s/below", "s"], Killed()
            )
            assert list(recorder.exits())[-2:] == ["s/below", "s"]
            assert (a.is_alive, call.is_alive) == (True, False)
            assert recorder.started() == ["s/below/a", "s/below/calls", "s/below", "s"]
            assert now() == 0.0
            await system.root.ask(Supervisor.terminate_child, "s")

    scenario()


@virtual
async def test_a_tree_that_is_cancelled_while_it_stops_is_killed() -> None:
    recorder = Recorder()

    async def run() -> None:
        async with running(Supervisor([Child(partial(LastWords, 3600.0), id="a", shutdown=INFINITY)]), hook=recorder):
            pass

    task = asyncio.create_task(run())
    await asyncio.sleep(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await recorder.until(ChildExited, "a")
    assert now() == pytest.approx(10.0)
