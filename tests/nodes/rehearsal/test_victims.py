"""Which process is to die next."""

from __future__ import annotations

from nodes.links.roster import Peer, Roster, State
from nodes.rehearsal.victims import KINDS, NATS, Victim, choose, of_kind
from protocols.wire.ids import Identity


def peer(name: str, pid: int, state: State = State.ACTIVE) -> Peer:
    return Peer(name.partition("-")[0], name, Identity(name), "", pid, state)


ONE = Roster(1, (peer("edge-0", 1), peer("edge-0", 2, State.SPARE), peer("speech-0", 3), peer("speech-1", 4)))
TWO = Roster(1, (peer("edge-0", 5), peer("edge-0", 6, State.SPARE), peer("edge-0", 7, State.SPARE)))
BOTH = {"a": ONE, "b": TWO}


def nobody(node: str) -> int:
    return 0


def test_of_a_kind_are_the_active_ones_or_the_spares_of_all_nodes() -> None:
    assert of_kind("edge", BOTH, nobody) == [Victim("a", "edge-0", 1), Victim("b", "edge-0", 5)]
    assert [one.pid for one in of_kind("edge spare", BOTH, nobody)] == [2, 6, 7]
    assert [one.pid for one in of_kind("speech", BOTH, nobody)] == [3, 4]
    assert of_kind("desk spare", BOTH, nobody) == []


def test_each_of_several_can_be_the_one() -> None:
    assert {choose("speech", BOTH, number) for number in range(100)} == {*of_kind("speech", BOTH, nobody)}
    assert choose("desk", BOTH, 7) is None


def test_a_nats_server_stands_in_no_roster_and_dies_where_there_is_one() -> None:
    assert NATS in KINDS
    assert choose(NATS, BOTH) is None
    assert choose(NATS, BOTH, server=lambda node: 9 if node == "b" else 0) == Victim("b", NATS, 9)
