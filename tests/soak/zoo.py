"""Random trees of misbehaving children: what lives in a soak.

Every behaviour is drawn from the dice of the tree's world, so that a seed gives the same trees and the same intentions;
in real time who meets whom differs from run to run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import ClassVar

from supervisors import (
    BRUTAL_KILL,
    IGNORE,
    INFINITY,
    Actor,
    AskFailed,
    AutoShutdown,
    Backoff,
    Child,
    Dynamic,
    Exit,
    Ref,
    Refused,
    Restart,
    Strategy,
    Supervisor,
    WhenFull,
)
from supervisors.far import FarRef
from supervisors.life import Ignore
from supervisors.statem import END, Statem, StateTimeout, Step, goto, on, postpone, stay, stop
from supervisors.testing import Boom
from tests.soak.world import World

MOMENTS_S = (0.0, 0.0, 0.001, 0.003, 0.01, 0.03)
"""How long things take."""


class Beast(Actor):
    """Behaves as it is told; all of it `def`: no task of its own."""

    mailbox_limit: ClassVar[int] = 20

    def __init__(self, world: World) -> None:
        self.world = world
        self.is_over = False

    def init(self) -> Ignore | None:
        """Begin; a life that is not the first may fail to, or have no wish to."""
        self.world.begin(self.ref.path, self)
        return self.appear()

    def appear(self) -> Ignore | None:
        chance = self.world.dice.random()
        if chance < 0.03:
            raise Boom
        return IGNORE if chance < 0.04 else None

    def sign(self) -> None:
        self.world.sign(self.ref.path, self)

    def terminate(self, reason: Exit) -> None:
        self.sign()
        if self.world.dice.random() < 0.05:
            raise Boom

    def on_down(self, ref: Ref[Actor] | FarRef, reason: Exit) -> None:
        self.sign()
        self.world.tally["downs"] += 1

    # What it can be told.

    def work(self, letter: str = "") -> int:
        self.sign()
        return len(letter)

    def boom(self) -> None:
        self.sign()
        raise Boom

    def leave(self, reason: Exit) -> None:
        self.stop(reason)

    def refuse(self) -> None:
        raise Refused

    def never(self) -> asyncio.Future[int]:
        return asyncio.get_running_loop().create_future()

    def later(self, seconds: float, ends_well: bool = True) -> asyncio.Task[int]:
        return self.task(self.toil(seconds, ends_well))

    async def toil(self, seconds: float, ends_well: bool) -> int:
        try:
            await asyncio.sleep(seconds)
            if not ends_well:
                raise Boom
        finally:
            self.sign()
        return 1

    def remind(self, seconds: float, ends_well: bool = True) -> None:
        self.after(seconds, type(self).work if ends_well else type(self).boom)
        self.after(3600.0, type(self).boom)
        self.after(3600.0, type(self).boom).cancel()
        self.defer(type(self).work)

    def watch(self, ref: Ref[Actor]) -> None:
        self.monitor(ref)
        self.monitor(ref).cancel()

    def join(self, ref: Ref[Actor]) -> None:
        self.link(ref)

    def chat(self, ref: Ref[Actor]) -> None:
        for _ in range(5):
            ref.tell(Beast.work, "hello")  # type: ignore[arg-type] # whoever it is; a supervisor has no such method


class Loser(Beast):
    """The same, with a mailbox that forgets."""

    mailbox_limit = 3
    when_full = WhenFull.DROP_OLDEST


class Sloth(Beast):
    """The same with handlers that wait, a start that waits and an end that waits."""

    mailbox_limit = 5
    when_full = WhenFull.WAIT

    async def init(self) -> Ignore | None:  # type: ignore[override] # both kinds are fine
        self.world.begin(self.ref.path, self)
        await asyncio.sleep(self.world.dice.choice(MOMENTS_S))
        return self.appear()

    async def terminate(self, reason: Exit) -> None:  # type: ignore[override] # both kinds are fine
        await asyncio.sleep(self.world.dice.choice(MOMENTS_S))
        super().terminate(reason)

    async def nap(self, seconds: float, ends_well: bool = True) -> int:
        return await self.toil(seconds, ends_well)

    async def leak(self) -> None:
        self.sign()
        raise asyncio.CancelledError

    async def pass_on(self, refs: list[Ref[Beast]], limit_s: float) -> int:
        """Ask the first to ask the rest: this may well go in a circle."""
        self.sign()
        if not refs:
            return 0
        ref, rest = refs[0], refs[1:]
        try:
            handler: Callable[..., object] = Beast.work
            args: tuple[object, ...] = ()
            if isinstance(ref._actor, Sloth):
                handler, args = Sloth.pass_on, (rest, limit_s)
            ask = ref.within(limit_s).ask(handler, *args)
            self.world.asked(ref.path, limit_s, ask)
            await ask
            return 1
        except (AskFailed, Refused):
            return -1


class Swallower(Beast):
    """Its task ignores up to five cancellations: it ends on the ladder."""

    def appear(self) -> Ignore | None:
        _ = self.task(self.swallow(self.world.dice.randint(1, 5)))
        return None

    async def swallow(self, n: int) -> None:
        for _ in range(n):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue


class Immortal(Beast):
    """Its task ignores everything while its tree lives: the one thing that may be abandoned."""

    def appear(self) -> Ignore | None:
        self.world.immortals.add(self.task(self.live_on()))
        return None

    async def live_on(self) -> None:
        while self.world.has_immortals:
            try:
                await asyncio.sleep(3600)
            except BaseException:  # noqa: BLE001 - the beast
                continue


class St(Enum):
    """Where a Phone is."""

    RINGING = 1
    TALKING = 2


class Phone(Statem[St]):
    """A machine with state timeouts, named timers and postponed asks."""

    first = St.RINGING

    def __init__(self, world: World) -> None:
        self.world = world
        self.is_over = False

    def init(self) -> None:
        self.world.begin(self.ref.path, self)
        super().init()

    @on(str, St.RINGING)
    def early(self, event: str) -> Step[St]:
        return postpone()

    @on(int, St.RINGING, to=St.TALKING)
    def answered(self, event: int) -> Step[St]:
        return goto(St.TALKING).after(0.02).timer("whole call", 600.0)

    @on(str, St.TALKING)
    def said(self, event: str) -> Step[St]:
        return stay().reply(event).idle(3600.0)

    @on(int, St.TALKING, to=END)
    def hung_up(self, event: int) -> Step[St]:
        return stop()

    @on(StateTimeout, St.TALKING, to=St.RINGING)
    def dropped(self, event: StateTimeout) -> Step[St]:
        return goto(St.RINGING)


KINDS: tuple[Callable[[World], Actor], ...] = (Beast, Beast, Loser, Sloth, Sloth, Sloth, Swallower, Phone)


def kind(world: World) -> Callable[[], Actor]:
    """Return what makes a beast; an Immortal where this world has them."""
    kinds = (*KINDS, Immortal) if world.has_immortals else KINDS
    return partial(world.dice.choice(kinds), world)


def leaf(world: World, id: str, *, may_matter: bool = False) -> Child[Actor]:
    """Return a child that is no supervisor; `may_matter`: it may be significant."""
    restart = world.dice.choice([*Restart])
    start = kind(world)
    shutdowns = (BRUTAL_KILL, 0.005, 0.02, 0.05)
    return Child(
        start,
        id=id,
        restart=restart,
        shutdown=world.dice.choice(shutdowns if start.func in (Swallower, Immortal) else (*shutdowns, INFINITY)),  # type: ignore[attr-defined]
        start_timeout_s=world.dice.choice([0.01, 1.0]),
        significant=may_matter and restart is not Restart.PERMANENT and world.dice.random() < 0.3,
    )


def branch(world: World, id: str, depth: int) -> Supervisor:
    """Return a supervisor whose deepest child is `depth` below it."""
    dice = world.dice
    auto = dice.choice([AutoShutdown.NEVER, AutoShutdown.NEVER, *AutoShutdown])
    children: list[Child[Actor] | Supervisor | Dynamic[[], Actor]] = []
    for n in range(dice.randint(1, 4)):
        chance, name = dice.random(), f"{id}{n}" if id != "root" else f"n{n}"
        if depth > 1 and chance < 0.4:
            children.append(branch(world, name, depth - 1))
        elif chance < 0.6:
            children.append(pool(world, name, depth - 1))
        else:
            children.append(leaf(world, name, may_matter=auto is not AutoShutdown.NEVER))
    return Supervisor(
        children,
        id=id,
        strategy=dice.choice([*Strategy]),
        intensity=dice.choice([0, 1, 3, 10, 1000]) if id != "root" else dice.choice([3, 100, 1000]),
        period_s=dice.choice([0.05, 1.0, 5.0]),
        auto_shutdown=auto,
        backoff=backoff(world),
        restart=dice.choice([Restart.PERMANENT, Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY]),
        shutdown=dice.choice([0.01, 0.5, INFINITY, INFINITY]),
    )


def pool(world: World, id: str, depth: int) -> Dynamic[[], Actor]:
    """Return a Dynamic, now and then of whole supervisors."""
    dice = world.dice
    start: Callable[[], Actor] = kind(world)
    if depth > 1 and dice.random() < 0.3:
        start = partial(branch, world, "tree", 1)
    return Dynamic(
        start,
        id=id,
        max_children=dice.choice([None, 3, 10]),
        restart=dice.choice([*Restart]),
        shutdown=dice.choice([0.0, 0.02, 0.5]),
        start_timeout_s=dice.choice([0.01, 1.0]),
        intensity=dice.choice([0, 1, 10, 1000]),
        backoff=backoff(world),
    )


def backoff(world: World) -> Backoff | None:
    """Return none, mostly, or one that is over soon."""
    if world.dice.random() < 0.7:
        return None
    return Backoff(first_s=0.001, top_s=0.02, reset_after_s=0.05)
