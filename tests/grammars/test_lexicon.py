"""Pronunciations: gruut's words in the recogniser's phones."""

import shutil
import sqlite3
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars.errors import UnknownWord
from grammars.lang.en.lexicon import PHONES, Indexed, index_gruut, is_guess, pronounce
from grammars.rules import NAMES, RuleSpec
from grammars.rules.compile import compile_rule

# gruut reads its models with jsonlines, whose docstrings Python compiles with a warning the first time it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")

WORDS = Path(str(files("gruut_lang_en") / "lexicon.db"))


class TestPronounce:
    @pytest.mark.parametrize(
        ("word", "pronunciations"),
        [
            ("zero", {"z I r oU"}),
            ("the", {"D @", "D i"}),
            ("a", {"@", "eI"}),
            ("p", {"p i"}),
            ("m", {"E m"}),
            ("o'clock", {"oU k l A k"}),
            ("i'd", {"aI d"}),
            ("for", {"f 3", "f O r"}),
            ("Karen", {"k E r @ n"}),
        ],
    )
    def test_a_word_has_its_pronunciations_without_stress(self, word: str, pronunciations: set[str]) -> None:
        assert {" ".join(phones) for phones in pronounce(word)} == pronunciations
        assert not is_guess(word)

    def test_a_name_that_is_in_no_lexicon_is_guessed_and_marked(self) -> None:
        assert pronounce("brzezicki")[0]
        assert is_guess("brzezicki")

    @pytest.mark.parametrize("word", ["", "42", "'", "two words", "日本"])
    def test_what_is_no_word_is_unknown(self, word: str) -> None:
        with pytest.raises(UnknownWord) as unknown:
            pronounce(word)
        assert unknown.value.word == word

    @settings(deadline=None)
    @given(word=st.from_regex(r"[a-z]{1,12}", fullmatch=True))
    def test_every_pronunciation_is_in_the_recognisers_phones(self, word: str) -> None:
        try:
            found = pronounce(word)
        except UnknownWord:
            return
        assert found
        assert all(phones and set(phones) <= set(PHONES.values()) for phones in found)

    @pytest.mark.parametrize("name", sorted(set(NAMES) - {"choices"}))
    def test_no_word_of_a_rule_has_to_be_guessed(self, name: str) -> None:
        assert not [word for word in compile_rule(RuleSpec(name), date(2026, 3, 4)).words if is_guess(word)]


class TestPhones:
    def test_forty_symbols_have_forty_names(self) -> None:
        assert len(PHONES) == len(set(PHONES.values())) == 40

    def test_the_names_are_those_of_the_recogniser(self) -> None:
        listed = (Path(__file__).parents[2] / "nodes/speech/models/asr-en-8k/phones.txt").read_text().split()
        assert {symbol.removesuffix("_S") for symbol in listed if symbol.endswith("_S")} == set(PHONES.values())

    def test_every_sound_in_gruuts_lexicon_has_a_name(self) -> None:
        rows = sqlite3.connect(f"file:{WORDS}?mode=ro", uri=True).execute("SELECT DISTINCT phonemes FROM word_phonemes")
        assert {symbol.lstrip("ˈˌ") for (ipa,) in rows for symbol in ipa.split()} == set(PHONES)


class TestIndexGruut:
    @pytest.fixture
    def lexicon(self, tmp_path: Path) -> Path:
        """A copy of the lexicon without our indexes."""
        copy = Path(shutil.copy(WORDS, tmp_path / "lexicon.db"))
        with sqlite3.connect(copy) as connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall():
                connection.execute(f"DROP INDEX {name}")
        return copy

    def test_the_first_time_creates_the_indexes_and_the_second_finds_them(self, lexicon: Path) -> None:
        assert index_gruut(f"file:{lexicon}?mode=rw") is Indexed.CREATED
        assert index_gruut(f"file:{lexicon}?mode=rw") is Indexed.PRESENT

    def test_gruuts_own_query_uses_the_index(self, lexicon: Path) -> None:
        index_gruut(f"file:{lexicon}?mode=rw")
        query = "EXPLAIN QUERY PLAN SELECT role, phonemes FROM word_phonemes WHERE word = ? ORDER BY pron_order"
        (plan,) = [row[3] for row in sqlite3.connect(lexicon).execute(query, ("a",)) if "word_phonemes" in row[3]]
        assert "USING INDEX" in plan

    def test_a_lexicon_that_cannot_be_written_is_said_so_and_left_alone(self, lexicon: Path) -> None:
        before = lexicon.read_bytes()
        assert index_gruut(f"file:{lexicon}?mode=ro") is Indexed.READ_ONLY
        assert lexicon.read_bytes() == before

    def test_an_indexed_lexicon_needs_no_writing(self, lexicon: Path) -> None:
        index_gruut(f"file:{lexicon}?mode=rw")
        assert index_gruut(f"file:{lexicon}?mode=ro") is Indexed.PRESENT

    def test_a_file_that_is_no_lexicon_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "other.db").write_bytes(b"not a database, whatever its name says" * 100)
        with pytest.raises(sqlite3.DatabaseError):
            index_gruut(f"file:{tmp_path / 'other.db'}?mode=rw")
