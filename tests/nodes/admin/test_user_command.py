"""`ringmaster user`: what it writes, what it refuses, and that nobody reads a secret afterwards."""

from __future__ import annotations

import io
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nodes import cli
from nodes.admin.hashing import matches
from nodes.admin.roles import Role
from nodes.admin.users import changing, new_user, read
from nodes.commands import user as command
from nodes.errors import NodeError


class Command:
    """The command on a state directory of its own; a password is what standard input says."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.state, self._monkeypatch, self._capsys = root / "state", monkeypatch, capsys
        self._file = root / "ringmaster.toml"
        self._file.write_text("[paths]\nstate = 'state'\n")

    def __call__(self, *words: str, stdin: str = "a password\n") -> tuple[int, str, str]:
        """Return status, output and errors."""
        self._monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        args = cli._parser("user").parse_args(["user", "--config", str(self._file), *words])
        try:
            status, said = command.run(args), ""
        except NodeError as error:  # which `main` tells in one line
            status, said = 2, f"{error}\n"
        out, err = self._capsys.readouterr()
        return status, out, err + said

    @property
    def users(self) -> Path:
        return self.state / "users.json"


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, monkeypatch, capsys)


def test_people_are_added_listed_given_another_password_and_removed(user: Command) -> None:
    assert user("add", "ann", "--role", "agent") == (0, "", "")
    first = read(user.users)["ann"]
    assert (first.role, matches(first.hash, "a password")) == (Role.AGENT, True)
    assert stat.S_IMODE(user.users.stat().st_mode) == 0o600
    assert "a password" not in user.users.read_text()
    assert user("passwd", "ann", stdin="another one\n")[0] == 0
    second = read(user.users)["ann"]
    assert matches(second.hash, "another one")
    assert second.generation != first.generation
    status, out, _ = user("list")
    assert (status, out.split()[:2]) == (0, ["ann", "agent"])
    assert user("remove", "ann")[0] == 0
    assert read(user.users) == {}
    told = [json.loads(line) for line in (user.state / "audit.jsonl").read_text().splitlines()]
    assert [(one["what"], one["name"]) for one in told] == [
        ("user.add", "ann"),
        ("user.passwd", "ann"),
        ("user.remove", "ann"),
    ]


def test_a_machines_secret_is_made_and_shown_once(user: Command) -> None:
    status, out, err = user("add", "crm", "--role", "machine", stdin="")
    name, _, secret = out.strip().partition(".")
    assert (status, name, len(secret) > 40) == (0, "crm", True)
    assert "not shown again" in err
    assert matches(read(user.users)["crm"].hash, secret)
    assert secret not in user.users.read_text() + user("list")[1]


@pytest.mark.parametrize(
    ("words", "stdin", "why"),
    [
        (("add", "a.b", "--role", "agent"), "a password\n", "is no name"),
        (("add", "", "--role", "agent"), "a password\n", "is no name"),
        (("add", "ann", "--role", "agent"), "short\n", "8 to 1024 letters"),
        (("add", "annabelle", "--role", "agent"), "Annabelle\n", "is not the name"),
        (("add", "ben", "--role", "agent"), "a password\n", "is known already"),
        (("passwd", "cid"), "a password\n", "cid is not known: ben"),
        (("remove", "cid"), "", "cid is not known: ben"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_and_changes_nothing(
    user: Command, words: tuple[str, ...], stdin: str, why: str
) -> None:
    user("add", "ben", "--role", "lead")
    before = user.users.read_bytes()
    status, out, err = user(*words, stdin=stdin)
    assert (status, out) == (2, "")
    assert why in err
    assert err.count("\n") == 1
    assert user.users.read_bytes() == before


def test_a_broken_users_file_is_named_and_left_as_it_is(user: Command) -> None:
    user.state.mkdir()
    user.users.write_text("{")
    for words in (("list",), ("add", "ann", "--role", "agent"), ("remove", "ann")):
        status, _, err = user(*words)
        assert status == 2
        assert "users.json" in err
    assert user.users.read_text() == "{"


def test_those_who_add_at_the_same_time_lose_nobody(tmp_path: Path) -> None:
    def add(number: int) -> None:
        with changing(tmp_path / "users.json") as users:
            users[f"user-{number}"] = made

    made = new_user(Role.AGENT, "a password")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(40)))
    assert len(read(tmp_path / "users.json")) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["users.json", "users.lock"], "no draft is left"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_what_root_writes_is_the_state_directorys_owners(user: Command) -> None:
    user.state.mkdir()
    os.chown(user.state, 1234, 5678)
    user("add", "ann", "--role", "agent")
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in user.state.iterdir()}
    assert owners == {(1234, 5678)}
    assert {path.name for path in user.state.iterdir()} == {"users.json", "users.lock", "audit.jsonl"}
