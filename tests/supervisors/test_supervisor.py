"""Who is restarted, in which order, how often, and when the supervisor gives up."""

import asyncio
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisors import (
    AlreadyPresent,
    AlreadyStarted,
    AutoShutdown,
    BackingOff,
    Backoff,
    Child,
    ChildExited,
    ChildRestarting,
    ChildRunning,
    ChildStarted,
    Counts,
    Crash,
    Exit,
    GaveUp,
    Killed,
    Normal,
    NoSuchChild,
    Restart,
    Shutdown,
    StartFailed,
    Strategy,
    Supervisor,
    TreeDown,
    running,
)
from supervisors.testing import Boom, Echo, LastWords, Recorder, SlowStillborn, Stillborn, run_virtual, virtual

CRASH = Crash(Boom())


def now() -> float:
    return asyncio.get_running_loop().time()


def three(strategy: Strategy, intensity: int = 1, **options: object) -> Supervisor:
    children = [Child(Echo, id=id, **options) for id in ("a", "b", "c")]  # type: ignore[arg-type]
    return Supervisor(children, strategy=strategy, intensity=intensity)


class TestStrategies:
    @pytest.mark.parametrize(
        ("strategy", "ended", "started"),
        [
            (Strategy.ONE_FOR_ONE, ["b"], ["b"]),
            (Strategy.ONE_FOR_ALL, ["b", "c", "a"], ["a", "b", "c"]),
            (Strategy.REST_FOR_ONE, ["b", "c"], ["b", "c"]),
        ],
    )
    def test_a_crash_restarts_those_of_its_strategy_and_stops_them_right_to_left(
        self, strategy: Strategy, ended: list[str], started: list[str]
    ) -> None:
        @virtual
        async def scenario() -> None:
            recorder = Recorder()
            async with running(three(strategy), hook=recorder) as system:
                recorder.events.clear()
                system.ref("b", Echo).tell(Echo.boom)
                await asyncio.sleep(1)
                assert list(recorder.exits()) == ended
                assert recorder.started() == started

        scenario()

    @pytest.mark.parametrize("strategy", Strategy)
    def test_one_restart_too_many_ends_the_supervisor_whatever_the_strategy(self, strategy: Strategy) -> None:
        @virtual
        async def scenario() -> None:
            recorder = Recorder()

            async def run() -> None:
                async with running(three(strategy, intensity=2), hook=recorder) as system:
                    for _ in range(3):
                        system.ref("b", Echo).tell(Echo.boom)
                        await asyncio.sleep(0.1)
                    raise AssertionError("the body should have been cancelled")

            with pytest.raises(TreeDown) as down:
                await run()
            assert isinstance(down.value.reason, Shutdown)
            assert recorder.of(GaveUp) == [GaveUp("/", 2, 5.0, "b")]

        scenario()

    @virtual
    async def test_restarting_all_counts_once_and_not_once_per_child(self) -> None:
        async with running(three(Strategy.ONE_FOR_ALL, intensity=1)) as system:
            system.ref("b", Echo).tell(Echo.boom)
            await asyncio.sleep(1)
            assert system.ref("c", Echo).is_alive

    @pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
    def test_a_temporary_bystander_is_stopped_and_not_brought_back(self, strategy: Strategy) -> None:
        @virtual
        async def scenario() -> None:
            tree = Supervisor([Child(Echo, id="a"), Child(Echo, id="t", restart=Restart.TEMPORARY)], strategy=strategy)
            async with running(tree) as system:
                system.ref("a", Echo).tell(Echo.boom)
                await asyncio.sleep(1)
                assert system.ref("a", Echo).is_alive
                with pytest.raises(NoSuchChild):
                    system.ref("t", Echo)

        scenario()

    @pytest.mark.parametrize(("strategy", "n_restarts_of_a"), [(Strategy.ONE_FOR_ALL, 2), (Strategy.REST_FOR_ONE, 0)])
    def test_when_another_child_fails_to_restart_the_group_of_that_child_is_tried_again(
        self, strategy: Strategy, n_restarts_of_a: int
    ) -> None:
        @virtual
        async def scenario() -> None:
            fails, recorder = [0], Recorder()
            children = [Child(Echo, id="a"), Child(Echo, id="b"), Child(partial(Stillborn, fails), id="c")]
            async with running(Supervisor(children, strategy=strategy, intensity=2), hook=recorder) as system:
                fails[0] = 1
                system.ref("b", Echo).tell(Echo.boom)
                await asyncio.sleep(1)
                last = recorder.of(ChildStarted, "a")[-1]
                assert last.restarts == n_restarts_of_a
                assert recorder.of(ChildStarted, "b")[-1].restarts == (2 if strategy is Strategy.ONE_FOR_ALL else 1)
                assert system.ref("c", Stillborn).is_alive

        scenario()

    @pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
    def test_a_sibling_that_crashes_during_a_repair_is_seen_to_after_it(self, strategy: Strategy) -> None:
        @virtual
        async def scenario() -> None:
            recorder = Recorder()
            children = [Child(Echo, id="a"), Child(partial(SlowStillborn, [0]), id="slow")]
            async with running(Supervisor(children, strategy=strategy, intensity=5), hook=recorder) as system:
                recorder.events.clear()
                system.ref("a", Echo).tell(Echo.boom)
                await recorder.until(ChildStarted, "a")
                system.ref("a", Echo).tell(Echo.boom)
                await recorder.until(ChildStarted, "a", n=2)
                await recorder.until(ChildStarted, "slow", n=2)

        scenario()


