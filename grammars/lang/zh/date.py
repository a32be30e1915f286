"""A day: 明天, 下周三, 十月三号, 二零二六年十月三日, 明年三月三号, 下个月五号, 三天以后, 三号.

A reading is a list of fields, as `grammars/rules/readings.py` has them. What is not said is the nearest that fits, from
today on. Parameters: `first_year`, `last_year` (1900 to 2099) bound the years that can be said. With `from_days` an
earlier day is heard and not understood. There is no February 30. Days of the lunar calendar are not heard.
"""

from __future__ import annotations

from calendar import isleap
from collections.abc import Sequence
from typing import Final

from grammars.fst import Fst, accept, between, cross, insert, optional, small, union, weighted
from grammars.lang.zh.numbers import DIGITS
from grammars.lang.zh.numerals import cardinal_between, digit, two_digits
from grammars.rules.calendar import CALENDAR, Days
from grammars.rules.phrases import phrases
from grammars.rules.spec import RuleSpec
from grammars.tables import table

_WITH_YEAR: Final = 0.3
_RELATIVE_YEAR: Final = 0.1
_TWO_THOUSAND: Final = 0.1
_WEEKDAY_BESIDE: Final = 0.1
_NO_WORD: Final = 0.1
"""Of a day without 号 or 日 behind it."""
_IN_DAYS: Final = 0.2


def _said(pattern: str, written: str = "", probability: float = 1.0) -> Fst:
    return phrases(pattern, written, probability, "zh")


def build(spec: RuleSpec) -> Fst:
    """Return words -> fields."""
    years = range(spec.integer("first_year"), spec.integer("last_year") + 1)
    dated = union(*(_calendar(row, years) for row in CALENDAR if not row.only_leap or any(map(isleap, years))))
    alone = union(_day(1, 31, 0.0), _said("(下个月|下月)", "M1") + _day(1, 31, _NO_WORD))
    this_month = _said("(这个月|本月|这月)", "M0") + _day(1, 31, _NO_WORD)
    later = weighted(insert("+") + _in_days() + _said("天(后|以后|之后)"), _IN_DAYS)
    passing = weighted(_said("(过|再过)") + insert("+") + _in_days() + cross("天"), _IN_DAYS)
    near = union(*(_said(words, reading, float(p)) for reading, words, p in table("grammars.lang.zh", "date")))
    day = small(union(dated, alone, this_month))
    beside = _said("(周|星期|礼拜)") + union(*(cross(word) for word in (*DIGITS[1:7], "日", "天")))
    with_weekday = optional(weighted(beside, _WEEKDAY_BESIDE)) + day + optional(weighted(beside, _WEEKDAY_BESIDE))
    return small(union(small(with_weekday), near, later, passing))


def _in_days() -> Fst:
    return union(two_digits() @ between(1, 60, 2), insert("0") + cross("两", "2"))


def _day(first: int, last: int, bare: float) -> Fst:
    """A day of the month with 号 or 日; `bare`: how likely it is without."""
    word = union(cross("号"), cross("日"), *([cross("", "", bare)] if bare else []))
    return insert("d") + (two_digits() @ between(first, last, 2)) + word


def _calendar(row: Days, years: Sequence[int]) -> Fst:
    """Month and day, with or without a year before them; for one row of the calendar."""
    month = insert("m") + union(*((two_digits() @ accept([f"{number:02}"])) for number in row.months)) + cross("月")
    which = [weighted(_year([year for year in years if isleap(year) or not row.only_leap]), _WITH_YEAR)]
    if not row.only_leap:
        near = (_said("今年", "Y0"), _said("(明年|来年)", "Y1"), _said("后年", "Y2"))
        which.append(weighted(union(*near), _RELATIVE_YEAR))
    return optional(union(*which)) + small(month + _day(row.first, row.last, _NO_WORD))


def _year(years: Sequence[int]) -> Fst:
    """A year digit by digit, or as two thousand and something."""
    one = digit(one=False)
    said = one + one + one + one
    thousands = cardinal_between(2000, 2099)[0]
    short = union(insert("19") + _pair(50, 99), insert("20") + _pair(0, 49))
    ways = union(said, weighted(thousands, _TWO_THOUSAND), weighted(short, _TWO_THOUSAND))
    return insert("y") + small(ways @ accept(map(str, years))) + cross("年")


def _pair(first: int, last: int) -> Fst:
    one = digit(one=False)
    return (one + one) @ between(first, last, 2)
