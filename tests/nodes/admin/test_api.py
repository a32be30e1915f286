"""The HTTP API: who may ask, what is answered, and the document that describes it."""

import asyncio
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from grammars import load
from grammars.script_pack import unpack
from nodes.admin.access import own_token
from nodes.admin.node import Process
from nodes.admin.readiness import readiness
from nodes.admin.refusals import refusal
from nodes.links.errors import PeerGone
from nodes.links.roster import NOBODY
from nodes.links.trees import OVER_S
from nodes.telemetry.catalogue import metrics
from protocols.wire.events import Stage, public_view
from protocols.wire.ids import CampaignId
from protocols.wire.subjects import Bucket, state
from supervisors.testing import Echo
from tests.conftest import NatsServer
from tests.nodes.admin.conftest import NODE, Rig

HELLO = Path("grammars/scripts/hello.yaml").read_text()
ORDER = {"target": "sip:ann@127.0.0.1", "script": HELLO, "slots": {"name": "Alex"}}
OPEN = ("/healthz", "/readyz")
READ = ("openapi.json", "calls", "campaigns", "agents", "tree", "nodes", "scale", "recordings", "recordings/audio")
API = (*READ, "session")
GUARDED = ("/metrics", *(f"/api/{name}" for name in API), "/nothing")


# ---- who may ask --------------------------------------------------------------------------------------------------