class TestRestartKinds:
    @pytest.mark.parametrize("reason", [Normal(), Shutdown(), Shutdown("x"), Killed(), CRASH], ids=str)
    @pytest.mark.parametrize("restart", Restart)
    def test_permanent_always_transient_after_an_abnormal_end_temporary_never(
        self, restart: Restart, reason: Exit
    ) -> None:
        comes_back = restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and reason in (Killed(), CRASH))

        @virtual
        async def scenario() -> None:
            async with running(Supervisor([Child(Echo, id="a", restart=restart)])) as system:
                ref = system.ref("a", Echo)
                ref.tell(Echo.end, reason)
                assert await ref.down() == reason
                assert ref.is_alive == comes_back
                counts = await system.root.ask(Supervisor.count_children)
                assert counts.specs == (0 if restart is Restart.TEMPORARY else 1)

        scenario()


def trees() -> st.SearchStrategy[object]:
    """Random trees as nested lists: a leaf is None."""
    return st.recursive(st.none(), lambda below: st.lists(below, min_size=1, max_size=4), max_leaves=12)


def build(shape: object, id: str, strategy: Strategy) -> Supervisor | Child[Echo]:
    if not isinstance(shape, list):
        return Child(Echo if len(id) % 2 else partial(LastWords, 1.0), id=id)
    return Supervisor([build(below, f"{id}{n}", strategy) for n, below in enumerate(shape)], id=id, strategy=strategy)


def paths(shape: object, id: str, above: str) -> list[str]:
    """The paths of a tree in the order they must come up: children before their supervisor, left to right."""
    path = f"{above}/{id}" if above else id
    below = (
        [p for n, child in enumerate(shape) for p in paths(child, f"{id}{n}", path)] if isinstance(shape, list) else []
    )
    return [*below, path]


def ends(shape: object, id: str, above: str) -> list[str]:
    """The order they must end: the right sibling before the left, children before their supervisor."""
    path = f"{above}/{id}" if above else id
    children = list(enumerate(shape)) if isinstance(shape, list) else []
    return [*(p for n, child in reversed(children) for p in ends(child, f"{id}{n}", path)), path]


@settings(deadline=None)
@given(st.lists(trees(), max_size=4), st.sampled_from(Strategy))
def test_every_tree_starts_left_to_right_and_stops_right_to_left(shapes: list[object], strategy: Strategy) -> None:
    async def scenario() -> None:
        recorder = Recorder()
        tree = Supervisor([build(shape, f"n{n}", strategy) for n, shape in enumerate(shapes)], strategy=strategy)
        async with running(tree, hook=recorder):
            pass
        numbered = list(enumerate(shapes))
        assert recorder.started() == [p for n, shape in numbered for p in paths(shape, f"n{n}", "")] + ["/"]
        assert list(recorder.exits()) == [p for n, shape in reversed(numbered) for p in ends(shape, f"n{n}", "")] + [
            "/"
        ]
        assert set(recorder.exits().values()) == {Shutdown()}

    run_virtual(scenario())


