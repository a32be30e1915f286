"""Numbers as words, as they are said: 两 before 百, 千, 万 and 亿, 十 without a 一 where a number begins with it."""

from __future__ import annotations

from itertools import groupby
from typing import Final

DIGITS: Final = "零一二三四五六七八九"
MOST: Final = 10**12
"""The first number that is said digit by digit."""


def cardinal(number: int) -> str:
    """Return a number below 10^12 in words.

    >>> [cardinal(number) for number in (12, 123, 3005, 2222, 20_000, 10_500, 1_005_000, 105_000_000)]
    ['十二', '一百二十三', '三千零五', '两千两百二十二', '两万', '一万零五百', '一百万零五千', '一亿零五百万']
    """
    if number < 0:
        return f"负{cardinal(-number)}"
    if number >= MOST:
        return spell(str(number))
    if number < 10:
        return DIGITS[number]
    high, mid, low = number // 10**8, number // 10**4 % 10**4, number % 10**4
    said = f"{_counted(high)}亿" if high else ""
    if mid:
        said += _joint(high, mid) + (f"{_counted(mid)}万" if not high else f"{_section(mid, first=False)}万")
    if low:
        said += _joint(high * 10**4 + mid, low) + _section(low, first=not said)
    return said


def _joint(above: int, section: int) -> str:
    """The 零 between two sections: where the lower begins with an empty place, or the upper ends with one."""
    return "零" if above and (section < 1000 or above % 10 == 0) else ""


def _counted(number: int) -> str:
    """How many ten thousands, or hundred millions: two of them are 两."""
    return "两" if number == 2 else _section(number, first=True)


def _section(number: int, *, first: bool) -> str:
    """One to 9999; `first`: nothing was said before it."""
    said, is_gap = "", False
    for scale, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // scale % 10
        if not digit:
            is_gap = bool(said)
            continue
        word = "两" if digit == 2 and scale >= 100 else DIGITS[digit]
        if scale == 10 and digit == 1 and first and not said:
            word = ""
        said += ("零" if is_gap else "") + word + name
        is_gap = False
    return said


def spell(text: str, one: str = "一") -> str:
    """Return the digits of a text one by one; a group ends, and the voice pauses, wherever something else stands.

    >>> spell("138-0012", one="幺")
    '幺三八，零零幺二'
    """
    digits = {str(number): word for number, word in enumerate(DIGITS)} | {"1": one}
    groups = ("".join(digits[d] for d in group) for is_digit, group in groupby(text, digits.__contains__) if is_digit)
    return "，".join(groups)
