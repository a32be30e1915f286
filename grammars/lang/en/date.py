"""A day: "tomorrow", "next friday", "the third of march", "march third twenty twenty six".

A reading is a list of fields in the order they were said: `m03` month, `d03` day, `y2026` year; or `w4` the coming
Friday (Monday is 0), `n4` Friday of the next calendar week, `+7` days from today. What is not said is the nearest that
fits, from today on: "march third" without a year, "the third" without a month. Parameters: `first_year`, `last_year`
(2000 to 2099) bound the years that can be said. With `from_days` an earlier day, said with its year, is heard and not
understood. There is no February 30.
"""

from __future__ import annotations

from calendar import isleap
from collections.abc import Sequence

from grammars.fst import Fst, accept, cross, insert, optional, small, union, weighted
from grammars.lang.en.numerals import cardinal_between, ordinal_between, pair, two_digits
from grammars.lang.en.values import MONTHS
from grammars.rules.calendar import CALENDAR, Days
from grammars.rules.phrases import phrases
from grammars.rules.spec import RuleSpec
from grammars.tables import table

_WEEKDAYS = [pattern.split()[-1] for reading, pattern, _ in table("grammars.lang.en", "date") if reading[0] == "w"]
_WEEKDAY_BEFORE = 0.1
_DAY_ALONE = 0.3
_MARCH_THREE = 0.2
_WITH_YEAR = 0.1


def build(spec: RuleSpec) -> Fst:
    """Return words -> fields."""
    years = range(spec.integer("first_year"), spec.integer("last_year") + 1)
    weekday = optional(union(*(cross(name) for name in _WEEKDAYS)), _WEEKDAY_BEFORE)
    dated = union(*(_calendar(row, years) for row in CALENDAR if not row.only_leap or any(map(isleap, years))))
    alone = weighted(cross("the") + insert("d") + ordinal_between(1, 31), _DAY_ALONE)
    near = union(*(phrases(pattern, reading, float(p)) for reading, pattern, p in table("grammars.lang.en", "date")))
    return small(union(weekday + small(union(dated, alone)), near))


def _calendar(row: Days, years: Sequence[int]) -> Fst:
    """Month and day in either order, with or without a year; for one row of the calendar."""
    first, last, months, only_leap = row
    the = optional(cross("the"))
    nth = insert("d") + ordinal_between(first, last)
    plain = insert("d") + weighted(cardinal_between(first, last)[0], _MARCH_THREE)
    month = insert("m") + union(*(cross(MONTHS[number], f"{number:02}") for number in months))
    day = union(month + union(the + nth, plain), the + nth + optional(cross("of")) + month)
    return small(day) + optional(
        insert("y") + _year([year for year in years if isleap(year) or not only_leap]), _WITH_YEAR
    )


def _year(years: Sequence[int]) -> Fst:
    """A year in words: in pairs, or as two thousand and something."""
    pairs = two_digits() + union(pair(), cross("hundred", "00"))
    thousands = cross("two thousand", "20") + union(insert("00"), optional(cross("and")) + two_digits())
    return small(union(pairs, thousands) @ accept(map(str, years)))
