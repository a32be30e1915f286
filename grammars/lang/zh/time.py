"""A time of day: 三点半, 下午两点十五分, 差五分三点, 晚上八点三刻, 十五点三十分.

A reading is a list of fields, as `grammars/rules/readings.py` has them. Without a part of the day the hour is taken
where people have appointments: 7 to 11 in the morning, 12 to 6 in the afternoon.
"""

from __future__ import annotations

from typing import Final

from grammars.fst import Fst, between, cross, insert, optional, small, union, weighted
from grammars.lang.zh.numerals import ZERO, two_digits, unit
from grammars.rules.phrases import phrases
from grammars.rules.spec import RuleSpec
from grammars.tables import table

_TWENTY_FOUR_HOURS: Final = 0.1
_TO: Final = 0.2


def _said(pattern: str, written: str = "", probability: float = 1.0) -> Fst:
    return phrases(pattern, written, probability, "zh")


def build(spec: RuleSpec) -> Fst:
    """Return words -> fields."""
    clock = _clock(_hour(1, 12))
    halves = [
        _said(words, half) + _clock(_hour(int(first), int(last)))
        for words, half, first, last in table("grammars.lang.zh", "half")
    ]
    midnight = optional(_said("(凌晨|夜里|半夜)")) + cross("零", "h12a") + cross("点") + _minutes()
    late = weighted(
        insert("h") + two_digits() @ between(13, 23, 2) + union(cross("点"), cross("时")), _TWENTY_FOUR_HOURS
    )
    whole = union(_said("(中午|正午)", "h12p"), _said("(午夜|半夜)", "h12a"))
    return small(union(clock, *halves, midnight, late + _minutes(), whole))


def _hour(first: int, last: int) -> Fst:
    two = [insert("0") + cross("两", "2")] if first <= 2 <= last else []
    return insert("h") + union(two_digits() @ between(first, last, 2), *two)


def _clock(hour: Fst) -> Fst:
    """An hour with its minutes after it, or before it: 差五分三点, 三点差五分."""
    oclock = union(cross("点"), cross("时", "", 0.1))
    to = cross("差") + insert("-") + union(_few() + cross("分"), cross("一 刻", "15"))
    to = weighted(to + optional(union(cross("钟"), cross("到"))), _TO)
    return small(union(hour + oclock + union(_minutes(), to), to + hour + oclock))


def _few() -> Fst:
    """Five to twenty five minutes, two digits."""
    return two_digits() @ between(1, 29, 2)


def _minutes() -> Fst:
    many = insert("+") + (two_digits() @ between(10, 59, 2)) + optional(cross("分"), 0.5)
    zero = insert("+0") + union(cross(ZERO), cross("过", "", 0.1)) + unit() + optional(cross("分"), 0.5)
    few = weighted(insert("+0") + unit() + cross("分"), 0.3)
    quarter = union(cross("半", "+30"), cross("一 刻", "+15"), cross("三 刻", "+45"))
    return small(union(optional(union(cross("钟"), cross("整"))), many, zero, few, quarter))
