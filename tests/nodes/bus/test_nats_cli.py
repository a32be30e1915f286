"""What the `nats` command asks, as a viewer: whatever looks is answered, and whatever changes something is refused.

The command is in no package that a test could install. So its requests are sent as it sends them, with the login and
the inbox of the context that `ringmaster up` writes for it: read from the source of natscli (c778a5c, July 2026) with
nats.go 1.52. It passes over a service's answer that its schemas (jsm.go, schemas/micro/v1) do not allow: so do we.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from nodes.admin.presence import SERVICE
from nodes.bus import server
from nodes.bus.bus import Bus
from nodes.bus.login import login
from protocols.wire.ids import NodeId
from protocols.wire.roles import Role
from protocols.wire.subjects import Bucket
from tests.conftest import NatsServer

N1 = NodeId("n1")
API, MICRO = "io.nats.jetstream.api.v1", "io.nats.micro.v1"
CALL = {"node": "n1", "state": "conversing", "rev": 1}
WATCHES = {
    "deliver_policy": "last_per_subject", "ack_policy": "none", "max_deliver": 1, "filter_subject": "$KV.rm_calls.>",
    "replay_policy": "instant", "flow_control": True, "idle_heartbeat": 5_000_000_000, "num_replicas": 1,
    "mem_storage": True,
}  # fmt: skip

ANSWERED: dict[str, tuple[str, object, str, tuple[str, ...]]] = {
    # the command: subject, body, the answer's type, keys without which the command shows nothing
    "nats account info": ("$JS.API.INFO", None, f"{API}.account_info_response", ("storage", "streams", "limits")),
    "nats kv ls": ("$JS.API.STREAM.LIST", {"offset": 0}, f"{API}.stream_list_response", ("total", "streams")),
    "nats stream ls": ("$JS.API.STREAM.NAMES", {"offset": 0}, f"{API}.stream_names_response", ("total", "streams")),
    "nats kv info rm_calls": ("$JS.API.STREAM.INFO.KV_rm_calls", None, f"{API}.stream_info_response", ("config",)),
    "nats stream info KV_rm_nodes": (
        "$JS.API.STREAM.INFO.KV_rm_nodes", {"offset": 0}, f"{API}.stream_info_response", ("config", "state", "created"),
    ),
    "nats stream get KV_rm_calls --last-for": (
        "$JS.API.STREAM.MSG.GET.KV_rm_calls", {"last_by_subj": "$KV.rm_calls.c1"}, f"{API}.stream_msg_get_response",
        ("message",),
    ),
    "nats req rm.node.n1.cmd.status": ("rm.node.n1.cmd.status", None, "", ("state",)),
}  # fmt: skip

WATCHED: dict[str, dict[str, object]] = {
    # the command: what it wants beside `WATCHES`
    "nats kv watch rm_calls": {},
    "nats kv ls rm_calls": {"headers_only": True},
}

REFUSED: dict[str, tuple[str, object]] = {
    "nats kv put rm_calls c1 x": ("$KV.rm_calls.c1", {"state": "forged"}),
    "nats kv del rm_calls c1": ("$KV.rm_calls.c1", None),
    "nats kv add evil": ("$JS.API.STREAM.CREATE.KV_evil", {"name": "KV_evil", "subjects": ["$KV.evil.>"]}),
    "nats kv rm rm_calls": ("$JS.API.STREAM.DELETE.KV_rm_calls", None),
    "nats kv compact rm_calls": ("$JS.API.STREAM.PURGE.KV_rm_calls", {"filter": "$KV.rm_calls.c1"}),
    "nats kv get rm_dnc": ("$JS.API.DIRECT.GET.KV_rm_dnc.$KV.rm_dnc.ada", None),
    "nats kv ls rm_dnc": ("$JS.API.CONSUMER.CREATE.KV_rm_dnc.x.$KV.rm_dnc.>", {"stream_name": "KV_rm_dnc"}),
    "nats kv get rm_config": ("$JS.API.DIRECT.GET.KV_rm_config.$KV.rm_config.settings", None),
    "nats kv put rm_config": ("$KV.rm_config.settings", {"version": 9}),
    "nats stream edit KV_rm_calls": ("$JS.API.STREAM.UPDATE.KV_rm_calls", {"name": "KV_rm_calls"}),
    "nats stream rmm KV_rm_calls": ("$JS.API.STREAM.MSG.DELETE.KV_rm_calls", {"seq": 1}),
    "nats stream purge RM_EVENTS": ("$JS.API.STREAM.PURGE.RM_EVENTS", None),
    "nats stream view RM_EVENTS": ("$JS.API.CONSUMER.CREATE.RM_EVENTS", {"stream_name": "RM_EVENTS"}),
    "nats stream get RM_EVENTS": ("$JS.API.STREAM.MSG.GET.RM_EVENTS", {"seq": 1}),
    "nats stream backup RM_CAMPAIGN": ("$JS.API.STREAM.SNAPSHOT.RM_CAMPAIGN", {"deliver_subject": "x"}),
    "nats consumer add RM_EVENTS": ("$JS.API.CONSUMER.DURABLE.CREATE.RM_EVENTS.x", {"stream_name": "RM_EVENTS"}),
    "nats consumer rm RM_EVENTS recorder": ("$JS.API.CONSUMER.DELETE.RM_EVENTS.recorder", None),
    "nats pub rm.campaign.spring": ("rm.campaign.spring", {}),
    "nats pub rm.state.calls.c1": ("rm.state.calls.c1", {}),
    "nats req rm.node.n1.cmd.drain": ("rm.node.n1.cmd.drain", {"on": True}),
}


@dataclass(frozen=True)
class Ping:
    """`io.nats.micro.v1.ping_response`."""

    type: str
    name: str
    id: str
    version: str
    metadata: dict[str, str] | None = None


@dataclass(frozen=True)
class Endpoint:
    """Of `info_response`."""

    name: str
    subject: str
    queue_group: str
    metadata: dict[str, str] | None


@dataclass(frozen=True, kw_only=True)
class Info(Ping):
    """`io.nats.micro.v1.info_response`."""

    description: str
    endpoints: list[Endpoint]


@dataclass(frozen=True)
class Figures:
    """Of `stats_response`."""

    name: str
    subject: str
    num_requests: int
    num_errors: int
    last_error: str
    processing_time: int
    average_processing_time: int
    queue_group: str = ""


@dataclass(frozen=True, kw_only=True)
class Stats(Ping):
    """`io.nats.micro.v1.stats_response`."""

    started: datetime
    endpoints: list[Figures]


SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")

HEARD = ("rm.state.>", "rm.state.calls.*", "rm.node.*.beat", "rm.agent.*.beat")
UNHEARD = (">", "rm.>", "rm.ev.>", "rm.campaign.>", "$KV.>", "$JS.API.>", "_INBOX.>", "_INBOX.n1.desk.>", "$SRV.>")


@dataclass
class Viewer:
    """The CLI's connection, and what the server has refused it."""

    client: Client
    refused: list[str] = field(default_factory=list)

    async def asks(self, subject: str, body: object = None) -> Msg:
        data = b"" if body is None else json.dumps(body).encode()
        return await self.client.request(subject, data, timeout=60)

    async def is_refused(self) -> bool:
        """Return whether the server has said no to what was sent last: it says so before it answers two PINGs."""
        await self.client.flush()
        await self.client.flush()
        said, self.refused[:] = [*self.refused], []
        return any("permissions violation" in word.lower() for word in said)


