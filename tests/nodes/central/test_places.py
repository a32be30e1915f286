"""Calls go to edges that have room, near their trunk, in proportion to what each carries."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nodes.central.places import Home, Places
from protocols.wire.ids import Identity, NodeId
from protocols.wire.load import NOT_NOW, GivesUp

EDGES = [Identity(f"n{number}.edge-0:1") for number in range(4)]
HOMES = {
    EDGES[0]: Home(NodeId("n0"), "east"),
    EDGES[1]: Home(NodeId("n1"), "east"),
    EDGES[2]: Home(NodeId("n2"), "west"),
    EDGES[3]: Home(NodeId("n3")),
}
edges = st.sampled_from(EDGES)


def places(*rooms: float, capacity: float = 50.0) -> Places:
    """Edges that have said that they have so much room."""
    made = Places()
    made.follow(HOMES)
    for edge, room in zip(EDGES, rooms, strict=False):
        made.said(edge, {"room": room, "capacity": capacity})
    return made


def given_to(made: Places, n: int, zone: str = "") -> Counter[Identity | None]:
    return Counter(made.next(zone) for _ in range(n))


class Ordering(RuleBasedStateMachine):
    """Edges come and go, answer and refuse, against the plainest model there is: a number of places each."""

    def __init__(self) -> None:
        super().__init__()
        self.places = Places()
        self.left: dict[Identity, float] = {}
        self.homes: dict[Identity, Home] = {}

    @rule(there=st.sets(edges))
    def follow(self, there: set[Identity]) -> None:
        self.homes = {edge: HOMES[edge] for edge in there}
        self.places.follow(self.homes)
        self.left = {edge: room for edge, room in self.left.items() if edge in there}

    @rule(edge=edges, room=st.integers(0, 3), capacity=st.integers(0, 100), drains=st.booleans())
    def say(self, edge: Identity, room: int, capacity: int, drains: bool) -> None:
        self.places.said(edge, {"room": room, "capacity": capacity, "cores": 2.0, "draining": float(drains)})
        self.left.pop(edge, None)
        if edge in self.homes and not drains:
            self.left[edge] = room

    @rule(edge=edges)
    def fall_silent(self, edge: Identity) -> None:
        self.places.said(edge, None)
        self.left.pop(edge, None)

    @rule(edge=edges, reason=st.sampled_from([*sorted(NOT_NOW), "bad_target"]))
    def refuse(self, edge: Identity, reason: str) -> None:
        self.places.refused(edge, reason)
        if edge in self.left and reason == "node_full":
            self.left[edge] = 0
        elif reason in NOT_NOW:
            self.left.pop(edge, None)

    @rule(zone=st.sampled_from(["", "east", "west", "nowhere"]))
    def order(self, zone: str) -> None:
        edge = self.places.next(zone)
        having = {edge for edge, room in self.left.items() if room > 0}
        near = {edge for edge in having if zone and self.homes[edge].zone == zone}
        assert edge in (near or having or {None})
        if edge is not None:
            self.left[edge] -= 1

    @invariant()
    def what_there_is_is_what_they_have_said(self) -> None:
        assert self.places.room == sum(self.left.values())
        assert self.places.n_open == len(self.left)
        assert self.places.cores == 2 * len(self.left)


test_an_order_goes_to_an_edge_that_has_a_place_and_takes_it = Ordering.TestCase


@given(st.lists(st.integers(1, 40), min_size=4, max_size=4))
def test_each_gets_calls_in_proportion_to_what_it_carries(capacities: list[int]) -> None:
    made = places()
    for edge, capacity in zip(EDGES, capacities, strict=True):
        made.said(edge, {"capacity": capacity})
    n = 4 * sum(capacities)
    turns = given_to(made, n)
    for edge, capacity in zip(EDGES, capacities, strict=True):
        assert abs(turns[edge] - n * capacity / sum(capacities)) < len(EDGES)


def test_one_whose_calls_are_long_conversations_gets_two_thirds_of_what_its_equal_gets() -> None:
    made = places(math.inf, math.inf)
    for _ in range(20):
        made.ended(NodeId("n0"), 12.0)
        made.ended(NodeId("n1"), 0.0)
    assert given_to(made, 100) == {EDGES[0]: 40, EDGES[1]: 60}


def test_what_calls_were_like_is_forgotten_as_they_change() -> None:
    made = places(math.inf, math.inf)
    for complexity in (12.0,) * 50 + (0.0,) * 1000:
        made.ended(NodeId("n0"), complexity)
    assert made.weight(EDGES[0]) > 0.99 * made.weight(EDGES[1])


def test_calls_stay_in_the_zone_of_their_trunk_as_long_as_anybody_there_has_room() -> None:
    made = places(3, 2, 100, 100)
    assert given_to(made, 5, "east") == {EDGES[0]: 3, EDGES[1]: 2}
    assert given_to(made, 10, "east").keys() == {EDGES[2], EDGES[3]}, "rather far away than not at all"


def test_who_has_not_answered_gets_nothing() -> None:
    made = places(1)
    assert given_to(made, 2) == {EDGES[0]: 1, None: 1}
    made.said(EDGES[0], {"room": 5.0})
    made.said(EDGES[0], None)
    assert (made.next(), made.n_open, made.room) == (None, 0, 0)


def test_a_life_that_has_ended_leaves_nothing_to_its_successor() -> None:
    made = places(5)
    successor = Identity("n0.edge-1:2")
    made.follow({successor: HOMES[EDGES[0]]})
    made.said(EDGES[0], {"room": 5.0})  # an answer that was on its way
    assert made.next() is None
    made.said(successor, {"room": 1.0})
    assert given_to(made, 2) == {successor: 1, None: 1}


def test_a_call_is_elsewhere_where_nobody_could_be_asked_for_it() -> None:
    made = places(1)
    made.follow({EDGES[0]: HOMES[EDGES[0]]}, silent=[NodeId("n1")], gone=[NodeId("n2")])
    known = {node: made.is_elsewhere(NodeId(node)) for node in ("n0", "n1", "n2", "n9")}
    assert known == {"n0": False, "n1": True, "n2": False, "n9": True}, (
        "of n9 nothing is known: it is no cluster of ours"
    )


def test_a_node_has_given_up_what_any_of_its_edges_has() -> None:
    made, home = Places(), Home(NodeId("n1"))
    full, calm = Identity("n1.edge-0:1"), Identity("n1.edge-1:1")
    made.follow({full: home, calm: home})
    made.said(full, {"room": 1.0, "gives_up": float(GivesUp.RECORDINGS)})
    made.said(calm, {"room": 1.0, "gives_up": float(GivesUp.NOTHING)})
    assert made.given_up == {home.node: GivesUp.RECORDINGS}