class TestStarting:
    @virtual
    async def test_a_child_that_does_not_start_stops_those_before_it_and_fails_with_its_cause(self) -> None:
        recorder = Recorder()
        children = [Child(Echo, id="a"), Child(partial(Stillborn, [9]), id="b"), Child(Echo, id="c")]
        with pytest.raises(StartFailed) as failed:
            async with running(Supervisor([Supervisor(children, id="inner")]), hook=recorder):
                pass
        causes, cause = [], failed.value.__cause__
        while cause is not None:
            causes.append(type(cause))
            cause = cause.__cause__
        assert causes[-1] is Boom
        assert recorder.started() == ["inner/a"]
        assert recorder.exits()["inner/a"] == Shutdown()

    @virtual
    async def test_a_start_that_is_cancelled_leaves_nothing_behind(self) -> None:
        recorder = Recorder()
        children = [Child(partial(LastWords, 1.0), id="a"), Child(partial(SlowStillborn, [0]), id="b")]

        async def run() -> None:
            async with running(Supervisor(children), hook=recorder):
                raise AssertionError("not up yet")

        task = asyncio.create_task(run())
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await recorder.until(ChildExited, "a")
        await recorder.until(ChildExited, "/")


class TestRestartLoop:
    """OTP's hanging_restart_loop cases: a child that does not come up keeps nobody from working."""

    @pytest.mark.parametrize("strategy", Strategy)
    @pytest.mark.parametrize("start", [Stillborn, SlowStillborn])
    def test_the_supervisor_answers_terminates_and_stops_in_the_middle_of_it(
        self, strategy: Strategy, start: type[Stillborn]
    ) -> None:
        @virtual
        async def scenario() -> None:
            fails = [0]
            children = [Child(partial(start, fails), id="a"), Child(Echo, id="b")]
            tree = Supervisor(children, strategy=strategy, intensity=100_000, period_s=100.0)
            async with running(tree) as system:
                fails[0] = 50_000
                system.ref("a", Echo).tell(Echo.boom)
                for _ in range(20):
                    await asyncio.sleep(0)
                root = system.root
                with pytest.raises(AlreadyPresent):
                    await root.ask(Supervisor.start_child, Child(Echo, id="a"))
                with pytest.raises(ChildRestarting):
                    await root.ask(Supervisor.restart_child, "a")
                with pytest.raises(ChildRestarting):
                    await root.ask(Supervisor.delete_child, "a")
                (row, _) = await root.ask(Supervisor.which_children)
                assert row.state == "restarting"
                assert (await root.ask(Supervisor.count_children)).specs == 2
                await root.ask(Supervisor.terminate_child, "a")
                await asyncio.sleep(5)
                assert not system.ref("a", Echo).is_alive
                fails[0] = 0
                await root.ask(Supervisor.restart_child, "a")
                fails[0] = 50_000
                system.ref("a", Echo).tell(Echo.boom)
                await asyncio.sleep(0)
            assert fails[0] > 49_000

        scenario()

    @pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
    def test_those_behind_a_child_that_does_not_come_up_are_down_until_it_does_or_they_are_started_by_hand(
        self, strategy: Strategy
    ) -> None:
        @virtual
        async def scenario() -> None:
            fails = [0]
            children = [Child(partial(SlowStillborn, fails), id="a"), Child(Echo, id="b"), Child(Echo, id="c")]
            async with running(Supervisor(children, strategy=strategy, intensity=100)) as system:
                fails[0] = 50
                system.ref("a", Echo).tell(Echo.boom)
                await asyncio.sleep(2.0)
                await system.root.ask(Supervisor.terminate_child, "a")
                rows = await system.root.ask(Supervisor.which_children)
                assert [row.state for row in rows] == ["stopped"] * 3
                await system.root.ask(Supervisor.restart_child, "b")
                await system.root.ask(Supervisor.delete_child, "c")
                fails[0] = 1
                with pytest.raises(StartFailed):
                    await system.root.ask(Supervisor.restart_child, "a")
                await system.root.ask(Supervisor.restart_child, "a")
                system.ref("a", Echo).tell(Echo.boom)
                await asyncio.sleep(2.0)
                rows = await system.root.ask(Supervisor.which_children)
                assert [(row.path, row.state) for row in rows] == [("a", "running"), ("b", "running")]
                assert [row.restarts for row in rows] == [2, 2]

        scenario()

    @virtual
    async def test_starts_that_fail_use_up_the_intensity(self) -> None:
        fails = [0]

        async def run() -> None:
            async with running(Supervisor([Child(partial(Stillborn, fails), id="a")], intensity=3)) as system:
                fails[0] = 100
                system.ref("a", Echo).tell(Echo.boom)
                await asyncio.sleep(10)

        with pytest.raises(TreeDown):
            await run()
        assert fails[0] == 97


