"""A telephone number of the North American plan, digit by digit: "eight hundred, five five five, oh one nine nine".

Seven digits, ten, or eleven that begin with 1; area code and exchange begin with 2 to 9 (NANPA numbering rules). The
written value is the digits as they were said.
"""

from __future__ import annotations

from grammars.fst import Fst, accept, any_number, cross, digits, insert, optional, small, union, weighted
from grammars.lang.en.digits import item
from grammars.lang.en.numerals import unit
from grammars.rules.spec import RuleSpec

_HUNDRED = 0.3
_AREA_CODE = 0.1


def build(spec: RuleSpec) -> Fst:
    """Return spoken digits -> 7, 10 or 11 digits."""
    hundreds = weighted(unit() + cross("hundred", "00"), _HUNDRED)
    three, four = accept("23456789") + digits(2, 2), digits(4, 4)
    plan = union(insert(""), optional(accept("1")) + three) + three + four
    return optional(cross("area code"), _AREA_CODE) + small(any_number(union(item(), hundreds)) @ plan)
