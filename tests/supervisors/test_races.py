"""Two things in one turn of the loop: whoever comes second finds the world as the first has left it."""

import asyncio
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import ClassVar

import pytest

from supervisors import (
    BRUTAL_KILL,
    INFINITY,
    Actor,
    AskTimeout,
    Backoff,
    Child,
    ChildExited,
    ChildRunning,
    ChildStarted,
    Crash,
    Dynamic,
    Exit,
    GaveUp,
    Gone,
    Killed,
    Ref,
    Restart,
    Shutdown,
    StartFailed,
    Strategy,
    Supervisor,
    System,
    running,
)
from supervisors.testing import (
    AsyncEcho,
    Echo,
    LastWords,
    Recorder,
    SlowStillborn,
    Stillborn,
    VirtualLoop,
    run_virtual,
    virtual,
)


def now() -> float:
    return asyncio.get_running_loop().time()


class Careful(Echo):
    """Takes a second to begin and three to end."""

    async def init(self) -> None:
        try:
            await asyncio.sleep(1.0)
        except asyncio.CancelledError:
            await asyncio.sleep(3.0)
            raise

    async def terminate(self, reason: Exit) -> None:
        await asyncio.sleep(3.0)


class TestAdministration:
    @virtual
    async def test_of_two_who_restart_a_child_one_does_and_the_other_is_told_that_it_runs(self) -> None:
        recorder = Recorder()
        async with running(Supervisor([Child(Echo, id="a")]), hook=recorder) as system:
            await system.root.ask(Supervisor.terminate_child, "a")
            first, second = (system.root.ask(Supervisor.restart_child, "a") for _ in range(2))
            assert (await first).is_alive
            with pytest.raises(ChildRunning):
                await second
            assert recorder.started() == ["a", "/", "a"]

    @virtual
    async def test_a_child_that_is_being_restarted_cannot_be_deleted(self) -> None:
        async with running(Supervisor([Child(Echo, id="a")])) as system:
            await system.root.ask(Supervisor.terminate_child, "a")
            system.root.tell(Supervisor.restart_child, "a")
            with pytest.raises(ChildRunning):
                await system.root.ask(Supervisor.delete_child, "a")

    @pytest.mark.parametrize("start", [Echo, AsyncEcho, Careful, partial(SlowStillborn, [0])])
    def test_a_child_terminated_right_after_its_start_stays_down(self, start: type[Echo]) -> None:
        @virtual
        async def scenario() -> None:
            async with running(Supervisor()) as system:
                starting = system.root.ask(Supervisor.start_child, Child(start, id="a"))
                await system.root.ask(Supervisor.terminate_child, "a")
                with pytest.raises(StartFailed):
                    await starting
                await asyncio.sleep(10)
                assert not system.ref("a", Echo).is_alive
                starting = system.root.ask(Supervisor.restart_child, "a")
                await system.root.ask(Supervisor.terminate_child, "a")
                await asyncio.sleep(10)
                assert not system.ref("a", Echo).is_alive

        scenario()

    @virtual
    async def test_a_child_terminated_in_the_turn_in_which_its_start_returns_stays_down(self) -> None:
        for turns in range(8):
            async with running(Supervisor([Child(partial(SlowStillborn, [0]), id="a")])) as system:
                await system.root.ask(Supervisor.terminate_child, "a")
                system.root.tell(Supervisor.restart_child, "a")
                await asyncio.sleep(1.0)
                for _ in range(turns):
                    await asyncio.sleep(0)
                await system.root.ask(Supervisor.terminate_child, "a")
                await asyncio.sleep(10)
                assert not system.ref("a", Echo).is_alive, turns

    @virtual
    async def test_a_wait_that_was_called_off_does_not_cut_the_next_one_short(self) -> None:
        recorder = Recorder()
        backoff = Backoff(first_s=10.0, top_s=10.0, jitter=0.0, reset_after_s=60.0)
        child = Child(partial(SlowStillborn, [0]), id="a")
        async with running(Supervisor([child], intensity=9, backoff=backoff), hook=recorder) as system:
            system.ref("a", Echo).tell(Echo.boom)
            await asyncio.sleep(1)
            await system.root.ask(Supervisor.terminate_child, "a")
            await system.root.ask(Supervisor.restart_child, "a")
            await asyncio.sleep(5)
            system.ref("a", Echo).tell(Echo.boom)
            crashed_at = now()
            await recorder.until(ChildStarted, "a", n=3)
            assert now() == pytest.approx(crashed_at + 10 + 1)

    @virtual
    async def test_an_id_given_away_again_is_not_mistaken_for_the_child_that_had_it(self) -> None:
        recorder = Recorder()
        async with running(
            Supervisor([Dynamic(Echo, id="calls", intensity=0, restart=Restart.PERMANENT)]), hook=recorder
        ) as system:
            calls = system.dynamic("calls", Echo)
            old = await calls.start()
            old.tell(Echo.boom)
            await recorder.until(ChildStarted, "calls", n=2)
            new = await calls.start()
            assert new.path == old.path
            await calls.stop(old)
            assert (calls.count, new.is_alive) == (1, True)


