"""Children on demand."""

import asyncio
import gc
import weakref
from functools import partial

import pytest

from supervisors import (
    Actor,
    AutoShutdown,
    Child,
    ChildExited,
    ChildStarted,
    Dynamic,
    Gone,
    Killed,
    Normal,
    NoSuchChild,
    Restart,
    Shutdown,
    StartFailed,
    Supervisor,
    TooManyChildren,
    running,
)
from supervisors.testing import Echo, LastWords, Recorder, SlowStillborn, Stillborn, virtual


class Call(Echo):
    def __init__(self, lead: object) -> None:
        super().__init__()
        self.lead = lead

    def who(self) -> object:
        return self.lead


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual
async def test_each_child_is_started_with_its_own_arguments() -> None:
    async with running(Supervisor([Dynamic(Call, id="calls")])) as system:
        calls = system.dynamic("calls", Call)
        first, second = await calls.start("Ann"), await calls.start(lead="Bob")
        assert [await first.ask(Call.who), await second.ask(Call.who)] == ["Ann", "Bob"]
        assert (first.path, calls.count, list(calls)) == ("calls/1", 2, [first, second])


@virtual
async def test_no_more_children_than_the_maximum_and_those_coming_back_count() -> None:
    fails = [0]
    spec = Dynamic(Stillborn, id="calls", max_children=1, restart=Restart.PERMANENT, intensity=10_000, period_s=60.0)
    async with running(Supervisor([spec])) as system:
        calls = system.dynamic("calls", Stillborn)
        child = await calls.start(fails)
        fails[0] = 5_000
        child.tell(Echo.boom)
        await child.down()
        with pytest.raises(TooManyChildren) as full:
            await calls.start([0])
        assert full.value.limit == 1
        await calls.stop(child)
        await calls.start([0])


@virtual
async def test_a_temporary_child_that_ends_makes_room_and_is_forgotten_with_its_arguments() -> None:
    class Lead:
        pass

    async with running(Supervisor([Dynamic(Call, id="calls", max_children=1)])) as system:
        calls = system.dynamic("calls", Call)
        lead = Lead()
        kept = weakref.ref(lead)
        child = await calls.start(lead)
        del lead
        child.tell(Echo.boom)
        await child.down()
        await asyncio.sleep(0)
        assert calls.count == 0
        gc.collect()
        assert kept() is None
        with pytest.raises(Gone):
            await child.ask(Call.who)


@virtual
async def test_a_child_that_stays_away_leaves_no_trace_whatever_its_restart_kind() -> None:
    async with running(Supervisor([Dynamic(Call, id="calls", restart=Restart.TRANSIENT, max_children=1)])) as system:
        calls = system.dynamic("calls", Call)
        child = await calls.start("Ann")
        child.tell(Echo.end, Normal())
        await child.down()
        assert calls.count == 0
        await calls.start("Bob")


@virtual
async def test_a_ref_from_before_a_restart_of_the_supervisor_stops_nobody() -> None:
    recorder = Recorder()
    async with running(Supervisor([Dynamic(Call, id="calls")]), hook=recorder) as system:
        calls = system.dynamic("calls", Call)
        before = await calls.start("Ann")
        calls.ref.tell(Actor.stop)
        await recorder.until(ChildStarted, "calls", n=2)
        after = await calls.start("Bob")
        assert before.path == after.path
        await calls.stop(before)
        assert (after.is_alive, list(calls)) == (True, [after])


@virtual
async def test_a_permanent_child_comes_back_with_its_arguments_under_the_same_ref() -> None:
    async with running(Supervisor([Dynamic(Call, id="calls", restart=Restart.PERMANENT)])) as system:
        child = await system.dynamic("calls", Call).start("Ann")
        child.tell(Echo.boom)
        await child.down()
        assert await child.ask(Call.who) == "Ann"


@pytest.mark.parametrize("start", [Stillborn, SlowStillborn])
def test_a_child_that_does_not_start_is_not_counted(start: type[Stillborn]) -> None:
    @virtual
    async def scenario() -> None:
        async with running(Supervisor([Dynamic(start, id="calls")])) as system:
            calls = system.dynamic("calls", start)
            with pytest.raises(StartFailed):
                await calls.start([1])
            assert calls.count == 0

    scenario()


