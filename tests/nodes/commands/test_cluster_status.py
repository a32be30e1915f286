"""The table of `ringmaster cluster status`: who is in, how each is, and who is not let in."""

from __future__ import annotations

from dataclasses import replace

from nodes.commands.cluster_status import Row, lines, rows
from protocols.wire.cluster import ClusterSeen, Member, NodeSeen, NodeState, NodeWord
from protocols.wire.ids import NodeId


def word(node: str, *, is_draining: bool = False) -> NodeWord:
    roles = ("edge", "desk")
    return NodeWord(
        NodeId(node), 1, 1, "c", 1, "1.0", "north", roles, "", 0.0, (), is_draining=is_draining, calls=7, load=0.25,
        without_heir=2, settings=3,
    )  # fmt: skip


def seen(node: str, state: NodeState, *, is_draining: bool = False) -> NodeSeen:
    return NodeSeen(Member(word(node, is_draining=is_draining), state), heard_s=1.23, ahead_s=-0.0001)


SEEN = ClusterSeen(
    word("n1"),
    (
        seen("n4", NodeState.DEAD),
        seen("n2", NodeState.SILENT),
        seen("n3", NodeState.ALIVE, is_draining=True),
    ),
    waiting={"n9": "the clock is 3.0 s ahead of that of n1"},
)


def test_ours_is_first_then_the_others_by_name_then_who_waits() -> None:
    assert [(row.node, row.state) for row in rows(SEEN)] == [
        ("n1", "alive"), ("n2", "silent"), ("n3", "draining"), ("n4", "gone"), ("n9", "waiting"),
    ]  # fmt: skip
    assert next(rows(ClusterSeen(word("n1"), (), bar="there is a living node n1 already"))).state == "not in"


def test_the_table_says_how_long_somebody_is_silent_and_why_somebody_waits() -> None:
    assert lines(list(rows(SEEN))) == [
        "node  state         zone   version  settings  calls  no heir  load  clock    roles",
        "n1    alive         north  1.0             3      7        2   25%  +0.00 s  edge desk",
        "n2    silent 1.2 s  north  1.0             3      7        2   25%  +0.00 s  edge desk",
        "n3    draining      north  1.0             3      7        2   25%  +0.00 s  edge desk",
        "n4    gone          north  1.0             3      7        2   25%  +0.00 s  edge desk",
        "n9    waiting",
        "n9: the clock is 3.0 s ahead of that of n1",
    ]
    assert lines([Row("n1", "alive")])[1].startswith("n1")


def test_a_node_that_could_not_take_the_newest_settings_shows_those_it_goes_by_and_says_so() -> None:
    (row,) = rows(ClusterSeen(replace(word("n1"), refused=4), ()))
    assert row.settings == 3
    assert row.note.startswith("could not take version 4 of the settings")