class TestNothingOutlivesItsSupervisor:
    @staticmethod
    def check(recorder: Recorder) -> None:
        """What is below a supervisor has ended before it has, and does not come back."""
        paths = [event.path for event in recorder.events if isinstance(event, ChildExited)]
        assert paths[-1] == "/"

    @pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TEMPORARY])
    def test_a_child_that_is_stopping_is_waited_for(self, restart: Restart) -> None:
        @virtual
        async def scenario() -> None:
            recorder = Recorder()
            async with running(Supervisor([Dynamic(Careful, id="calls", restart=restart)]), hook=recorder) as system:
                calls = system.dynamic("calls", Careful)
                child = await calls.start()
                stopping = asyncio.create_task(calls.stop(child))
                await asyncio.sleep(1)
            assert recorder.exits() == {"calls/1": Shutdown(), "calls": Shutdown(), "/": Shutdown()}
            assert list(recorder.exits())[-1] == "/"
            await stopping

        scenario()

    @virtual
    async def test_a_temporary_child_that_is_being_terminated_is_waited_for(self) -> None:
        recorder = Recorder()
        async with running(Supervisor([Child(Careful, id="a", restart=Restart.TEMPORARY)]), hook=recorder) as system:
            system.root.tell(Supervisor.terminate_child, "a")
            await asyncio.sleep(1)
        assert list(recorder.exits()) == ["a", "/"]

    @virtual
    async def test_a_start_that_was_given_up_is_waited_for(self) -> None:
        recorder = Recorder()
        async with running(Supervisor([Dynamic(Careful, id="calls")]), hook=recorder) as system:
            calls = system.dynamic("calls", Careful)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await calls.start()
        assert list(recorder.exits()) == ["calls/1", "calls", "/"]

    @pytest.mark.parametrize(
        "inner",
        [
            Supervisor(
                [Child(Echo, id="x"), Child(AsyncEcho, id="y"), Child(partial(LastWords, 9.0), id="z")],
                id="inner",
                shutdown=BRUTAL_KILL,
            ),
            Supervisor([Supervisor([Child(Echo, id="x")], id="deep")], id="inner", shutdown=BRUTAL_KILL),
        ],
        ids=["flat", "deep"],
    )
    def test_a_supervisor_that_is_killed_takes_along_what_is_below_it(self, inner: Supervisor) -> None:
        @virtual
        async def scenario() -> None:
            recorder = Recorder()
            async with running(Supervisor([inner]), hook=recorder):
                pass
            exits = recorder.exits()
            assert set(recorder.started()) == set(exits)
            assert list(exits)[-2:] == ["inner", "/"]
            assert {exits[path] for path in exits if path != "/"} == {Killed()}

        scenario()

    @virtual
    async def test_a_supervisor_killed_while_it_stops_takes_along_what_it_had_not_come_to(self) -> None:
        recorder = Recorder()
        left = Supervisor([Child(Echo, id="x")], id="left")
        right = Supervisor([Child(partial(LastWords, 3600.0), id="slow", shutdown=INFINITY)], id="right")
        async with running(Supervisor([Supervisor([left, right], id="outer", shutdown=2.0)]), hook=recorder):
            pass
        assert now() == pytest.approx(2.0)
        assert list(recorder.exits())[-2:] == ["outer", "/"]
        assert recorder.exits()["outer/left/x"] == Killed()

    @pytest.mark.parametrize("strategy", Strategy)
    def test_a_supervisor_that_gives_up_while_it_starts_takes_its_children_along(self, strategy: Strategy) -> None:
        @virtual
        async def scenario() -> None:
            recorder = Recorder()
            children = [Child(Mayfly, id="a"), Child(partial(SlowStillborn, [0]), id="b")]
            inner = Supervisor(children, id="inner", strategy=strategy, intensity=0, restart=Restart.TEMPORARY)
            async with running(Supervisor(), hook=recorder) as system:
                with suppress(StartFailed):
                    await system.root.ask(Supervisor.start_child, inner.as_child)
                await asyncio.sleep(10)
                exits = recorder.exits()
                assert set(recorder.started()) - {"/"} <= set(exits)

        scenario()

    @virtual
    async def test_a_brutal_kill_does_not_wait_for_an_end_that_is_under_way(self) -> None:
        async with running(Supervisor([Child(partial(LastWords, 3.0), id="a", shutdown=BRUTAL_KILL)])) as system:
            system.ref("a", Echo).tell(Echo.boom)
            await asyncio.sleep(1)
            await system.root.ask(Supervisor.terminate_child, "a")
            assert now() == pytest.approx(1.0)


