"""A whole number: "a hundred and twenty" means 120. Parameters: `min`, `max`."""

from __future__ import annotations

from grammars.fst import Fst
from grammars.lang.en.numerals import cardinal_between
from grammars.rules.spec import RuleSpec


def build(spec: RuleSpec) -> Fst:
    """Return cardinal words -> digits with leading zeros."""
    return cardinal_between(spec.integer("min"), spec.integer("max"))[0]
