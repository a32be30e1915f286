"""An amount of dollars: "forty two dollars and fifty cents" and "forty two fifty" mean 42.50. Parameter: `max`."""

from __future__ import annotations

from grammars.fst import Fst, cross, insert, optional, small, union, weighted
from grammars.lang.en.numerals import cardinal_between, pair, two_digits
from grammars.lang.en.values import CURRENCIES
from grammars.rules.spec import RuleSpec

_BARE = 0.3
_A_DOLLAR = 0.3


def build(spec: RuleSpec) -> Fst:
    """Return words -> units with leading zeros, a point, two decimals."""
    dollar, dollars, cent, cents = CURRENCIES["$"]
    whole, width = cardinal_between(0, spec.integer("max"))
    one = insert("0" * (width - 1)) + union(cross(f"one {dollar}", "1"), cross(f"a {dollar}", "1", _A_DOLLAR))
    units = union(whole + union(cross(dollars), cross("bucks", "", _BARE)), one)
    point, pence = insert("."), two_digits() + cross(cents)
    hundredths = union(pence, cross(f"one {cent}", "01"))
    follows = union(insert("00"), optional(cross("and")) + hundredths, weighted(pair(), _BARE))
    bare = whole + point + union(weighted(insert("00"), _BARE), weighted(pair(), _BARE / 2))
    return small(union(units + point + follows, insert("0" * width) + point + hundredths, bare))
