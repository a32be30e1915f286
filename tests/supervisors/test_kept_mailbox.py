"""A mailbox that outlives a crash: what had not begun is the next life's, once and in order; or it fails at once."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisors import Actor, Backoff, Child, Gone, Ref, Restart, Strategy, Supervisor, System, running
from supervisors.testing import Boom, run_virtual, virtual

LIVES = st.sampled_from(["plain", "waiting", "with a task", "last words"])


class Clerk(Actor):
    """Writes down what it handles, and in which life."""

    keeps_mailbox = True

    def __init__(self, log: list[tuple[int, int]], fails: list[int] | None = None) -> None:
        self.log = log
        self.fails = fails

    def init(self) -> None:
        self.life = self.ref._lives
        if self.fails and self.life:
            self.fails.pop()
            raise Boom

    def note(self, n: int) -> int:
        self.log.append((self.life, n))
        return n

    def boom(self, n: int) -> None:
        self.note(n)
        raise Boom

    def leave(self, n: int) -> None:
        self.note(n)
        self.stop()


class AsyncClerk(Clerk):
    """Waits in its handlers and in its init."""

    async def init(self) -> None:  # type: ignore[override] # both kinds of init are fine
        await asyncio.sleep(1.0)
        Clerk.init(self)

    async def note_later(self, n: int) -> int:
        await asyncio.sleep(1.0)
        return self.note(n)


class BusyClerk(Clerk):
    """Has a task that takes its time to end."""

    def init(self) -> None:
        super().init()
        _ = self.task(self.work())

    async def work(self) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.5)


class SorryClerk(Clerk):
    """Has last words."""

    async def terminate(self, reason: object) -> None:
        await asyncio.sleep(0.5)


CLERKS: dict[str, type[Clerk]] = {
    "plain": Clerk,
    "waiting": AsyncClerk,
    "with a task": BusyClerk,
    "last words": SorryClerk,
}


def clerk(system: System) -> Ref[Clerk]:
    return system.ref("clerk", Clerk)


@pytest.mark.parametrize("kind", CLERKS)
def test_what_had_not_begun_is_handled_by_the_next_life_and_what_crashed_is_not_tried_again(kind: str) -> None:
    @virtual
    async def scenario() -> None:
        log: list[tuple[int, int]] = []
        async with running(Supervisor([Child(partial(CLERKS[kind], log), id="clerk")])) as system:
            ref = clerk(system)
            crashed, answered = ref.ask(Clerk.boom, 1), ref.ask(Clerk.note, 2)
            assert ref.tell(Clerk.note, 3)
            with pytest.raises(Gone):
                await crashed
            assert await answered == 2
            await asyncio.sleep(1)
            assert log == [(0, 1), (1, 2), (1, 3)]

    scenario()


@virtual
async def test_one_that_stops_by_itself_hands_on_too() -> None:
    log: list[tuple[int, int]] = []
    async with running(Supervisor([Child(partial(Clerk, log), id="clerk")])) as system:
        clerk(system).tell(Clerk.leave, 1)
        assert await clerk(system).ask(Clerk.note, 2) == 2
    assert log == [(0, 1), (1, 2)]


class TestWhenNobodyFollowsItFailsAtOnce:
    @staticmethod
    def check(tree: Supervisor) -> None:
        @virtual
        async def scenario() -> None:
            async with running(Supervisor([tree], intensity=0)) as system:
                ref = system.ref("s/clerk", Clerk)
                ref.tell(Clerk.boom, 1)
                with pytest.raises(Gone):
                    await ref.ask(Clerk.note, 2)
                assert asyncio.get_running_loop().time() == 0

        scenario()

    @pytest.mark.parametrize(
        "supervisor",
        [
            partial(Supervisor, intensity=9, backoff=Backoff(first_s=0.1, top_s=0.1, reset_after_s=1.0)),
            partial(Supervisor, intensity=9, strategy=Strategy.ONE_FOR_ALL),
        ],
        ids=["after a wait", "with its siblings"],
    )
    def test_when_it_comes_back_later(self, supervisor: partial[Supervisor]) -> None:
        self.check(supervisor([Child(partial(Clerk, []), id="clerk"), Child(partial(Clerk, []), id="other")], id="s"))

    def test_when_it_is_temporary(self) -> None:
        self.check(Supervisor([Child(partial(Clerk, []), id="clerk", restart=Restart.TEMPORARY)], id="s"))

    def test_when_it_cannot_begin(self) -> None:
        self.check(Supervisor([Child(partial(Clerk, [], [1]), id="clerk")], id="s", intensity=9))

    @virtual
    async def test_when_it_is_terminated(self) -> None:
        async with running(Supervisor([Child(partial(Clerk, []), id="clerk")])) as system:
            system.root.tell(Supervisor.terminate_child, "clerk")
            with pytest.raises(Gone):
                await clerk(system).ask(Clerk.note, 1)

    @virtual
    async def test_when_an_init_that_waits_fails(self) -> None:
        async with running(Supervisor([Child(partial(AsyncClerk, [], [1]), id="clerk")], intensity=9)) as system:
            clerk(system).tell(Clerk.boom, 1)
            with pytest.raises(Gone):
                await clerk(system).ask(Clerk.note, 2)
            await asyncio.sleep(3)
            assert await clerk(system).ask(Clerk.note, 3) == 3


@virtual
async def test_timers_and_deferred_work_belong_to_the_life_that_had_them() -> None:
    log: list[tuple[int, int]] = []

    class Deferring(Clerk):
        def both(self) -> None:
            self.after(0.0, Clerk.note, 7)
            self.defer(Clerk.boom, 1)
            self.defer(Clerk.note, 8)

    async with running(Supervisor([Child(partial(Deferring, log), id="clerk")])) as system:
        ref = system.ref("clerk", Deferring)
        ref.tell(Deferring.both)
        assert await ref.ask(Clerk.note, 2) == 2
        await asyncio.sleep(1)
    assert log == [(0, 1), (1, 2)]


@settings(deadline=None)
@given(LIVES, st.lists(st.tuples(st.sampled_from(["note", "boom", "leave", "tell"]), st.integers(0, 2)), max_size=30))
def test_whatever_is_sent_each_message_is_begun_once_at_most_in_order_and_each_ask_ends(
    kind: str, sent: list[tuple[str, int]]
) -> None:
    log: list[tuple[int, int]] = []

    async def scenario() -> None:
        async with running(Supervisor([Child(partial(CLERKS[kind], log), id="clerk")], intensity=99)) as system:
            ref, asks = clerk(system), list[tuple[int, asyncio.Future[int]]]()
            for n, (what, turns) in enumerate(sent):
                if what == "note":
                    asks.append((n, ref.ask(Clerk.note, n)))
                else:
                    ref.tell({"boom": Clerk.boom, "leave": Clerk.leave, "tell": Clerk.note}[what], n)
                for _ in range(turns):
                    await asyncio.sleep(0)
            await asyncio.sleep(60)
            handled = [n for _, n in log]
            assert handled == sorted(set(handled))
            assert log == sorted(log)
            for n, ask in asks:
                assert ask.done()
                assert (ask.exception() is None) == (n in handled)

    run_virtual(scenario())


@virtual
async def test_what_waits_for_one_that_is_stopped_for_good_fails_before_its_last_words() -> None:
    class Parting(Clerk):
        async def terminate(self, reason: object) -> None:
            await asyncio.sleep(2.0)

        async def work(self) -> None:
            await asyncio.sleep(3600)

    async with running(Supervisor([Child(partial(Parting, []), id="clerk")])) as system:
        ref = system.ref("clerk", Parting)
        ref.tell(Parting.work)
        waiting = ref.ask(Clerk.note, 1)
        await asyncio.sleep(0.5)
        system.root.tell(Supervisor.terminate_child, "clerk")
        with pytest.raises(Gone):
            await waiting
        assert asyncio.get_running_loop().time() == pytest.approx(0.5)