@pytest.fixture
async def viewer(each_nats_server: NatsServer) -> AsyncIterator[Viewer]:
    """Beside a call in its bucket, and a node that answers: both as their processes' own logins."""
    anybody = await Bus.connect(each_nats_server.url, name="central-0", node_id=N1)
    await anybody.ensure_layout()
    await anybody.kv(Bucket.CALLS).put("c1", CALL)
    desk = await Bus.connect(login(each_nats_server.config, Role.DESK), name="desk-0", node_id=N1)
    endpoints = {verb: lambda _, verb=verb: {"state": verb} for verb in ("status", "calls", "drain")}
    await desk.service(SERVICE, "0.1.0", {"node": N1}, endpoints)
    told = json.loads(server.context(each_nats_server.config, Role.VIEWER).read_text())
    made = Viewer(await nats.connect(told["url"], user=told["user"], password=told["password"],
                                     inbox_prefix=told["inbox_prefix"]))  # fmt: skip

    async def note(error: Exception) -> None:
        made.refused.append(str(error))

    made.client._error_cb = note
    async with asyncio.timeout(60):
        while True:
            try:
                await made.asks("$SRV.PING")
                break
            except nats.errors.NoRespondersError:
                await asyncio.sleep(0.02)
    yield made
    await made.client.close()
    await desk.close()
    await anybody.close()


