"""Number words as transducers, shared by the rules. What they write has a fixed width, leading zeros included.

Fixed widths make sums into sequences: "forty" writes 4, "two" writes 2, and where "two" stands alone a 0 is inserted
before it. The rules strip the zeros from the finished value.
"""

from __future__ import annotations

from functools import cache

from grammars.fst import Fst, any_number, between, cross, insert, optional, rename, small, union, weighted
from grammars.lang.en.numbers import CARDINALS, ORDINALS

_AND = 0.2
_A_HUNDRED = 0.3
_TWELVE_HUNDRED = 0.3
"""How likely the less usual ways are, beside the usual one's 1."""


def unit() -> Fst:
    """One to nine, one digit."""
    return union(*(cross(CARDINALS[number], str(number)) for number in range(1, 10)))


@cache
def two_digits() -> Fst:
    """One to ninety nine, two digits."""
    return small(union(insert("0") + unit(), _from_ten()))


def _from_ten() -> Fst:
    teens = union(*(cross(CARDINALS[number], str(number)) for number in range(10, 20)))
    tens = union(*(cross(CARDINALS[number], str(number // 10)) for number in range(20, 100, 10)))
    return union(teens, tens + union(insert("0"), unit()))


@cache
def pair() -> Fst:
    """Two digits as they follow another number: "oh five", "thirty five"; nothing is not among them."""
    return small(union(cross("oh", "0") + unit(), _from_ten()))


@cache
def cardinal(width: int) -> Fst:
    """One to 99, 999, 999 999 or 999 999 999: `width` 2, 3, 6 or 9."""
    if width == 2:
        return two_digits()
    if width == 3:
        hundreds = union(unit(), cross("a", "1", _A_HUNDRED)) + cross("hundred")
        return small(union(insert("0") + two_digits(), hundreds + _rest(2)))
    rest = width - 3
    above = union(cardinal(3), cross("a", "001", _A_HUNDRED)) + cross({3: "thousand", 6: "million"}[rest])
    ways = [insert("000") + cardinal(rest), above + _rest(rest)]
    if width == 6:
        dozens = _from_ten() @ union(*(between(tens + 1, tens + 9, 2) for tens in range(10, 100, 10)))
        ways.append(weighted(insert("00") + dozens + cross("hundred") + _rest(2), _TWELVE_HUNDRED))
    return small(union(*ways))


def _rest(width: int) -> Fst:
    """What may follow a scale word: nothing, or a smaller number, sometimes after "and"."""
    return union(insert("0" * width), optional(cross("and"), _AND) + cardinal(width))


def cardinal_between(least: int, most: int) -> tuple[Fst, int]:
    """The cardinals from `least` (0 is among them) to `most`, and the width they are written with."""
    width = next(width for width in (2, 3, 6, 9) if most < 10**width)
    every = union(cardinal(width), insert("0" * (width - 1)) + cross(CARDINALS[0], "0"))
    return small(every @ between(least, most, width)), width


def ordinal_between(least: int, most: int) -> Fst:
    """The ordinals from `least` to `most`: a cardinal whose last word is changed.

    "hundredth" alone is no ordinal here ("one hundredth" is), as in what `spoken` says.
    """
    numerals, _ = cardinal_between(least, most)
    words = {*CARDINALS.values(), *ORDINALS, "a", "and"}
    before = any_number(union(*(rename(word, word) for word in sorted(words))))
    last = union(*(rename(heard, meant) for meant, heard in ORDINALS.items()))
    return small(small(before + last) @ numerals)
