"""The keys of a cluster on their way to a machine: what is brought, and every file that is refused with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.links import cluster_keys, cluster_state, contact_key, nats_keys
from nodes.links.cluster_keys import BadKeys, ClusterKeys
from nodes.links.cluster_state import BadClusterState
from nodes.mesh.curve import ClusterKey
from protocols.wire.ids import NodeId
from protocols.wire.roles import Role

N1, N2 = NodeId("n1"), NodeId("n2")


def made(state: Path, name: str = "prod") -> ClusterKeys:
    cluster_keys.make(state, name, N1)
    cluster_state.add(state, [N2])
    return cluster_keys.keys_for(state, N2, ("nats://10.0.0.1:4222",))


def written(keys: ClusterKeys, file: Path) -> Path:
    file.write_bytes(cluster_keys.packed(keys))
    return file


def test_a_machine_that_has_joined_has_everything_that_the_first_has(tmp_path: Path) -> None:
    first, second = tmp_path / "n1", tmp_path / "n2"
    file = written(made(first), tmp_path / "keys")
    keys = cluster_keys.read(file)
    cluster_keys.refuse(keys, file, second, N2)
    joined, ours = cluster_keys.unpack(keys, second), cluster_state.read(first)
    assert ours is not None
    assert (joined.id, joined.name, joined.urls) == (ours.id, "prod", ("nats://10.0.0.1:4222",))
    assert joined.password(N2, Role.EDGE) == ours.password(N2, Role.EDGE)
    assert cluster_state.known(second) == cluster_state.known(first) == [N1, N2]
    assert contact_key.contact_key(first) == contact_key.contact_key(second)
    key = [ClusterKey.read(cluster_state.curve_key(state)) for state in (first, second)]
    assert key[0] == key[1]
    files = [path for path in second.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_contact_key_that_is_there_becomes_the_clusters(tmp_path: Path) -> None:
    before = contact_key.contact_key(tmp_path)
    assert bytes.fromhex(made(tmp_path).contact) == before


def test_joining_the_same_cluster_again_changes_nothing_but_who_is_known(tmp_path: Path) -> None:
    keys = made(tmp_path / "n1")
    first = cluster_keys.unpack(keys, tmp_path / "n2")
    cluster_keys.refuse(keys, tmp_path / "keys", tmp_path / "n2", N2)
    assert cluster_keys.unpack(keys, tmp_path / "n2") == first


def with_seeds(state: Path, *roles: Role) -> ClusterKeys:
    return cluster_keys.keys_for(state, N2, (), {role: nats_keys.seed() for role in roles})


def test_a_node_with_nkeys_logs_in_with_them_and_knows_nobodys_password(tmp_path: Path) -> None:
    made(tmp_path / "n1")
    keys, ours = with_seeds(tmp_path / "n1", Role.EDGE, Role.DESK), cluster_state.read(tmp_path / "n1")
    joined = cluster_keys.unpack(keys, tmp_path / "n2")
    assert joined.nkeys == keys.nkeys
    assert cluster_state.read(tmp_path / "n2") == joined
    assert ours is not None
    assert joined.nats != ours.nats
    seeds = tmp_path / "n2/cluster/nkeys"
    assert seeds.stat().st_mode & 0o777 == 0o700
    assert {(path.name, path.stat().st_mode & 0o777) for path in seeds.iterdir()} == {
        ("edge.nk", 0o600), ("desk.nk", 0o600),
    }  # fmt: skip


def test_keys_with_some_seeds_leave_the_others_and_keys_without_any_take_them_all(tmp_path: Path) -> None:
    made(tmp_path / "n1")
    first, more = with_seeds(tmp_path / "n1", Role.EDGE, Role.DESK), with_seeds(tmp_path / "n1", Role.EDGE)
    for keys, nkeys in (
        (first, first.nkeys), (more, first.nkeys | more.nkeys),
        (cluster_keys.keys_for(tmp_path / "n1", N2, ()), {}),
    ):  # fmt: skip
        cluster_keys.unpack(keys, tmp_path / "n2")
        joined = cluster_state.read(tmp_path / "n2")
        assert joined is not None
        assert joined.nkeys == nkeys


def test_keys_of_another_cluster_are_refused_by_a_machine_of_one(tmp_path: Path) -> None:
    cluster_keys.unpack(made(tmp_path / "a", "prod"), tmp_path / "n2")
    with pytest.raises(BadKeys, match=r"keys: cluster: the keys are of cluster stage \(.{8}\), and .* of cluster prod"):
        cluster_keys.refuse(made(tmp_path / "b", "stage"), Path("keys"), tmp_path / "n2", N2)


def test_keys_for_another_node_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadKeys, match=r"keys: node: the keys are for n2, and node\.id of this machine is n7"):
        cluster_keys.refuse(made(tmp_path / "n1"), Path("keys"), tmp_path / "n7", NodeId("n7"))


def test_a_machine_that_names_contacts_with_another_key_is_told_before_it_loses_sight_of_them(tmp_path: Path) -> None:
    contact_key.contact_key(tmp_path / "n2")
    with pytest.raises(BadKeys, match=r"keys: contact: .*contact\.key is another one"):
        cluster_keys.refuse(made(tmp_path / "n1"), Path("keys"), tmp_path / "n2", N2)


def test_a_machine_is_the_first_of_one_cluster_only(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(BadKeys, match="this machine is of cluster prod"):
        cluster_keys.make(tmp_path, "stage", N1)


def test_a_machine_of_no_cluster_has_no_keys_to_give(tmp_path: Path) -> None:
    with pytest.raises(BadKeys, match="ringmaster cluster init"):
        cluster_keys.keys_for(tmp_path, N2, ())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda keys: keys | {"protocol": 9},
            "protocol: the cluster speaks version 9 of the protocol, and this release",
        ),
        (lambda keys: keys | {"format": 2}, "format: is 2, and this release reads 1"),
        (lambda keys: keys | {"curve": "x" * 39}, "curve: is not what"),
        (lambda keys: keys | {"nats": "ab"}, "nats: is not what"),
        (lambda keys: keys | {"contact": ""}, "contact: is not what"),
        (lambda keys: keys | {"nkeys": {"edge": "UA" + "A" * 54}}, "nkeys: is not what"),
        (lambda keys: keys | {"cluster": "../../etc"}, "cluster: is not what"),
        (lambda keys: keys | {"nodes": ["n1"]}, "node: is not what"),
        (lambda keys: keys | {"nodes": ["n2", "n 3"]}, "nodes: is not what"),
        (lambda keys: keys | {"urls": [3]}, r"urls\[0\]"),
        (lambda keys: {key: keys[key] for key in keys if key != "node"}, "`node`"),
        (lambda _: {"hello": "world"}, "is no file of keys"),
        (lambda _: [], "is no file of keys"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_field_that_is(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(json.dumps(change(json.loads(cluster_keys.packed(made(tmp_path / "n1"))))))
    with pytest.raises(BadKeys, match=said) as told:
        cluster_keys.refuse(cluster_keys.read(file), file, tmp_path / "n2", N2)
    assert str(file) in str(told.value)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "n2").exists()


@settings(deadline=None)  # each example waits for the disk
@given(st.data())
def test_always_what_was_cut_short_or_is_garbage_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    where = tmp_path_factory.mktemp("cut")
    whole = cluster_keys.packed(made(where / "n1"))
    (where / "keys").write_bytes(
        data.draw(st.binary(max_size=200) | st.integers(0, len(whole) - 2).map(lambda n: whole[:n]))
    )
    with pytest.raises(BadKeys):
        cluster_keys.read(where / "keys")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("cluster.json", ""),
        ("cluster.json", "[" * 100_000),
        ("cluster.json", '{"cluster": "x", "name": "prod", "urls": []}'),
        ("nats.secret", "abc"),
        ("nkeys/edge.nk", "SUA"),
    ],
)
def test_a_state_that_was_cut_short_is_told_by_its_file(tmp_path: Path, file: str, text: str) -> None:
    made(tmp_path)
    cluster_keys.unpack(with_seeds(tmp_path, Role.EDGE), tmp_path)
    (tmp_path / "cluster" / file).write_text(text)
    with pytest.raises(BadClusterState, match=file):
        cluster_state.read(tmp_path)


def test_whoever_logs_keys_logs_no_secret(tmp_path: Path) -> None:
    made(tmp_path)
    keys = with_seeds(tmp_path, Role.EDGE)
    state = cluster_keys.unpack(keys, tmp_path)
    secrets = (keys.nats, keys.curve, keys.contact, keys.nkeys["edge"])
    assert all(secret not in repr(keys) + repr(state) for secret in secrets)
