"""Number words as transducers, shared by the rules. What they write has a fixed width, leading zeros included.

A number is sections of four digits, with 万 and 亿 between them. What may be left out is heard, too: 一百二 is 120,
三千五 is 3500, 一万二 is 12000. 两 and 二 are both heard where a two is counted.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from grammars.fst import Fst, between, cross, insert, small, union, weighted
from grammars.lang.zh.numbers import DIGITS

_SHORT: Final = 0.3
_NO_ZERO: Final = 0.1
"""How likely the less usual ways are, beside the usual one's 1."""
ZERO: Final = "零"
WIDTHS: Final = (2, 4, 9)


def unit(*, is_counted: bool = False) -> Fst:
    """One to nine, one digit; before what is counted a two is 两."""
    words = [(DIGITS[digit], str(digit)) for digit in range(1, 10)]
    return union(*(cross(*each) for each in words), *([cross("两", "2")] if is_counted else []))


@cache
def two_digits() -> Fst:
    """One to ninety nine, two digits."""
    ten = union(insert("1"), unit()) + cross("十")
    return small(union(insert("0") + unit(), ten + union(insert("0"), unit())))


@cache
def _section() -> Fst:
    """1 to 9999, four digits, at the beginning of a number."""
    return small(union(insert("00") + two_digits(), _from_hundred()))


@cache
def _from_hundred() -> Fst:
    """100 to 9999, four digits."""
    zero = cross(ZERO)
    tens = union(unit(), weighted(insert("1"), _SHORT)) + cross("十")
    below = zero + insert("0") + unit()
    rest2 = union(insert("00"), below, tens + union(insert("0"), unit()), weighted(unit() + insert("0"), _SHORT))
    hundreds = unit(is_counted=True) + cross("百") + rest2
    after = zero + union(insert("00") + unit(), insert("0") + tens + union(insert("0"), unit()))
    rest3 = union(insert("000"), hundreds, after, weighted(unit() + insert("00"), _SHORT))
    thousands = unit(is_counted=True) + cross("千") + rest3
    return small(union(insert("0") + hundreds, thousands))


@cache
def _next_section() -> Fst:
    """0001 to 9999, four digits, behind 万 or 亿: with 零 where places are empty, and perhaps where none is."""
    low, high = small(_section() @ between(1, 999, 4)), small(_section() @ between(1000, 9999, 4))
    return small(union(cross(ZERO) + low, high, weighted(cross(ZERO) + high, _NO_ZERO)))


@cache
def cardinal(width: int) -> Fst:
    """One to 99, 9999 or 999 999 999: `width` 2, 4 or 9."""
    if width == 2:
        return two_digits()
    if width == 4:
        return _section()
    ten_thousands = union(_section(), insert("000") + cross("两", "2")) + cross("万")
    low = union(insert("0000"), _next_section(), weighted(unit() + insert("000"), _SHORT))
    below = union(insert("0000") + _section(), ten_thousands + low)
    mid = _next_section() + cross("万") + union(insert("0000"), _next_section())
    empty = insert("0000") + cross(ZERO) + _section()
    rest = union(insert("00000000"), mid, empty, weighted(unit() + insert("0000000"), _SHORT))
    return small(union(insert("0") + below, unit(is_counted=True) + cross("亿") + rest))


def cardinal_between(least: int, most: int, *, is_counted: bool = False) -> tuple[Fst, int]:
    """The numbers from `least` (0 is among them) to `most`, and the width they are written with; two may be 两."""
    width = next(width for width in WIDTHS if most < 10**width)
    ways = [cardinal(width), insert("0" * (width - 1)) + cross(ZERO, "0")]
    if is_counted:
        ways.append(insert("0" * (width - 1)) + cross("两", "2"))
    return small(union(*ways) @ between(least, most, width)), width


def digit(*, one: bool = True, two: float = 0.0) -> Fst:
    """One digit by itself; 1 may be 幺, 0 may be 〇; `two`: how likely a two is 两."""
    ways = [cross(word, str(n)) for n, word in enumerate(DIGITS)] + [cross("〇", "0")]
    ways += [cross("幺", "1")] if one else []
    ways += [cross("两", "2", two)] if two else []
    return union(*ways)
