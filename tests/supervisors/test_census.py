"""The tree as data: how each child fares, what its last failure was, and how near its supervisor is to giving up."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import Census, Child, Dynamic, Gone, Restart, RestartWindow, Strategy, Supervisor, System, running
from supervisors.testing import AsyncEcho, Boom, Echo, Stillborn, virtual


def found(system: System, path: str) -> Census:
    """Return the row of the child at `path`."""
    at = system.census()
    for id in path.split("/"):
        at = next(child for child in at.children if child.path.rpartition("/")[2] == id)
    return at


class Clumsy(Echo):
    """Fails with what it is told."""

    def take(self, number: str) -> None:
        """Fail, with what must not be seen only in what it is given."""
        raise Boom("no seat")


class Rude(Exception):
    """Cannot be told."""

    def __repr__(self) -> str:
        raise Boom

    __str__ = __repr__


class Offended(Echo):
    """Crashes with what cannot be told, or with what is too long to be told."""

    def be_rude(self) -> None:
        """Crash with an error whose text raises."""
        raise Rude

    def go_on_and_on(self) -> None:
        """Crash with an error of a megabyte."""
        raise Boom("x" * 1_000_000)


class TestFailures:
    """The last failure of a child."""

    @virtual
    async def test_a_crash_is_told_with_its_error_and_the_message_that_caused_it_but_not_what_that_was_given(
        self,
    ) -> None:
        async with running(Supervisor([Child(Clumsy, id="a")])) as system:
            assert found(system, "a").failure is None
            system.ref("a", Clumsy).tell(Clumsy.take, "+49 30 123456")
            await system.ref("a", Clumsy).down()
            failure = found(system, "a").failure
            assert failure is not None
            assert (failure.error, failure.during) == ("Boom: no seat", "Clumsy.take")

    @virtual
    async def test_it_is_remembered_over_later_lives_and_ends(self) -> None:
        tree = Supervisor([Child(Clumsy, id="a"), Child(Echo, id="b")], strategy=Strategy.ONE_FOR_ALL, intensity=9)
        async with running(tree) as system:
            for path, handler in (("a", Echo.boom), ("b", Echo.boom)):
                system.ref(path, Echo).tell(handler)
                await system.ref(path, Echo).down()
                await asyncio.sleep(1)
            a = found(system, "a")
            assert (a.restarts, a.last) == (2, "Shutdown(detail='')")
            assert a.failure is not None
            assert a.failure.during == "Echo.boom"

    @virtual
    async def test_an_end_that_is_no_failure_is_none(self) -> None:
        async with running(Supervisor([Child(Echo, id="a", restart=Restart.TRANSIENT)])) as system:
            await system.root.ask(Supervisor.terminate_child, "a")
            assert (found(system, "a").failure, found(system, "a").last) == (None, "Shutdown(detail='')")

    @virtual
    async def test_a_start_that_fails_is_a_failure_too(self) -> None:
        fails = [0]
        async with running(Supervisor([Child(lambda: Stillborn(fails), id="a")], intensity=9)) as system:
            fails[0] = 1
            system.ref("a", Stillborn).tell(Echo.boom)
            await system.ref("a", Stillborn).down()
            failure = found(system, "a").failure
            assert failure is not None
            assert failure.during == "init"

    @virtual
    async def test_an_error_that_cannot_be_told_is_told_by_its_class_and_harms_no_asker_and_no_restart(self) -> None:
        async with running(Supervisor([Child(Offended, id="a")])) as system:
            offended = system.ref("a", Offended)
            asks = [offended.ask(Offended.be_rude), offended.ask(Echo.add)]
            assert [type(answer) for answer in await asyncio.gather(*asks, return_exceptions=True)] == [Gone, Gone]
            assert await offended.ask(Echo.add) == 1
            failure = found(system, "a").failure
            assert failure is not None
            assert failure.error == "Rude"

    @virtual
    async def test_an_error_is_kept_as_text_of_a_bounded_length(self) -> None:
        async with running(Supervisor([Child(Offended, id="a")])) as system:
            system.ref("a", Offended).tell(Offended.go_on_and_on)
            await asyncio.sleep(1)
            row = found(system, "a")
            assert row.failure is not None
            assert len(row.failure.error) < 1000
            assert len(row.last) < 1000


@virtual
async def test_a_child_is_of_the_kind_that_its_last_life_was() -> None:
    async with running(Supervisor([Child(Echo, id="a"), Child(Echo, id="b")])) as system:
        await system.root.ask(Supervisor.terminate_child, "a")
        assert [(row.kind, row.state) for row in system.census().children] == [("Echo", "stopped"), ("Echo", "running")]


class TestRestarts:
    """Of which the supervisor's intensity counts the latest."""

    @virtual
    async def test_restarts_in_window_are_those_that_the_supervisors_intensity_counts_now(self) -> None:
        async with running(Supervisor([Child(Echo, id="a")], intensity=3, period_s=10.0)) as system:
            for _ in range(2):
                system.ref("a", Echo).tell(Echo.boom)
                await system.ref("a", Echo).down()
                await asyncio.sleep(6)
            # at 0 and 6 s; it is 12 s now
            assert (system.census().restarts_in_window, found(system, "a").restarts) == (1, 2)
            await asyncio.sleep(6)
            assert system.census().restarts_in_window == 0

    @virtual
    async def test_a_child_that_is_no_supervisor_has_no_window(self) -> None:
        async with running(
            Supervisor([Child(Echo, id="a"), Dynamic(Echo, id="calls", restart=Restart.PERMANENT)])
        ) as system:
            child = await system.dynamic("calls", Echo).start()
            child.tell(Echo.boom)
            await child.down()
            assert found(system, "calls").restarts_in_window == 1
            assert (found(system, "calls/1").restarts, found(system, "calls/1").restarts_in_window) == (1, 0)

    @given(st.lists(st.floats(0, 20)), st.integers(0, 5), st.floats(0.1, 10))
    def test_a_window_counts_the_restarts_of_its_period_up_to_one_more_than_it_allows(
        self, gaps: list[float], intensity: int, period_s: float
    ) -> None:
        window, now, times = RestartWindow(intensity, period_s), 0.0, []
        for gap in gaps:
            now += gap
            times.append(now)
            window.admits(now)
        in_period = sum(now - time <= period_s for time in times)
        assert window.count(now) == min(in_period, intensity + 1)


