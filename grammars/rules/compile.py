"""From a rule's name and parameters to a `Rule` that hears: the one place where the rules are listed.

Each rule's module builds a transducer in the idioms of `grammars/fst.py`; here it gets the polite words around it
(`wrapping.tsv`), and becomes the plain tables of `rule.py`. Compiling takes 2 to 70 ms and is cached: the reference
date is no part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import lru_cache

from grammars import fst
from grammars.fst import Fst
from grammars.rules import date as date_rule
from grammars.rules import digits, money, number, ordinal, phone, phrases, time
from grammars.rules.rule import Rule, rests_of, tails_of
from grammars.rules.spec import ANY_DAY, INTENTS, RuleSpec
from grammars.tables import table

CACHED = 512
"""Compiled rules kept: one script has a few dozen, and a node runs few scripts. The least recently used goes."""


_BUILDERS: dict[str, Callable[[RuleSpec], Fst]] = {
    "yes_no": phrases.build,
    "digits": digits.build,
    "number": number.build,
    "ordinal": ordinal.build,
    "date": date_rule.build,
    "time": time.build,
    "money": money.build,
    "phone": phone.build,
    "choices": phrases.build,
    **{intent: phrases.build for intent in INTENTS},
}


def compile_rule(spec: RuleSpec, today: date) -> Rule:
    """Return the rule, ready to hear; `today` is what relative dates refer to. A specification that exists compiles."""
    return replace(_compile(spec), today=today)


@lru_cache(CACHED)
def _compile(spec: RuleSpec) -> Rule:
    build = _BUILDERS[spec.name]
    before = _around(spec.name, "hesitation") + _around(spec.name, "opening")
    whole = before + build(spec) + _around(spec.name, "courtesy")
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
    )


def _around(name: str, place: str) -> Fst:
    """The words that may stand at a place around any phrase of a rule and change nothing."""
    rows = [row for row in table("grammars.rules", "wrapping") if row[0] == place and {"*", name} & set(row[1].split())]
    return fst.union(fst.insert(""), *(phrases.phrases(pattern, "", float(p)) for _, _, pattern, p in rows))
