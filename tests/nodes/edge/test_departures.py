"""Which calls go: all of a drained node's, or a share; in virtual time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nodes.call.record import CallPhase, CallRecord
from nodes.edge.departures import REFUSED_S, SOON_S, WITHIN_S, Departures, may_go
from protocols.floor import FloorState
from protocols.wire.ids import CallId, NodeId
from tests.nodes.edge.records import record

RESTS_S = 300.0
THERE = frozenset({NodeId("b")})


def calls(n: int, **fields: object) -> dict[CallId, CallRecord]:
    return {CallId(f"c{k}"): record(f"c{k}", answered_s=float(k + 1), **fields) for k in range(n)}


def test_of_a_drained_node_all_go_as_places_become_free() -> None:
    wants, records = Departures(), calls(3)
    wants.want_all(True)
    first = wants.next(records, 2, 100.0)
    assert first == ["c2", "c1"], "who has begun last has most before them"
    assert wants.next(records, 0, 100.0) == []
    wants.gone(first[0])
    del records[first[0]]
    assert wants.next(records, 1, 100.1) == ["c0"]


def test_whoever_speaks_is_let_finish_and_whoever_rings_is_not_up_yet() -> None:
    wants = Departures()
    wants.want_all(True)
    speaks = record("c1", floor=FloorState(is_speaking=True))
    rings = record("c2", phase=CallPhase.RINGING)
    assert wants.next({CallId("c1"): speaks, CallId("c2"): rings}, 8, 100.0) == []


def test_one_that_was_not_taken_is_asked_again_soon_and_one_that_refused_is_left_in_peace() -> None:
    wants, records = Departures(), calls(2)
    wants.want_all(True)
    wants.next(records, 2, 100.0)
    wants.stays(CallId("c0"), 100.0)
    wants.stays(CallId("c1"), 100.0, is_refused=True)
    assert wants.next(records, 2, 100.0 + SOON_S / 2) == []
    assert wants.next(records, 2, 100.0 + SOON_S) == ["c0"]
    assert wants.next(records, 2, 100.0 + REFUSED_S) == ["c1"]


def test_a_share_that_could_not_go_in_time_is_given_up() -> None:
    wants, records = Departures(), calls(4)
    wants.want(2, 100.0)
    assert wants.n_wanted(100.0 + WITHIN_S - 1) == 2
    assert wants.next(records, 8, 100.0 + WITHIN_S) == []
    assert not wants.is_on(100.0 + WITHIN_S)


def test_only_calls_with_a_wanted_heir_are_part_of_a_share() -> None:
    near, far = record("c1", heir=NodeId("b")), record("c2", heir=NodeId("c"))
    assert [may_go(one, 100.0, 0.0, THERE) for one in (near, far)] == [True, False]
    assert may_go(far, 100.0, 0.0, frozenset())


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 700.0),  # until the next order
            st.floats(0.0, 1.0),  # its share
            st.lists(st.sampled_from(["gone", "stays", "refused"]), max_size=30),
        ),
        max_size=12,
    )
)
def test_a_share_never_takes_more_than_was_ordered_nor_a_call_twice_in_five_minutes(
    orders: list[tuple[float, float, list[str]]],
) -> None:
    """The calls of two nodes, whoever has them: what leaves one comes to the other, and is told to go again."""
    sides: list[dict[CallId, CallRecord]] = [calls(8), {}]
    wants = [Departures(), Departures()]
    moved: dict[CallId, float] = {}
    now = 1000.0
    for n, (later, share, ends) in enumerate(orders):
        now, here = now + later, n % 2
        able = sum(may_go(one, now, RESTS_S, frozenset()) for one in sides[here].values())
        wanted = min(able, round(share * 8))
        wants[here].want(wanted, now, RESTS_S)
        n_gone = 0
        for end in ends:
            for call_id in wants[here].next(sides[here], 1, now):
                if end == "gone":
                    assert now - moved.get(call_id, -RESTS_S) >= RESTS_S
                    one = sides[here].pop(call_id)
                    sides[1 - here][call_id] = replace(one, moved_s=now, n_moves=one.n_moves + 1)
                    moved[call_id] = now
                    wants[here].gone(call_id)
                    n_gone += 1
                else:
                    wants[here].stays(call_id, now, is_refused=end == "refused")
            now += 0.5
        assert n_gone <= wanted
