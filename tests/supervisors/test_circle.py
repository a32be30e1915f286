"""Asks in a circle: found out within two ticks where everybody waits in a handler, left to the deadline elsewhere."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisors import Actor, AskedItself, AskTimeout, Child, Gone, Ref, StartFailed, Supervisor, System, running
from supervisors.testing import run_virtual, virtual

NAMES = "abcd"


class Walker(Actor):
    """Goes where it is sent: asks the first of `path` to go on with the rest."""

    def at(self, name: str) -> "Ref[Walker]":
        return self.system.ref(name, Walker)

    async def walk(self, path: str) -> str:
        return await self.at(path[0]).ask(Walker.walk, path[1:]) if path else "there"

    async def race(self, path: str) -> str:
        """As walk, but wait for two things at once."""
        return (await asyncio.gather(self.at(path[0]).ask(Walker.walk, path[1:]), asyncio.sleep(0)))[0]

    async def send(self, path: str) -> str:
        """Ask, and wait for something else."""
        self.answer = self.at(path[0]).ask(Walker.walk, path[1:])
        await asyncio.sleep(1.0)
        return "sent"


def walkers() -> Supervisor:
    return Supervisor([Child(Walker, id=name) for name in NAMES], intensity=100)


def root_cause(error: BaseException | None) -> BaseException | None:
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    return error


async def walk(system: System, path: str) -> str | BaseException | None:
    """Return where a walk ends, or the first cause of its failure."""
    try:
        return await system.ref(path[0], Walker).ask(Walker.walk, path[1:])
    except Gone as gone:
        return root_cause(gone)


@pytest.mark.parametrize(
    ("path", "asker", "through"), [("aba", "b", ("a",)), ("abca", "c", ("a", "b")), ("abcb", "c", ("b",))]
)
def test_who_closes_a_circle_is_told_who_is_in_it(path: str, asker: str, through: tuple[str, ...]) -> None:
    @virtual
    async def scenario() -> None:
        async with running(walkers()) as system:
            asked = await walk(system, path)
            assert isinstance(asked, AskedItself)
            assert (asked.path, asked.through) == (asker, through)
            assert str(asked) == f"{asker} asked itself, through {', '.join(through)}"
            assert asyncio.get_running_loop().time() <= 0.1

    scenario()


@virtual
async def test_of_two_who_ask_each_other_at_once_the_second_is_told_and_the_first_hears_of_its_end() -> None:
    async with running(walkers()) as system:
        a, b = system.ref("a", Walker), system.ref("b", Walker)
        first, second = a.ask(Walker.walk, "b"), b.ask(Walker.walk, "a")
        await asyncio.wait([first, second])
        assert isinstance(root_cause(first.exception()), AskedItself)
        assert root_cause(second.exception()) is root_cause(first.exception())
        assert asyncio.get_running_loop().time() <= 0.1


@virtual
async def test_a_circle_through_somebody_who_is_starting_is_found_too() -> None:
    class Eager(Walker):
        async def init(self) -> None:
            await self.at("a").ask(Walker.walk, "e")

    async with running(walkers()) as system:
        with pytest.raises(StartFailed) as failed:
            await system.root.ask(Supervisor.start_child, Child(Eager, id="e"))
        assert isinstance(root_cause(failed.value), AskedItself)


@virtual
async def test_an_ask_whose_asker_does_not_wait_for_it_closes_nothing() -> None:
    async with running(walkers()) as system:
        sent = system.ref("b", Walker).ask(Walker.send, "a")
        assert await system.ref("a", Walker).ask(Walker.walk, "b") == "there"  # after b has slept
        assert await sent == "sent"


@virtual
async def test_who_waits_for_several_at_once_waits_for_the_deadline() -> None:
    async with running(walkers()) as system:
        failed = system.ref("a", Walker).within(30.0).ask(Walker.race, "ba")
        with pytest.raises(Gone) as gone:
            await failed
        assert isinstance(root_cause(gone.value), AskTimeout)
        assert 5.0 <= asyncio.get_running_loop().time() <= 5.1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(NAMES, min_size=1, max_size=6), max_size=8))
def test_a_walk_ends_well_unless_it_comes_by_twice(paths: list[str]) -> None:
    async def scenario() -> None:
        async with running(walkers()) as system:
            for path in paths:  # one after the other: nobody else is in the way
                began_at = asyncio.get_running_loop().time()
                end = await walk(system, path)
                assert end == "there" if len(set(path)) == len(path) else isinstance(end, AskedItself), path
                assert asyncio.get_running_loop().time() - began_at <= 0.1 + 1e-9

    run_virtual(scenario())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(NAMES, min_size=1, max_size=4), min_size=2, max_size=8))
def test_walks_in_each_others_way_all_end_long_before_their_deadline(paths: list[str]) -> None:
    async def scenario() -> None:
        async with running(walkers()) as system:
            ends = await asyncio.gather(*(walk(system, path) for path in paths))
            assert not any(isinstance(end, AskTimeout) for end in ends), ends
            assert asyncio.get_running_loop().time() < 1.0

    run_virtual(scenario())