class Mayfly(Echo):
    def init(self) -> None:
        self.after(0.5, Echo.boom)


class TestOneLife:
    @virtual
    async def test_a_handler_in_which_its_own_life_ends_is_cancelled_where_it_next_waits(self) -> None:
        log: list[str] = []

        class Parent(Echo):
            async def stop_child(self) -> None:
                calls = self.system.dynamic("calls", Echo)
                child = await calls.start()
                self.link(child)
                await calls.stop(child)
                log.append("went on")
                try:
                    await asyncio.sleep(3600)
                finally:
                    log.append("ended")

            def terminate(self, reason: Exit) -> None:
                log.append("terminate")

        async with running(Supervisor([Child(Parent, id="a"), Dynamic(Echo, id="calls")])) as system:
            ref = system.ref("a", Parent)
            with pytest.raises(Gone):
                await ref.ask(Parent.stop_child)
            await asyncio.sleep(1)
            assert log == ["went on", "ended", "terminate"]

    @virtual
    async def test_an_idle_actor_whose_task_is_cancelled_by_a_stranger_crashes(self) -> None:
        recorder = Recorder()

        class Hostage(Echo):
            async def task_of_mine(self) -> "list[asyncio.Task[object]]":
                task = asyncio.current_task()
                assert task is not None
                return [task]

        async with running(Supervisor([Child(Hostage, id="a")]), hook=recorder) as system:
            ref = system.ref("a", Hostage)
            (task,) = await ref.ask(Hostage.task_of_mine)
            await asyncio.sleep(1)
            task.cancel()
            exited = await recorder.until(ChildExited, "a")
            assert isinstance(exited.reason, Crash)
            assert isinstance(exited.reason.error, asyncio.CancelledError)
            assert await ref.ask(Echo.add) == 1

    @virtual
    async def test_a_monitor_cancelled_before_its_notice_is_handled_is_silent(self) -> None:
        heard: list[Exit] = []

        class Nurse(Echo):
            async def watch(self, ref: Ref[Actor]) -> None:
                monitor = self.monitor(ref)
                await ref.down()
                monitor.cancel()

            def on_down(self, ref: Ref[Actor], reason: Exit) -> None:
                heard.append(reason)

        async with running(Supervisor([Child(Nurse, id="nurse"), Child(Echo, id="patient")])) as system:
            patient = system.ref("patient", Echo)
            watching = system.ref("nurse", Nurse).ask(Nurse.watch, patient)
            await asyncio.sleep(1)
            patient.tell(Echo.boom)
            await watching
            await asyncio.sleep(1)
            assert heard == []

    @virtual
    async def test_a_chain_of_links_of_any_length_ends_together(self) -> None:
        class Joined(Echo):
            def join(self, ref: Ref[Actor]) -> None:
                self.link(ref)

        recorder = Recorder()
        async with running(Supervisor([Dynamic(Joined, id="calls")]), hook=recorder) as system:
            calls = system.dynamic("calls", Joined)
            refs = [await calls.start() for _ in range(2000)]
            for one, other in pairwise(refs):
                await one.ask(Joined.join, other)
            refs[0].tell(Echo.boom)
            await asyncio.sleep(1)
            assert calls.count == 0
            assert len(recorder.of(ChildExited)) == 2000

    @virtual
    async def test_what_a_life_has_is_cancelled_in_the_order_it_was_taken(self) -> None:
        order: list[int] = []

        class Owner(Echo):
            def init(self) -> None:
                for n in range(50):
                    _ = self.task(self.work(n))

            async def work(self, n: int) -> None:
                try:
                    await asyncio.sleep(3600)
                finally:
                    order.append(n)

        async with running(Supervisor([Child(Owner, id="a")])):
            await asyncio.sleep(1)
        assert order == [*range(50)]


