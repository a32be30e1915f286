"""What is given up is taken back later than it was given up."""

from hypothesis import given
from hypothesis import strategies as st

from nodes.edge.degradation import ENTERS, LEAVES, next_given_up
from protocols.wire.load import GivesUp

used = st.floats(0, 1.5)


@given(st.sampled_from(GivesUp), used)
def test_it_is_given_up_at_its_threshold_whatever_was_before(now: GivesUp, share: float) -> None:
    after = next_given_up(now, share)
    if share >= ENTERS:
        assert after is GivesUp.RECORDINGS
    if share < LEAVES:
        assert after is GivesUp.NOTHING


@given(st.sampled_from(GivesUp), st.floats(LEAVES, ENTERS, exclude_max=True))
def test_a_wobble_between_the_thresholds_does_not_switch(now: GivesUp, share: float) -> None:
    assert next_given_up(now, share) is now
