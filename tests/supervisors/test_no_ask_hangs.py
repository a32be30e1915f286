"""Whatever dies, whenever: every ask ends, and long before its deadline when its actor did."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisors import Child, Dynamic, Gone, Killed, Restart, Strategy, Supervisor, running
from supervisors.testing import AsyncEcho, Boom, Echo, LastWords, run_virtual


class Mortal(AsyncEcho):
    """Dies in every way an actor can, in both engines' handlers, at its start and at its end."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance

    async def init(self) -> None:
        await asyncio.sleep(self.chance.choice([0, 0, 0.001]))
        if self.ref._lives and self.chance.random() < 0.1:
            raise Boom

    async def terminate(self, reason: object) -> None:
        await asyncio.sleep(self.chance.choice([0, 0.001]))
        if self.chance.random() < 0.1:
            raise Boom

    def later(self, seconds: float) -> asyncio.Task[int]:
        return self.task(self.nap(seconds))

    def later_boom(self, seconds: float) -> asyncio.Task[None]:
        return self.task(self.nap_and_boom(seconds))

    def never(self) -> asyncio.Future[int]:
        return asyncio.get_running_loop().create_future()


class QuickMortal(Echo):
    """The same without tasks."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance

    def init(self) -> None:
        if self.ref._lives and self.chance.random() < 0.1:
            raise Boom

    def never(self) -> asyncio.Future[int]:
        return asyncio.get_running_loop().create_future()


async def storm(seed: int, strategy: Strategy, n_asks: int) -> None:
    chance = random.Random(seed)
    quick = Child(lambda: QuickMortal(chance), id="quick", restart=chance.choice([*Restart][:2]))
    slow = Child(lambda: Mortal(chance), id="slow", shutdown=chance.choice([0.0, 0.0005, 1.0]))
    tree = Supervisor(
        [quick, slow, Child(lambda: LastWords(0.001), id="last")],
        id="storm",
        strategy=strategy,
        intensity=chance.choice([3, 10_000]),
    )
    async with running(Supervisor([Child(lambda: tree, id="storm", restart=Restart.TEMPORARY)])) as system:
        refs = system.ref("storm/quick", QuickMortal), system.ref("storm/slow", Mortal)
        asks = []
        for _ in range(n_asks):
            ref, handler, args = chance.choice(
                [
                    *((ref, Echo.add, ()) for ref in refs),
                    *((ref, Echo.boom, ()) for ref in refs),
                    *((ref, Echo.end, (Killed(),)) for ref in refs),
                    (refs[0], QuickMortal.never, ()),
                    (refs[1], Mortal.never, ()),
                    (refs[1], AsyncEcho.nap, (0.001,)),
                    (refs[1], AsyncEcho.nap_and_boom, (0.001,)),
                    (refs[1], AsyncEcho.leak, ()),
                    (refs[1], Mortal.later, (0.001,)),
                    (refs[1], Mortal.later_boom, (0.001,)),
                ]
            )
            asks.append((ref, ref.ask(handler, *args)))  # type: ignore[arg-type]
            if chance.random() < 0.3:
                await asyncio.sleep(chance.choice([0, 0, 0.0005, 0.002]))
        for ref in refs:  # now end every life that is left: nothing may be owed after that
            ref.tell(Echo.end, Killed())
        await asyncio.sleep(0.5)
        for ref, ask in asks:
            assert ask.done(), (seed, ref)
            assert isinstance(ask.exception(), Gone | type(None)), (seed, ask)


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("block", range(4))
def test_every_ask_ends_with_the_life_it_was_sent_to(strategy: Strategy, block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        run_virtual(storm(seed, strategy, n_asks=40))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["ask", "boom", "stop", "start"]), max_size=30))
def test_asks_to_children_that_come_and_go_end(steps: list[str]) -> None:
    async def scenario() -> None:
        async with running(Supervisor([Dynamic(Echo, id="calls", max_children=3)])) as system:
            calls = system.dynamic("calls", Echo)
            asks, seen = [], [await calls.start()]
            for step in steps:
                if step == "start" and calls.count < 3:
                    seen.append(await calls.start())
                elif step == "stop":
                    await calls.stop(seen[-1])
                else:
                    asks.extend(ref.ask(Echo.boom if step == "boom" else Echo.add) for ref in seen)
            await asyncio.sleep(0.01)
            assert all(ask.done() for ask in asks)
            assert all(isinstance(ask.exception(), Gone | type(None)) for ask in asks)

    run_virtual(scenario())
