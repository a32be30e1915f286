"""What is given up is taken up again later than it was given up, and in the opposite order."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nodes.edge.degradation import BOUNDS, FIRST, next_given_up
from protocols.wire.load import GivesUp

used = st.floats(0, 1.5)


@given(st.sampled_from(GivesUp), used)
def test_it_is_given_up_at_its_bound_whatever_was_before(now: GivesUp, share: float) -> None:
    after = next_given_up(now, share)
    for what, (enters, leaves) in BOUNDS.items():
        if share >= enters:
            assert after >= what
        if share < leaves:
            assert after < what


@given(st.sampled_from(GivesUp), used)
def test_what_it_has_come_to_it_stays_at(now: GivesUp, share: float) -> None:
    after = next_given_up(now, share)
    assert next_given_up(after, share) is after


@given(st.lists(used, max_size=60))
def test_between_two_switches_of_a_thing_the_load_has_moved_by_the_width_of_its_bounds(shares: list[float]) -> None:
    """Whatever the load does."""
    for what, (enters, leaves) in BOUNDS.items():
        now, switched = GivesUp.NOTHING, list[float]()
        for share in shares:
            after = next_given_up(now, share)
            if (after >= what) != (now >= what):
                switched.append(share)
            now = after
        assert all(abs(one - other) > enters - leaves - 1e-9 for one, other in pairwise(switched))


def test_words_go_first_then_recordings_then_new_calls_and_each_comes_back_in_the_opposite_order() -> None:
    up = [share / 1000 for share in range(1200)]
    seen, now = [], GivesUp.NOTHING
    for share in (*up, *reversed(up)):
        now = next_given_up(now, share)
        seen += [now] if not seen or seen[-1] is not now else []
    assert seen == [*GivesUp, *reversed(list(GivesUp)[:-1])]
    assert min(enters for enters, _ in BOUNDS.values()) == FIRST
