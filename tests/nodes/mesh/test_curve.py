"""Beyond one machine: nobody without the cluster's key is heard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from nodes.config import ConfigError
from nodes.links.errors import AskTimeout
from nodes.links.roster import Peer, State, make_identity
from nodes.mesh.curve import ClusterKey
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from protocols.errors import LocalProtocolError
from protocols.wire.messages import GetStatus, Status

KEY, OTHER = ClusterKey.make(), ClusterKey.make()
A, B = make_identity("n1", "a", "1"), make_identity("n2", "b", "1")


@pytest.fixture
async def guarded() -> AsyncIterator[Mesh]:
    """A process that listens with the cluster's key."""
    mesh = await Mesh.start(B, "", Outside(KEY, "127.0.0.1"))
    mesh.serve(GetStatus, lambda message, sender: Status(sender, 1, {}))
    yield mesh
    await mesh.close()


@pytest.fixture
async def ask(guarded: Mesh) -> Callable[[ClusterKey], Awaitable[Status]]:
    """Ask the guarded process with a key."""

    async def ask(key: ClusterKey) -> Status:
        mesh = await Mesh.start(A, "", Outside(key))
        mesh.members([Peer("b", "b", B, guarded.address, 1, State.ACTIVE)])
        try:
            return await mesh.ask(B, GetStatus(), timeout_s=0.3 if key != KEY else 5.0)
        finally:
            await mesh.close()

    return ask


async def test_who_has_the_clusters_key_is_answered(ask):
    assert await ask(KEY) == Status(A, 1, {})


@pytest.mark.parametrize("key", [OTHER, ClusterKey(KEY.public, OTHER.secret)])
async def test_with_another_key_nothing_is_heard(ask, guarded, key):
    with pytest.raises(AskTimeout):
        await ask(key)
    assert guarded.counts == {}


async def test_who_encrypts_nothing_is_not_heard(ask, guarded, monkeypatch):
    monkeypatch.setattr(ClusterKey, "secure", lambda self, socket, is_server: None)
    with pytest.raises(AskTimeout):
        await ask(OTHER)
    assert guarded.counts == {}


async def test_who_knows_only_the_public_key_is_refused(ask, guarded, monkeypatch):
    stranger = ClusterKey.make()

    def secure(self: ClusterKey, socket, is_server: bool) -> None:
        socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = self.public, self.secret, KEY.public

    monkeypatch.setattr(ClusterKey, "secure", secure)
    with pytest.raises(AskTimeout):
        await ask(stranger)
    assert guarded.counts == {}


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:*", "tcp://192.0.2.1:7000", "tcp://*:*"])
async def test_an_endpoint_that_others_can_reach_needs_a_key(endpoint):
    with pytest.raises(LocalProtocolError, match="needs_a_key"):
        await Mesh.start(A, endpoint)


def test_a_key_is_read_from_its_file_and_its_secret_is_not_shown(tmp_path: Path):
    path = tmp_path / "cluster.key"
    path.write_bytes(KEY.secret + b"\n")
    assert ClusterKey.read(path) == KEY
    assert KEY.secret.decode() not in repr(KEY)


@pytest.mark.parametrize("text", [b"", b"short", b"x" * 41, b"\xff" * 40])
def test_a_file_that_holds_no_key_is_a_configuration_error(tmp_path: Path, text: bytes):
    path = tmp_path / "cluster.key"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=r"cluster\.key"):
        ClusterKey.read(path)
