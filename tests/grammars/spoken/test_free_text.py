"""What the synthesiser is given for a prompt."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars.spoken import normalise

CASES = [
    line.split("\t")
    for line in (Path(__file__).parent / "free_text.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("# written")
]

WRITTEN = st.lists(
    st.sampled_from("0 1 12 30 99 2026 a P am pm . , : - / $ % # + St Dr March 'x ' ( ) ? é 日 ² ٣".split())
    | st.just(" ")
).map("".join)


@pytest.mark.parametrize(("written", "spoken"), CASES)
def test_written_text_becomes_words(written: str, spoken: str) -> None:
    assert normalise(written) == spoken


@given(text=st.text() | WRITTEN)
def test_any_text_becomes_words_and_pauses_only(text: str) -> None:
    assert re.fullmatch(r"([A-Za-z'.,?!;:]| )*", normalise(text))


@given(text=st.text() | WRITTEN)
def test_pauses_follow_words_and_stand_alone(text: str) -> None:
    spoken = normalise(text)
    assert spoken == spoken.strip()
    assert not re.search(r"\s\s|\s[.,?!;:]|[.,?!;:][.,?!;:]|^[.,?!;:]", spoken)


def test_a_question_stays_a_question() -> None:
    assert normalise("Is it 3 p.m.?") == "Is it three PM?"
