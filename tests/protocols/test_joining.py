"""Who may join a cluster: every bar with its own line, and nobody barred who should not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.joining import MOST_S, Bar, Candidate, Resident, barred
from protocols.wire.ids import NodeId

N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")
US = Candidate("c1", N2, 1)


def resident(cluster: str = "c1", node: NodeId = N1, protocol: int = 1, ahead_s: float = 0.0) -> Resident:
    return Resident(cluster, node, protocol, ahead_s)


@pytest.mark.parametrize(
    ("found", "bar", "said"),
    [
        (resident(cluster="c2"), Bar.OTHER_CLUSTER, "node n1 is of another cluster"),
        (resident(protocol=2), Bar.OTHER_PROTOCOL, "version 2 of the protocol, and this machine 1"),
        (resident(node=N2), Bar.CLASHING_ID, "a living node n2 already"),
        (resident(ahead_s=3.0), Bar.CLOCK_OFF, "3.0 s behind that of n1"),
        (resident(ahead_s=-2.5), Bar.CLOCK_OFF, "2.5 s ahead of that of n1"),
    ],
)
def test_each_bar_has_one_line_that_names_who_and_what(found: Resident, bar: Bar, said: str) -> None:
    told = barred(US, [found])
    assert told is not None
    assert told.bar is bar
    assert said in told.reason
    assert "\n" not in told.reason


def test_the_first_machine_of_a_cluster_is_barred_by_nobody() -> None:
    assert barred(US, []) is None


def test_one_wrong_clock_among_three_bars_nobody() -> None:
    others = [resident(), resident(node=N3, ahead_s=0.1), resident(node=NodeId("n4"), ahead_s=9.0)]
    assert barred(US, others) is None


@given(st.lists(st.floats(-MOST_S, MOST_S), max_size=5))
def test_always_who_is_of_the_cluster_with_a_clock_within_two_seconds_may_join(ahead_s: list[float]) -> None:
    others = [resident(node=NodeId(f"m{n}"), ahead_s=each) for n, each in enumerate(ahead_s)]
    assert barred(US, others) is None


@given(st.lists(st.floats(MOST_S + 0.01, 1e9), min_size=1, max_size=5), st.booleans())
def test_always_a_clock_that_all_others_contradict_bars(ahead_s: list[float], is_ahead: bool) -> None:
    others = [resident(node=NodeId(f"m{n}"), ahead_s=-each if is_ahead else each) for n, each in enumerate(ahead_s)]
    told = barred(US, others)
    assert told is not None
    assert told.bar is Bar.CLOCK_OFF
