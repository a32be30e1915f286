"""Who may do what on NATS: every role and every thing that can be done, asked of a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from nodes.bus import server
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.config import Config, parse
from nodes.links import cluster_keys, cluster_state
from protocols.wire.ids import NodeId
from protocols.wire.roles import PEOPLE, Role, inbox, rights, user_of, users
from protocols.wire.subjects import Bucket, Stream
from tests.conftest import NatsServer, running

N1 = NodeId("n1")
CENTRAL, EDGE, DESK, RECORDER, COMMAND, OPERATOR, VIEWER = (
    Role.CENTRAL, Role.EDGE, Role.DESK, Role.RECORDER, Role.COMMAND, Role.OPERATOR, Role.VIEWER,
)  # fmt: skip
LOOKS = {CENTRAL, DESK, OPERATOR, VIEWER}

SAYS: dict[str, set[Role]] = {
    # what is written
    "rm.campaign.spring": {CENTRAL},
    "rm.ev.c1": {EDGE},
    "rm.ev.7.call.answered": {EDGE},
    "rm.state.calls.c1": {EDGE, OPERATOR},
    "rm.state.campaigns.spring": {CENTRAL, OPERATOR},
    "rm.node.n1.beat": {DESK, OPERATOR},
    "rm.node.n2.beat": {OPERATOR},
    "rm.node.n1.word": {CENTRAL, EDGE, DESK, RECORDER, OPERATOR},
    "rm.node.n2.word": {OPERATOR},
    "rm.agent.ann.beat": {DESK, OPERATOR},
    "$KV.rm_leases.central": {CENTRAL, OPERATOR},
    "$KV.rm_calls.c1": {EDGE, OPERATOR},
    "$KV.rm_agents.ann": {DESK, OPERATOR},
    "$KV.rm_nodes.n1": {DESK, OPERATOR},
    "$KV.rm_dnc.ada": {CENTRAL, EDGE, OPERATOR},
    "$KV.rm_dnc.ada.removed": {CENTRAL, OPERATOR},
    "$KV.rm_dnc.list.made": {CENTRAL, OPERATOR},
    "$KV.rm_config.settings": {CENTRAL, OPERATOR},
    "$KV.another.key": {OPERATOR},
    # what is asked of nodes and services
    "$SRV.PING": {OPERATOR, VIEWER},
    "rm.node.n1.cmd.status": {OPERATOR, VIEWER},
    "rm.node.n1.cmd.drain": {OPERATOR},
    # words and contacts: by every way that JetStream has
    "$JS.API.CONSUMER.CREATE.RM_EVENTS": {CENTRAL, OPERATOR},
    "$JS.API.CONSUMER.CREATE.RM_EVENTS.x": {OPERATOR},
    "$JS.API.CONSUMER.CREATE.RM_EVENTS.x.rm.ev.>": {OPERATOR},
    "$JS.API.CONSUMER.DURABLE.CREATE.RM_EVENTS.x": {OPERATOR},
    "$JS.API.CONSUMER.CREATE.RM_EVENTS.recorder": {RECORDER, OPERATOR},
    "$JS.API.CONSUMER.MSG.NEXT.RM_EVENTS.recorder": {CENTRAL, RECORDER, OPERATOR},
    "$JS.API.CONSUMER.MSG.NEXT.RM_EVENTS.central-calls": {CENTRAL, OPERATOR},
    "$JS.API.CONSUMER.CREATE.RM_EVENTS.central-opt-outs.rm.ev.*.opt_out": {CENTRAL, OPERATOR},
    "$JS.ACK.RM_EVENTS.recorder.1.2.3.4.5": {RECORDER, OPERATOR},
    "$JS.API.CONSUMER.DELETE.RM_EVENTS.recorder": {RECORDER, OPERATOR},
    "$JS.API.CONSUMER.CREATE.RM_EVENTS.recorder-n1": {RECORDER, OPERATOR},
    "$JS.API.CONSUMER.DELETE.RM_EVENTS.recorder-n1": {RECORDER, OPERATOR},
    "$JS.API.CONSUMER.DELETE.RM_EVENTS.recorder-n2": {OPERATOR},
    "$JS.API.STREAM.MSG.GET.RM_EVENTS": {CENTRAL, OPERATOR},
    "$JS.API.DIRECT.GET.RM_EVENTS": {OPERATOR},
    "$JS.API.DIRECT.GET.RM_EVENTS.rm.ev.c1": {OPERATOR},
    "$JS.API.CONSUMER.CREATE.RM_CAMPAIGN.x": {CENTRAL, OPERATOR},
    "$JS.API.STREAM.MSG.GET.RM_CAMPAIGN": {CENTRAL, OPERATOR},
    "$JS.API.CONSUMER.CREATE.KV_rm_dnc.x.$KV.rm_dnc.>": {CENTRAL, EDGE, OPERATOR},
    "$JS.API.DIRECT.GET.KV_rm_dnc.$KV.rm_dnc.ada": {CENTRAL, EDGE, OPERATOR},
    "$JS.API.CONSUMER.CREATE.KV_rm_config.x.$KV.rm_config.>": {CENTRAL, EDGE, OPERATOR},
    "$JS.API.DIRECT.GET.KV_rm_config.$KV.rm_config.settings": {CENTRAL, EDGE, OPERATOR},
    "$JS.API.STREAM.PURGE.KV_rm_config": {OPERATOR},
    "$JS.API.STREAM.MSG.DELETE.KV_rm_config": {OPERATOR},
    "$JS.API.STREAM.INFO.RM_EVENTS": {CENTRAL, EDGE, DESK, RECORDER, OPERATOR},
    "$O.rm_journal.C.x": {CENTRAL, OPERATOR},
    "$O.rm_journal.M.x": {CENTRAL, OPERATOR},
    "$JS.API.CONSUMER.CREATE.OBJ_rm_journal": {CENTRAL, OPERATOR},
    "$JS.API.STREAM.PURGE.OBJ_rm_journal": {CENTRAL, OPERATOR},
    # what everybody may look at
    "$JS.API.CONSUMER.CREATE.KV_rm_calls.x.$KV.rm_calls.>": {*LOOKS, EDGE},
    "$JS.API.DIRECT.GET.KV_rm_calls.$KV.rm_calls.c1": {*LOOKS, EDGE},
    "$JS.API.DIRECT.GET.KV_rm_agents.$KV.rm_agents.ann": {*LOOKS, EDGE},
    "$JS.API.STREAM.INFO.KV_rm_nodes": LOOKS,
    "$JS.API.STREAM.NAMES": {OPERATOR, VIEWER},
    # what destroys
    "$JS.API.STREAM.DELETE.RM_EVENTS": {OPERATOR},
    "$JS.API.STREAM.MSG.DELETE.RM_EVENTS": {CENTRAL, OPERATOR},  # of whom is to be forgotten
    "$JS.API.STREAM.MSG.DELETE.OBJ_rm_journal": {CENTRAL, OPERATOR},
    "$KV.rm_forgotten.ada": {CENTRAL, OPERATOR},
    "$JS.API.CONSUMER.CREATE.KV_rm_forgotten.x.$KV.rm_forgotten.>": {CENTRAL, EDGE, RECORDER, OPERATOR},
    "$JS.API.STREAM.DELETE.RM_CAMPAIGN": {OPERATOR},
    "$JS.API.STREAM.DELETE.KV_rm_dnc": {OPERATOR},
    "$JS.API.STREAM.PURGE.RM_EVENTS": {OPERATOR},
    "$JS.API.STREAM.PURGE.RM_CAMPAIGN": {CENTRAL, OPERATOR},
    "$JS.API.STREAM.PURGE.KV_rm_dnc": {OPERATOR},
    "$JS.API.STREAM.MSG.DELETE.KV_rm_dnc": {OPERATOR},
    "$JS.API.STREAM.UPDATE.KV_rm_dnc": {CENTRAL, OPERATOR},
    "$JS.API.STREAM.CREATE.EVIL": {OPERATOR},
    "$JS.API.STREAM.RESTORE.RM_CAMPAIGN": {OPERATOR},
    "$JS.API.STREAM.SNAPSHOT.RM_CAMPAIGN": {OPERATOR},
    # other people's answers
    "_INBOX.n1.central.x": {OPERATOR},
}
HEARS: dict[str, set[Role]] = {
    "rm.ev.>": {COMMAND, OPERATOR},
    "rm.ev.*.turn.heard": {COMMAND, OPERATOR},
    "rm.ev.*.call.ended": {DESK, COMMAND, OPERATOR},
    "rm.ev.*.handover.*": {DESK, COMMAND, OPERATOR},
    "rm.campaign.>": {OPERATOR},
    "rm.state.>": {DESK, OPERATOR, VIEWER},
    "rm.state.agents.*": {DESK, EDGE, OPERATOR, VIEWER},
    "rm.state.calls.*": {DESK, OPERATOR, VIEWER},
    "rm.node.*.beat": {OPERATOR, VIEWER},
    "rm.node.*.word": {CENTRAL, EDGE, DESK, RECORDER, OPERATOR},
    "rm.node.n1.cmd.drain": {DESK, OPERATOR},
    "rm.node.n2.cmd.drain": {OPERATOR},
    "$KV.rm_dnc.>": {OPERATOR},
    "$KV.rm_calls.>": {OPERATOR},
    "$JS.API.>": {OPERATOR},
    "_INBOX.>": {OPERATOR},
    "_INBOX.n1.>": {OPERATOR},
    ">": {OPERATOR},
    **{f"_INBOX.n1.{role}.>": {role, OPERATOR} for role in Role},
}


@asynccontextmanager
async def connected(config: Config, role: Role) -> AsyncIterator[tuple[Client, list[str]]]:
    """A bare client with the role's login, and what the server has refused."""
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error))

    me = login(config, role)
    client = await nats.connect(me.urls, inbox_prefix=me.inbox, error_cb=note, **me.options)
    try:
        yield client, refused
    finally:
        await client.close()