class TestRepairs:
    @virtual
    async def test_two_crashes_in_one_turn_lose_nobody(self) -> None:
        recorder = Recorder()
        children = [Child(Echo, id=id, restart=Restart.TRANSIENT) for id in "abc"]
        tree = Supervisor(children, strategy=Strategy.REST_FOR_ONE, intensity=2)
        async with running(tree, hook=recorder) as system:
            refs = [system.ref(id, Echo) for id in "abc"]
            for ref in reversed(refs[:2]):
                ref.tell(Echo.boom)
            await asyncio.sleep(1)
            assert [ref.is_alive for ref in refs] == [True] * 3

    @virtual
    async def test_a_start_to_be_tried_again_is_not_forgotten_for_the_repair_of_a_newcomer(self) -> None:
        fails = [0]
        children = [Child(partial(Stillborn, fails), id="a")]
        tree = Supervisor(children, strategy=Strategy.REST_FOR_ONE, intensity=10**6, period_s=1.0)
        for turns in range(6):
            async with running(tree) as system:
                new = await system.root.ask(Supervisor.start_child, Child(partial(SlowStillborn, [0]), id="new"))
                fails[0] = 100_000
                system.ref("a", Echo).tell(Echo.boom)
                for _ in range(20):
                    await asyncio.sleep(0)
                new = await system.root.ask(Supervisor.start_child, Child(partial(SlowStillborn, [0]), id="newer"))
                new.tell(Echo.boom)
                for _ in range(20 + turns):
                    await asyncio.sleep(0)
                fails[0] = 0
                await asyncio.sleep(10)
                assert system.ref("a", Echo).is_alive, turns

    @virtual
    async def test_an_init_that_would_not_stop_keeps_its_supervisor_from_nothing(self) -> None:
        mercy = asyncio.Event()

        class Clinging(Echo):
            async def init(self) -> None:
                while not mercy.is_set() and self.ref._lives:
                    try:
                        await mercy.wait()
                    except BaseException:  # noqa: BLE001 - what no task should do
                        continue

        recorder = Recorder()
        children = [Child(Echo, id="a"), Child(Clinging, id="b", shutdown=1.0, start_timeout_s=INFINITY)]
        tree = Supervisor(children, strategy=Strategy.REST_FOR_ONE, intensity=5)
        async with running(tree, hook=recorder) as system:
            system.ref("b", Echo).tell(Echo.boom)
            await asyncio.sleep(1)
            await system.root.ask(Supervisor.terminate_child, "b")
            system.ref("a", Echo).tell(Echo.boom)
            await asyncio.sleep(1)
            assert system.ref("a", Echo).is_alive
            mercy.set()
            for task in system.abandoned:
                assert task is not None
                task.cancel()


@virtual
async def test_a_deadline_is_never_early_not_even_after_the_loop_was_blocked() -> None:
    class Blocking(Echo):
        def block(self) -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop._jumping.now += 6.0

        def never(self) -> asyncio.Future[int]:
            return asyncio.get_running_loop().create_future()

    async with running(Supervisor([Child(Blocking, id="a"), Child(Blocking, id="b")])) as system:
        a, b = system.ref("a", Blocking), system.ref("b", Blocking)
        waiting = b.ask(Blocking.never)
        await asyncio.sleep(1.02)  # between two ticks of the wheel
        await a.ask(Blocking.block)
        asked_at = now()
        with pytest.raises(AskTimeout):
            await b.ask(Blocking.never)
        assert 5.0 <= now() - asked_at <= 5.11
        assert waiting.done()


class Slow(Echo):
    """Takes a second to begin."""

    born: ClassVar[list[Ref["Slow"]]] = []

    async def init(self) -> None:
        Slow.born.append(self.ref)
        await asyncio.sleep(1.0)


class TestAChildStartedTerminatedAndStartedAgainInOneTurn:
    @pytest.mark.parametrize("kind", [Echo, Slow])
    def test_is_started_once_more_and_kept(self, kind: type[Echo]) -> None:
        @virtual
        async def scenario() -> None:
            async with running(Supervisor([Child(kind, id="a")], intensity=5)) as system:
                ask, child = system.root.ask, system.ref("a", Echo)
                await ask(Supervisor.terminate_child, "a")
                asks = (
                    ask(Supervisor.restart_child, "a"),
                    ask(Supervisor.terminate_child, "a"),
                    ask(Supervisor.restart_child, "a"),
                )
                first, _, last = await asyncio.gather(*asks, return_exceptions=True)
                assert isinstance(first, StartFailed)
                assert last is child
                child.tell(Echo.boom)
                await asyncio.sleep(10)
                assert child.is_alive

        scenario()

    @pytest.mark.parametrize("kind", [Echo, Slow])
    def test_is_known_also_when_it_is_new(self, kind: type[Echo]) -> None:
        @virtual
        async def scenario() -> None:
            Slow.born.clear()
            async with running(Supervisor()) as system:
                ask = system.root.ask
                asks = (
                    ask(Supervisor.start_child, Child(kind, id="a")),
                    ask(Supervisor.terminate_child, "a"),
                    ask(Supervisor.restart_child, "a"),
                )
                first, _, last = await asyncio.gather(*asks, return_exceptions=True)
                assert isinstance(first, StartFailed)
                assert last is system.ref("a", Echo)
                assert system.ref("a", Echo).is_alive
            assert not any(ref.is_alive for ref in Slow.born)

        scenario()


