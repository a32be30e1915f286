"""Keys of a cluster on the controller: made once, encrypted, and more of them when there are more nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.links import cluster_state

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NATS = "tls://192.0.2.11:4222 tls://192.0.2.12:4222"


def let_in(secrets: Path) -> set[str]:
    """Return the public keys that NATS servers let in; a node has one for each of its roles."""
    text = (secrets / "nats/users.json").read_text()
    assert not cluster_state.SEED.search(text), "seeds are with who has them"
    return {user["nkey"] for account in json.loads(text)["accounts"].values() for user in account["users"]}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """As an operator's, with the password's file."""
    (tmp_path / "password").write_text("of a test\n")
    return {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password"),
        "RINGMASTER": str(BIN / "ringmaster"),
    }


def made(secrets: Path, env: dict[str, str], *nodes: str) -> list[str]:
    """Return what was made for a cluster of these nodes."""
    argv = ["sh", str(ROOT / "ops/ansible/files/keys.sh"), str(secrets), "prod", NATS, *nodes]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.removeprefix("made: ") for line in done.stdout.splitlines()]


def test_keys_that_are_missing_are_made_once_and_lie_there_encrypted(tmp_path: Path, env: dict[str, str]) -> None:
    """Those of a node whose file was lost are taken back: nobody who has found it is let in."""
    secrets = tmp_path / "secrets"
    assert made(secrets, env, "n1", "n2") == ["cluster.tar", "n1.keys", "n2.keys"]
    assert made(secrets, env, "n1", "n2") == []
    first, before = (secrets / "n1.keys").read_bytes(), let_in(secrets)
    (secrets / "n2.keys").unlink()
    assert made(secrets, env, "n1", "n2") == ["n2.keys"]
    assert (secrets / "n1.keys").read_bytes() == first
    after, a_node = let_in(secrets), len(before) // 2
    assert (len(after), len(after & before)) == (2 * a_node, a_node)
    assert sorted(path.name for path in secrets.iterdir()) == ["cluster.tar", "n1.keys", "n2.keys", "nats"]
    for file in filter(Path.is_file, secrets.iterdir()):
        assert file.read_bytes().startswith(b"$ANSIBLE_VAULT"), file
