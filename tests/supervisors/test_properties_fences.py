"""What a dead life says is heard by nobody, and what the kernel says to a living one is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisors import (
    BRUTAL_KILL,
    Actor,
    Child,
    ChildExited,
    ChildStarted,
    Dynamic,
    Exit,
    Name,
    Ref,
    Restart,
    Shutdown,
    Supervisor,
    System,
    WhenFull,
    running,
)
from supervisors.errors import KernelError
from supervisors.testing import Boom, Echo, run_virtual

HERS = Name["Undead"]("hers")


class Undead(Echo):
    """Has a task that outlives the ladder, and then does, each time it is woken, what `deed` says."""

    def __init__(self, mercy: asyncio.Event, deed: Callable[[Undead, Ref[Echo]], object], calls: list[object]) -> None:
        super().__init__()
        self.mercy = mercy
        self.deed = deed
        self.calls = calls

    def init(self) -> None:
        if not self.ref._lives:
            _ = self.task(self.live_on())

    async def live_on(self) -> None:
        while not self.mercy.is_set():
            try:
                await asyncio.sleep(3600)
            except BaseException:  # noqa: BLE001 - the beast
                if asyncio.current_task() in self.system.abandoned:
                    self.calls.append(self.attempt())

    def attempt(self) -> object:
        try:
            return self.deed(self, self.system.ref("victim", Echo))
        except KernelError as error:
            return error


def start_another(undead: Undead, victim: Ref[Echo]) -> object:
    coroutine = undead.system.dynamic("calls", Echo).start()
    try:
        coroutine.send(None)
    except StopIteration as started:
        return started.value
    return None


DEEDS: dict[str, Callable[[Undead, Ref[Echo]], object]] = {
    "ask": lambda undead, victim: victim.ask(Echo.add),
    "ask with a deadline": lambda undead, victim: victim.within(1.0).ask(Echo.boom),
    "tell": lambda undead, victim: victim.tell(Echo.boom),
    "tell itself": lambda undead, victim: undead.ref.tell(Echo.boom),
    "ask its supervisor": lambda undead, victim: undead.system.root.ask(Supervisor.terminate_child, "victim"),
    "after": lambda undead, victim: undead.after(0.0, Echo.boom),
    "defer": lambda undead, victim: undead.defer(Echo.boom),
    "task": lambda undead, victim: undead.task(fail()),
    "stop": lambda undead, victim: undead.stop(),
    "monitor": lambda undead, victim: undead.monitor(victim),
    "link": lambda undead, victim: undead.link(victim),
    "register": lambda undead, victim: undead.register(HERS),
    "start a child": start_another,
}


async def fail() -> None:
    raise Boom


async def afterlife(deed: Callable[[Undead, Ref[Echo]], object], *, comes_back: bool) -> None:
    """Abandon an Undead, wake it, and look whether anybody takes notice: not those about it, nor its next life."""
    mercy, calls, events = asyncio.Event(), list[object](), list[object]()
    undead = Child(lambda: Undead(mercy, deed, calls), id="undead", shutdown=BRUTAL_KILL)
    tree = Supervisor([Child(Echo, id="victim"), undead, Dynamic(Echo, id="calls")], intensity=9)
    try:
        async with running(tree, hook=events.append) as system:
            victim, ref = system.ref("victim", Echo), system.ref("undead", Undead)
            await system.root.ask(Supervisor.terminate_child, "undead")
            (task,) = system.abandoned
            assert task is not None
            if comes_back:
                await system.root.ask(Supervisor.restart_child, "undead")
            events.clear()
            calls.clear()
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(1)
            assert len(calls) >= 2
            assert events == []
            assert (victim._handled, ref.is_alive, system.find(HERS)) == (0, comes_back, None)
            assert system.dynamic("calls", Echo).count == 0
            if comes_back:
                assert await ref.ask(Echo.add) == 1
                ref.tell(Echo.end, Shutdown())  # whom the present life takes along is nobody that the last one joined
                assert await ref.down() == Shutdown()
                assert events == [ChildExited("undead", Shutdown()), ChildStarted("undead", 2)]
            assert await victim.ask(Echo.add) == 1
    finally:
        mercy.set()
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
        await asyncio.sleep(1)
    assert not system.abandoned
    for call in calls:
        if isinstance(call, asyncio.Future):
            assert isinstance(call.exception(), KernelError)


@pytest.mark.parametrize("comes_back", [False, True], ids=["which is down", "which has come back"])
@pytest.mark.parametrize("what", DEEDS)
def test_what_an_abandoned_task_does_reaches_nobody(what: str, comes_back: bool) -> None:
    """The last words are those of an actor `which is down` or `which has come back`, in another life."""
    run_virtual(afterlife(DEEDS[what], comes_back=comes_back))


class Watchman(Actor):
    """Writes down all that he hears; what strangers shout, too, as far as there is room."""

    mailbox_limit = 3

    def __init__(self) -> None:
        self.heard: list[str] = []

    def watch(self, refs: list[Ref[Echo]], n_timers: int, n_deferred: int) -> None:
        for ref in refs:
            self.monitor(ref)
        for _ in range(n_timers):
            self.after(0.5, type(self).write, "ring")
        for _ in range(n_deferred):
            self.defer(type(self).write, "deferred")

    def on_down(self, ref: object, reason: Exit) -> None:
        self.write("down")

    def write(self, word: str) -> None:
        self.heard.append(word)

    def leave(self) -> None:
        self.stop()

    def terminate(self, reason: Exit) -> None:
        self.write("terminate")


class SlowWatchman(Watchman):
    """The other engine: he is busy for a while with everything he is told."""

    async def shout(self) -> None:
        self.write("shout")
        await asyncio.sleep(0.25)


@settings(deadline=None)
@given(
    st.sampled_from([Watchman, SlowWatchman]),
    st.sampled_from(WhenFull),
    st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(0, 10)),
    st.lists(st.integers(0, 20), max_size=4),
)
def test_a_full_user_lane_loses_shouts_and_never_a_notice_a_timer_deferred_work_or_the_stop(
    engine: type[Watchman], when_full: WhenFull, n: tuple[int, int, int], shouts: list[int]
) -> None:
    n_watched, n_timers, n_deferred = n
    kind = type("Kind", (engine,), {"when_full": when_full})
    shout = getattr(engine, "shout", Watchman.write)
    args = () if engine is SlowWatchman else ("shout",)
    made: list[Watchman] = []

    def make() -> Watchman:
        made.append(kind())
        return made[-1]

    async def scenario() -> None:
        watched = [Child(Echo, id=f"e{n}", restart=Restart.TEMPORARY) for n in range(n_watched)]
        tree = Supervisor([Child(make, id="w", restart=Restart.TEMPORARY), *watched])
        async with running(tree) as system:
            await scene(system)

    async def scene(system: System) -> None:
        watchman = system.ref("w", Watchman)
        refs = [system.ref(f"e{n}", Echo) for n in range(n_watched)]
        await watchman.ask(Watchman.watch, refs, n_timers, n_deferred)
        for n_shouts in shouts:
            taken = [watchman.tell(shout, *args) for _ in range(n_shouts)]
            if when_full is not WhenFull.DROP_OLDEST:
                assert sum(taken) <= watchman._actor.mailbox_limit  # type: ignore[union-attr] # he lives
            for ref in refs:
                ref.tell(Echo.boom)
            await asyncio.sleep(0.1)
        await asyncio.sleep(20)
        heard = made[0].heard
        assert heard.count("deferred") == n_deferred
        assert heard.count("ring") == n_timers
        assert heard.count("down") == (n_watched if shouts else 0)
        assert heard.count("shout") <= sum(shouts)
        for _ in range(10):
            watchman.tell(shout, *args)
        stopping = watchman._actor
        assert stopping is not None
        stopping.stop()
        heard.clear()
        await asyncio.sleep(1)
        assert heard == ["terminate"]

    run_virtual(scenario())
