"""Values of one kind as words. Each function takes written text and raises `ValueError` when it is not of its kind."""

from __future__ import annotations

import re
from datetime import date

from grammars.lang.en.numbers import cardinal, ordinal, pair, spell, year
from grammars.spoken.written import LONGEST, matched
from grammars.tables import table

MONTHS: dict[int, str] = {int(number): word for number, word in table("grammars.lang.en", "month")}
CURRENCIES: dict[str, tuple[str, ...]] = {row[0]: row[1:] for row in table("grammars.lang.en", "currency")}
"""Symbol -> one unit, several, one hundredth, several."""

_NOON, _MIDNIGHT = (12, 0), (0, 0)


def say_number(text: str) -> str:
    """Return a number of at most 12 digits, with any number of decimals.

    >>> say_number("-1,234.50")
    'minus one thousand two hundred thirty four point five zero'
    """
    sign, whole, decimals = matched(rf"(-?)(\d{{1,{LONGEST}}})(?:\.(\d+))?", text).groups()
    point = f" point {spell(decimals)}" if decimals else ""
    return ("minus " if sign else "") + cardinal(int(whole)) + point


def say_ordinal(text: str) -> str:
    """Return `3` or `3rd` as "third".

    >>> say_ordinal("21st")
    'twenty first'
    """
    number = int(matched(rf"(\d{{1,{LONGEST}}})(?:st|nd|rd|th)?", text)[1])
    if not number:
        raise ValueError(text)
    return ordinal(number)


def say_digits(text: str) -> str:
    """Return digits one by one, with a pause where the text has a gap.

    >>> say_digits("4250")
    'four two five zero'
    """
    return spell(matched(r"\d[\d\s.-]*", text)[0])


def say_phone(text: str) -> str:
    """Return a telephone number digit by digit; American numbers in their groups, others as they are written.

    >>> say_phone("+12125550199")
    'one, two one two, five five five, oh one nine nine'
    """
    written = matched(r"\+?[\d\s().-]*\d[\d\s().-]*", text)[0]
    grouped = re.fullmatch(r"(1?)([2-9]\d\d)??(\d{3})(\d{4})", re.sub(r"\D", "", written))
    return spell(" ".join(filter(None, grouped.groups())) if grouped else written, zero="oh")


def say_date(text: str) -> str:
    """Return an ISO 8601 date.

    >>> say_date("2026-03-03")
    'March third twenty twenty six'
    """
    day = date.fromisoformat(matched(r"\d{4}-\d\d-\d\d", text)[0])
    return f"{say_day(day.month, day.day)} {year(day.year)}"


def say_day(month: int, day: int) -> str:
    """Return a day of the year, as in "March third"."""
    return f"{MONTHS[month].capitalize()} {ordinal(day)}"


def say_time(text: str) -> str:
    """Return a time of day from 00:00 to 23:59 on the twelve-hour clock.

    >>> [say_time("15:30"), say_time("09:05"), say_time("12:00"), say_time("00:00")]
    ['three thirty PM', 'nine oh five AM', 'noon', 'midnight']
    """
    hour, minute = map(int, matched(r"([01]?\d|2[0-3]):([0-5]\d)", text).groups())
    if (hour, minute) in (_NOON, _MIDNIGHT):
        return "noon" if hour else "midnight"
    return " ".join(filter(None, (cardinal((hour - 1) % 12 + 1), pair(minute), "PM" if hour >= 12 else "AM")))


def say_money(text: str) -> str:
    """Return an amount with at most two decimals; without a currency sign it is dollars.

    >>> [say_money("42.50"), say_money("£1"), say_money("$0.05")]
    ['forty two dollars and fifty cents', 'one pound', 'five cents']
    """
    signs = re.escape("".join(CURRENCIES))
    sign, whole, hundredths = matched(rf"([{signs}]?)\s?(\d{{1,{LONGEST}}})(?:\.(\d\d?))?", text).groups()
    unit, units, cent, cents = CURRENCIES[sign or "$"]
    big, little = int(whole), int((hundredths or "0").ljust(2, "0"))
    parts = [f"{cardinal(big)} {unit if big == 1 else units}"] if big or not little else []
    parts += [f"{cardinal(little)} {cent if little == 1 else cents}"] if little else []
    return " and ".join(parts)
