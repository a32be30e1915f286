"""`ringmaster cluster`: from a machine that is alone to two that are one, and everything that is refused on the way."""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess

import msgspec
import pytest

from nodes import cli, lock
from nodes.commands import cluster as command
from nodes.errors import NodeError, in_words
from nodes.links import cluster_keys, nats_keys, neighbours
from nodes.links.settings import FILE as SETTINGS
from protocols.wire.ids import NodeId
from tests.nodes.commands.conftest import COMMAND, Place


def configured(place: Place, node: str, more: str = "", port: int = 0) -> str:
    """Write a node's configuration, with a state directory of its own; return its file."""
    file = place.path / f"{node}.toml"
    roles = 'roles = ["desk"]\n[cluster]\nbind = "127.0.0.2"\n' if node == "n2" else ""
    file.write_text(f"[node]\nid = {node!r}\n{roles}[paths]\nstate = 'state-{node}'\n[nats]\nport = {port}\n{more}")
    return str(file)


def cluster(place: Place, config: str, *words: str) -> str:
    done = place.run("cluster", "--config", config, *words)
    assert done.status == 0, done
    return done.out


def run_here(config: str, *words: str) -> None:
    """Run it in this process, for it takes a second to start another."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config")
    command.describe(parser)
    assert command.run(parser.parse_args(["--config", config, *words])) == 0


def refused(config: str, *words: str) -> str:
    """Return the line that the command ends with."""
    with pytest.raises((NodeError, OSError)) as told:
        run_here(config, *words)
    return in_words(told.value)


def test_two_machines_have_one_clusters_keys(place: Place) -> None:
    n1, n2 = configured(place, "n1"), configured(place, "n2")
    assert "n1 is its first node" in cluster(place, n1, "init", "prod")
    assert cluster(place, n1, "keys", "n2", "--nats", "nats://127.0.0.1:1", "--to", "n2.keys") == ""
    keys = place.path / "n2.keys"
    assert keys.stat().st_mode & 0o777 == 0o600
    alone = place.path / "state-n2" / SETTINGS
    alone.parent.mkdir()
    alone.write_text('{"version": 9}')
    assert "n2 is of cluster prod" in cluster(place, n2, "join", "n2.keys", "--unasked")
    assert not alone.exists(), "what was applied on a machine that was alone is no version of the cluster's"
    for file in ("cluster/curve.key", "cluster/nats.secret", "contact.key"):
        assert (place.path / "state-n1" / file).read_text() == (place.path / "state-n2" / file).read_text()
    assert (place.path / "state-n1/cluster/nodes").read_text() == "n1\nn2\n"


def test_keys_may_go_down_a_pipe_and_nothing_else_goes_with_them(place: Place) -> None:
    n1 = configured(place, "n1")
    cluster(place, n1, "init", "prod")
    told = json.loads(cluster(place, n1, "keys", "n2", "--nats", "nats://a:1", "--nats", "nats://b:1"))
    assert (told["node"], told["urls"]) == ("n2", ["nats://a:1", "nats://b:1"])


def test_keys_for_servers_of_ones_own_have_a_seed_a_role_and_the_servers_are_told_whose(
    place: Place, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file, seed = place.path / "n2.keys", place.path / "mia.nk"
    run_here(first, "keys", "n2", "--nkeys", "--nats", "tls://a:4222", "--to", str(file))
    run_here(first, "person", "mia", "viewer", "--to", str(seed))
    assert {path.stat().st_mode & 0o777 for path in (file, seed)} == {0o600}
    keys = json.loads(file.read_text())
    told = capsys.readouterr()
    secrets = [*keys["nkeys"].values(), seed.read_text().strip()]
    assert len(set(secrets)) == 6
    assert not any(one in told.err + told.out for one in secrets)
    assert f"nats --nkey {seed} --inbox-prefix _INBOX.mia.viewer" in told.err
    run_here(first, "nats-config")
    users = json.loads(capsys.readouterr().out)["accounts"]["RM"]["users"]
    assert {user["nkey"] for user in users} == set(map(nats_keys.public, secrets))
    run_here(first, "remove", "n2")
    assert (place.path / "state-n1/cluster/nodes").read_text() == "n1\n"
    run_here(first, "nats-config")
    (left,) = json.loads(capsys.readouterr().out)["accounts"]["RM"]["users"]
    assert left["nkey"] == nats_keys.public(secrets[-1])


def test_seeds_are_never_written_over(place: Place, first: str) -> None:
    file = place.path / "n2.keys"
    options = ("--nkeys", "--nats", "tls://a:4222", "--to", str(file))
    run_here(first, "keys", "n2", *options)
    before = file.read_bytes()
    for again, said in (
        (("keys", "n2", *options), "is there already, and may be the only file that has its seeds"),
        (("keys", "n3", *options), "is there already"),
        (("keys", "n2", *options[:-1], str(place.path / "other")), "n2 was given nkeys already"),
        (("keys", "n2", "--nats", "nats://a:1", "--to", str(file)), "n2 has nkeys, and would lose them"),
        (("person", "mia", "viewer", "--to", str(file)), "is there already"),
    ):
        assert said in refused(first, *again)
    assert file.read_bytes() == before
    assert not (place.path / "other").exists()
    assert (place.path / "state-n1/cluster/nodes").read_text() == "n1\nn2\n"


def test_keys_say_where_the_server_here_is_unless_an_address_is_given(place: Place) -> None:
    cluster_keys.make(place.path / "state-n1", "prod", NodeId("n1"))
    n1 = configured(place, "n1", 'bind = "10.0.0.1"\ninsecure = true\n', port=4222)
    run_here(n1, "keys", "n2", "--to", str(place.path / "n2.keys"))
    assert json.loads((place.path / "n2.keys").read_text())["urls"] == ["nats://10.0.0.1:4222"]


def test_keys_are_not_shown_on_a_terminal(place: Place) -> None:
    n1 = configured(place, "n1")
    cluster(place, n1, "init", "prod")
    ours, theirs = pty.openpty()
    words = [COMMAND, "cluster", "--config", n1, "keys", "n2", "--nats", "nats://a:1"]
    done = subprocess.run(
        words, env=place.environment(), cwd=place.path, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (
        2,
        "ringmaster cluster: keys are secret: say --to FILE, or send them where nobody reads them\n",
    )
    os.close(ours)


@pytest.fixture
def first(place: Place) -> str:
    """The configuration of a cluster's first node."""
    cluster_keys.make(place.path / "state-n1", "prod", NodeId("n1"))
    return configured(place, "n1")