def test_the_token_is_random_and_its_owners_only(rig: Rig) -> None:
    for file in (rig.run / "token", rig.run.parent / "token"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(rig.token) >= 32


def test_the_token_outlives_the_desk_and_the_run_directory_but_no_token_is_never_taken_for_one(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    token = own_token(tmp_path, run)
    (run / "token").unlink()
    assert own_token(tmp_path, run) == (run / "token").read_text() == token
    for broken in ("", "short", "\xff" * 40, token + "\n"):
        (tmp_path / "token").write_text(broken)
        assert own_token(tmp_path, run) not in (broken, token)


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", "Basic dDBrZW4=", "bearer \u00fc"])
async def test_without_the_token_nothing_is_answered(rig: Rig, path: str, given: str) -> None:
    status, text = await rig.get(path, **({"Authorization": given} if given else {}))
    assert status == 401
    assert "token" in text


@pytest.mark.parametrize("path", OPEN)
async def test_health_is_answered_to_everybody(rig: Rig, path: str) -> None:
    assert (await rig.get(path))[0] == 200


async def test_a_page_of_another_site_is_refused_even_with_the_token(rig: Rig) -> None:
    status, _ = await rig.get("/api/calls", Authorization=f"Bearer {rig.token}", Origin="http://evil.example")
    assert status == 403
    status, _ = await rig.get("/api/calls", Authorization=f"Bearer {rig.token}", Origin=rig.address)
    assert status == 200


def test_a_refusal_says_how_to_do_better() -> None:
    assert refusal(401, "why").headers["WWW-Authenticate"] == "Bearer"


# ---- what is answered ---------------------------------------------------------------------------------------------


async def until(rig: Rig, path: str, name: str) -> list[dict[str, object]]:
    """Return what a route lists, once there is something."""
    async with asyncio.timeout(60):
        while not (rows := (await rig.ask("GET", path))[1][name]):
            await asyncio.sleep(0.02)
    return rows


async def test_calls_are_told_as_everybody_may_see_them(rig: Rig) -> None:
    view = public_view(NODE, CampaignId("spring"), Stage.RINGING, datetime.now(UTC))
    await rig.bus.kv(Bucket.CALLS).put("strange", {"of": "a newer node"})
    await rig.bus.kv(Bucket.CALLS).put("c1", {**view, "rev": 1})
    (call,) = await until(rig, "/api/calls", "calls")
    assert call == {"call_id": "c1", **view}


async def test_a_change_is_seen_before_the_bucket_has_it(rig: Rig) -> None:
    view = public_view(NODE, CampaignId("spring"), Stage.RINGING, datetime.now(UTC))
    async with asyncio.timeout(60):
        while (await rig.ask("GET", "/api/calls"))[1]["calls"] == []:
            rig.bus.publish(state("calls", "c1"), {**view, "rev": 1})
            await asyncio.sleep(0.02)
        rig.bus.publish(state("calls", "c1"), {"gone": True, "rev": 2})
        while (await rig.ask("GET", "/api/calls"))[1]["calls"]:
            await asyncio.sleep(0.02)


async def test_a_view_that_nobody_tells_of_changes_says_for_how_long(rig: Rig, nats_server: NatsServer) -> None:
    assert (await rig.ask("GET", "/api/agents"))[1]["stale_s"] == 0.0
    nats_server.kill()
    async with asyncio.timeout(60):
        while (await rig.ask("GET", "/api/agents"))[1]["stale_s"] < 0.2:
            await asyncio.sleep(0.05)
        await nats_server.start()
        while (await rig.ask("GET", "/api/agents"))[1]["stale_s"]:
            await asyncio.sleep(0.05)


async def test_agents_are_told(rig: Rig) -> None:
    body = {"node": "n1", "state": "ready", "skills": ["service"], "since": "2026-03-03T10:00:00+00:00"}
    await rig.bus.kv(Bucket.AGENTS).put("ann", body)
    (agent,) = await until(rig, "/api/agents", "agents")
    assert agent == {"agent_id": "ann", **body}


async def test_the_tree_is_each_processes_own_word(rig: Rig) -> None:
    status, tree = await rig.ask("GET", "/api/tree")
    assert status == 200
    launcher, edge, *others = tree["processes"]
    assert [process["name"] for process in others] == ["media-0", "speech-0", "desk-0"]
    assert edge["figures"]["calls"] == 2.0
    assert [(row["depth"], row["id"], row["kind"]) for row in edge["tree"]] == [
        (0, "/", "Supervisor"),
        (1, "a", "Echo"),
    ]
    assert [process["tree"] for process in others] == [[], [], []]
    assert (launcher["name"], launcher["state"], launcher["pid"]) == ("launcher", "active", 6)


async def test_the_tree_tells_what_failed_why_how_often_and_how_busy_the_others_are(rig: Rig) -> None:
    rig.echo.tell(Echo.boom)
    asking = asyncio.ensure_future(rig.ask("GET", "/api/tree"))
    await asyncio.sleep(OVER_S / 2)
    await rig.echo.ask(Echo.add)
    launcher, edge, *_ = (await asking)[1]["processes"]
    (recorder,) = launcher["tree"][1:]
    assert (recorder["id"], recorder["state"], recorder["restarts"]) == ("recorder-0", "restarting", 4)
    assert recorder["failure"] == {"error": "ended with signal 9", "message": "", "lines": ["bye"]}
    echo = edge["tree"][1]
    assert (echo["restarts"], echo["waiting"], echo["handled_per_s"]) == (1, 0, 1.0)
    assert echo["failure"] == {"error": "Boom", "message": "Echo.boom", "lines": []}
    assert edge["tree"][0]["restarts_in_window"] == 1


async def test_a_call_is_placed_by_the_edge(rig: Rig) -> None:
    assert await rig.ask("POST", "/api/calls", ORDER) == (200, {"call_id": "c1"})
    (order,) = rig.orders
    assert (order.target, order.slots) == ("sip:ann@127.0.0.1", {"name": "Alex"})
    assert unpack(order.script) == load(HELLO)


@pytest.mark.parametrize("script", ["flow: x", "[" * 50_000, "x" * 200_000, HELLO.replace("goodbye}", "nowhere}")])
async def test_a_script_that_must_not_be_run_is_refused_before_any_edge_sees_it(rig: Rig, script: str) -> None:
    status, said = await rig.ask("POST", "/api/calls", {**ORDER, "script": script})
    assert (status, said["error"].split(":")[0]) == (409, "bad_script")
    assert rig.orders == []


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"target": 7}', '{"target": "sip:a@b"}', "\xff", "[" * 5000])
async def test_an_order_that_is_wrong_is_refused_and_places_nothing(rig: Rig, body: str) -> None:
    status, said = await rig.ask("POST", "/api/calls", body)
    assert status == 400
    assert said["error"]
    assert rig.orders == []


async def test_what_is_refused_for_now_only_and_a_process_that_is_not_there_are_answered_with_a_time(rig: Rig) -> None:
    rig.is_draining = True
    assert await rig.ask("POST", "/api/calls", ORDER) == (503, {"error": "draining"})
    status, said = await rig.ask("GET", "/api/campaigns")
    assert (status, said["error"]) == (503, f"{PeerGone.__name__}: central")


async def test_a_node_without_what_a_call_needs_is_not_ready(rig: Rig) -> None:
    status, told = await rig.ask("GET", "/readyz")
    assert (status, told["ready"], told["missing"]) == (200, True, [])
    assert {part for part, how in told["parts"].items() if how != "ok"} == {"central", "recorder"}
    rig.node.follow(NOBODY)
    status, told = await rig.ask("GET", "/readyz")
    assert (status, told["ready"], told["missing"]) == (503, False, ["edge", "media", "speech"])
    assert told["parts"]["media"] == "missing"


def process(role: str, **figures: float) -> Process:
    return Process(f"{role}-0", role, "active", 1, True, figures)


@pytest.mark.parametrize(
    ("processes", "connected", "part", "said"),
    [
        ([process("edge", bus_stuck_s=12.0)], True, "streams", "nats-server takes nothing for 12 s"),
        (
            [process("central", bus_refused_s=8.0)], True, "streams",
            "nats-server refuses what central writes for 8 s: is its store full?",
        ),
        ([process("central", led=0.0)], True, "central", "nobody leads: campaigns wait"),
        ([process("central", led=1.0)], True, "central", "ok"),
        ([process("edge", records_waiting=5000.0)], True, "records", "5000 events wait for their stream"),
        ([process("central", do_not_call_known=0.0)], True, "do_not_call", "not known: nobody is dialled"),
        ([], False, "nats", "away"),
    ],
)  # fmt: skip
def test_readiness_tells_what_is_wrong_part_by_part(
    processes: list[Process], connected: bool, part: str, said: str
) -> None:
    told = readiness(processes, connected)
    assert told.parts[part] == said
    assert (part in told.missing) == (part not in ("records", "central")), "single calls go on without these"


async def test_the_figures_are_prometheus_text_without_a_call_in_a_label(rig: Rig) -> None:
    status, text = await rig.ask("GET", "/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {"ringmaster_processes", "ringmaster_edge_calls", "ringmaster_handover_seconds"} <= families.keys()
    (calls,) = families["ringmaster_edge_calls"].samples
    assert (calls.labels, calls.value) == ({"process": "edge-0"}, 2.0)
    told = {label for family in families.values() for sample in family.samples for label in sample.labels}
    assert told <= {"le", *(label for row in metrics().values() for label in row.labels)}


# ---- the document -------------------------------------------------------------------------------------------------


async def test_the_document_describes_every_route_and_all_that_they_answer(rig: Rig) -> None:
    _, document = await rig.ask("GET", "/api/openapi.json")
    assert document["openapi"] == "3.1.0"
    listing = {f"/api/do-not-call{rest}" for rest in ("", "/check", "/remove")}
    hearing = {"/api/speech", "/api/speech/use"}
    assert set(document["paths"]) == {*OPEN, *GUARDED[:-1], *listing, "/api/forget", *hearing}
    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert document["paths"]["/api/calls"]["post"]["requestBody"]["required"]
    schemas = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


def _references(part: object) -> list[str]:
    match part:
        case {"$ref": str(reference)}:
            return [reference]
        case dict():
            return [found for value in part.values() for found in _references(value)]
        case list():
            return [found for value in part for found in _references(value)]
    return []
