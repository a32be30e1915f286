"""A time of day: "half past three" and "three thirty p m" mean 15:30, "quarter to nine in the evening" 20:45.

A reading is a list of fields in the order they were said: `h03` the hour, `+30` minutes from it, `a p n` the half of
the day (`n`: night). Without a half of the day the hour is taken where people have appointments: 7 to 11 in
the morning, 12 to 6 in the afternoon.
"""

from __future__ import annotations

from grammars.fst import Fst, between, cross, insert, optional, small, union, weighted
from grammars.lang.en.numerals import pair, two_digits
from grammars.rules.phrases import phrases
from grammars.rules.spec import RuleSpec
from grammars.tables import table

_HALVES = {
    "a m": "a",
    "p m": "p",
    "in the morning": "a",
    "in the afternoon": "p",
    "in the evening": "p",
    "at night": "n",
}
_WHOLE = {"noon": "h12p", "midday": "h12p", "midnight": "h12a"}
_WITH_HALF = 0.2
"""Of who says the half of the day; the hour says it mostly."""
_IN_THE_MORNING = 0.2
_TWENTY_FOUR_HOURS = 0.1


def build(spec: RuleSpec) -> Fst:
    """Return words -> fields."""
    hour = insert("h") + two_digits() @ between(1, 12, 2)
    minutes = insert("+") + pair() @ between(1, 59, 2)
    before = union(*(phrases(pattern, offset, float(p)) for offset, pattern, p in table("grammars.lang.en", "time")))
    clock = union(hour + optional(union(minutes, cross("o'clock"))), before + hour)
    half = union(*(cross(words, field, _IN_THE_MORNING if " the " in words else 1) for words, field in _HALVES.items()))
    late = weighted(insert("h") + two_digits() @ between(13, 23, 2) + minutes, _TWENTY_FOUR_HOURS)
    whole = union(*(cross(words, fields) for words, fields in _WHOLE.items()))
    return small(union(clock + optional(half, _WITH_HALF), late, whole))