@pytest.fixture
def keys(place: Place, first: str) -> str:
    """The file with the keys of a second."""
    keys = cluster_keys.keys_for(place.path / "state-n1", NodeId("n2"), ("nats://127.0.0.1:1",))
    file = place.path / "n2.keys"
    file.write_bytes(cluster_keys.packed(msgspec.structs.replace(keys, nodes=(*keys.nodes, NodeId("n2")))))
    return str(file)


class TestRefusals:
    """Each is one line that says which file, field or setting."""

    def test_a_second_cluster_on_a_machine(self, first: str) -> None:
        assert "state-n1/cluster: this machine is of cluster prod (" in refused(first, "init", "stage")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("init", "a b"), "'a b' is no name: letters, digits, - and _, at most 64"),
            (("keys", "n.2"), "'n.2' is no node.id: letters, digits, - and _"),
            (("keys", "n2", "--nats", "http://a"), "--nats: 'http://a' is not nats://HOST:PORT or tls://HOST:PORT"),
            (("keys", "n2", "--nats", "nats://a:1"), "this machine is of no cluster: ringmaster cluster init"),
            (("keys", "n2", "--nkeys"), "the nats-server here knows no nkeys: say where your own servers are, --nats"),
            (("person", "a b", "viewer"), "'a b' is no name"),
            (("person", "mia", "viewer"), "this machine is of no cluster: ringmaster cluster init"),
            (("remove", "n2"), "this machine is of no cluster: ringmaster cluster init"),
            (("nats-config",), "nobody was given nkeys here: ringmaster cluster keys NODE --nkeys"),
            (("keys", "n2"), "nats.bind: is 127.0.0.1, which says no other machine where NATS is here"),
            (("join", "/nothing.keys"), "/nothing.keys: No such file or directory"),
            (("join", "/dev/null"), "/dev/null: is no file of keys"),
        ],
    )
    def test_what_makes_no_sense(self, place: Place, words: tuple[str, ...], said: str) -> None:
        assert said in refused(configured(place, "n1"), *words)
        assert not (place.path / "state-n1/cluster").exists()

    def test_keys_of_another_node(self, place: Place, keys: str) -> None:
        assert refused(configured(place, "n3"), "join", keys).startswith(f"{keys}: node: the keys are for n2, and")

    def test_keys_of_another_cluster(self, place: Place, keys: str) -> None:
        state = place.path / "state-n2"
        cluster_keys.make(state, "stage", NodeId("n2"))
        before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
        told = refused(configured(place, "n2"), "join", keys)
        assert told.startswith(f"{keys}: cluster: the keys are of cluster prod (")
        assert before == {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}

    def test_a_cluster_that_does_not_answer(self, place: Place, keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(neighbours, "CONNECT_S", 0.1)
        told = refused(configured(place, "n2"), "join", keys)
        assert told.startswith("nats://127.0.0.1:1 lets us not in: ")
        assert told.endswith("to join without asking about id and clock: --unasked")
        assert not (place.path / "state-n2").exists()

    def test_a_server_that_would_be_alone(self, place: Place, keys: str) -> None:
        file = place.path / "n2.toml"
        file.write_text("[node]\nid = 'n2'\n[paths]\nstate = 'state-n2'\n")
        told = refused(str(file), "join", keys)
        assert told.startswith("configuration: node.roles: has nats, and the server here would be alone")
        assert not (place.path / "state-n2").exists()

    def test_a_node_that_runs(self, place: Place) -> None:
        n1 = configured(place, "n1")
        (place.path / "state-n1").mkdir()
        with lock.held(place.path / "state-n1"):
            assert "stop it first" in place.run("cluster", "--config", n1, "init", "prod").refused()
        assert not (place.path / "state-n1/cluster").exists()


@pytest.mark.parametrize("words", ["cluster status", "node drain n1", "user list", "config show", "dnc check +1202555"])
def test_options_of_every_command_may_stand_before_its_second_word_and_behind_it(words: str) -> None:
    first, *rest = words.split()
    parser = cli._parser(first)
    options = ["--config", "F", "--debug"]
    for said in ([first, *options, *rest], [first, *rest, *options], [first, *options[:2], *rest, "--debug"]):
        args = parser.parse_args(said)
        assert (args.config, args.debug) == ("F", True), said
    args = parser.parse_args([first, *rest])
    assert (args.config, args.debug) == (None, False)
