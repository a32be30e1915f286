"""The rules of Mandarin that count: `digits`, `number`, `ordinal`, `phone`; rule -> words to reading."""

from __future__ import annotations

from typing import Final

from grammars.fst import Fst, accept, any_number, cross, digits, insert, optional, small, union
from grammars.lang.zh.numerals import cardinal_between, digit
from grammars.rules.spec import RuleSpec

_TWO: Final = 0.1
_CLASSIFIER: Final = 0.3
_CLASSIFIERS: Final = (*"个位次张件人台套份天名条项号岁", "个 人")


def spelled(spec: RuleSpec) -> Fst:
    """Digits one by one: 四二五五 means 4255. Parameters: `length`, or `min` and `max` (1 to 10 of them)."""
    length = spec.integer("length")
    least, most = (length, length) if length else (spec.integer("min"), spec.integer("max"))
    return small(any_number(digit(two=_TWO)) @ digits(least, most))


def number(spec: RuleSpec) -> Fst:
    """A whole number, with or without what is counted: 一百二十, 两个. Parameters: `min`, `max`."""
    whole, _ = cardinal_between(spec.integer("min"), spec.integer("max"), is_counted=True)
    return whole + optional(_classifier(), _CLASSIFIER)


def ordinal(spec: RuleSpec) -> Fst:
    """A place in a sequence: 第二十一, 第三个. Parameters: `min`, `max`."""
    whole, _ = cardinal_between(spec.integer("min"), spec.integer("max"))
    return cross("第") + whole + optional(_classifier(), _CLASSIFIER)


def phone(spec: RuleSpec) -> Fst:
    """A telephone number of the Chinese plan, digit by digit: 幺三八零零幺三八零零零; as it was said.

    Mobile numbers have 11 digits from 13 to 19, fixed ones 7 or 8, perhaps behind an area code with its 0; companies
    have 400 or 800 and seven more (telecommunications network numbering plan of 2017).
    """
    mobile = accept("1") + accept("3456789") + digits(9, 9)
    local = accept("2345678") + digits(6, 7)
    area = accept("0") + union(accept("12") + digits(1, 1), accept("3456789") + digits(2, 2))
    company = accept(["400", "800"]) + digits(7, 7)
    return small(any_number(digit(two=_TWO)) @ small(union(mobile, union(insert(""), area) + local, company)))


def _classifier() -> Fst:
    return union(*map(cross, _CLASSIFIERS))
