"""A promise is kept or not by the median of the rounds, whatever one of them says. No speed is asserted here."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.bench.core import ROWS, BenchFailed, Peer, Round, Row, figures, judged, measure, missed

RATIO = Row("ask", "ask_in_time", "ask", must=1.0, stretch=0.5)
BYTES = Row("memory", "memory", "memory", must=800, stretch=500, unit="bytes")
GROWTH = Row("storm", "storm_of_many", "storm_of_few", must=12, stretch=None, base_of="kernel")


def rounds(row: Row, *pairs: tuple[float, float]) -> list[Round]:
    """Return rounds that measured these figures and bases."""
    made: list[Round] = []
    for figure, base in pairs:
        if row.base_of == "kernel":
            made.append({"floor": {}, "kernel": {row.figure: figure, row.base: base}})
        else:
            made.append({"floor": {row.base: base}, "kernel": {row.figure: figure}})
    return made


def test_the_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians() -> None:
    verdict = judged(RATIO, rounds(RATIO, (1.0, 4.0), (6.0, 4.0), (2.0, 20.0)), {})
    assert (verdict.ratio, verdict.measured, verdict.base) == (0.25, 2.0, 4.0)


@pytest.mark.parametrize(
    ("figure", "meets_must", "meets_stretch"),
    [(5.0, True, True), (5.1, True, False), (10.0, True, False), (10.1, False, False)],
)
def test_a_limit_is_met_when_it_is_reached_and_not_passed(figure: float, meets_must: bool, meets_stretch: bool) -> None:
    verdict = judged(RATIO, rounds(RATIO, (figure, 10.0)), {})
    assert (verdict.meets_must, verdict.meets_stretch) == (meets_must, meets_stretch)
    assert missed([verdict]) == ([] if meets_must else ["ask"])


def test_a_limit_in_bytes_holds_the_figure_itself_and_the_ratio_is_told_beside() -> None:
    verdict = judged(BYTES, rounds(BYTES, (600.0, 6000.0)), {})
    assert (verdict.ratio, verdict.measured, verdict.unit) == (0.1, 600.0, "bytes")
    assert (verdict.meets_must, verdict.meets_stretch) == (True, False)


def test_how_a_cost_grows_is_told_by_the_same_contender() -> None:
    verdict = judged(GROWTH, rounds(GROWTH, (130.0, 10.0)), {})
    assert (verdict.ratio, verdict.meets_must, verdict.meets_stretch) == (13.0, False, None)


def test_a_row_without_limits_is_reported_and_cannot_be_missed() -> None:
    row = Row("p99", "ask", "ask", must=None, stretch=None)
    verdict = judged(row, rounds(row, (1000.0, 1.0)), {})
    assert (verdict.ratio, verdict.meets_must, verdict.meets_stretch) == (1000.0, None, None)
    assert missed([verdict]) == []


def test_without_a_base_there_is_no_ratio_and_what_was_not_measured_meets_nothing() -> None:
    count = Row("wake-ups", "wakeups", "wakeups", must=0, stretch=None, unit="wake-ups")
    verdict = judged(count, [{"floor": {}, "kernel": {"wakeups": 0.0}}], {})
    assert (verdict.ratio, verdict.base, verdict.meets_must) == (None, None, True)
    verdict = judged(RATIO, [{"floor": {}, "kernel": {}}], {})
    assert (verdict.ratio, verdict.meets_must) == (None, False)


def test_a_peer_is_compared_with_the_floor_of_its_own_rounds() -> None:
    theirs: list[Round] = [{"floor": {"ask": 2.0}, "mode": {"ask_in_time": 3.0}}]
    verdict = judged(
        RATIO, rounds(RATIO, (1.0, 4.0)), {"mode": theirs, "Erlang": [{"floor": {"ask": 2.0}, "Erlang": {}}]}
    )
    assert verdict.peers == {"mode": 1.5, "Erlang": None}


positive = st.floats(min_value=1e-3, max_value=1e6)


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=7), st.randoms())
def test_the_order_of_the_rounds_never_matters(pairs: Sequence[tuple[float, float]], dice: object) -> None:
    mixed = list(pairs)
    dice.shuffle(mixed)  # type: ignore[attr-defined]
    verdict = judged(RATIO, rounds(RATIO, *pairs), {})
    assert verdict == judged(RATIO, rounds(RATIO, *mixed), {})
    assert verdict.ratio == median(figure / base for figure, base in pairs)


def test_the_names_of_the_rows_are_all_different_and_no_stretch_asks_less_than_its_must() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.stretch is None or (row.must is not None and row.stretch < row.must) for row in ROWS)


async def test_a_round_measures_every_figure_that_a_row_names_and_a_peer_has_a_floor_of_its_own() -> None:
    peer = Peer((("round", "tiny", "floor", "mode"), ("crowd", "tiny", "mode", "memory")), lambda: "")
    (ours,), theirs = await measure(rounds=1, size="tiny", peers={"mode": peer})
    for row in ROWS:
        verdict = judged(row, [ours], theirs)
        assert verdict.measured is not None
        assert (verdict.base is None) == (row.figure == "wakeups")
    (beside,) = theirs["mode"]
    assert beside["floor"]["ask"] != ours["floor"]["ask"]
    assert beside["floor"]["memory"] == ours["floor"]["memory"]
    assert beside["mode"].keys() >= {"ask", "storm", "memory"}


@pytest.mark.parametrize(
    "words", ["round tiny nobody", "round vast floor", "crowd tiny floor dance", "peers.beam vast"]
)
async def test_a_name_that_nothing_has_is_refused_with_the_names_that_there_are(words: str) -> None:
    told = r"ended with 1: '(nobody|vast|dance)' is none of (floor|full|memory), \w+"
    with pytest.raises(BenchFailed, match=f"^{words}: {told}[^\n]+$"):
        await figures(words.split())
