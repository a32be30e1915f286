"""The few finite-state idioms the rules are written in, over pynini; the only module that imports it.

A rule is a transducer: words on its upper side, characters of the written value on its lower side, `-log(probability)`
as weight. Sequence is `a + b`, alternatives `union(a, b)`, `a @ b` is composition, as in Thrax and pynini
(Gorman and Sproat, "Finite-State Text Processing", 2021). Rules have no cycles: what is heard is finite, so that
determinising terminates and every path can be counted.

The two functions at the end turn a transducer into the plain tables that `rules/rule.py` runs on. After that pynini
is not needed: it compiles, it does not listen. It must not share a process with another OpenFst, such as Kaldi's:
the two overwrite each other's statics (both libraries define them as unique symbols).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import zip_longest

import pynini
from pynini import Fst
from pywrapfst import Arc as FstArc
from pywrapfst import Weight

from grammars.rules.rule import Acceptor, Arc, State, Step

_LABELS: dict[str, int] = {"": 0}
_TOKENS: list[str] = [""]


def _label(token: str) -> int:
    """The number of a word or character: one numbering for all rules of the process; 0 is the empty string."""
    if token not in _LABELS:
        _LABELS[token] = len(_TOKENS)
        _TOKENS.append(token)
    return _LABELS[token]


def _string(upper: Iterable[str], lower: Iterable[str], probability: float) -> Fst:
    fst = Fst()
    state = fst.add_state()
    fst.set_start(state)
    one = Weight.one(fst.weight_type())
    for word, written in zip_longest(upper, lower, fillvalue=""):
        following = fst.add_state()
        fst.add_arc(state, FstArc(_label(word), _label(written), one, following))
        state = following
    fst.set_final(state, -math.log(probability))
    return fst


def cross(heard: str, written: str = "", probability: float = 1.0) -> Fst:
    """Hear these words, write these characters; without characters, hear them and write nothing."""
    return _string(heard.split(), written, probability)


def rename(heard: str, meant: str) -> Fst:
    """Hear one word and pass on another, to be composed with a transducer of words."""
    return _string([heard], [meant], 1.0)


def insert(written: str) -> Fst:
    """Write characters without hearing anything."""
    return _string((), written, 1.0)


def accept(written: Iterable[str]) -> Fst:
    """Pass on exactly one of these written values: compose with it to restrict what a transducer may write."""
    return union(*(_string(value, value, 1.0) for value in written))


def union(*fsts: Fst) -> Fst:
    """Any one of these."""
    return pynini.union(*fsts) if len(fsts) > 1 else fsts[0]


def optional(fst: Fst, probability: float = 1.0) -> Fst:
    """This or nothing; hearing it multiplies the weight by `probability`."""
    return union(weighted(fst, probability), insert(""))


def weighted(fst: Fst, probability: float) -> Fst:
    """The same, `probability` times as likely."""
    return cross("", "", probability) + fst


def any_number(fst: Fst) -> Fst:
    """This, any number of times; to be bounded by composing it with what it may write."""
    return pynini.closure(fst)


def small(fst: Fst) -> Fst:
    """The same transducer with as few states as can be had."""
    return fst.copy().optimize()


def digits(least: int, most: int) -> Fst:
    """Pass on strings of `least` to `most` decimal digits."""
    return pynini.closure(accept("0123456789"), least, most)


def between(least: int, most: int, width: int) -> Fst:
    """Pass on numbers from `least` to `most` that are written with exactly `width` digits, leading zeros included."""
    return _bounded(f"{least:0{width}}", above=True) @ _bounded(f"{most:0{width}}", above=False)


def _bounded(bound: str, *, above: bool) -> Fst:
    """Digit strings as long as `bound` that are not below it (or not above): equal up to one place, free behind it."""
    ways = [accept([bound])]
    for place, digit in enumerate(bound):
        allowed = range(int(digit) + 1, 10) if above else range(int(digit))
        free = len(bound) - place - 1
        if allowed:
            ways.append(accept(f"{bound[:place]}{other}" for other in allowed) + digits(free, free))
    return small(union(*ways))


# ---- into plain tables --------------------------------------------------------------------------------------------


def acceptor(fst: Fst) -> Acceptor:
    """Return what can be heard, deterministic and minimal; the most probable phrase gets probability 1."""
    heard = pynini.rmepsilon(pynini.project(fst, "input"))
    heard = pynini.determinize(heard).minimize()
    heard = pynini.push(heard, push_weights=True, remove_total_weight=True, reweight_type="to_initial")
    arcs = tuple(
        Arc(state, arc.nextstate, _TOKENS[arc.ilabel], _probability(arc.weight))
        for state in heard.states()
        for arc in heard.arcs(state)
    )
    finals = tuple((state, p) for state in heard.states() if (p := _probability(heard.final(state))))
    return Acceptor(heard.num_states(), heard.start(), finals, arcs)


def transducer(fst: Fst) -> tuple[State, ...]:
    """Return the states of a transducer, start first, with what is written collected on the arcs that hear a word."""
    fst = small(fst).topsort()
    assert fst.start() == 0  # a sorted machine begins with its start
    states: list[State] = []
    for state in fst.states():
        arcs: dict[str, list[Step]] = {}
        finals: list[tuple[float, str]] = []
        for via, cost, written in _silent(fst, state):
            if (rest := float(fst.final(via))) != math.inf:
                finals.append((cost + rest, written))
            for arc in fst.arcs(via):
                if arc.ilabel:
                    step = Step(arc.nextstate, written + _TOKENS[arc.olabel], cost + float(arc.weight))
                    arcs.setdefault(_TOKENS[arc.ilabel], []).append(step)
        final = min(finals, default=None)
        states.append(State({word: tuple(steps) for word, steps in arcs.items()}, final))
    return tuple(states)


def _silent(fst: Fst, state: int) -> list[tuple[int, float, str]]:
    """Every state that is reached from here without hearing a word, with its cost and what is written on the way."""
    reached = [(state, 0.0, "")]
    for here, cost, written in reached:
        reached += [
            (arc.nextstate, cost + float(arc.weight), written + _TOKENS[arc.olabel])
            for arc in fst.arcs(here)
            if not arc.ilabel
        ]
    return reached


def _probability(weight: Weight) -> float:
    return math.exp(-float(weight))


__all__ = [
    "Fst",
    "cross",
    "rename",
    "insert",
    "accept",
    "union",
    "optional",
    "weighted",
    "any_number",
    "small",
    "digits",
    "between",
    "acceptor",
    "transducer",
]