class TestIntensity:
    @virtual
    async def test_crashes_further_apart_than_the_period_go_on_for_ever(self) -> None:
        async with running(three(Strategy.ONE_FOR_ONE, intensity=1)) as system:
            for _ in range(10):
                system.ref("a", Echo).tell(Echo.boom)
                await asyncio.sleep(5.1)

    @virtual
    async def test_an_inner_supervisor_that_gives_up_is_restarted_by_the_outer_and_the_refs_stay_good(self) -> None:
        recorder = Recorder()
        inner = Supervisor([Child(Echo, id="a"), Child(Echo, id="b")], id="inner", intensity=0)
        async with running(Supervisor([inner]), hook=recorder) as system:
            a, b = system.ref("inner/a", Echo), system.ref("inner/b", Echo)
            await b.ask(Echo.add, 5)
            a.tell(Echo.boom)
            await recorder.until(ChildStarted, "inner", n=2)
            assert await asyncio.gather(a.ask(Echo.add), b.ask(Echo.add)) == [1, 1]
            assert recorder.of(GaveUp) == [GaveUp("inner", 0, 5.0, "a")]


class TestBackoff:
    @virtual
    async def test_waits_grow_until_a_life_has_lasted(self) -> None:
        recorder = Recorder()
        backoff = Backoff(first_s=1.0, top_s=10.0, jitter=0.0, reset_after_s=60.0)
        tree = Supervisor([Child(Echo, id="a")], intensity=100, backoff=backoff)
        async with running(tree, hook=recorder) as system:
            for lasted_s in (0, 0, 0, 60, 0):
                await asyncio.sleep(lasted_s)
                system.ref("a", Echo).tell(Echo.boom)
                await recorder.until(ChildStarted, "a", n=len(recorder.of(ChildStarted, "a")) + 1)
            assert [event.delay_s for event in recorder.of(BackingOff)] == [1.0, 2.0, 4.0, 1.0, 2.0]

    @virtual
    async def test_a_child_that_waits_can_be_terminated_and_an_ask_to_it_fails_at_once(self) -> None:
        backoff = Backoff(first_s=50.0, top_s=50.0, reset_after_s=60.0)
        async with running(Supervisor([Child(Echo, id="a")], backoff=backoff)) as system:
            ref = system.ref("a", Echo)
            ref.tell(Echo.boom)
            await ref.down()
            assert not ref.is_alive
            with pytest.raises(ChildRestarting):
                await system.root.ask(Supervisor.restart_child, "a")
            await system.root.ask(Supervisor.terminate_child, "a")
            await asyncio.sleep(100)
            assert not ref.is_alive


