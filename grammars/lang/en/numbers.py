"""Numbers as words, American English."""

from __future__ import annotations

from itertools import groupby

from grammars.tables import table

CARDINALS: dict[int, str] = {int(number): word for number, word in table("grammars.lang.en", "number")}
"""0 to 20 and the tens."""
ORDINALS: dict[str, str] = {cardinal: nth for cardinal, nth in table("grammars.lang.en", "ordinal")}
"""The last word of a cardinal -> the last word of its ordinal."""

_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))


def cardinal(number: int) -> str:
    """Return a number in words; from a thousand billion on, and below zero, something longer but still right.

    >>> cardinal(1_000_342)
    'one million three hundred forty two'
    """
    if number < 0:
        return f"minus {cardinal(-number)}"
    if number in CARDINALS:
        return CARDINALS[number]
    for scale, name in _SCALES:
        if number >= scale:
            return f"{cardinal(number // scale)} {name}{_rest(number % scale)}"
    return CARDINALS[number // 10 * 10] + _rest(number % 10)


def _rest(number: int) -> str:
    return f" {cardinal(number)}" if number else ""


def ordinal(number: int) -> str:
    """Return the place that a number from 1 on counts.

    >>> ordinal(22)
    'twenty second'
    """
    before, _, last = cardinal(number).rpartition(" ")
    return f"{before} {ORDINALS.get(last, last)}".strip()


def year(number: int) -> str:
    """Return a year as it is said: in pairs, but two thousand to two thousand nine whole.

    >>> [year(1985), year(1905), year(1900), year(2006), year(2026)]
    ['nineteen eighty five', 'nineteen oh five', 'nineteen hundred', 'two thousand six', 'twenty twenty six']
    """
    century, rest = divmod(number, 100)
    if not 1000 <= number <= 9999 or number % 1000 < 10:
        return cardinal(number)
    return f"{cardinal(century)} {pair(rest) or 'hundred'}"


def pair(number: int) -> str:
    """Return two digits as they follow another number in years and times of day; nothing for 00.

    >>> [pair(5), pair(30), pair(0)]
    ['oh five', 'thirty', '']
    """
    return ("oh " if number < 10 else "") + cardinal(number) if number else ""


def spell(text: str, zero: str = "zero") -> str:
    """Return the digits of a text one by one; a group ends, and the voice pauses, wherever something else stands.

    >>> spell("555-0199", zero="oh")
    'five five five, oh one nine nine'
    """
    digits = {str(number): CARDINALS[number] for number in range(10)} | {"0": zero}
    groups = (" ".join(digits[d] for d in group) for is_digit, group in groupby(text, digits.__contains__) if is_digit)
    return ", ".join(groups)
