"""A backup of a running node is restored onto a machine that has nothing; half of one is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.commands.conftest import Node, Place, make, until

ENDED_S = 1_772_532_000
NOTHING = dict.fromkeys(
    ("rows", "contact_lists", "do_not_call", "forgotten", "recordings", "settings.json", "users.json", "audit.jsonl"), 0
)
ADA, BEN, CYD = (f"sip:{name}@127.0.0.1:9" for name in ("adaline", "benedict", "cydonia"))


def _campaign(node: Node, directory: Path) -> None:
    (directory / "c.toml").write_text('id = "autumn"\n[plan]\nzone = "Europe/London"\ndays = [0]\nopens_min = 0\n')
    (directory / "l.csv").write_text(f"number,consent\n{ADA},paper\n{BEN},paper\n{CYD},paper\n")
    files = (str(directory / "c.toml"), "--contacts", str(directory / "l.csv"), "--script", "hello")
    assert node.run("campaign", "import", *files).status == 0


def _having(directory: Path, text: str) -> list[str]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [str(path.relative_to(directory)) for path in files if text.encode() in path.read_bytes()]


ROLES = '[sip]\nport = 0\n[nats]\nport = 0\n[node]\nroles = ["nats", "recorder", "central"]\n'


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of its own: what it knows is counted here."""
    place = make(tmp_path_factory.mktemp("source"))
    config = place.configure(ROLES)
    made = Node(place, config, place.start("up", "--config", str(config)))
    try:
        place.until(lambda: '"central.leads"' in place.err, made.up)
        yield made
    finally:
        made.up.send_signal(signal.SIGINT)
        assert made.up.wait(120) == 0


@pytest.fixture(scope="module")
def backups(source: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one backup, made before somebody else was forgotten."""
    node, made = source, tmp_path_factory.mktemp("backups")
    _campaign(node, made.parent)
    assert node.run("dnc", "add", ADA).status == 0
    assert node.run("forget", CYD).status == 0
    recordings = node.place.path / "state" / "recordings"
    recordings.mkdir(exist_ok=True)
    (recordings / "7c1f.wav").write_bytes(b"what was said")
    os.utime(recordings / "7c1f.wav", (ENDED_S, ENDED_S))
    (told,) = node.run("backup", str(made), "--json").rows
    assert Path(str(told["backup"])).parent == made
    assert node.run("forget", BEN).status == 0
    (told,) = node.run("backup", str(made / "lists"), "--forgotten-only", "--json").rows
    assert told == {"forgotten": 2}
    return made


def _backup(backups: Path) -> Path:
    (found,) = (path for path in backups.iterdir() if path.is_dir() and path.name != "lists")
    return found


def test_it_is_there_again_and_nobody_who_was_forgotten_since(backups: Path, place: Place) -> None:
    config = str(place.configure(ROLES))
    backup = _backup(backups)
    wanted = json.loads((backup / "manifest.json").read_text())
    (looked,) = place.run("restore", str(backup), "--check", "--json").rows
    held = {"contact_lists": 1, "do_not_call": 1, "forgotten": 1, "recordings": 1}
    assert looked["holds"] == {**NOTHING, **held}
    since = ("--forgotten", str(backups / "lists/forgotten.jsonl"))
    (restored,) = place.run("restore", str(backup), *since, "--json", "--config", config).rows
    assert (restored["rows"], restored["at"]) == (wanted["rows"], wanted["at"])
    state = place.path / "state"
    assert (state / "recordings" / "7c1f.wav").read_bytes() == b"what was said"
    assert (state / "recordings" / "7c1f.wav").stat().st_mtime == ENDED_S, "by that it has its end"
    assert "is there already" in place.run("restore", str(backup), "--config", config).refused()
    up = place.start("up", "--config", config)
    try:
        place.until(lambda: '"restore.written"' in place.err and '"central.leads"' in place.err, up)
        until(lambda: not (state / "restored").exists())
        node = Node(place, Path(config), up)
        (status,) = node.run("campaign", "status", "autumn", "--json").rows
        assert (status["phase"], status["contacts"], status["done"]) == ("imported", 3, 2)
        assert node.run("dnc", "check", ADA).status == 1
        until(lambda: not _having(state, "benedict"))
        assert not _having(state, "cydonia")
        assert _having(state, "adaline")
        done = node.run("forget", BEN, "--only-prove")
        assert done.status == 0, done
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(40) == 0


@pytest.mark.parametrize("what", ["unfinished", "changed", "missing", "newer", "newer product", "encrypted"])
def test_half_a_backup_or_a_newer_one_is_refused_before_anything_is_written(
    backups: Path, place: Place, tmp_path: Path, what: str
) -> None:
    copied = tmp_path / "b" / "one"
    shutil.copytree(_backup(backups), copied)
    manifest, key = copied / "manifest.json", copied / "state" / "contact.key"
    told = json.loads(manifest.read_text())
    match what:
        case "unfinished":
            manifest.unlink()
        case "changed":
            key.write_bytes(key.read_bytes()[::-1])
        case "missing":
            key.unlink()
        case "newer":
            manifest.write_text(json.dumps({**told, "format": 2}))
        case "encrypted":
            manifest.write_text(json.dumps({**told, "sealed": "0123"}))
        case _:
            manifest.write_text(json.dumps({**told, "version": "99.0"}))
    config = str(place.configure(""))
    refused = place.run("restore", str(copied), "--config", config).refused()
    said = {"unfinished": "never finished", "changed": "is not what was written", "missing": "No such file",
            "newer": "newer version", "newer product": "upgrade first",
            "encrypted": "is encrypted: --key"}  # fmt: skip
    assert said[what] in refused
    assert not (place.path / "state").exists() or not list((place.path / "state").iterdir())


def test_a_machine_that_was_given_the_keys_of_another_cluster_is_refused(backups: Path, place: Place) -> None:
    config = str(place.configure('[cluster]\nbind = "127.0.0.1"\n'))
    (place.path / "state").mkdir(exist_ok=True)
    (place.path / "state/contact.key").write_text("ab" * 32)
    refused = place.run("restore", str(_backup(backups)), "--config", config).refused()
    assert "is of another cluster than the backup" in refused
    assert [path.name for path in (place.path / "state").iterdir()] == ["contact.key"]
