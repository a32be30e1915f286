"""Ten minutes of random trees under random crashes, on the real loop and clock: nothing hangs, nothing is left.

    make soak SOAK=kernel            RINGMASTER_SOAK_S=60 for a shorter one, RINGMASTER_SOAK_SEED=... for the same trees

Every few seconds all trees are stopped and what remains is counted: tasks, objects that the collector knows, blocks of
Python's allocator (what is alive, texts and numbers included), and memory (what is alive and what once was).
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Final

import pytest

from supervisors import (
    Actor,
    Crash,
    Dynamic,
    DynamicRef,
    Killed,
    Normal,
    NoSuchChild,
    Ref,
    Shutdown,
    StartFailed,
    Supervisor,
    System,
    TreeDown,
    running,
)
from supervisors.errors import KernelError
from supervisors.system import RUNNING
from supervisors.testing import Boom
from tests.soak.world import World
from tests.soak.zoo import Beast, Phone, Sloth, branch, leaf

SOAK_S: Final = float(os.environ.get("RINGMASTER_SOAK_S", "600"))
SEED: Final = int(os.environ.get("RINGMASTER_SOAK_SEED", random.SystemRandom().randrange(10**9)))
SAMPLE_S: Final = min(10.0, SOAK_S / 12)
N_TREES_AT_ONCE: Final = 12
LIMITS_S: Final = (0.002, 0.02, 0.2, 5.0, 5.0)
"""Deadlines of asks; 5 s is the usual one, which is kept in another way."""
STOP_S: Final = 15.0
"""No tree takes so long to stop: the longest shutdown that does not end by itself is 0.5 s, on each of four levels."""

TASKS_MORE: Final = 0.0
RSS_MORE: Final = 0.05
OBJECTS_MORE: Final = 0.005
"""What the last third of the samples may have more than the first, as a share, in the median. An object left behind by
one tree in fifty would be found; memory also grows whenever more children than ever are alive at once."""


@dataclass(frozen=True)
class Sample:
    """What there is while no tree runs."""

    at_s: float
    n_tasks: int
    rss_mib: float
    n_objects: int
    n_blocks: int

    @classmethod
    def take(cls, at_s: float) -> Sample:
        """Count, after a full collection."""
        gc.collect()
        with open("/proc/self/statm") as statm:
            rss = int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
        return cls(at_s, len(asyncio.all_tasks()), rss, len(gc.get_objects()), sys.getallocatedblocks())

    def rounded_mib(self) -> float:
        """Its memory, to read."""
        return round(self.rss_mib, 1)

    def __str__(self) -> str:
        return f"{self.n_tasks} tasks, {self.rss_mib:.1f} MiB, {self.n_objects} objects, {self.n_blocks} blocks"


async def test_the_kernel_leaves_nothing_behind_whatever_dies_whenever(say: Callable[[str], None]) -> None:
    loop, tally, samples = asyncio.get_running_loop(), Counter[str](), list[Sample]()
    stray: list[str] = []
    loop.set_exception_handler(lambda _, context: stray.append(str(context)))
    say(f"kernel soak: {SOAK_S:.0f} s, seed {SEED}")
    began_at, numbers = loop.time(), iter(range(10**9))
    while (at_s := loop.time() - began_at) < SOAK_S:
        until = min(began_at + SOAK_S, loop.time() + SAMPLE_S)
        wrongs = await asyncio.gather(*(lane(numbers, tally, until) for _ in range(N_TREES_AT_ONCE)))
        if wrong := [wrong for some in wrongs for wrong in some] + stray:
            pytest.fail("\n".join([f"seed {SEED}", *wrong]), pytrace=False)
        assert not RUNNING
        await asyncio.sleep(0.1)
        samples.append(Sample.take(loop.time() - began_at))
        say(f"{at_s:5.0f} s  {samples[-1]}, {tally['trees']} trees, {tally['crashes']} crashes")
    settled = samples[len(samples) // 6 :]  # the first trees load code and size the allocator's pools
    third = max(1, len(settled) // 3)
    first, last = settled[:third], settled[-third:]
    say(summary(tally, settled))
    for name, of, more in (
        ("tasks", lambda sample: sample.n_tasks, TASKS_MORE),
        ("MiB", lambda sample: sample.rss_mib, RSS_MORE),
        ("objects", lambda sample: sample.n_objects, OBJECTS_MORE),
        ("blocks", lambda sample: sample.n_blocks, OBJECTS_MORE),
    ):
        before, after = median(map(of, first)), median(map(of, last))
        assert after <= before * (1 + more), f"{name}: from {before} to {after}, seed {SEED}"


def summary(tally: Counter[str], samples: list[Sample]) -> str:
    """Return what was done, and what it has left."""
    first, last = samples[0], samples[-1]
    asks = ", ".join(f"{tally[word]} {word}" for word in ("asked", "answered", "failed", "timed out", "given up"))
    return "\n".join(
        [
            f"seed     {SEED}",
            f"trees    {tally['trees']}, {tally['starts']} starts, {tally['restarts']} restarts, "
            f"{tally['crashes']} crashes, {tally['gave up']} supervisors gave up, {tally['abandoned']} tasks abandoned",
            f"asks     {asks}",
            f"tasks    {first.n_tasks} -> {last.n_tasks}   {series(samples, lambda sample: sample.n_tasks)}",
            f"RSS      {first.rss_mib:.1f} -> {last.rss_mib:.1f} MiB   {series(samples, Sample.rounded_mib)}",
            f"objects  {first.n_objects} -> {last.n_objects}   {series(samples, lambda sample: sample.n_objects)}",
            f"blocks   {first.n_blocks} -> {last.n_blocks}   {series(samples, lambda sample: sample.n_blocks)}",
        ]
    )


def series(samples: list[Sample], of: Callable[[Sample], float]) -> str:
    """Return up to ten of the values, evenly spread."""
    return " ".join(str(of(sample)) for sample in samples[:: max(1, len(samples) // 10)])


async def lane(numbers: object, tally: Counter[str], until: float) -> list[str]:
    """Run one random tree after the other; return what was wrong, at once."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        n = next(numbers)  # type: ignore[call-overload]
        world = World(random.Random(f"{SEED}/{n}"), tally)
        await one_tree(world, until - loop.time())
        tally["trees"] += 1
        if world.wrongs:
            return [f"tree {n}: {wrong}" for wrong in world.wrongs]
    return []


