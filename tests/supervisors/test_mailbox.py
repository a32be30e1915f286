"""Two lanes: the control lane is first and never full, the user lane is bounded and says what it does when it is."""

import asyncio
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisors import Actor, Child, Exit, Gone, Overloaded, Ref, Restart, Supervisor, WhenFull, running
from supervisors.testing import AsyncEcho, Echo, run_virtual, virtual


class Small(Echo):
    mailbox_limit = 2


class Patient(Small):
    when_full = WhenFull.WAIT


class Lossy(Small):
    when_full = WhenFull.DROP_OLDEST


def one(start: Callable[[], Actor]) -> Supervisor:
    return Supervisor([Child(start, id="a", restart=Restart.TEMPORARY)])


@virtual
async def test_refuse_fails_the_ask_and_the_tell() -> None:
    async with running(one(Small)) as system:
        ref = system.ref("a", Small)
        assert [ref.tell(Echo.add) for _ in range(3)] == [True, True, False]
        with pytest.raises(Overloaded) as full:
            await ref.ask(Echo.add)
        assert full.value.limit == 2
        assert system.n_refused == 2
        await asyncio.sleep(0)
        assert await ref.ask(Echo.add) == 3


@virtual
async def test_wait_keeps_the_asker_waiting_and_tells_the_teller_to_wait_for_room() -> None:
    async with running(one(Patient)) as system:
        ref = system.ref("a", Patient)
        asks = [ref.ask(Echo.add) for _ in range(5)]
        assert not ref.tell(Echo.add)
        await ref.room()
        assert ref.tell(Echo.add)
        assert await asyncio.gather(*asks) == [1, 2, 3, 4, 5]
        assert await ref.ask(Echo.add) == 7


@virtual
async def test_who_waits_for_room_is_told_of_the_death() -> None:
    async with running(one(Patient)) as system:
        ref = system.ref("a", Patient)
        ref.tell(Echo.boom)
        ref.tell(Echo.boom)
        with pytest.raises(Gone):
            await ref.room()


@virtual
async def test_drop_oldest_makes_room_and_tells_the_asker_it_dropped() -> None:
    async with running(one(Lossy)) as system:
        ref = system.ref("a", Lossy)
        dropped = ref.ask(Echo.add, 100)
        kept = [ref.ask(Echo.add) for _ in range(2)]
        assert await asyncio.gather(*kept) == [1, 2]
        assert isinstance(dropped.exception(), Overloaded)
        assert system.n_dropped == 1


@virtual
async def test_an_idle_actor_has_no_mailbox() -> None:
    async with running(one(Echo)) as system:
        ref = system.ref("a", Echo)
        assert await ref.ask(Echo.add) == 1
        await asyncio.sleep(0)
        assert ref._box is None


class Letter:
    """Something that takes up room."""


@pytest.mark.parametrize("engine", [Echo, AsyncEcho])
def test_an_idle_actor_keeps_nothing_of_what_it_was_told(engine: type[Echo]) -> None:
    class Reader(engine):  # type: ignore[valid-type, misc] # both engines
        def read(self, letter: Letter) -> None:
            """Forget it."""

    @virtual
    async def scenario() -> None:
        async with running(one(Reader)) as system:
            ref, letter = system.ref("a", Reader), Letter()
            kept = weakref.ref(letter)
            ref.tell(Reader.read, letter)
            del letter
            await asyncio.sleep(1)
            assert kept() is None

    scenario()


class Watchman(Actor):
    """Takes notice of every death and every ring, however many strangers shout."""

    mailbox_limit = 1
    when_full = WhenFull.DROP_OLDEST

    def __init__(self) -> None:
        self.order: list[str] = []

    def watch(self, refs: list[Ref[Echo]], n_timers: int) -> None:
        for ref in refs:
            self.monitor(ref)
        for _ in range(n_timers):
            self.after(0.5, Watchman.ring)

    def on_down(self, ref: Ref[Actor], reason: Exit) -> None:
        self.order.append("down")

    def ring(self) -> None:
        self.order.append("ring")

    def shout(self) -> None:
        self.order.append("shout")

    def read(self) -> list[str]:
        return self.order


@settings(deadline=None)
@given(n_watched=st.integers(0, 20), n_timers=st.integers(0, 20), n_shouts=st.integers(0, 50))
def test_no_down_notice_and_no_timer_is_ever_dropped_for_a_full_user_lane(
    n_watched: int, n_timers: int, n_shouts: int
) -> None:
    async def scenario() -> None:
        echoes = [Child(Echo, id=f"e{n}", restart=Restart.TEMPORARY) for n in range(n_watched)]
        async with running(Supervisor([Child(Watchman, id="w"), *echoes])) as system:
            refs = [system.ref(echo.id, Echo) for echo in echoes]
            watchman = system.ref("w", Watchman)
            await watchman.ask(Watchman.watch, refs, n_timers)
            for ref in refs:
                ref.tell(Echo.boom)
            for _ in range(n_shouts):
                watchman.tell(Watchman.shout)
            await asyncio.sleep(1)
            order = await watchman.ask(Watchman.read)
            assert order.count("down") == n_watched
            assert order.count("ring") == n_timers
            assert order.count("shout") == min(n_shouts, 1)

    run_virtual(scenario())


@virtual
async def test_control_messages_go_before_what_waits_in_the_user_lane() -> None:
    class Roomy(Watchman):
        mailbox_limit = 100

        def block(self) -> None:
            for _ in range(3):
                self.ref.tell(Watchman.shout)
            self.after(0.0, Watchman.ring)

    class Slow(Roomy):
        async def wait(self) -> None:
            self.block()
            await asyncio.sleep(1)

    async with running(one(Slow)) as system:
        ref = system.ref("a", Slow)
        await ref.ask(Slow.wait)
        assert await ref.ask(Watchman.read) == ["ring", "shout", "shout", "shout"]


@pytest.mark.parametrize("limit", [1, 2])
def test_there_is_room_again_as_soon_as_a_message_is_begun(limit: int) -> None:
    class Few(AsyncEcho):
        mailbox_limit = limit

    @virtual
    async def scenario() -> None:
        async with running(Supervisor([Child(Few, id="a")])) as system:
            ref = system.ref("a", Few)
            ref.tell(Few.nap, 1.0)
            await asyncio.sleep(0.1)
            while ref.tell(Few.nap, 3600.0):
                pass
            async with asyncio.timeout(2):
                await ref.room()
            assert ref.tell(Few.nap, 0.0)

    scenario()