@virtual
async def test_giving_up_on_a_start_stops_the_child() -> None:
    recorder = Recorder()
    async with running(Supervisor([Dynamic(SlowStillborn, id="calls")]), hook=recorder) as system:
        calls = system.dynamic("calls", SlowStillborn)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await calls.start([0])
        await recorder.until(ChildExited, "calls/1")
        assert calls.count == 0


@virtual
async def test_all_children_are_stopped_at_the_same_time_and_the_slow_ones_killed_at_their_deadline() -> None:
    recorder = Recorder()
    async with running(Supervisor([Dynamic(LastWords, id="calls", shutdown=5.0)]), hook=recorder) as system:
        calls = system.dynamic("calls", LastWords)
        for seconds in (1.0, 3.0, 3600.0):
            await calls.start(seconds)
    assert now() == pytest.approx(5.0)
    exits = recorder.exits()
    assert [exits[f"calls/{n}"] for n in (1, 2, 3)] == [Shutdown(), Shutdown(), Killed()]


@virtual
async def test_stopping_one_child_leaves_the_others_and_a_stranger_alone() -> None:
    async with running(Supervisor([Child(Echo, id="a"), Dynamic(Call, id="calls")])) as system:
        calls = system.dynamic("calls", Call)
        first, second = await calls.start(1), await calls.start(2)
        await calls.stop(first)
        await calls.stop(first)
        assert (first.is_alive, second.is_alive, calls.count) == (False, True, 1)
        with pytest.raises(NoSuchChild):
            await calls.stop(system.ref("a", Echo))  # type: ignore[arg-type]
        assert system.ref("a", Echo).is_alive


@virtual
async def test_a_dynamic_that_gives_up_comes_back_empty_and_its_front_door_stays_good() -> None:
    recorder = Recorder()
    tree = Supervisor([Dynamic(Call, id="calls", restart=Restart.PERMANENT, intensity=0)])
    async with running(tree, hook=recorder) as system:
        calls = system.dynamic("calls", Call)
        await calls.start("bystander")
        (await calls.start("trouble")).tell(Echo.boom)
        await recorder.until(ChildStarted, "calls", n=2)
        assert calls.count == 0
        assert await (await calls.start("Ann")).ask(Call.who) == "Ann"


def leg_and_call(lead: str) -> Supervisor:
    """A telephone call: it ends with its leg."""
    return Supervisor(
        [
            Child(Echo, id="leg", restart=Restart.TEMPORARY, significant=True),
            Child(partial(Call, lead), id="call"),
        ],
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
    )


@virtual
async def test_a_child_may_be_a_tree_of_its_own() -> None:
    async with running(Supervisor([Dynamic(leg_and_call, id="calls")])) as system:
        calls = system.dynamic("calls", leg_and_call)
        call = await calls.start("Ann")
        leg, talk = system.ref("calls/1/leg", Echo), system.ref("calls/1/call", Call)
        talk.tell(Echo.boom)
        await talk.down()
        assert await talk.ask(Call.who) == "Ann"
        leg.tell(Echo.boom)
        assert await call.down() == Shutdown("auto_shutdown")
        assert (calls.count, talk.is_alive) == (0, False)


@virtual
async def test_stopping_many_idle_children_takes_no_task_and_no_time() -> None:
    async with running(Supervisor([Dynamic(Echo, id="calls")])) as system:
        calls = system.dynamic("calls", Echo)
        before = len(asyncio.all_tasks())
        for _ in range(1000):
            await calls.start()
        assert len(asyncio.all_tasks()) == before


@virtual
async def test_a_front_door_asked_for_with_the_wrong_start_is_refused() -> None:
    async with running(Supervisor([Dynamic(Call, id="calls")])) as system:
        with pytest.raises(TypeError):
            system.dynamic("calls", Echo)
        assert system.ref("calls", Actor).is_alive
