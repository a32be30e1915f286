"""Read by mypy, never run: what the kernel's types let through, and what they catch.

A line with `wrong: code` must be reported, with that code, and no other line must.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import assert_type

from supervisors import Actor, Child, Dynamic, DynamicRef, Name, Ref, Running, Supervisor
from supervisors.statem import END, Statem, Step, goto, on, stay, stop


class Pool(Actor):
    def __init__(self, seats: int) -> None:
        self.free = seats

    def take(self, n: int = 1) -> bool:
        self.after(0.5, Pool.take, 2)
        self.after(0.5, Pool.take, "two")  # wrong: arg-type
        return self.free >= n

    async def refill(self, n: int) -> int:
        return self.free + n

    def later(self) -> asyncio.Task[str]:
        return self.task(self._later())

    async def _later(self) -> str:
        return "later"


class BigPool(Pool):
    pass


async def asking(pool: Ref[Pool], big: Ref[BigPool]) -> None:
    assert_type(await pool.ask(Pool.take, 2), bool)
    assert_type(await pool.ask(Pool.refill, n=3), int)
    assert_type(await pool.ask(Pool.later), str)
    assert_type(await pool.within(0.5).ask(Pool.refill, 1), int)
    assert_type(await big.ask(Pool.take), bool)
    upcast: Ref[Pool] = big
    upcast.tell(Pool.take)
    _downcast: Ref[BigPool] = pool  # wrong: assignment
    _text: str = await pool.ask(Pool.take)  # wrong: call-overload (the result)
    await pool.ask(Pool.take, "two")  # wrong: call-overload (an argument)
    await pool.ask(Pool.refill)  # wrong: call-overload
    pool.tell(Pool.take, m=1)  # wrong: call-arg
    pool.ask(Pool.take)  # wrong: unused-awaitable
    await pool.ask(Call.dial)  # wrong: call-overload


class Call(Actor):
    def __init__(self, lead: str, attempt: int = 1) -> None:
        self.lead = lead

    def dial(self) -> None: ...


async def starting(system: Running) -> None:
    assert_type(system.ref("agents", Pool), Ref[Pool])
    calls = system.dynamic("calls", Call)
    call = await calls.start("Ann", attempt=2)
    assert_type(call, Ref[Call])
    await calls.start(7)  # wrong: arg-type (an argument of a start)
    await calls.start()  # wrong: call-arg
    name: Name[Pool] = Name("agents")
    assert_type(system.find(name), Ref[Pool] | None)


def tree() -> Supervisor:
    Child(Pool, id="agents")  # wrong: arg-type
    Child(int, id="agents")  # wrong: type-var
    return Supervisor([Child(lambda: Pool(60), id="agents"), Dynamic(Call, id="calls"), Supervisor([], id="links")])


class St(Enum):
    DIALING = 1
    TALKING = 2


@dataclass(frozen=True)
class Answered:
    pass


@dataclass(frozen=True)
class HungUp:
    pass


class Other(Enum):
    STATE = 1


class Phone(Statem[St]):
    first = St.DIALING

    @on(Answered, St.DIALING, to=St.TALKING)
    def answered(self, event: Answered) -> Step[St]:
        return goto(St.TALKING).after(1.0)

    @on(HungUp, *St, to=END)
    def hung_up(self, event: HungUp) -> Step[St]:
        return stop() if self.state is St.DIALING else stay()

    @on(Answered, St.TALKING)  # wrong: arg-type (the event of a handler)
    def misread(self, event: HungUp) -> Step[St]:
        return stay()

    @on(HungUp, St.TALKING)
    def astray(self, event: HungUp) -> Step[St]:
        return goto(Other.STATE)  # wrong: arg-type


def unused(ref: DynamicRef[[str], Call]) -> None: ...
