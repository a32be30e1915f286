"""What holds of every tree, whatever is done to it: order, nobody alive after their supervisor, replay; and a model."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from supervisors import (
    INFINITY,
    Actor,
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    Child,
    ChildExited,
    ChildRunning,
    ChildStarted,
    Crash,
    Dynamic,
    DynamicRef,
    Event,
    Exit,
    Killed,
    Normal,
    NoSuchChild,
    Ref,
    Restart,
    Shutdown,
    StartFailed,
    Strategy,
    Supervisor,
    System,
    TreeDown,
    is_abnormal,
    running,
)
from supervisors.end import kill
from supervisors.errors import Refused
from supervisors.testing import (
    AsyncEcho,
    Boom,
    Echo,
    LastWords,
    Recorder,
    SlowStillborn,
    Stillborn,
    Swallower,
    VirtualLoop,
    run_virtual,
    virtual,
)

KINDS: list[Callable[[], Echo]] = [Echo, AsyncEcho, partial(LastWords, 1.0), partial(SlowStillborn, [0])]
REASONS: list[Exit] = [Normal(), Shutdown(), Shutdown("enough"), Killed(), Crash(Boom())]

# A shape of a tree: a leaf is a number, which says what kind; a list is a supervisor.
Shape = int | list["Shape"]
SHAPES: st.SearchStrategy[Shape] = st.recursive(
    st.integers(0, 20), lambda below: st.lists(below, min_size=1, max_size=4), max_leaves=10
)


def child(
    shape: Shape, id: str, make: Callable[[int, str], Child[Echo]], strategy: Strategy
) -> Supervisor | Child[Echo]:
    if isinstance(shape, int):
        return make(shape, id)
    below = [child(each, f"{id}{n}", make, strategy) for n, each in enumerate(shape)]
    return Supervisor(below, id=id, strategy=strategy, intensity=10**6)


def in_order(shape: Shape, path: str) -> list[str]:
    """Every path of a tree, children before their supervisor, left to right: the order in which they come up."""
    id = path.rpartition("/")[2]
    below = [] if isinstance(shape, int) else [in_order(each, f"{path}/{id}{n}") for n, each in enumerate(shape)]
    return [*(path for paths in below for path in paths), path]


class TestOrder:
    """Start left to right, stop right to left: also when something fails on the way, and when a part is restarted."""

    @settings(deadline=None)
    @given(st.lists(SHAPES, min_size=1, max_size=4), st.integers(0, 30))
    def test_a_child_that_does_not_start_has_everything_before_it_stopped_right_to_left_and_nothing_begun_after_it(
        self, shapes: list[Shape], n: int
    ) -> None:
        leaves = [path for n, shape in enumerate(shapes) for path in in_order(shape, f"n{n}") if is_leaf(shapes, path)]
        bad = leaves[n % len(leaves)]

        def make(kind: int, id: str) -> Child[Echo]:
            return Child(partial(Stillborn, [1]) if id == bad.rpartition("/")[2] else KINDS[kind % 4], id=id)

        async def scenario() -> Recorder:
            recorder = Recorder()
            tree = Supervisor([child(shape, f"n{n}", make, Strategy.ONE_FOR_ONE) for n, shape in enumerate(shapes)])
            try:
                async with running(tree, hook=recorder):
                    raise AssertionError("started")
            except StartFailed:
                return recorder

        recorder = run_virtual(scenario())
        everybody = [path for n, shape in enumerate(shapes) for path in in_order(shape, f"n{n}")]
        before = everybody[: everybody.index(bad)]
        assert recorder.started() == before
        ended = [event.path for event in recorder.of(ChildExited)]
        above = ["/".join(bad.split("/")[:depth]) for depth in range(bad.count("/"), 0, -1)]
        assert sorted(ended) == sorted([*before, bad, *above, "/"])
        leaves_ended = [path for path in ended if path in before and is_leaf(shapes, path)]
        assert leaves_ended == [path for path in reversed(before) if is_leaf(shapes, path)]

    @settings(deadline=None)
    @given(
        st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
        st.sampled_from(Strategy),
        st.integers(0, 5),
        st.sampled_from([None, Backoff(first_s=0.5, top_s=0.5, reset_after_s=60.0)]),
    )
    def test_a_group_is_stopped_right_to_left_and_started_left_to_right_and_nobody_else_is_touched(
        self, kinds: list[Callable[[], Echo]], strategy: Strategy, who: int, backoff: Backoff | None
    ) -> None:
        ids, who = [f"n{n}" for n in range(len(kinds))], who % len(kinds)
        group = {Strategy.ONE_FOR_ONE: ids[who : who + 1], Strategy.ONE_FOR_ALL: ids, Strategy.REST_FOR_ONE: ids[who:]}

        async def scenario() -> None:
            recorder = Recorder()
            children = [Child(kind, id=id) for kind, id in zip(kinds, ids, strict=True)]
            async with running(Supervisor(children, strategy=strategy, backoff=backoff), hook=recorder) as system:
                recorder.events.clear()
                system.ref(ids[who], Echo).tell(Echo.boom)
                await asyncio.sleep(60)
                others = [id for id in reversed(group[strategy]) if id != ids[who]]
                assert [event.path for event in recorder.of(ChildExited)] == [ids[who], *others]
                assert recorder.started() == group[strategy]
                told = [type(event) for event in recorder.events if isinstance(event, ChildExited | ChildStarted)]
                n = len(group[strategy])
                assert told == [ChildExited] * n + [ChildStarted] * n

        run_virtual(scenario())


def is_leaf(shapes: list[Shape], path: str) -> bool:
    shape: Shape = shapes[int(path.partition("/")[0][1:])]
    for id in path.split("/")[1:]:
        assert isinstance(shape, list)
        shape = shape[int(id[-1])]
    return isinstance(shape, int)


class Living:
    """The hook: who is up; and complaints when somebody is up whose supervisor has ended, or is up twice."""

    def __init__(self) -> None:
        self.up: dict[str, None] = {}
        self.events: list[Event] = []
        self.wrong: list[str] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, ChildStarted):
            if event.path in self.up:
                self.wrong.append(f"{event.path} was started twice")
            self.up[event.path] = None
        elif isinstance(event, ChildExited):
            self.up.pop(event.path, None)
            below = "" if event.path == "/" else f"{event.path}/"
            self.wrong += [f"{path} lives after {event.path}" for path in self.up if path.startswith(below)]


class Fragile(SlowStillborn):
    """Takes a second to begin and to end; when told to end, its start may fail the next time."""

    async def terminate(self, reason: Exit) -> None:
        await asyncio.sleep(1.0)

    def end(self, reason: Exit) -> None:
        self.fails[0] = len(str(reason)) % 2
        super().end(reason)


DOINGS = ["boom", "end", "terminate", "restart", "delete", "start", "call", "stop call", "give up a call"]
Deed = tuple[str, int, int, float]


async def live(shapes: list[Shape], strategy: Strategy, deeds: list[Deed], hook: Callable[[Event], None]) -> None:
    """Run a tree of these shapes and do those deeds to it: what, to whom, in which way, and how long to wait then."""
    fails, tasks = [0], set[asyncio.Task[object]]()
    starts: list[Callable[[], Echo]] = [*KINDS, partial(Fragile, fails), partial(Swallower, 3)]

    def whole() -> Supervisor:
        """A tree for one call, whose last child may not start."""
        first = Child(partial(Swallower, 3), id="a", shutdown=2.0)
        return Supervisor([first, Child(partial(SlowStillborn, [len(shapes) % 2]), id="b")])

    def make(kind: int, id: str) -> Child[Echo]:
        restart = [*Restart][kind % 3]
        return Child(starts[kind % 6], id=id, restart=restart, shutdown=[0.0, 0.5, 5.0][kind % 3])

    below = [child(shape, f"n{n}", make, strategy) for n, shape in enumerate(shapes)]
    on_demand: list[Callable[[], Actor]] = [whole, whole, Echo, partial(Fragile, fails)]
    start = on_demand[len(str(shapes)) % 4]
    backoff = Backoff(first_s=0.1, top_s=0.2, reset_after_s=1.0) if len(deeds) % 2 else None
    calls = Dynamic(start, id="calls", restart=[*Restart][len(deeds) % 3], shutdown=0.5, backoff=backoff)
    desk = Supervisor([calls], id="desk", shutdown=0.25)
    tree = Supervisor([*below, desk], intensity=10**6, strategy=strategy, backoff=backoff)
    try:
        async with running(tree, hook=hook, entropy=random.Random(1).random) as system:
            for what, whom, way, pause_s in deeds:
                refs = every(system.root)
                _do(what, refs[whom % len(refs)], way, tasks)
                await asyncio.sleep(pause_s)
    except (StartFailed, TreeDown):
        pass
    await asyncio.gather(*tasks, return_exceptions=True)


def every(ref: Ref[Actor]) -> list[Ref[Actor]]:
    return [ref, *(each for below in (ref._children or {}).values() for each in every(below))]


def _do(what: str, ref: Ref[Actor], way: int, tasks: set[asyncio.Task[object]]) -> None:
    loop, actor = asyncio.get_running_loop(), ref._actor
    ids = [*(ref._children or {}), "n"]
    id = ids[way % len(ids)]
    if what in ("boom", "end"):
        reason = Crash(Boom()) if what == "boom" else REASONS[way % 5]
        ref.tell(Actor.stop, reason)
    elif isinstance(actor, Dynamic):
        if what == "stop call":
            ref.tell(Dynamic.terminate_child, id)  # type: ignore[arg-type] # a Dynamic it is
        else:
            task = loop.create_task(actor.start_child())
            tasks.add(task)
            if what == "give up a call":
                loop.call_later(0.5 * (way % 6), task.cancel)
    elif isinstance(actor, Supervisor):
        asks: dict[str, tuple[Callable[..., object], object]] = {
            "terminate": (Supervisor.terminate_child, id),
            "restart": (Supervisor.restart_child, id),
            "delete": (Supervisor.delete_child, id),
        }
        kinds: list[Callable[[], Echo]] = [*KINDS, partial(Swallower, 3)]
        new = Child(kinds[way % 5], id=id, restart=[*Restart][way % 3], shutdown=0.5)
        handler, argument = asks.get(what, (Supervisor.start_child, new))
        ref.tell(handler, argument)


PAUSES_S = st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 2.0])
DEEDS = st.lists(st.tuples(st.sampled_from(DOINGS), st.integers(0, 30), st.integers(0, 30), PAUSES_S), max_size=25)


@settings(deadline=None, max_examples=150)
@given(st.lists(SHAPES, min_size=1, max_size=3), st.sampled_from(Strategy), DEEDS)
def test_whatever_is_done_to_a_tree_nobody_is_alive_after_their_supervisor_and_nobody_is_started_twice(
    shapes: list[Shape], strategy: Strategy, deeds: list[Deed]
) -> None:
    living = Living()
    run_virtual(live(shapes, strategy, deeds, living))
    assert (living.wrong, [*living.up]) == ([], [])


@settings(deadline=None, max_examples=50)
@given(st.lists(SHAPES, min_size=1, max_size=3), st.sampled_from(Strategy), DEEDS)
def test_what_was_done_to_a_tree_done_again_brings_the_same_events_at_the_same_times(
    shapes: list[Shape], strategy: Strategy, deeds: list[Deed]
) -> None:
    def told() -> list[str]:
        heard: list[str] = []

        def hook(event: Event) -> None:
            heard.append(f"{asyncio.get_running_loop().time()} {event}")

        run_virtual(live(shapes, strategy, deeds, hook))
        return heard

    assert told() == told()


class TestTheEndOfAStart:
    """A supervisor whose children have yet to stop, because one did not start, is given up itself."""

    @virtual
    async def test_its_children_have_ended_before_it_has(self) -> None:
        recorder = Recorder()
        children = [Child(partial(Swallower, 4), id="a", shutdown=INFINITY), Child(partial(SlowStillborn, [1]), id="b")]
        async with running(Supervisor([Dynamic(lambda: Supervisor(children), id="calls")]), hook=recorder) as system:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2.0):
                    await system.ref("calls", Dynamic).ask(Dynamic.start_child)
            system.ref("calls", Dynamic).tell(Actor.stop, Killed())
            await recorder.until(ChildStarted, "calls", n=2)
            assert list(recorder.exits()) == ["calls/1/b", "calls/1/a", "calls/1", "calls"]

    @virtual
    async def test_the_same_when_who_starts_it_gives_up(self) -> None:
        recorder = Recorder()
        children = [Child(partial(Swallower, 4), id="a", shutdown=INFINITY), Child(partial(SlowStillborn, [1]), id="b")]
        calls: Dynamic[[], Supervisor] = Dynamic(lambda: Supervisor(children), id="calls")
        async with running(Supervisor([calls]), hook=recorder) as system:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2.0):
                    await DynamicRef(system.ref("calls", Dynamic)).start()
            await recorder.until(ChildExited, "calls/1")
            assert list(recorder.exits()) == ["calls/1/b", "calls/1/a", "calls/1"]


@virtual
async def test_last_words_that_fail_in_the_turn_in_which_they_are_cut_short_are_no_strangers_to_the_loop() -> None:
    strays: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: strays.append(context))

    class Sorry(Echo):
        async def terminate(self, reason: Exit) -> None:
            await asyncio.sleep(1.0)
            raise Boom

    async with running(Supervisor([Child(Sorry, id="a", restart=Restart.TEMPORARY)])) as system:
        ref = system.ref("a", Echo)
        system.root.tell(Supervisor.terminate_child, "a")
        asyncio.get_running_loop().call_later(1.0, lambda: asyncio.get_running_loop().call_soon(kill, ref))
        await ref.down()
    gc.collect()
    assert strays == []


class Administration(RuleBasedStateMachine):
    """One supervisor and what OTP's manual says of it: every answer, who is up, in which order, in which life.

    The model: a dict of id to [restart kind, is it up, how many lives], in start order.
    """

    ids = st.sampled_from(["a", "b", "c", "d"])

    @initialize(strategy=st.sampled_from(Strategy), restarts=st.lists(st.sampled_from(Restart), max_size=4))
    def begin(self, strategy: Strategy, restarts: list[Restart]) -> None:
        self.strategy = strategy
        self.model: dict[str, tuple[Restart, bool, int]] = {
            id: (restart, True, 1) for id, restart in zip("abcd", restarts, strict=False)
        }
        children = [Child(Echo, id=id, restart=restart) for id, (restart, _, _) in self.model.items()]
        self.loop = VirtualLoop()
        self.system: System = self.loop.run_until_complete(
            self._up(Supervisor(children, strategy=strategy, intensity=10**6))
        )

    async def _up(self, tree: Supervisor) -> System:
        up: asyncio.Future[System] = self.loop.create_future()
        self.over = self.loop.create_future()

        async def body() -> None:
            async with running(tree) as system:
                up.set_result(system)
                await self.over

        self.body = self.loop.create_task(body())
        return await up

    def teardown(self) -> None:
        if hasattr(self, "body"):
            self.over.set_result(None)
            self.loop.run_until_complete(self.body)
            self.loop.close()

    def ask(self, handler: Callable[..., object], *args: object) -> type[Refused] | None:
        """Return what the supervisor refuses this with."""

        async def asking() -> type[Refused] | None:
            try:
                await self.system.root.ask(handler, *args)
            except Refused as refused:
                return type(refused)
            finally:
                await asyncio.sleep(1)
            return None

        return self.loop.run_until_complete(asking())

    @rule(id=ids, restart=st.sampled_from(Restart))
    def start_child(self, id: str, restart: Restart) -> None:
        refused = self.ask(Supervisor.start_child, Child(Echo, id=id, restart=restart))
        if id in self.model:
            assert refused is (AlreadyStarted if self.model[id][1] else AlreadyPresent)
        else:
            assert refused is None
            self.model[id] = restart, True, 1

    @rule(id=ids)
    def terminate_child(self, id: str) -> None:
        assert self.ask(Supervisor.terminate_child, id) is (None if id in self.model else NoSuchChild)
        self._down(id)

    @rule(id=ids)
    def restart_child(self, id: str) -> None:
        refused = self.ask(Supervisor.restart_child, id)
        if id not in self.model:
            assert refused is NoSuchChild
        elif self.model[id][1]:
            assert refused is ChildRunning
        else:
            assert refused is None
            self._again(id)

    @rule(id=ids)
    def delete_child(self, id: str) -> None:
        refused = self.ask(Supervisor.delete_child, id)
        if id not in self.model:
            assert refused is NoSuchChild
        elif self.model[id][1]:
            assert refused is ChildRunning
        else:
            assert refused is None
            del self.model[id]

    @rule(id=ids, reason=st.sampled_from(REASONS))
    def end(self, id: str, reason: Exit) -> None:
        async def ending() -> bool:
            told = self.system.ref(id, Echo).tell(Echo.end, reason) if id in self.model else False
            await asyncio.sleep(1)
            return told

        restart, is_up, _ = self.model.get(id, (None, False, 0))
        assert self.loop.run_until_complete(ending()) is is_up
        if not is_up:
            return
        if restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and not is_abnormal(reason)):
            self._down(id)
            return
        ids = [*self.model]
        first = {Strategy.ONE_FOR_ONE: ids.index(id), Strategy.REST_FOR_ONE: ids.index(id), Strategy.ONE_FOR_ALL: 0}
        for each in [id] if self.strategy is Strategy.ONE_FOR_ONE else ids[first[self.strategy] :]:
            if self.model[each][0] is Restart.TEMPORARY:
                self._down(each)
            else:
                self._again(each)

    def _down(self, id: str) -> None:
        restart, _, n_lives = self.model.get(id, (Restart.TEMPORARY, False, 0))
        if restart is Restart.TEMPORARY:
            self.model.pop(id, None)
        else:
            self.model[id] = restart, False, n_lives

    def _again(self, id: str) -> None:
        restart, _, n_lives = self.model[id]
        self.model[id] = restart, True, n_lives + 1

    @invariant()
    def the_children_are_those_of_the_model(self) -> None:
        async def asking() -> list[tuple[str, str, int]]:
            rows = await self.system.root.ask(Supervisor.which_children)
            counts = await self.system.root.ask(Supervisor.count_children)
            assert (counts.specs, counts.active) == (len(rows), sum(row.state == "running" for row in rows))
            return [(row.path, row.state, row.restarts) for row in rows]

        model = [(id, "running" if is_up else "stopped", n - 1) for id, (_, is_up, n) in self.model.items()]
        assert self.loop.run_until_complete(asking()) == model


TestAdministration = Administration.TestCase
TestAdministration.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
