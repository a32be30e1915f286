"""From a rule's name and parameters to a `Rule` that hears: the one place where the rules are listed.

Each rule's module, in its language's pack, builds a transducer in the idioms of `grammars/fst.py`; here it gets the
polite words around it (table `wrapping`), and whoever corrects themselves is heard to the end ("the third, no, the
fourth"); then it becomes the plain tables of `rule.py`. Compiling takes 2 to 70 ms and is
cached: the reference date is no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from functools import lru_cache, reduce
from importlib import import_module
from operator import add

from grammars import fst
from grammars.fst import Fst
from grammars.lang import package
from grammars.rules import phrases
from grammars.rules.readings import FORGET
from grammars.rules.rule import Rule, rests_of, tails_of
from grammars.rules.spec import ANY_DAY, INTENTS, RuleSpec
from grammars.tables import table

CACHED = 512
"""Compiled rules kept: one script has a few dozen, and a node runs few scripts. The least recently used goes."""


_PHRASES = ("yes_no", "choices", *INTENTS)
"""Rules that are lists of phrases; the others have a builder in each language's module `hearing`."""


def compile_rule(spec: RuleSpec, today: date) -> Rule:
    """Return the rule, ready to hear; `today` is what relative dates refer to. A specification that exists compiles."""
    return replace(_compile(spec), today=today)


@lru_cache(CACHED)
def _compile(spec: RuleSpec) -> Rule:
    build = phrases.build if spec.name in _PHRASES else builders(spec.language)[spec.name]
    before = _around(spec, "hesitation") + _around(spec, "opening")
    said, correction = build(spec), _ways(spec, "correction", FORGET)
    again = [fst.optional(fst.union(*correction) + said)] if correction else []
    whole = reduce(add, [before, said, *again, _around(spec, "courtesy")])
    acceptor, states = fst.acceptor(whole), fst.transducer(whole)
    return Rule(
        name=spec.name,
        acceptor=acceptor,
        states=states,
        tails=tails_of(states),
        rest=rests_of(states),
        phrases=phrases.first(spec) if build is phrases.build else {},
        words=frozenset(arc.word for arc in acceptor.arcs),
        today=date.min,
        from_days=spec.integer("from_days") if spec.name == "date" else ANY_DAY,
        language=spec.language,
    )


def builders(language: str) -> Mapping[str, Callable[[RuleSpec], Fst]]:
    """Return what a language's own modules build: rule -> words to reading."""
    found: Mapping[str, Callable[[RuleSpec], Fst]] = import_module(f"{package(language)}.hearing").BUILDERS
    return found


def _around(spec: RuleSpec, place: str) -> Fst:
    """The words that may stand at a place around any phrase of a rule and change nothing."""
    return fst.union(fst.insert(""), *_ways(spec, place))


def _ways(spec: RuleSpec, place: str, written: str = "") -> list[Fst]:
    """What may be said at a place; what it writes is written with its first word."""
    known = table(package(spec.language), "wrapping")
    rows = [row for row in known if row[0] == place and {"*", spec.name} & set(row[1].split())]
    patterns = (phrases.phrases(pattern, "", float(p), spec.language) for _, _, pattern, p in rows)
    return [fst.insert(written) + pattern for pattern in patterns]
