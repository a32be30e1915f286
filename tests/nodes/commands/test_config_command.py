"""`ringmaster config`: of which nodes a trunk is that a file names."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.commands.config import BadSettings, partly_known

FILE = Path("new.toml")
BACKUP = {"sip": {"trunks": [{"name": "carrier", "cps": 2.0}, {"name": "backup", "cps": 1.0}]}}


def test_a_trunk_that_some_nodes_do_not_have_is_told_with_their_names() -> None:
    trunks = {"n1": ["carrier"], "n2": ["carrier", "backup"], "n3": ["carrier"]}
    assert partly_known(FILE, BACKUP, trunks) == ["sip.trunks.backup is a trunk of n2; for n1, n3 it says nothing"]
    assert partly_known(FILE, {"central": {"base": 4.0}}, trunks) == []


@pytest.mark.parametrize(
    ("trunks", "where"),
    [({"n1": ["carrier"], "n2": ["carrier"]}, "of any node that lives"), ({"n1": ["carrier"]}, "of this node")],
    ids=["two nodes", "one node"],
)
def test_a_trunk_that_no_node_has_is_refused(trunks: dict[str, list[str]], where: str) -> None:
    with pytest.raises(BadSettings, match=f"backup is no trunk in the file {where}"):
        partly_known(FILE, BACKUP, trunks)


def test_where_no_node_is_up_to_ask_a_trunk_of_another_is_left_open() -> None:
    told = partly_known(FILE, BACKUP, {"n1": ["carrier"]}, is_all=False)
    assert told == ["sip.trunks.backup is no trunk of this node, and none is up to ask whether another has it"]
