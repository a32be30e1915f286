"""A recogniser's directory: what is refused, and the lexicon in the library's own form."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.config import Config
from nodes.speech import model_dir
from nodes.speech.errors import BrokenModel

MODEL = Config().models.recogniser
LEXICON = {
    "yes": [("j", "E", "s")],
    "no": [("n", "oU")],
    "know": [("n", "oU")],
    "note": [("n", "oU", "t")],
    "oh": [("oU",)],
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("ear") / "model"
    model_dir.write(MODEL, into, LEXICON)
    return into


def rows(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def ids(written: Path) -> dict[str, int]:
    return {word: int(number) for word, number in rows(written / "words.base.txt")}


@pytest.mark.parametrize("name", ["final.mdl", "phones.txt", "tree", "mfcc.conf"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    broken = shutil.copytree(MODEL, tmp_path / "model")
    (broken / name).unlink()
    with pytest.raises(BrokenModel, match=f"{name}: missing"):
        model_dir.write(broken, tmp_path / "ear", LEXICON)


@pytest.mark.parametrize("n_bytes", [0, 100, 800_000, 1_627_700])
def test_a_network_that_is_cut_short_is_named(tmp_path: Path, n_bytes: int) -> None:
    broken = shutil.copytree(MODEL, tmp_path / "model")
    network = broken / "final.mdl"
    network.write_bytes(network.read_bytes()[:n_bytes])
    with pytest.raises(BrokenModel, match=r"final\.mdl: (empty|cut short|not a Kaldi network)"):
        model_dir.check(broken)


def test_the_words_of_the_script_and_the_filler_are_known(written: Path) -> None:
    assert {*LEXICON, *model_dir.FILLER} <= ids(written).keys()
    assert len(model_dir.FILLER) == 40


def test_nonterminals_stand_above_a_gap(written: Path) -> None:
    numbers = ids(written)
    assert numbers["#nonterm_begin"] == 500_000
    assert numbers["#nonterm:rule999"] > numbers["#nonterm:rule0"] > numbers["#nonterm_end"]
    assert max(number for word, number in numbers.items() if not word.startswith("#nonterm")) < 1000
    assert rows(written / "wdisambig_words.int") == [[str(numbers["#0"])]]


def test_words_that_sound_alike_or_begin_alike_are_told_apart(written: Path) -> None:
    phones = {word: rest for word, _, *rest in rows(written / "lexiconp_disambig.base.txt")}
    assert phones["yes"] == ["j_B", "E_I", "s_E"]
    assert phones["no"] != phones["know"]
    assert sorted([phones["oh"], phones["&oU"]]) == [["oU_S", "#1"], ["oU_S", "#2"]]


def test_every_word_has_an_alignment_and_nonterminals_have_an_empty_one(written: Path) -> None:
    numbers = ids(written)
    lines = {int(first): rest for first, _, *rest in rows(written / "align_lexicon.base.int")}
    assert lines[0] == ["1"]
    assert lines[numbers["#nonterm:rule0"]] == []
    assert len(lines[numbers["yes"]]) == 3


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3), min_size=1, max_size=12))
def test_no_pronunciation_equals_or_begins_another(pronunciations: list[list[str]]) -> None:
    entries = [(f"w{n}", phones) for n, phones in enumerate(pronunciations)]
    marked = [tuple(phones) for _, phones in model_dir._disambiguated(entries)]
    assert len(set(marked)) == len(marked)
    assert not any(one != other and other[: len(one)] == one for one in marked for other in marked)


def test_a_fourteenth_word_of_the_same_sound_is_refused() -> None:
    with pytest.raises(ValueError, match="sound like"):
        model_dir._disambiguated([(f"w{n}", ["a_S"]) for n in range(14)])


def test_the_shipped_pronunciations_use_the_shipped_phones() -> None:
    phones = Counter(phone for word in model_dir.pronunciations(MODEL) for phone in word)
    assert phones.keys() <= set(model_dir.PHONES)
    assert len(phones) >= 39