@pytest.mark.parametrize("echo", [Echo, AsyncEcho])
class TestMessages:
    """How many an actor has handled, in both engines."""

    def test_handled_counts_over_all_lives_those_that_crash_too(self, echo: type[Echo]) -> None:
        @virtual
        async def scenario() -> None:
            async with running(Supervisor([Child(echo, id="a")], intensity=9)) as system:
                ref = system.ref("a", Echo)
                await ref.ask(Echo.add)
                ref.tell(Echo.boom)
                await ref.down()
                await asyncio.sleep(1)
                await ref.ask(Echo.add)
                assert found(system, "a").handled == 3

        scenario()

    def test_a_long_burst_is_counted_whole(self, echo: type[Echo]) -> None:
        @virtual
        async def scenario() -> None:
            async with running(Supervisor([Child(echo, id="a")])) as system:
                for _ in range(700):
                    system.ref("a", Echo).tell(Echo.add)
                assert await system.ref("a", Echo).ask(Echo.add) == 701
                await asyncio.sleep(1)
                assert found(system, "a").handled == 701

        scenario()


@virtual
async def test_an_actor_that_is_never_idle_is_counted_while_it_works() -> None:
    async with running(Supervisor([Child(AsyncEcho, id="a")])) as system:
        for _ in range(10):
            system.ref("a", AsyncEcho).tell(AsyncEcho.nap, 1.0)
        await asyncio.sleep(4.5)
        assert found(system, "a").handled >= 4
