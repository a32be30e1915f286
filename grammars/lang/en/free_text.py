"""Free prompt text into words and pauses that the synthesiser reads rightly.

An ordered list of rewritings, most specific first; each turns what it knows into words, so that the later ones
meet fewer digits, and what is left at the end is dropped. Capitals stay: the synthesiser spells what is all capitals.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date

from grammars.lang.en.numbers import cardinal, spell, year
from grammars.lang.en.values import (
    CURRENCIES,
    MONTHS,
    say_date,
    say_day,
    say_money,
    say_number,
    say_ordinal,
    say_phone,
    say_time,
)
from grammars.spoken.written import LONGEST
from grammars.tables import table

_SIGNS = "".join(CURRENCIES)
_LETTERS = str.maketrans({row[0]: row[1] for row in table("grammars.lang.en", "letters")})
_FRACTIONS = {row[0]: row[1] for row in table("grammars.lang.en", "fraction")}
_MONTH = "|".join(f"{month.capitalize()}|{month[:3].capitalize()}\\.?" for month in MONTHS.values())


def normalise(text: str) -> str:
    """Return prompt text as words with `. , ? ! ; :` for the voice, without digits and symbols. Never raises.

    >>> normalise("Is $42.50 due on March 3rd, 2026 at 3:30 p.m.?")
    'Is forty two dollars and fifty cents due on March third twenty twenty six at three thirty PM?'
    >>> normalise("Order #12 for St. Louis: call 555-0199 about 5G & more...")
    'Order number twelve for Saint Louis: call five five five, oh one nine nine about five G and more.'
    """
    text = _plain(text)
    for pattern, words in _REWRITINGS:
        text = pattern.sub(words, text)
    return _tidy(text)


def _plain(text: str) -> str:
    """Fold accents and typography into ASCII; what has no letter here becomes a space."""
    text = text.translate({0x2019: "'", 0x2018: "'", 0x2013: "-", 0x2014: ", ", 0x2026: ". ", 0x2212: "-"})
    text = re.sub("([\u00bc-\u00be\u2150-\u215e])", r" \1", text)  # of "2\u00bd" the half is a word of its own
    return re.sub(rf"[^A-Za-z0-9 '.,?!;:$%&@#/()+{_SIGNS}°-]", " ", _folded(text))


def _folded(text: str) -> str:
    """Return it without accents: letters as they are written where there are none."""
    folded = unicodedata.normalize("NFKD", text.translate(_LETTERS)).replace("\u2044", "/")
    return "".join(c for c in folded if not unicodedata.combining(c))


def unspeakable(text: str) -> str:
    """Return the letters and digits of a text that have no sound here: those of other alphabets.

    >>> unspeakable("Jos\u00e9 Stra\u00dfe"), unspeakable("Ann \u5317\u4eac")
    ('', '\u5317\u4eac')
    """
    return "" if text.isascii() else "".join(c for c in _folded(text) if c.isalnum() and not c.isascii())


def _tidy(text: str) -> str:
    """Drop what no rewriting knew, one pause per place, no space before it, none at the beginning."""
    text = re.sub(r"[^A-Za-z'.,?!;: ]|(?<![A-Za-z])'|'(?![A-Za-z])", " ", text)
    text = re.sub(r"\s*([.,?!;:])[\s.,?!;:]*", lambda run: ("?" if "?" in run[0] else run[1]) + " ", text)
    return re.sub(r"\s+", " ", text).lstrip(" .,?!;:").rstrip()


def _or_as_it_was(say: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
    """A rewriting that leaves alone what only looks like a value (February 30)."""

    def rewrite(found: re.Match[str]) -> str:
        try:
            return f" {say(found[0])} "
        except ValueError:
            return found[0]

    return rewrite


def _american_date(text: str) -> str:
    month, day, year = map(int, text.split("/"))
    return say_date(date(year, month, day).isoformat())


def _named_date(found: re.Match[str]) -> str:
    month = next(number for number, name in MONTHS.items() if name.startswith(found[1][:3].lower()))
    try:
        whole = say_date(f"{found[3]}-{month:02}-{int(found[2]):02}") if found[3] else say_day(month, int(found[2]))
    except ValueError:
        return found[0]
    return f" {whole} "


def _twelve_hours(found: re.Match[str]) -> str:
    hour, minute, half = int(found[1]), found[2] or "00", found[3].lower()
    if not 1 <= hour <= 12:
        return found[0]
    written = f"{hour % 12 + (12 if half == 'p' else 0)}:{minute}"
    return f" {say_time(written)} "


def _fraction(found: re.Match[str]) -> str:
    whole, part = found[1], _FRACTIONS.get(found[2])
    if part is None:
        return found[0]
    return f" {say_number(whole)} and {part.replace('one ', 'a ')} " if whole else f" {part} "


def _decade(found: re.Match[str]) -> str:
    tens = cardinal(int(found[2])).removesuffix("y") + "ies"
    return f" {cardinal(int(found[1]))} {tens} " if found[1] else f" {tens} "


def _year(found: re.Match[str]) -> str:
    return f"{found[1]} {year(int(found[2]))} "


def _any_number(text: str) -> str:
    """A number, or its digits where nobody would read it as one: an account, a code with a leading zero."""
    digits = re.sub(r"\D", "", text)
    is_name = "." not in text and "," not in text and (len(digits) > 6 or re.match(r"0\d", digits))
    return spell(digits) if is_name or len(digits) > LONGEST else say_number(text)


_REWRITINGS: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    *((re.compile(pattern), words) for pattern, words in table("grammars.lang.en", "abbreviation")),
    (re.compile(r"(?<![\d/])(?:(\d{1,3}) )?(\d/\d)(?![\d/])"), _fraction),
    (re.compile(r"(?<![\d'])'?(1\d|20)?([2-9]0)'?s\b"), _decade),
    (re.compile(r"\b([Ii]n|[Ss]ince|[Uu]ntil|[Yy]ear|[Bb]efore|[Aa]fter) ((?:19|20)\d\d)(?![\d.,:/-]\d|\d)"), _year),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), _or_as_it_was(say_date)),
    (re.compile(r"\b\d{1,2}/\d{1,2}/\d{4}\b"), _or_as_it_was(_american_date)),
    (re.compile(rf"\b({_MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?(?:,? (\d{{4}}))?\b"), _named_date),
    (re.compile(r"\b(\d{1,2})(?::([0-5]\d))? ?([aApP])[mM]\b"), _twelve_hours),
    (re.compile(r"\b\d{1,2}:[0-5]\d\b"), _or_as_it_was(say_time)),
    (re.compile(rf"(?<!\w)-([{_SIGNS}])|([{_SIGNS}])-(?=\d)"), r" minus \1\2"),
    (re.compile(rf"[{_SIGNS}] ?\d[\d,]*(?:\.\d\d?)?(?!\d)"), _or_as_it_was(say_money)),
    (re.compile(r"\+\d{7,15}\b"), _or_as_it_was(say_phone)),
    (
        re.compile(r"(?<![\d.-])(?:\+?1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])?\d{3}[.-]\d{4}(?![\d-])"),
        _or_as_it_was(say_phone),
    ),
    (re.compile(r"\b\d+(?:st|nd|rd|th)\b"), _or_as_it_was(say_ordinal)),
    (re.compile(r"(?<![\d-])(\d{1,4}) ?- ?(\d{1,4})(?![\d-])"), r"\1 to \2"),
    (re.compile(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)"), " "),
    (re.compile(r"(?:(?<![\w])-)?\d+(?:,\d{3})*(?:\.\d+)?"), _or_as_it_was(_any_number)),
    (re.compile(r"\+"), " plus "),
]
