"""The ways through a script: every step from a state to the next, and what can be said about all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from grammars.script_model import Action, Choice, Enqueue, Fetch, Gather, Hangup, Redirect, Script, State

START = ""
"""The source of the steps that no state takes: the first one, and the one an answering machine causes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One action of one state, and the slots that were filled just before it."""

    source: str
    action: Action
    filled: frozenset[str] = frozenset()

    @property
    def to(self) -> str:
        """The state it leads to; an action without `redirect` stays."""
        return self.action.redirect or self.source

    @property
    def learned(self) -> frozenset[str]:
        """The slots that certainly have a value after this step and perhaps had none before."""
        return self.filled | {name for name, wanted in self.action.when.items() if wanted}


def steps(script: Script) -> Iterator[Step]:
    """Yield every step there is."""
    yield Step(START, script.initial)
    yield from _each(START, (script.machine,))
    for name, state in script.states.items():
        yield from _of(script, name, state)


def _of(script: Script, name: str, state: State) -> Iterator[Step]:
    match state.verb:
        case Gather() as gather:
            yield from _each(name, gather.match.values(), frozenset({gather.slot} - {""}))
            yield from _each(name, (*gather.nomatch.values(), *gather.noinput.values()))
            yield from _each(name, (*script.intents.values(), script.exhausted))
        case Fetch() as fetch:
            yield from _each(name, (fetch.fetched,), frozenset(fetch.slots))
            yield from _each(name, (fetch.failed,))
        case Enqueue(failed=failed):
            yield from _each(name, (failed,))
        case Redirect(to=to):
            yield Step(name, Action(state.line, redirect=to))
        case Hangup():
            pass


def _each(source: str, choices: Iterable[Choice], filled: frozenset[str] = frozenset()) -> Iterator[Step]:
    yield from (Step(source, action, filled) for choice in choices for action in choice)


@dataclass(frozen=True, slots=True)
class Graph:
    """A script's steps by their source. Every step must lead to a state of the script."""

    script: Script
    by_source: Mapping[str, tuple[Step, ...]]

    @classmethod
    def of(cls, script: Script) -> Graph:
        """Lay out a script."""
        by_source: dict[str, tuple[Step, ...]] = dict.fromkeys(script.states, ())
        for step in steps(script):
            by_source[step.source] = (*by_source.get(step.source, ()), step)
        return cls(script, by_source)

    def reachable(self, *first: str) -> frozenset[str]:
        """Return the states that can follow, the `first` included."""
        met, open_ = set(first), list(first)
        while open_:
            for step in self.by_source[open_.pop()]:
                if step.to not in met:
                    met.add(step.to)
                    open_.append(step.to)
        return frozenset(met)

    def listens(self, name: str) -> bool:
        """Say whether the state waits for the callee."""
        return isinstance(self.script.states[name].verb, Gather)

    def loops_unheard(self, name: str) -> bool:
        """Say whether the state can come back to itself although nobody has been listened to in between."""
        met: set[str] = set()
        open_ = [name] if not self.listens(name) else []
        while open_:
            following = {step.to for step in self.by_source[open_.pop()]}
            if name in following:
                return True
            fresh = {to for to in following - met if not self.listens(to)}
            met |= fresh
            open_.extend(fresh)
        return False

    def known(self) -> dict[str, frozenset[str]]:
        """Return for each state the slots that have a value whichever way it was reached (a fixed point from above)."""
        given = frozenset(name for name, slot in self.script.slots.items() if slot.is_given)
        known = {START: given} | dict.fromkeys(self.script.states, frozenset(self.script.slots))
        settled = False
        while not settled:
            settled = True
            for step in (step for out in self.by_source.values() for step in out):
                narrowed = known[step.to] & (known[step.source] | step.learned)
                settled = settled and narrowed == known[step.to]
                known[step.to] = narrowed
        return known
