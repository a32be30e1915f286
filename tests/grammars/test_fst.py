"""The finite-state idioms, by what they hear and write."""

from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import fst
from grammars.rules import Rule
from grammars.rules.rule import rests_of, tails_of


def reader(source: fst.Fst) -> Rule:
    """A rule made of nothing but this transducer."""
    acceptor, states = fst.acceptor(source), fst.transducer(source)
    return Rule("choices", acceptor, states, tails_of(states), rests_of(states), {}, frozenset(), date(2026, 3, 4))


def written(source: fst.Fst, heard: str) -> str | None:
    meaning = reader(source).parse(heard)
    return meaning.slots["value"] if meaning else None


def test_cross_hears_words_and_writes_characters() -> None:
    assert written(fst.cross("half past", "30"), "half past") == "30"
    assert written(fst.cross("half past", "30"), "half") is None


def test_what_is_written_may_be_longer_than_what_is_heard_and_hold_spaces() -> None:
    assert written(fst.cross("sales", "new york office"), "sales") == "new york office"


def test_an_option_may_be_left_out() -> None:
    source = fst.optional(fst.cross("the")) + fst.cross("first", "1")
    assert [written(source, heard) for heard in ("first", "the first", "the")] == ["1", "1", None]


def test_of_two_readings_the_more_probable_is_taken() -> None:
    source = fst.union(fst.cross("two", "a", 0.2), fst.cross("two", "b", 0.3))
    assert written(source, "two") == "b"


def test_an_insertion_is_written_where_it_stands() -> None:
    source = fst.insert("<") + fst.cross("one", "1") + fst.insert("-") + fst.cross("two", "2") + fst.insert(">")
    assert written(source, "one two") == "<1-2>"


def test_renamed_words_are_heard_instead() -> None:
    source = fst.rename("third", "three") @ fst.cross("three", "3")
    assert (written(source, "third"), written(source, "three")) == ("3", None)


@settings(deadline=None)
@given(bounds=st.tuples(st.integers(0, 999), st.integers(0, 999)).map(sorted), number=st.integers(0, 999))
def test_between_passes_on_exactly_the_numbers_in_its_bounds(bounds: list[int], number: int) -> None:
    source = fst.insert(f"{number:03}") @ fst.between(bounds[0], bounds[1], 3)
    states = source.optimize().num_states()
    assert bool(states) == (bounds[0] <= number <= bounds[1])


def test_the_acceptor_of_many_phrases_shares_their_words() -> None:
    phrases = [f"{a} {b} {c}" for a in "xyz" for b in "xyz" for c in "xyz"]
    acceptor = fst.acceptor(fst.union(*(fst.cross(phrase, phrase) for phrase in phrases)))
    assert (acceptor.n_states, len(acceptor.arcs)) == (4, 9)
