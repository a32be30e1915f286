"""Turns are given in proportion to weight, and spread."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from nodes.central.scheduler import Mean, Scheduler, share_of, weight

shares = st.dictionaries(st.text("abcdef", min_size=1, max_size=1), st.integers(1, 20), min_size=1)


@given(shares)
def test_over_one_round_each_gets_exactly_its_weight_in_turns(weights: dict[str, int]) -> None:
    scheduler = Scheduler[str]()
    turns = Counter(scheduler.choose(weights) for _ in range(sum(weights.values())))
    assert turns == weights


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=1), st.floats(0.1, 20), min_size=1), st.integers(1, 200))
def test_after_any_number_of_turns_nobody_is_further_than_a_round_from_their_share(
    weights: dict[str, float], n: int
) -> None:
    scheduler = Scheduler[str]()
    turns = Counter(scheduler.choose(weights) for _ in range(n))
    for key, own in weights.items():
        assert abs(turns[key] - n * own / sum(weights.values())) < len(weights)


@given(st.integers(1, 50))
def test_the_turns_of_the_light_are_not_kept_until_the_heavy_is_done(heavy: int) -> None:
    scheduler = Scheduler[str]()
    turns = [scheduler.choose({"heavy": heavy, "light": 1}) for _ in range(2 * (heavy + 1))]
    first, second = [index for index, key in enumerate(turns) if key == "light"]
    assert second - first == heavy + 1


def test_nobody_is_chosen_from_nobody() -> None:
    assert Scheduler[str]().choose({}) is None


@given(st.floats(0.01, 100), st.floats(0, 1000))
def test_the_weight_is_between_eight_and_twelve_tenths_of_the_base(base: float, how_complex: float) -> None:
    assert 0.8 * base <= weight(base, how_complex) <= 1.2 * base * (1 + 1e-9)


@given(st.floats(0.01, 100), st.floats(0, 20), st.floats(0, 20))
def test_what_gives_a_campaign_more_gives_an_edge_less(base: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert weight(base, less) <= weight(base, more)
    assert share_of(base, less) >= share_of(base, more)


def test_a_campaign_nobody_has_answered_yet_is_simple() -> None:
    assert Mean().value == 0.0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_a_mean_is_between_the_least_and_the_most(told: list[float]) -> None:
    mean = Mean()
    for complexity in told:
        mean.learn(complexity)
    assert min(told) - 1e-9 <= mean.value <= max(told) + 1e-9


def test_who_is_forgotten_begins_anew() -> None:
    scheduler = Scheduler[str]()
    for _ in range(3):
        scheduler.choose({"a": 1, "b": 5})
    scheduler.keep(["b"])
    assert scheduler._credit.keys() == {"b"}
