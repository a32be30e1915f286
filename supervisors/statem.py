"""A state machine actor: gen_statem with its table checked when the class is made, and drawn from it.

State and event go in, a Step comes out. Handlers are selected by (class of the event, state) and are plain `def`;
plain methods beside them are messages valid in every state. The rules are OTP's (gen_statem): a state timeout dies
with its state, an event timeout at any event, a named timer lives across states; a postponed event comes back after the
next change of state, injected events go before everything else, `goto` to the present state is no change. Two
differences: an event is an object and not a term, and a target must be declared in `to`, which is what makes the
drawing and the checks possible.

    class Door(Statem[St]):
        first = St.CLOSED

        @on(Push, St.CLOSED, to=St.OPEN)
        def push(self, event: Push) -> Step[St]:
            return goto(St.OPEN).after(2.0)

        @on(StateTimeout, St.OPEN, to=St.CLOSED)
        def swing_back(self, event: StateTimeout) -> Step[St]:
            return goto(St.CLOSED)
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, Generic, TypeVar

from supervisors.actor import Actor
from supervisors.cell import Cancellable
from supervisors.debts import pay
from supervisors.errors import BadSpec, KernelError
from supervisors.spec import INFINITY, is_a
from supervisors.steps import (
    At,
    EventTimeout,
    Kind,
    StateTimeout,
    Step,
    TimerRang,
    Timing,
    goto,
    postpone,
    repeat,
    stay,
    stop,
)

__all__ = [
    "Statem",
    "on",
    "enter",
    "END",
    "Step",
    "stay",
    "repeat",
    "goto",
    "postpone",
    "stop",
    "StateTimeout",
    "EventTimeout",
    "TimerRang",
    "At",
    "UnexpectedEvent",
]

S = TypeVar("S", bound=Enum)
E = TypeVar("E")
M = TypeVar("M")


class UnexpectedEvent(KernelError):
    """The table has no row for this event in this state."""

    def __init__(self, event: object, state: Enum) -> None:
        super().__init__(f"{event!r} in {state.name}")
        self.event = event
        self.state = state


class End:
    """The target of rows that end the machine."""

    name: Final = "[*]"


END: Final = End()


@dataclass(frozen=True, slots=True)
class _Row:
    event: type[object] | None  # None: on entry
    states: tuple[Enum, ...]
    to: tuple[Enum | End, ...]


@dataclass(frozen=True, slots=True)
class _Cell:
    handler: str
    to: tuple[Enum | End, ...]


_Table = dict[tuple[type[object] | None, Enum], _Cell]


def on(
    event: type[E], *states: S, to: S | End | tuple[S | End, ...] = ()
) -> Callable[[Callable[[M, E], Step[S]]], Callable[[M, E], Step[S]]]:
    """Handle events of class `event` and below in `states`. `to`: every state it may go to; END if it may stop."""

    def mark(handler: Callable[[M, E], Step[S]]) -> Callable[[M, E], Step[S]]:
        _rows(handler).append(_Row(event, states, to if isinstance(to, tuple) else (to,)))
        return handler

    return mark


def enter(*states: S, to: End | tuple[()] = ()) -> Callable[[Callable[[M], Step[S]]], Callable[[M], Step[S]]]:
    """Run on entry to `states`, at the start too, and on `repeat`. It may not go anywhere; `to=END` if it may stop."""

    def mark(handler: Callable[[M], Step[S]]) -> Callable[[M], Step[S]]:
        _rows(handler).append(_Row(None, states, (to,) if isinstance(to, End) else ()))
        return handler

    return mark


def _rows(handler: Callable[..., object]) -> list[_Row]:
    rows: list[_Row] = handler.__dict__.setdefault("_statem_rows", [])
    return rows


@dataclass(slots=True)
class _Item:
    """An event on its way, and who waits for the answer once it has been postponed."""

    event: object
    future: asyncio.Future[object] | None = None
    answer: object = None
    is_cancelled: bool = False

    def cancel(self) -> None:
        """A timeout of 0 that is not wanted any more."""
        self.is_cancelled = True


class Statem(Actor, Generic[S]):
    """A state machine. Give it `first`, the state it begins in; `init` runs its enter handler.

    Raises BadSpec when the class is made: two handlers for one event in one state, a state nothing leads to or that
    handles nothing, a handler that waits.
    """

    first: ClassVar[Enum]
    table: ClassVar[_Table] = {}
    state: S

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if hasattr(cls, "first"):
            cls.table = _tabulate(cls)
            _check(cls.__name__, cls.first, cls.table)

    @classmethod
    def mermaid(cls) -> str:
        """Return the machine as a Mermaid state diagram."""
        arrows = [
            f"    {state.name} --> {target.name} : {event.__name__ if event else 'enter'}"
            for (event, state), cell in cls.table.items()
            for target in cell.to
        ]
        return "\n".join(["stateDiagram-v2", f"    [*] --> {cls.first.name}", *arrows])

    def init(self) -> None:
        """Enter the first state. A subclass that has its own calls this one."""
        self.state = self.first  # type: ignore[assignment] # a ClassVar cannot say S
        self._postponed: list[_Item] = []
        self._timers: dict[Timing, Cancellable] = {}
        self._is_over = False
        waiting: deque[_Item] = deque()
        self._enter(waiting)
        self._work(waiting)

    def event(self, event: object) -> object:
        """The message that brings an event: tell it, or ask it when its handlers `.reply`."""
        item = _Item(event)
        self._work(deque([item]))
        return item.answer if item.future is None else item.future

    def unexpected(self, event: object) -> Step[S]:
        """The table has no row for `event` in this state: a crash, unless a subclass knows better."""
        raise UnexpectedEvent(event, self.state)

    def _work(self, waiting: deque[_Item]) -> None:
        """Handle all of `waiting`, with what is injected on the way and what a change of state brings back."""
        while waiting and not self._is_over:
            item = waiting.popleft()
            if item.is_cancelled:
                continue
            if isinstance(item.event, Timing) and self._timers.get(item.event) is item:
                del self._timers[item.event]
            self._set(EventTimeout(), INFINITY, waiting)
            cell = self._cell(type(item.event))
            step: Step[S] = self.unexpected(item.event) if cell is None else getattr(self, cell.handler)(item.event)
            if not is_a(step, Step):
                raise TypeError(f"{item.event!r} in {self.state.name}: a handler returns a Step, not {step!r}")
            if step.kind is not Kind.POSTPONE:
                self._settle(item, step.answer)
            else:
                item.future = item.future or self.system.loop.create_future()
                self._postponed.append(item)
            self._apply(step, cell, waiting)

    def _settle(self, item: _Item, answer: object) -> None:
        item.answer = answer
        later, reply = answer, item.future
        if reply is None:
            return  # it goes out as what `event` returns
        if isinstance(later, asyncio.Future):
            later.add_done_callback(lambda later: pay(self.ref.path, (later, reply)))
        elif not reply.done():
            reply.set_result(answer)

    def _cell(self, event: type[object]) -> _Cell | None:
        cells = (self.table.get((cls, self.state)) for cls in event.__mro__)
        return next((cell for cell in cells if cell is not None), None)

    def _apply(self, step: Step[S], cell: _Cell | None, waiting: deque[_Item]) -> None:
        """Do what a handler wants."""
        changes = step.kind is Kind.GOTO and step.target is not self.state
        if changes or step.kind is Kind.STOP:
            self._check_declared(step.target or END, cell)
        if changes and step.target is not None:
            self.state = step.target
            self._set(StateTimeout(), INFINITY, waiting)
            waiting.extendleft(reversed(self._postponed))
            self._postponed.clear()
        waiting.extendleft(_Item(event) for event in reversed(step.injected))
        for event, time in step.times.items():
            self._set(event, time, waiting)
        if step.kind is Kind.STOP:
            self._is_over = True
            self.stop(step.reason)
        elif changes or step.kind is Kind.REPEAT:
            self._enter(waiting)

    def _enter(self, waiting: deque[_Item]) -> None:
        cell = self.table.get((None, self.state))
        if cell is not None:
            step: Step[S] = getattr(self, cell.handler)()
            if step.kind not in (Kind.STAY, Kind.STOP):
                raise BadSpec(f"{cell.handler}: an enter handler stays or stops")
            self._apply(step, cell, waiting)

    def _check_declared(self, target: Enum | End, cell: _Cell | None) -> None:
        if cell is not None and target not in cell.to:
            raise BadSpec(f"{cell.handler} goes to {target.name} without declaring it in `to`")

    def _set(self, event: Timing, time: float | At, waiting: deque[_Item]) -> None:
        """Have `event` come at `time`, and not when it would have come; INFINITY: not at all."""
        if (timer := self._timers.pop(event, None)) is not None:
            timer.cancel()
        seconds = time.when - self.system.loop.time() if isinstance(time, At) else time
        if seconds <= 0:
            self._timers[event] = now = _Item(event)
            waiting.append(now)
        elif seconds < INFINITY:
            self._timers[event] = self.after(seconds, Statem._ring, event)

    def _ring(self, event: Timing) -> None:
        del self._timers[event]
        self._work(deque([_Item(event)]))


def _tabulate(cls: type[Statem[S]]) -> _Table:
    """Read the marks of `on` and `enter` off the class. Raises BadSpec."""
    table: _Table = {}
    for name, handler in _handlers(cls):
        for row in _rows(handler):
            if not row.states or not all(isinstance(state, type(cls.first)) for state in row.states):
                raise BadSpec(f"{cls.__name__}.{name}: not states of this machine: {row.states}")
            for state in row.states:
                if (other := table.get((row.event, state))) is not None:
                    event = row.event.__name__ if row.event else "entry"
                    raise BadSpec(f"{cls.__name__}: {other.handler} and {name} both handle {event} in {state.name}")
                table[row.event, state] = _Cell(name, row.to)
    return table


def _handlers(cls: type[Statem[S]]) -> Iterator[tuple[str, Callable[..., object]]]:
    """Yield the marked methods in the order they are written, base classes first, overridden ones once."""
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in base.__dict__)
    for name in names:
        handler = getattr(cls, name, None)
        if inspect.isfunction(handler) and "_statem_rows" in handler.__dict__:
            if inspect.iscoroutinefunction(handler):
                raise BadSpec(f"{cls.__name__}.{name}: a state machine's handler does not wait; use self.task")
            yield name, handler


def _check(name: str, first: Enum, table: _Table) -> None:
    """Refuse a machine with states nothing leads to, or that handle nothing. Raises BadSpec."""
    reached, fresh = {first}, {first}
    while fresh:
        fresh = {to for (_, state), cell in table.items() if state in fresh for to in cell.to if isinstance(to, Enum)}
        fresh -= reached
        reached |= fresh
    heard = {state for event, state in table if event is not None}
    for trouble, fine in (("nothing leads to", reached), ("nothing is handled in", heard)):
        if states := [state.name for state in type(first) if state not in fine]:
            raise BadSpec(f"{name}: {trouble} {', '.join(states)}")
