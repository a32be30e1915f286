"""Who is given nkeys: once, and nothing of theirs stays but the public half."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from nodes.links import cluster_keys, cluster_state, nats_keys
from nodes.links.cluster_keys import BadKeys
from protocols.wire.ids import NodeId
from protocols.wire.roles import PROCESSES

N1, N2 = NodeId("n1"), NodeId("n2")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A machine of a cluster."""
    cluster_keys.make(tmp_path, "prod", N1)
    return tmp_path


def given(state: Path, name: NodeId, *roles: str) -> dict[str, str]:
    """Give somebody seeds; return them."""
    seeds: dict[str, str] = {}
    nats_keys.give(state, name, roles, seeds.update)
    return seeds


def test_a_seed_is_made_for_each_role_and_only_its_public_key_stays(state: Path) -> None:
    seeds = given(state, N2, *PROCESSES)
    assert seeds.keys() == set(PROCESSES)
    assert all(cluster_state.SEED.fullmatch(seed) for seed in seeds.values())
    assert nats_keys.read(state) == {N2: {role: nats_keys.public(seed) for role, seed in seeds.items()}}
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert not re.search(rb"\bSU[A-Z2-7]{56}", kept)


def test_seeds_are_made_once_and_a_role_that_a_release_brings_gets_one_of_its_own(state: Path) -> None:
    before = given(state, N2, "edge")
    assert given(state, N2, "edge", "desk").keys() == {"desk"}
    assert nats_keys.read(state)[N2]["edge"] == nats_keys.public(before["edge"])
    with pytest.raises(BadKeys, match=r"n2 was given nkeys already, .* ringmaster cluster remove n2"):
        given(state, N2, "edge", "desk")


def test_who_could_not_be_handed_theirs_is_not_let_in(state: Path) -> None:
    def fail(_: dict[str, str]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        nats_keys.give(state, N2, ["edge"], fail)
    assert nats_keys.read(state) == {}


def test_who_is_removed_can_be_given_others_and_nobody_else_is_touched(state: Path) -> None:
    first = given(state, N1, "edge")
    before = given(state, N2, "edge")
    nats_keys.remove(state, N2)
    assert nats_keys.read(state) == {N1: {"edge": nats_keys.public(first["edge"])}}
    assert given(state, N2, "edge") != before
    with pytest.raises(BadKeys, match="n3 was given no nkeys here"):
        nats_keys.remove(state, NodeId("n3"))


def test_of_many_who_make_keys_at_once_nobody_is_forgotten(state: Path) -> None:
    names = [NodeId(f"n{n}") for n in range(20)]
    threads = [threading.Thread(target=given, args=(state, name, "edge")) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert nats_keys.read(state).keys() == set(names)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not what ringmaster cluster keys writes"),
        ("[" * 100_000, "is not what ringmaster cluster keys writes"),
        ('{"n1": ["edge"]}', "is not what ringmaster cluster keys writes"),
        ('{"n 1": {}}', "is no name"),
        ('{"n1": {"king": "U"}}', "is no role that this release knows"),
        ('{"n1": {"edge": "SUAB"}}', r"n1\.edge: is no public key"),
    ],
)
def test_a_list_of_users_that_is_damaged_is_told_and_none_of_it_used(state: Path, text: str, said: str) -> None:
    (state / "cluster/users.json").write_text(text)
    with pytest.raises(BadKeys, match=said):
        nats_keys.read(state)
    with pytest.raises(BadKeys):
        given(state, N2, "edge")
    assert (state / "cluster/users.json").read_text() == text