async def granted(config: Config, role: Role, say: Iterable[str], hear: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return what of all this a role may say, and what it may hear."""
    async with connected(config, role) as (client, refused):

        async def is_refused() -> bool:
            await client.flush()  # nats-py's PING overtakes what waits to be sent
            await client.flush()  # the server's no comes before its answer to this one
            said, refused[:] = [*refused], []
            assert all("permissions violation" in word.lower() for word in said)
            return bool(said)

        may_say, may_hear = set(), set()
        for subject in say:
            await client.publish(subject, b"{}")
            if not await is_refused():
                may_say.add(subject)
        for subject in hear:
            subscription = await client.subscribe(subject)
            if not await is_refused():
                may_hear.add(subject)
            await subscription.unsubscribe()
    return may_say, may_hear


def as_for(name: str, table: dict[str, set[Role]]) -> dict[str, set[Role]]:
    """Return a table as it is for another node, or for a person: they and n1 change places."""
    return {subject.replace("n1", "n#").replace(name, "n1").replace("n#", name): table[subject] for subject in table}


async def has_its_rights_and_no_others(config: Config, role: Role) -> None:
    says, hears = as_for(config.node.id, SAYS), as_for(config.node.id, HEARS)
    may_say, may_hear = await granted(config, role, says, hears)
    assert may_say == {subject for subject, roles in says.items() if role in roles}
    assert may_hear == {subject for subject, roles in hears.items() if role in roles}


@pytest.mark.parametrize("role", Role)
async def test_each_role_may_say_and_hear_what_its_row_says_and_nothing_else(
    each_nats_server: NatsServer, role: Role
) -> None:
    await has_its_rights_and_no_others(each_nats_server.config, role)


async def test_a_role_of_a_node_without_a_server_may_the_same_for_that_node_at_the_first_ones(
    each_server: Path, tmp_path: Path
) -> None:
    cluster_keys.make(tmp_path / "n1", "prod", N1)
    cluster_state.add(tmp_path / "n1", [NodeId("n2")])
    async with running(NatsServer(each_server, tmp_path / "n1")) as first:
        cluster_keys.unpack(cluster_keys.keys_for(tmp_path / "n1", NodeId("n2"), (first.plan.url,)), tmp_path / "n2")
        second = parse(f"[node]\nid = 'n2'\nroles = ['desk']\n[cluster]\nbind = '127.0.0.2'\n"
                       f"[paths]\nstate = '{tmp_path}/n2'", "test", tmp_path)  # fmt: skip
        for role in Role:
            await has_its_rights_and_no_others(second, role)


@pytest.mark.parametrize("proof", ["{}", '{"user": "n1-operator", "pass": "operator"}', '{"auth_token": "x"}'])
async def test_who_has_no_login_is_nobody(each_nats_server: NatsServer, proof: str) -> None:
    host, port = each_nats_server.plan.url.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"CONNECT {proof}\r\nSUB rm.> 1\r\nPING\r\n".encode())
    assert (await reader.readline()).startswith(b"INFO")
    assert await reader.read() == b"-ERR 'Authorization Violation'\r\n"
    writer.close()
    await writer.wait_closed()


async def test_a_viewer_cannot_talk_the_server_into_another_stream(each_nats_server: NatsServer) -> None:
    anybody = await Bus.connect(each_nats_server.url, name="edge-0", node_id=N1)
    await anybody.ensure_layout()
    await anybody.kv(Bucket.CALLS).put("c1", {"kind": "forged"})
    async with connected(each_nats_server.config, VIEWER) as (client, _):
        other = {"stream_name": "RM_EVENTS", "config": {"name": "x", "ack_policy": "none"}}
        answer = await client.request("$JS.API.CONSUMER.CREATE.KV_rm_calls.x", json.dumps(other).encode())
        assert "does not match" in json.loads(answer.data)["error"]["description"]
        away = {"name": "y", "ack_policy": "none", "deliver_policy": "all", "deliver_subject": "rm.campaign.evil"}
        create = json.dumps({"stream_name": "KV_rm_calls", "config": away}).encode()
        await client.request("$JS.API.CONSUMER.CREATE.KV_rm_calls.y", create)
    await anybody.kv(Bucket.CALLS).put("c2", {"kind": "forged"})
    assert [one async for one in anybody.replay(Stream.CAMPAIGN)] == []
    await anybody.close()


async def test_nobody_but_their_owner_can_read_the_logins_and_they_stay_the_same(tmp_path: Path) -> None:
    made = NatsServer(Path(server.find()), tmp_path)
    files = [path for path in (tmp_path / "nats").rglob("*") if path.is_file()]
    assert len([path for path in files if path.parent.name == "users"]) == len(Role)
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    before = {role: login(made.config, role) for role in Role}
    server.embedded(made.config)
    assert {role: login(made.config, role).options for role in Role} == {role: before[role].options for role in Role}


async def test_the_nats_cli_finds_its_contexts_in_the_state_directory(nats_server: NatsServer) -> None:
    for role in PEOPLE:
        path = server.context(nats_server.config, role)
        assert path == nats_server.config.paths.state / "nats" / "context" / f"{role}.json"
        told = json.loads(path.read_text())
        client = await nats.connect(
            told["url"], user=told["user"], password=told["password"], inbox_prefix=told["inbox_prefix"]
        )
        await client.jetstream().account_info()  # answered, so the inbox is its own
        await client.close()


def test_the_same_table_makes_the_users_of_a_cluster_with_keys_instead_of_passwords() -> None:
    made = users([N1, NodeId("n2")], lambda node, role: {"nkey": f"U{node}{role}"})
    assert len(made) == 2 * len(Role)
    assert {user["nkey"] for user in made} >= {"Un1edge", "Un2edge"}
    assert "_INBOX.n2.edge.>" in json.dumps(made[-len(Role) :])


def test_no_two_roles_share_an_inbox_and_only_people_see_more_than_their_own() -> None:
    assert len({inbox(N1, role) for role in Role}) == len({user_of(N1, role) for role in Role}) == len(Role)
    for role in Role:
        assert [one for one in rights(N1, role).subscribe if one.startswith("_INBOX")] == [f"{inbox(N1, role)}.>"]