async def one_tree(world: World, left_s: float) -> None:
    """Run one tree to its end, within about `left_s`."""
    dice, loop = world.dice, asyncio.get_running_loop()
    world.has_immortals = dice.random() < 0.05
    tree = branch(world, "root", depth=4)
    life_s = min(dice.choice([0.05, 0.3, 1.0, 3.0, 7.0]), left_s)  # a deadline of 5 s passes in the longest only
    body = loop.create_task(run(world, tree, life_s, dice.choice(["return", "raise", "be killed"])))
    if dice.random() < 0.2:
        loop.call_later(life_s * dice.random(), body.cancel)
    _, late = await asyncio.wait({body}, timeout=life_s + STOP_S)
    if late:
        world.wrong(f"does not stop: {sorted(world.alive)}")
        return
    if body.cancelled():  # perhaps in its start: that is given up at once, and undone in its own time
        await world.until_all_are_gone(STOP_S)
    for _ in range(3):  # the last answers reach those who asked
        await asyncio.sleep(0)
    world.closed()
    with suppress(TreeDown, StartFailed, asyncio.CancelledError, Boom):
        body.result()


async def run(world: World, tree: Supervisor, life_s: float, ending: str) -> None:
    """Start `tree`, plague it for `life_s`, and leave it as `ending` says."""
    dice, loop = world.dice, asyncio.get_running_loop()
    helpers: set[asyncio.Task[object]] = set()
    kept: System | None = None
    try:
        async with running(tree, hook=world, entropy=dice.random) as system:
            kept = system
            until = loop.time() + life_s
            while loop.time() < until:
                plague(world, system, helpers)
                await asyncio.sleep(dice.choice([0, 0, 0, 0, 0.001, 0.005]))
                world.overdue()
            if ending == "raise":
                raise Boom
            if ending == "be killed":
                system.root.tell(Actor.stop, Killed())
                await asyncio.sleep(0.01)
    finally:
        await bury(world)
        if kept is not None and kept.abandoned:
            world.wrong(f"abandoned: {kept.abandoned}")
        if helpers and (await asyncio.wait(helpers, timeout=1.0))[1]:
            world.wrong(f"still at work on a tree that has ended: {helpers}")


async def bury(world: World) -> None:
    """Let those go that would not."""
    undead, world.has_immortals = {task for task in world.immortals if not task.done()}, False
    for task in undead:
        task.cancel()
    if undead:
        await asyncio.wait(undead, timeout=1.0)


