"""An amount of yuan: 五十块, 三块五, 四十二元五角, 三块零五分, 四十二点五元. Parameter: `max`."""

from __future__ import annotations

from typing import Final

from grammars.fst import Fst, cross, insert, optional, small, union, weighted
from grammars.lang.zh.numerals import ZERO, cardinal_between, digit, unit
from grammars.rules.spec import RuleSpec

_BARE: Final = 0.3
_POINT: Final = 0.3


def build(spec: RuleSpec) -> Fst:
    """Return words -> units with leading zeros, a point, two decimals."""
    whole, width = cardinal_between(0, spec.integer("max"), is_counted=True)
    yuan = union(cross("块"), cross("元"), cross("圆", "", 0.1))
    end = optional(union(cross("钱"), cross("整"), cross("人 民 币")), 0.3)
    point = insert(".")
    jiao = unit(is_counted=True) + union(cross("毛"), cross("角"))
    fen = unit(is_counted=True) + cross("分")
    cents = union(jiao + union(insert("0"), fen, weighted(unit(), _BARE)), insert("0") + fen)
    few = cross(ZERO) + union(insert("0") + unit() + optional(cross("分")), jiao + insert("0"))
    after = union(cents, unit() + insert("0"), few)
    decimals = cross("点") + point + union(digit(one=False) + insert("0"), digit(one=False) + digit(one=False))
    spoken = whole + yuan + point + union(insert("00"), after) + end
    written = weighted(whole + decimals + optional(yuan) + end, _POINT)
    small_change = insert("0" * width) + point + cents + end
    bare = weighted(whole + point + insert("00"), _BARE)
    return small(union(small(spoken), small(written), small_change, bare))