@virtual
async def test_one_that_was_started_by_hand_while_its_group_came_back_is_brought_back_like_all() -> None:
    class SlowAgain(Echo):
        async def init(self) -> None:
            await asyncio.sleep(10.0 if self.ref._lives else 0.0)

    children = [Child(SlowAgain, id="a"), Child(Echo, id="b")]
    async with running(Supervisor(children, strategy=Strategy.REST_FOR_ONE, intensity=5)) as system:
        a, b = system.ref("a", Echo), system.ref("b", Echo)
        a.tell(Echo.boom)
        await asyncio.sleep(1)
        for act, id in (
            (Supervisor.terminate_child, "b"),
            (Supervisor.restart_child, "b"),
            (Supervisor.terminate_child, "a"),
        ):
            await system.root.ask(act, id)
        await asyncio.sleep(1)
        b.tell(Echo.boom)
        await asyncio.sleep(60)
        assert b.is_alive


@virtual
async def test_of_two_ends_that_waited_the_second_is_nothing_to_a_supervisor_that_the_first_has_ended() -> None:
    recorder = Recorder()
    children = [Child(Slow, id="x"), Child(Echo, id="b"), Child(Echo, id="c")]
    inner = Supervisor(children, id="inner", restart=Restart.TEMPORARY, strategy=Strategy.REST_FOR_ONE, intensity=0)
    async with running(Supervisor([inner]), hook=recorder) as system:
        ref, b, c = system.ref("inner", Supervisor), system.ref("inner/b", Echo), system.ref("inner/c", Echo)
        await ref.ask(Supervisor.terminate_child, "x")
        ref.tell(Supervisor.restart_child, "x")
        await asyncio.sleep(0.5)
        b.tell(Echo.boom)
        c.tell(Echo.boom)
        await asyncio.sleep(10)
        assert len(recorder.of(GaveUp)) == 1


@virtual
async def test_a_tell_to_one_whose_task_a_stranger_has_just_cancelled_raises_nothing_in_the_sender() -> None:
    async with running(Supervisor([Child(AsyncEcho, id="a")])) as system:
        ref = system.ref("a", AsyncEcho)
        await ref.ask(Echo.add)
        await asyncio.sleep(0)
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "a")
        task.cancel()
        ref.tell(Echo.add)
        await asyncio.sleep(1)
        assert await ref.ask(Echo.add) == 1


class Finisher(Echo):
    """Has a task that takes three turns to end."""

    def init(self) -> None:
        _ = self.task(self.work())

    async def work(self) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            for _ in range(3):
                await asyncio.sleep(0)


ENDING = {
    "within its shutdown": Child(Finisher, id="a"),
    "on the ladder": Child(Finisher, id="a", shutdown=BRUTAL_KILL),
    "with what is below it": Supervisor([Child(Finisher, id="x")], id="a", shutdown=BRUTAL_KILL),
}


@pytest.mark.parametrize("n_turns", range(5))
@pytest.mark.parametrize("how", ENDING)
def test_a_loop_that_is_closed_while_a_child_ends_can_be_closed(how: str, n_turns: int) -> None:
    """As `asyncio.run` does at the end: every task is cancelled, and then waited for."""
    system: list[System] = []

    async def tree() -> None:
        async with running(Supervisor([ENDING[how]])) as one:
            system.append(one)
            await asyncio.sleep(3600)

    async def main() -> None:
        whole = asyncio.create_task(tree(), name="tree")
        while not system:
            await asyncio.sleep(0)
        system[0].root.tell(Supervisor.terminate_child, "a")
        for _ in range(n_turns):
            await asyncio.sleep(0)
        tasks = {whole, *asyncio.all_tasks()} - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        _, left = await asyncio.wait(tasks, timeout=100)
        assert not left

    run_virtual(main())
