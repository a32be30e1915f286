"""What a compiled rule can do: read words, say how complete they are, give examples. Plain tables, no pynini.

A `Rule` holds its grammar twice. The acceptor is for the recogniser: only words, deterministic, minimal. The
transducer is for us: it writes a *reading* while it hears words, which becomes the written value (`readings.py`: `w4`,
for "friday", is a date when today is known). Both come from one source (`compile.py`), so what can be heard can be
understood.

Completeness is what makes the grammar the turn detector: an answer that no further word could change needs no
further silence.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum

from grammars.lang import ENGLISH
from grammars.rules.readings import FORGET, written
from grammars.rules.spec import ANY_DAY, INTENTS
from grammars.spoken import verbalise, words_of
from protocols.wire.messages import Meaning

MOST_COST = 700.0
"""Of which the probability is still a number, and as good as 0."""


class Completeness(Enum):
    """How far these words have come."""

    NO = "no"
    """No phrase begins like this."""
    PREFIX = "prefix"
    """A phrase begins like this, but none ends here."""
    COMPLETE = "complete"
    """A phrase, and nothing that may follow changes its meaning ("yes", though "please" may), but a correction."""
    EXTENDABLE = "extendable"
    """A phrase, and what may follow can change its meaning ("twenty", "half past three")."""


@dataclass(frozen=True, slots=True)
class Arc:
    """From state `src` to state `dst` by hearing `word`; probabilities are relative to the best phrase's 1."""

    src: int
    dst: int
    word: str
    probability: float