def plague(world: World, system: System, helpers: set[asyncio.Task[object]]) -> None:
    """Do one random thing to a random child."""
    if not world.alive:
        return
    path = world.dice.choice([*world.alive])
    try:
        ref = system.root if path == "/" else system.ref(path, Actor)
    except NoSuchChild:  # it is being terminated
        return
    match ref._actor:
        case Beast():
            tease(world, ref, neighbours(world, system))  # type: ignore[arg-type] # a Beast it is
        case Phone():
            ring(world, ref)  # type: ignore[arg-type] # a Phone it is
        case Dynamic():
            helpers.add(task := asyncio.ensure_future(serve(world, DynamicRef(ref))))  # type: ignore[arg-type]
            task.add_done_callback(helpers.discard)
        case Supervisor():
            administer(world, ref)  # type: ignore[arg-type] # a Supervisor it is


def neighbours(world: World, system: System) -> list[Ref[Beast]]:
    """Return up to three random others."""
    beasts = [path for path, actor in world.alive.items() if isinstance(actor, Beast)]
    refs = []
    for path in world.dice.choices(beasts, k=3) if beasts else ():
        with suppress(NoSuchChild):
            refs.append(system.ref(path, Beast))
    return refs


def tease(world: World, ref: Ref[Beast], others: list[Ref[Beast]]) -> None:
    """Ask or tell a Beast something, or end it."""
    dice = world.dice
    seconds, ends_well = dice.choice([0.0, 0.001, 0.01, 0.1]), dice.random() < 0.8
    things: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (Beast.work, ("x" * dice.randrange(1000),)),
        (Beast.work, ()),
        (Beast.boom, ()),
        (Beast.refuse, ()),
        (Beast.never, ()),
        (Beast.later, (seconds, ends_well)),
        (Beast.remind, (seconds, ends_well)),
        (Beast.leave, (dice.choice([Normal(), Shutdown(), Shutdown("enough"), Killed(), Crash(Boom())]),)),
        *((handler, (other,)) for other in others for handler in (Beast.watch, Beast.join, Beast.chat)),
    ]
    if isinstance(ref._actor, Sloth):
        things += [(Sloth.nap, (seconds, ends_well)), (Sloth.leak, ())]
        things += 3 * [(Sloth.pass_on, (others, dice.choice(LIMITS_S)))]
    handler, args = dice.choice(things)
    if dice.random() < 0.3:
        ref.tell(handler, *args)
        return
    limit_s = dice.choice(LIMITS_S)
    ask = ref.within(limit_s).ask(handler, *args)
    world.asked(ref.path, limit_s, ask)
    if dice.random() < 0.05:
        asyncio.get_running_loop().call_later(seconds, ask.cancel)


def ring(world: World, ref: Ref[Phone]) -> None:
    """Send a Phone an event that it knows, now or later, or never."""
    event = world.dice.choice(["hello", "hello", 1, 1, 2.0])
    world.asked(ref.path, 0.2, ref.within(0.2).ask(Phone.event, event))


def administer(world: World, ref: Ref[Supervisor]) -> None:
    """What an operator may do to a supervisor, and, now and then, what he should not."""
    dice = world.dice
    id = dice.choice([*(ref._children or {}), "new", "nobody"])
    things: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (Supervisor.which_children, ()),
        (Supervisor.count_children, ()),
        (Supervisor.terminate_child, (id,)),
        (Supervisor.restart_child, (id,)),
        (Supervisor.restart_child, (id,)),
        (Supervisor.delete_child, (id,)),
        (Supervisor.start_child, (leaf(world, id),)),
    ]
    if ref.path != "/" and dice.random() < 0.1:
        things = [(Actor.stop, (dice.choice([Normal(), Shutdown(), Killed(), Crash(Boom())]),))]
    handler, args = dice.choice(things)
    limit_s = dice.choice(LIMITS_S)
    world.asked(ref.path, limit_s, ref.within(limit_s).ask(handler, *args))


async def serve(world: World, calls: DynamicRef[[], Actor]) -> object:
    """Start a child on demand, or stop one; give up waiting, now and then."""
    dice = world.dice
    refs = list(calls)
    work: Coroutine[object, None, object] = (
        calls.stop(dice.choice(refs)) if refs and dice.random() < 0.5 else calls.start()
    )
    limit_s = dice.choice([0.001, 0.01, 30.0])
    with suppress(KernelError, TimeoutError):
        async with asyncio.timeout(limit_s):
            return await work
    return None
