"""Digits one by one: "four two double five" means 4255. Parameters: `length`, or `min` and `max` (1 to 10 of them)."""

from __future__ import annotations

from grammars.fst import Fst, any_number, cross, digits, small, union
from grammars.lang.en.numbers import CARDINALS
from grammars.rules.spec import RuleSpec

SEVERAL = {"double": 2, "triple": 3}


def build(spec: RuleSpec) -> Fst:
    """Return digit words -> as many digits as are wanted."""
    length = spec.integer("length")
    least, most = (length, length) if length else (spec.integer("min"), spec.integer("max"))
    return small(any_number(item()) @ digits(least, most))


def item() -> Fst:
    """One digit, or several equal ones: "five", "double five"; 0 is "zero" or "oh"."""
    words = [(CARDINALS[digit], str(digit)) for digit in range(10)] + [("oh", "0")]
    several = (cross(f"{how} {word}", digit * n) for how, n in SEVERAL.items() for word, digit in words)
    return union(*(cross(word, digit) for word, digit in words), *several)
