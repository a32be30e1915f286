"""How a process logs in to a NATS that somebody else runs, and what is said when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats.errors
import nkeys
import pytest
from structlog.testing import capture_logs

from nodes.bus.bus import Bus
from nodes.bus.connection import Connection
from nodes.bus.login import login, of_cluster, plain
from nodes.config import Config, ConfigError, parse
from nodes.links.cluster_state import ClusterState
from protocols.wire.ids import NodeId
from protocols.wire.roles import Role, users
from tests.conftest import NatsServer

TLS = Path(__file__).parent / "tls"
N1 = NodeId("n1")


def configured(**nats: object) -> Config:
    lines = "\n".join(f"{key} = {str(value)!r}" for key, value in nats.items())
    return parse(f"[nats]\n{lines}", "test", TLS)


@asynccontextmanager
async def up(config: Config, role: Role = Role.EDGE) -> AsyncIterator[Bus]:
    bus = await Bus.connect(login(config, role), name="n1.edge-0:1", node_id=N1)
    try:
        yield bus
    finally:
        await bus.close()


async def again(server: NatsServer, more: str) -> None:
    server.kill()
    server.configure(lambda text: text + more)
    await server.start()


async def test_tls_with_the_right_authority_is_encrypted_and_with_another_is_refused_by_name(
    nats_server: NatsServer,
) -> None:
    await again(nats_server, f"tls {{ cert_file: '{TLS}/server.pem', key_file: '{TLS}/server.key' }}\n")
    url = nats_server.url.replace("nats://", "tls://")
    async with up(configured(url=url, ca=TLS / "ca.pem")) as bus:
        assert bus.connected
    with capture_logs() as lines:
        async with up(configured(url=url)) as bus:  # whom this machine trusts
            assert not bus.connected
    assert any("nats.ca" in str(line.get("error")) for line in lines)


async def test_tls_that_the_server_does_not_offer_is_refused_before_a_word_is_said() -> None:
    heard = bytearray()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"version": "2.10.0", "max_payload": 1048576, "auth_required": true}\r\n')
        heard.extend(await reader.read())
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with capture_logs() as lines:
            async with up(configured(url=f"tls://u:p@127.0.0.1:{port}", ca=TLS / "ca.pem")) as bus:
                assert not bus.connected
    assert heard == b""
    assert any("nats.url says tls://" in str(line.get("error")) for line in lines)


async def test_each_role_has_an_nkey_of_its_own(nats_server: NatsServer, tmp_path: Path) -> None:
    pairs = {role: nkeys.from_seed(bytearray(nkeys.encode_seed(bytes([n]) * 32, nkeys.PREFIX_BYTE_USER)))
             for n, role in enumerate(Role)}  # fmt: skip
    for role, pair in pairs.items():
        (tmp_path / f"{role}.nk").write_bytes(bytes(pair.seed))
    known = users([N1], lambda _, role: {"nkey": pairs[role].public_key.decode()})
    await again(nats_server, f"authorization: {{ users: {str(known).replace(chr(39), chr(34))} }}\n")
    config = configured(url=nats_server.plan.url, nkey=tmp_path)
    async with up(config, Role.CENTRAL) as central, up(config, Role.EDGE) as edge:
        await central.ensure_layout()
        assert edge.record("rm.ev.c1", "e1", {"kind": "answered"})
        async with asyncio.timeout(60):
            await edge.settled()


def test_a_node_with_nkeys_logs_in_with_the_roles_own_and_never_with_a_password_instead() -> None:
    cluster = ClusterState("0" * 32, "prod", nats=b"x" * 32, nkeys={"edge": "SUA"})
    url = "nats://h:4222"
    assert of_cluster(configured(url=url), Role.EDGE, cluster, url).options == {"nkeys_seed_str": "SUA"}
    with pytest.raises(ConfigError, match=r"nats\.nkey: .* has none for desk: ringmaster cluster keys"):
        of_cluster(configured(url=url), Role.DESK, cluster, url)


async def test_a_login_that_is_refused_is_told_with_what_to_look_at(nats_server: NatsServer) -> None:
    with capture_logs() as lines:
        async with up(configured(url=nats_server.plan.url)) as bus:
            assert not bus.connected
    assert any("nats.nkey or nats.creds" in str(line.get("error")) for line in lines)


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("nats.nkey", {"url": "nats://h:4222", "nkey": "/nonexistent"}),
        ("nats.creds", {"url": "nats://h:4222", "creds": "/nonexistent"}),
        ("nats.ca", {"url": "tls://h:4222", "ca": "/nonexistent"}),
        ("nats.ca", {"url": "tls://h:4222", "ca": TLS / "server.key"}),
        ("nats.cert", {"url": "tls://h:4222", "cert": TLS / "server.pem", "key": TLS / "ca.pem"}),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_its_key(key: str, settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")) as told:
        login(configured(**settings), Role.EDGE)
    assert told.value.key == key


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ca": "ca.pem"}, "ca: is for a server that url names"),
        ({"url": "nats://h:4222", "ca": "ca.pem"}, "ca: is for tls://"),
        ({"url": "tls://h:4222", "cert": "server.pem"}, "key: is missing"),
        ({"url": "tls://h:4222", "nkey": "a", "creds": "b"}, "creds: there is nkey, too"),
    ],
)
def test_settings_that_contradict_each_other_are_told(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configured(**settings)


async def test_why_a_server_has_let_nobody_in_is_not_forgotten_when_it_hangs_up() -> None:
    connection = Connection(plain("nats://127.0.0.1:1", N1), "test")
    for error in (
        nats.errors.Error("nats: 'Authorization Violation'"),
        ConnectionResetError("reset"),
        nats.errors.UnexpectedEOF(),
    ):
        await connection._on_error(error)
    assert "ringmaster cluster keys" in connection.trouble
    await connection._on_error(ConnectionRefusedError("refused"))
    assert connection.trouble == "ConnectionRefusedError: refused"