class TestAutoShutdown:
    @staticmethod
    def pair(auto: AutoShutdown, restart: Restart) -> Supervisor:
        children = [Child(Echo, id=id, restart=restart, significant=True) for id in ("a", "b")]
        return Supervisor([*children, Child(Echo, id="c")], auto_shutdown=auto, intensity=9)

    @pytest.mark.parametrize(
        ("restart", "reason", "ends"),
        [
            (Restart.TEMPORARY, CRASH, True),
            (Restart.TEMPORARY, Normal(), True),
            (Restart.TRANSIENT, Normal(), True),
            (Restart.TRANSIENT, Shutdown(), True),
            (Restart.TRANSIENT, CRASH, False),
        ],
    )
    @pytest.mark.parametrize("auto", [AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT])
    def test_the_end_of_significant_children_is_the_end_of_their_supervisor(
        self, auto: AutoShutdown, restart: Restart, reason: Exit, ends: bool
    ) -> None:
        @virtual
        async def scenario() -> None:
            recorder = Recorder()
            inner = Child(lambda: self.pair(auto, restart), id="inner", restart=Restart.TEMPORARY)
            async with running(Supervisor([inner]), hook=recorder) as system:
                system.ref("inner/a", Echo).tell(Echo.end, reason)
                await asyncio.sleep(1)
                if auto is AutoShutdown.ALL_SIGNIFICANT:
                    assert "inner" not in recorder.exits()
                    system.ref("inner/b", Echo).tell(Echo.end, reason)
                    await asyncio.sleep(1)
                assert ("inner" in recorder.exits()) == ends

        scenario()

    @virtual
    async def test_terminating_a_significant_child_through_its_supervisor_ends_nothing(self) -> None:
        async with running(self.pair(AutoShutdown.ANY_SIGNIFICANT, Restart.TEMPORARY)) as system:
            await system.root.ask(Supervisor.terminate_child, "a")
            await asyncio.sleep(1)
            assert system.root.is_alive

    @virtual
    async def test_a_significant_bystander_of_a_group_restart_ends_nothing(self) -> None:
        children = [Child(Echo, id="a"), Child(Echo, id="b", restart=Restart.TEMPORARY, significant=True)]
        tree = Supervisor(children, strategy=Strategy.ONE_FOR_ALL, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
        async with running(tree) as system:
            system.ref("a", Echo).tell(Echo.boom)
            await asyncio.sleep(1)
            assert system.ref("a", Echo).is_alive


class TestAdministration:
    @virtual
    async def test_a_child_is_added_terminated_restarted_and_deleted(self) -> None:
        async with running(Supervisor()) as system:
            root = system.root
            ref = await root.ask(Supervisor.start_child, Child(Echo, id="a"))
            assert await ref.ask(Echo.add) == 1
            for ask, refusal in (
                (lambda: root.ask(Supervisor.start_child, Child(Echo, id="a")), AlreadyStarted),
                (lambda: root.ask(Supervisor.restart_child, "a"), ChildRunning),
                (lambda: root.ask(Supervisor.delete_child, "a"), ChildRunning),
                (lambda: root.ask(Supervisor.terminate_child, "x"), NoSuchChild),
            ):
                with pytest.raises(refusal):
                    await ask()
            await root.ask(Supervisor.terminate_child, "a")
            await root.ask(Supervisor.terminate_child, "a")
            with pytest.raises(AlreadyPresent):
                await root.ask(Supervisor.start_child, Child(Echo, id="a"))
            assert await root.ask(Supervisor.restart_child, "a") is ref
            await root.ask(Supervisor.terminate_child, "a")
            await root.ask(Supervisor.delete_child, "a")
            assert await root.ask(Supervisor.count_children) == Counts(0, 0, 0, 0)

    @virtual
    async def test_a_child_that_does_not_start_is_not_added_and_its_asker_hears_why(self) -> None:
        async with running(Supervisor()) as system:
            with pytest.raises(StartFailed) as failed:
                await system.root.ask(Supervisor.start_child, Child(partial(Stillborn, [1]), id="a"))
            assert isinstance(failed.value.exit, Crash)
            assert (await system.root.ask(Supervisor.count_children)).specs == 0
            assert system.root.is_alive

    @virtual
    async def test_a_temporary_child_leaves_no_spec_behind(self) -> None:
        async with running(Supervisor()) as system:
            child = Child(Echo, id="a", restart=Restart.TEMPORARY)
            ref = await system.root.ask(Supervisor.start_child, child)
            ref.tell(Echo.end, Normal())
            await ref.down()
            assert await system.root.ask(Supervisor.start_child, child) is not ref

    @virtual
    async def test_children_that_end_by_themselves_while_the_supervisor_stops_keep_their_reasons(self) -> None:
        class Ending(Echo):
            def __init__(self, reason: Exit) -> None:
                super().__init__()
                self.reason = reason

            def init(self) -> None:
                self.after(0.5, Echo.end, self.reason)

        recorder, reasons = Recorder(), [Normal(), Shutdown(), Shutdown("x"), CRASH]
        children = [
            Child(partial(Ending, reason), id=f"{restart.name}{n}", restart=restart)
            for restart in Restart
            for n, reason in enumerate(reasons)
        ]
        async with running(Supervisor([*children, Child(partial(LastWords, 1.0), id="slow")]), hook=recorder):
            pass
        assert now() == pytest.approx(1.0)
        for child in children:
            assert recorder.exits()[child.id] == reasons[int(child.id[-1])]