async def test_whatever_only_looks_is_answered_in_the_form_that_the_command_reads(viewer: Viewer) -> None:
    for command, (subject, body, kind, keys) in ANSWERED.items():
        answer: dict[str, Any] = json.loads((await viewer.asks(subject, body)).data)
        assert "error" not in answer, command
        assert answer.get("type", "") == kind, command
        assert all(key in answer for key in keys), command
    listed = json.loads((await viewer.asks("$JS.API.STREAM.LIST", {"offset": 0})).data)["streams"]
    assert {f"KV_{bucket}" for bucket in Bucket} <= {one["config"]["name"] for one in listed}
    got = await viewer.asks("$JS.API.DIRECT.GET.KV_rm_calls.$KV.rm_calls.c1")  # nats kv get rm_calls c1
    assert json.loads(got.data) == CALL
    assert (got.headers or {})["Nats-Subject"] == "$KV.rm_calls.c1"
    assert not await viewer.is_refused()


@pytest.mark.parametrize("of", ["", f".{SERVICE}"], ids=["every service", "one"])
async def test_a_node_is_a_service_that_the_command_shows_and_not_one_that_its_schemas_forbid(
    viewer: Viewer, of: str
) -> None:
    await viewer.asks("rm.node.n1.cmd.status")
    for verb, shape in (("PING", Ping), ("INFO", Info), ("STATS", Stats)):  # nats micro ping, ls and info, stats
        told = msgspec.json.decode((await viewer.asks(f"$SRV.{verb}{of}")).data, type=shape)
        assert (told.type, told.name) == (f"{MICRO}.{verb.lower()}_response", SERVICE)
        assert told.id
        assert SEMVER.fullmatch(told.version)
        again = await viewer.asks(f"$SRV.{verb}.{SERVICE}.{told.id}")
        assert msgspec.json.decode(again.data, type=shape).id == told.id
        if isinstance(told, Info):
            assert {one.name: one.subject for one in told.endpoints}["status"] == "rm.node.n1.cmd.status"
        if isinstance(told, Stats):
            assert {one.name: one.num_requests for one in told.endpoints}["status"] == 1


@pytest.mark.parametrize("only", WATCHED.values(), ids=[*WATCHED])
async def test_a_bucket_is_watched_and_its_keys_are_listed(viewer: Viewer, only: dict[str, object]) -> None:
    inbox, told = viewer.client.new_inbox(), asyncio.Queue[Msg]()
    await viewer.client.subscribe(inbox, cb=told.put)
    create = {"stream_name": "KV_rm_calls", "config": {**WATCHES, **only, "name": "Xy3", "deliver_subject": inbox}}
    made = json.loads((await viewer.asks("$JS.API.CONSUMER.CREATE.KV_rm_calls.Xy3.$KV.rm_calls.>", create)).data)
    assert (made["type"], made["name"]) == (f"{API}.consumer_create_response", "Xy3")
    async with asyncio.timeout(60):
        first = await told.get()
    assert first.subject == "$KV.rm_calls.c1"
    assert json.loads(first.data or b"{}") == ({} if only else CALL)
    gone = json.loads((await viewer.asks("$JS.API.CONSUMER.DELETE.KV_rm_calls.Xy3")).data)
    assert gone == {"type": f"{API}.consumer_delete_response", "success": True}


async def test_what_would_change_anything_or_tell_words_and_keys_is_refused(viewer: Viewer) -> None:
    for command, (subject, body) in REFUSED.items():
        data = b"" if body is None else json.dumps(body).encode()
        await viewer.client.publish(subject, data, reply=viewer.client.new_inbox())
        assert await viewer.is_refused(), command
    assert json.loads((await viewer.asks("$JS.API.DIRECT.GET.KV_rm_calls.$KV.rm_calls.c1")).data) == CALL


async def test_a_viewer_hears_what_is_public_and_nothing_else(viewer: Viewer) -> None:
    for subject in (*HEARD, *UNHEARD):
        subscription = await viewer.client.subscribe(subject)
        assert await viewer.is_refused() == (subject in UNHEARD), subject
        await subscription.unsubscribe()