@dataclass(frozen=True, slots=True)
class Acceptor:
    """What can be heard: deterministic, minimal, no empty arcs, no cycles. States are 0 to `n_states` - 1."""

    n_states: int
    start: int
    finals: tuple[tuple[int, float], ...]
    """State and probability of ending there."""
    arcs: tuple[Arc, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Where a word leads, what it writes, and its cost (`-log(probability)`)."""

    to: int
    written: str
    cost: float


@dataclass(frozen=True, slots=True)
class State:
    """One state of the transducer. State 0 is the start."""

    steps: Mapping[str, tuple[Step, ...]]
    final: tuple[float, str] | None
    """The cost of ending here and what is written at the end, or None."""


@dataclass(frozen=True, slots=True)
class _Path:
    """The cheapest way so far to one state."""

    cost: float
    reading: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule, built by `compile.compile_rule`. None of its methods raises, whatever the text."""

    name: str
    acceptor: Acceptor
    states: tuple[State, ...]
    tails: tuple[str | None, ...]
    """For each state what will be written from there, or None where that depends on the words to come."""
    rest: tuple[float, ...]
    """For each state the cost of the cheapest way from it to an end."""
    phrases: Mapping[str, str]
    """For rules that are lists of phrases: value -> its first phrase."""
    words: frozenset[str]
    today: date
    """What `tomorrow` and dates without a year refer to."""
    from_days: int = ANY_DAY
    """A day before so many days from today is not understood."""
    language: str = ENGLISH

    def arcs(self) -> Acceptor:
        """Return what the recogniser is to listen for."""
        return self.acceptor

    def parse(self, words: str) -> Meaning | None:
        """Return the most probable meaning of spoken words, or None.

        Slots hold written text under `value`: `2026-03-03`, `15:30`, `42.50`, `4250`. For `yes_no` and `choices` the
        intent is the value too; for the intents it is the rule's name, without slots; for the others the rule's name.
        """
        if not (endings := self._endings(self._paths(words_of(words, self.language)))):
            return None
        value = written(self.name, min(endings)[1], self.today)
        return None if not value or self._is_too_early(value) else self._meaning(value)

    def read(self, text: str) -> Meaning | None:
        """Return the meaning of written text ("4250", "3:30 pm", "March 3rd"): that of its words, read aloud."""
        return self.parse(verbalise(text, self.name, self.language))

    def completeness(self, words: str) -> Completeness:
        """Return whether these words are no beginning, a beginning, a whole phrase, or one that could go on."""
        paths = self._paths(words_of(words, self.language))
        endings = self._endings(paths)
        if not endings:
            return Completeness.PREFIX if paths else Completeness.NO
        if all(self._foretold(state, path) == min(endings)[1] for state, path in paths.items()):
            return Completeness.COMPLETE
        return Completeness.EXTENDABLE

    def likely_more(self, words: str) -> float:
        """Return how likely it is, 0 to 1, that what follows changes the meaning; 1 where no phrase ends yet.

        By the best phrase that ends here, and the best one that goes on.
        """
        paths = self._paths(words_of(words, self.language))
        if not (endings := self._endings(paths)):
            return 1.0
        cost, reading = min(endings)
        changing = [(state, path) for state, path in paths.items() if self._foretold(state, path) != reading]
        costs = (
            path.cost + step.cost + self.rest[step.to]
            for state, path in changing
            for step in onward(self.states[state])
        )
        return 1.0 / (1.0 + math.exp(min(MOST_COST, min(costs, default=MOST_COST) - cost)))

    def sample(self, rng: random.Random) -> tuple[str, Meaning]:
        """Draw a phrase of the rule, likely words more often, and return it with its meaning."""
        leaving: dict[int, list[tuple[float, Arc | None]]] = {s: [(p, None)] for s, p in self.acceptor.finals}
        for way in self.acceptor.arcs:
            leaving.setdefault(way.src, []).append((way.probability, way))
        while True:  # again only for a day that is too early: both halves come from one transducer (compile.py)
            words: list[str] = []
            state = self.acceptor.start
            while arc := _draw(rng, leaving[state]):
                words.append(arc.word)
                state = arc.dst
            if meaning := self.parse(phrase := " ".join(words)):
                return phrase, meaning

    def say(self, value: str) -> str | None:
        """Return a phrase that this rule understands as `value`, or None when no phrase of it means that."""
        phrase = self.phrases.get(value) or verbalise(value, self.name, self.language)
        return phrase if self.parse(phrase) == self._meaning(value) else None

    def _is_too_early(self, value: str) -> bool:
        return self.from_days > ANY_DAY and date.fromisoformat(value) < self.today + timedelta(days=self.from_days)

    def _paths(self, words: Sequence[str]) -> dict[int, _Path]:
        """The states that these words can lead to. Viterbi: of several ways to a state the cheapest is kept."""
        paths = {0: _Path(0.0, "")}
        for word in words:
            following: dict[int, _Path] = {}
            for state, path in paths.items():
                for step in self.states[state].steps.get(word, ()):
                    cost = path.cost + step.cost
                    if step.to not in following or cost < following[step.to].cost:
                        following[step.to] = _Path(cost, path.reading + step.written)
            paths = following
        return paths

    def _endings(self, paths: Mapping[int, _Path]) -> list[tuple[float, str]]:
        """Cost and reading of each phrase that ends in one of these states."""
        finals = [(path, self.states[state].final) for state, path in paths.items()]
        return [(path.cost + final[0], path.reading + final[1]) for path, final in finals if final]

    def _foretold(self, state: int, path: _Path) -> str | None:
        tail = self.tails[state]
        return None if tail is None else path.reading + tail

    def _meaning(self, value: str) -> Meaning:
        if self.name in INTENTS:
            return Meaning(self.name, self.name)
        return Meaning(self.name, value if self.name in ("yes_no", "choices") else self.name, {"value": value})


def _draw(rng: random.Random, leaving: Sequence[tuple[float, Arc | None]]) -> Arc | None:
    return rng.choices([arc for _, arc in leaving], [probability for probability, _ in leaving])[0]


def rests_of(states: Sequence[State]) -> tuple[float, ...]:
    """For each state the cost of the cheapest way to an end."""
    found: dict[int, float] = {}

    def rest(state: int) -> float:
        if state not in found:
            final = states[state].final
            ways = (step.cost + rest(step.to) for steps in states[state].steps.values() for step in steps)
            found[state] = min(ways, default=math.inf) if final is None else min((final[0], *ways))
        return found[state]

    return tuple(rest(state) for state in range(len(states)))


def onward(state: State) -> Iterator[Step]:
    """The steps from a state by which an answer goes on, not those that take it back: nobody waits for these."""
    return (step for steps in state.steps.values() for step in steps if FORGET not in step.written)


def tails_of(states: Sequence[State]) -> tuple[str | None, ...]:
    """For each state the one string that every way from it to an end writes, or None where there are several."""
    found: dict[int, frozenset[str]] = {}

    def writes(state: int) -> frozenset[str]:
        if state not in found:
            final = states[state].final
            ways = {final[1]} if final else set()
            for step in onward(states[state]):
                ways |= {step.written + tail for tail in writes(step.to)}
            found[state] = frozenset(sorted(ways)[:2])  # two are enough to know that it is not one
        return found[state]

    return tuple(next(iter(ways)) if len(ways := writes(state)) == 1 else None for state in range(len(states)))
