"""Ten thousand crashes, at random points of ask, tell, stop and restart: no ask outlives the life it was sent to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from types import NoneType

import pytest

from supervisors import (
    Actor,
    AskedItself,
    Child,
    ChildExited,
    Crash,
    Dynamic,
    Event,
    Exit,
    Gone,
    Killed,
    Overloaded,
    Ref,
    Refused,
    Restart,
    Strategy,
    Supervisor,
    running,
)
from supervisors.testing import Boom, run_virtual

N_CRASHES = 10_000
N_BLOCKS = 10
ANSWERS = (NoneType, Gone, Overloaded, AskedItself, Refused)
"""What an ask may end with; None is an answer. AskTimeout is not among them: nothing here lasts five seconds."""


Handler = Callable[..., object]


class Mortal(Actor):
    """Crashes wherever an actor can: here is what takes no task."""

    mailbox_limit = 10

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def init(self) -> None:
        self.perhaps(0.1 if self.ref._lives else 0.0)

    def terminate(self, reason: Exit) -> None:
        self.perhaps(0.1)

    def on_down(self, ref: object, reason: Exit) -> None:
        self.perhaps(0.5)

    def perhaps(self, chance: float = 0.5) -> int:
        if self.dice.random() < chance:
            raise Boom
        return 1

    def refuse(self) -> None:
        raise Refused

    def never(self) -> asyncio.Future[int]:
        return asyncio.get_running_loop().create_future()

    def later(self) -> asyncio.Task[int]:
        return self.task(self.toil())

    async def toil(self) -> int:
        await asyncio.sleep(self.dice.choice([0, 0.001, 0.01]))
        return self.perhaps()

    def remind(self) -> None:
        self.after(self.dice.choice([0, 0.001]), type(self).perhaps)
        self.defer(type(self).perhaps, 0.1)

    def watch(self, ref: Ref[Mortal]) -> None:
        self.monitor(ref)

    def join(self, ref: Ref[Mortal]) -> None:
        self.link(ref)

    def leave(self) -> None:
        self.stop(Killed() if self.dice.random() < 0.5 else Crash(Boom()))


class Waiting(Mortal):
    """The same with handlers that wait, and a start and an end that do."""

    async def init(self) -> None:  # type: ignore[override] # both kinds are fine
        await asyncio.sleep(self.dice.choice([0, 0, 0.001]))
        super().init()

    async def terminate(self, reason: Exit) -> None:  # type: ignore[override] # both kinds are fine
        await asyncio.sleep(self.dice.choice([0, 0.001]))
        super().terminate(reason)

    async def nap(self) -> int:
        return await self.toil()

    async def pass_on(self, ref: Ref[Mortal]) -> int:
        return await ref.ask(Mortal.perhaps)


class Witness:
    """Counts crashes, and at the end of each life looks for asks that were sent to it and have not ended."""

    def __init__(self) -> None:
        self.n_crashes = 0
        self.asks: list[asyncio.Future[object]] = []
        self.wrong: list[str] = []

    def __call__(self, event: Event) -> None:
        self.n_crashes += isinstance(event, ChildExited) and isinstance(event.reason, Crash)

    def asked(self, ref: Ref[Actor], ask: asyncio.Future[object]) -> None:
        """`ask` was made just now: its actor's life must not end before it has."""
        self.asks.append(ask)
        if ref._actor is not None:
            ref._watch(ask, partial(self.ended, ask))

    def ended(self, ask: asyncio.Future[object], ref: Ref[Actor], reason: Exit) -> None:
        if not ask.done():
            self.wrong.append(f"an ask of {ref.path} outlives it, which ended as {reason}")

    def verdict(self) -> list[str]:
        """Return what was wrong: also asks that have no end, or the wrong one."""
        open = [f"without an end: {ask}" for ask in self.asks if not ask.done()]
        errors = [ask.exception() for ask in self.asks if ask.done()]
        return self.wrong + open + [f"{error!r}" for error in errors if not isinstance(error, ANSWERS)]


HANDLERS: tuple[Handler, ...] = (Mortal.perhaps, Mortal.remind, Mortal.refuse, Mortal.never, Mortal.later, Mortal.leave)


def what_to_ask(dice: random.Random, ref: Ref[Actor], other: Ref[Actor]) -> tuple[Handler, tuple[object, ...]]:
    """Return a handler that `ref` has now (a supervisor has none of them, and crashes) and what it is given."""
    things = [(handler, tuple[object, ...]()) for handler in (Mortal.perhaps, *HANDLERS)]
    things += [(handler, (other,)) for handler in (Mortal.watch, Mortal.join)]
    if isinstance(ref._actor, Waiting):
        things += [(Waiting.nap, ()), (Waiting.pass_on, (other,))] * 2
    return dice.choice(things)


async def storm(seed: int) -> int:
    """Do 200 random things to a random tree and end it; return how many lives have crashed."""
    dice, witness = random.Random(seed), Witness()
    kinds: list[Callable[[], Actor]] = [partial(Mortal, dice), partial(Waiting, dice)]
    fixed = [
        Child(dice.choice(kinds), id=f"n{n}", shutdown=dice.choice([0.0, 0.0005, 1.0]), restart=dice.choice([*Restart]))
        for n in range(4)
    ]
    intensity = dice.choice([10, 10**6, 10**6])
    inner = Supervisor(fixed, id="inner", strategy=dice.choice([*Strategy]), intensity=intensity)
    calls = Dynamic(kinds[seed % 2], id="calls", restart=dice.choice([*Restart]), intensity=intensity)
    async with running(Supervisor([inner, calls], intensity=10**6), hook=witness) as system:
        inner_ref, calls_ref = system.ref("inner", Supervisor), system.ref("calls", Dynamic)
        for _ in range(200):
            refs = [ref for above in (inner_ref, calls_ref) for ref in (above._children or {}).values()]
            ref: Ref[Actor] = dice.choice(refs or [inner_ref])
            act = dice.random()
            if act < 0.6:
                handler, args = what_to_ask(dice, ref, dice.choice(refs or [inner_ref]))
                witness.asked(ref, ref.ask(handler, *args))
            elif act < 0.75:
                handler = dice.choice(HANDLERS[:2])
                ref.tell(handler)
            elif act < 0.9:
                handler = dice.choice([Supervisor.terminate_child, Supervisor.restart_child, Supervisor.delete_child])
                witness.asked(inner_ref, inner_ref.ask(handler, f"n{dice.randrange(4)}"))
                witness.asked(inner_ref, inner_ref.ask(Supervisor.start_child, dice.choice(fixed)))
            else:
                witness.asked(calls_ref, calls_ref.ask(Dynamic.start_child))
            if dice.random() < 0.3:
                await asyncio.sleep(dice.choice([0, 0, 0.0005, 0.003]))
    assert witness.verdict() == [], seed
    return witness.n_crashes


@pytest.mark.parametrize("block", range(N_BLOCKS))
def test_no_ask_outlives_the_life_it_was_sent_to_in_a_thousand_crashes(block: int) -> None:
    n_crashes, seed = 0, block * 10_000
    while n_crashes < N_CRASHES / N_BLOCKS:
        n_crashes += run_virtual(storm(seed))
        seed += 1
