"""However somebody's number is written, the pattern finds it, and it finds nobody else's."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sip.written import national, pattern_of, pattern_of_words

NUMBERS = st.from_regex(r"\+[1-9][0-9]{9,14}", fullmatch=True)


@given(NUMBERS, st.sampled_from(["", " ", "-", ".", ") ", "/"]), st.data())
def test_a_number_is_found_whatever_is_between_its_digits(number: str, between: str, data: st.DataObject) -> None:
    own = national(number)
    at = data.draw(st.integers(1, len(own) - 1))
    written = f"{own[:at]}{between}{own[at:]}"
    for form in (number, f"tel:{number}", f"sip:{number[1:]}@carrier.example", f"0{written}", f"x{written}y"):
        assert re.search(pattern_of(number), form), form


@pytest.mark.parametrize("text", ["2025550101", "202555010", "(202) 555 - - - 0100", "0100 555 202"])
def test_another_number_is_not_found(text: str) -> None:
    assert not re.search(pattern_of("+12025550100"), text)


def test_words_are_found_as_they_stand_whatever_characters_are_in_them() -> None:
    assert re.search(pattern_of_words("Ann  O'Hara (née Müller)"), "ann o'hara\n(née müller)")
    assert not re.search(pattern_of_words("a.b"), "axb")
    assert pattern_of("sip:Ann@PBX.example:5061;transport=tls") == pattern_of("sip:ann@pbx.example")
