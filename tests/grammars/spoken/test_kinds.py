"""Values of a known kind as words. That the rules understand them is in `rules/test_agreement.py`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars.lang import pack
from grammars.lang.en.numbers import cardinal
from grammars.spoken import normalise, verbalise, words_of


@pytest.mark.parametrize(
    ("written", "kind", "spoken"),
    [
        ("2026-03-03", "date", "March third twenty twenty six"),
        ("2000-12-31", "date", "December thirty first two thousand"),
        ("1905-01-22", "date", "January twenty second nineteen oh five"),
        ("15:30", "time", "three thirty PM"),
        ("9:05", "time", "nine oh five AM"),
        ("12:00", "time", "noon"),
        ("00:00", "time", "midnight"),
        ("00:01", "time", "twelve oh one AM"),
        ("42.50", "money", "forty two dollars and fifty cents"),
        ("1.01", "money", "one dollar and one cent"),
        ("0.5", "money", "fifty cents"),
        ("0", "money", "zero dollars"),
        ("€1,000", "money", "one thousand euros"),
        ("1,234", "number", "one thousand two hundred thirty four"),
        ("-3.05", "number", "minus three point zero five"),
        ("21", "ordinal", "twenty first"),
        ("100th", "ordinal", "one hundredth"),
        ("4250", "digits", "four two five zero"),
        ("12-34", "digits", "one two, three four"),
        ("2125550199", "phone", "two one two, five five five, oh one nine nine"),
        ("+49 30 1234", "phone", "four nine, three oh, one two three four"),
        ("3 eggs", "", "three eggs"),
    ],
)
def test_a_value_is_said_as_its_kind(written: str, kind: str, spoken: str) -> None:
    assert verbalise(written, kind) == spoken


@pytest.mark.parametrize("kind", pack("en").kinds)
def test_what_is_no_such_value_is_read_as_free_text(kind: str) -> None:
    assert verbalise("next week?", kind) == "next week?"


@given(text=st.text(), kind=st.sampled_from([*pack("en").kinds, "colour"]))
def test_no_text_raises(text: str, kind: str) -> None:
    verbalise(text, kind)


@pytest.mark.parametrize(
    ("kind", "written"), [("date", "2026-02-30"), ("time", "24:00"), ("ordinal", "0"), ("money", "1.234")]
)
def test_an_impossible_value_is_read_as_free_text(kind: str, written: str) -> None:
    assert verbalise(written, kind) == normalise(written)


@given(number=st.integers(0, 10**12 - 1), other=st.integers(0, 10**12 - 1))
def test_different_numbers_are_said_differently(number: int, other: int) -> None:
    assert (cardinal(number) == cardinal(other)) == (number == other)


def test_words_are_in_the_recognisers_spelling() -> None:
    assert words_of("It's three PM, o'clock 'sharp' I AM.") == [
        "it's",
        "three",
        "p",
        "m",
        "o'clock",
        "'sharp'",
        "i",
        "a",
        "m",
    ]
