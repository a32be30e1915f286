"""What is given up is taken back later than it was given up."""

from hypothesis import given
from hypothesis import strategies as st

from nodes.edge.degradation import THRESHOLDS, next_given_up
from protocols.wire.load import GivesUp

used = st.floats(0, 1.5)


@given(st.sampled_from(GivesUp), used)
def test_a_level_is_entered_at_its_threshold_whatever_was_before(level: GivesUp, share: float) -> None:
    after = next_given_up(level, share)
    for each, (enter, leave) in THRESHOLDS.items():
        if share >= enter:
            assert after >= each
        if share < leave:
            assert after < each


@given(st.sampled_from(GivesUp), used, used)
def test_a_wobble_smaller_than_the_gap_does_not_switch(level: GivesUp, share: float, wobble: float) -> None:
    settled = next_given_up(level, share)
    for each, (enter, leave) in THRESHOLDS.items():
        if leave <= share < enter and leave <= wobble < enter:
            assert (next_given_up(settled, wobble) >= each) == (settled >= each)


def test_a_full_edge_takes_no_new_calls_and_begins_again_below_95_percent() -> None:
    level = next_given_up(GivesUp.NOTHING, 1.0)
    assert level is GivesUp.NEW_CALLS
    assert next_given_up(level, 0.96) is GivesUp.NEW_CALLS
    assert next_given_up(level, 0.94) is GivesUp.TRANSCRIPTS
