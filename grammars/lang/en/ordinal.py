"""A place in a sequence: "the twenty first" means 21. Parameters: `min`, `max`."""

from __future__ import annotations

from grammars.fst import Fst, cross, optional
from grammars.lang.en.numerals import ordinal_between
from grammars.rules.spec import RuleSpec


def build(spec: RuleSpec) -> Fst:
    """Return ordinal words -> digits with leading zeros."""
    return optional(cross("the")) + ordinal_between(spec.integer("min"), spec.integer("max"))
