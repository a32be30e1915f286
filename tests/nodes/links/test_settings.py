"""Versions of the settings, from central's hand to everybody who goes by them: a real nats-server, real files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from nodes.bus import bus as buses
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.config import Config, parse
from nodes.links import settings as settings_of_links
from nodes.links.errors import Refused
from nodes.links.members import Members
from nodes.links.roster import Peer, Roster, State
from nodes.links.settings import FILE, Settings
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from protocols.wire.cluster import ClusterTold, Member, NodeProcess, NodeState, NodeWord
from protocols.wire.ids import Identity, NodeId
from protocols.wire.roles import Role
from protocols.wire.settings import SETTINGS_KEY, ApplySettings, GetSettings, Version
from protocols.wire.subjects import Bucket
from tests.conftest import NatsServer

ANN, BOB, ASKER = "ann@n1", "bob@n2", Identity("n1.command:1")
TRUNK = "[[sip.trunks]]\nname = 'carrier'\nhost = 'sip.example.net'\npassword = 's3cret'\n"


def configured(state: Path) -> Config:
    state.mkdir(exist_ok=True)
    return parse(f"{TRUNK}[paths]\nstate = '.'", "test", state)


def most(n: int) -> str:
    return json.dumps({"central": {"max_concurrent": n}})


@asynccontextmanager
async def following(url: str, state: Path, *, may_write: bool = False) -> AsyncIterator[Settings]:
    """Those of a process with this state directory, as long as the block."""
    bus = await Bus.connect(url, name="edge-0", node_id=NodeId("n1"))
    settings = Settings(configured(state), bus.kv(Bucket.CONFIG), may_write=may_write)
    async with Tasks() as tasks:
        tasks.spawn(settings.follow())
        yield settings
    await bus.close()


async def taken(settings: Settings, version: int) -> Config:
    """Return what holds once this version does."""
    async with asyncio.timeout(60):
        while settings.versions != (version, 0):
            await asyncio.sleep(0.01)
    return settings.config


@pytest.fixture
async def url(nats_server: NatsServer) -> AsyncIterator[str]:
    bus = await Bus.connect(nats_server.url, name="central-0", node_id=NodeId("n1"))
    await bus.ensure_layout()
    yield nats_server.url
    await bus.close()


async def test_everybody_takes_a_new_version_and_it_is_on_their_disks(url: str, tmp_path: Path) -> None:
    async with following(url, tmp_path / "a", may_write=True) as central, following(url, tmp_path / "b") as edge:
        told: list[int] = []
        edge.changed = lambda config: told.append(config.central.max_concurrent)
        assert (await central.apply(ApplySettings(0, most(7), ANN), ASKER)).is_new
        for one in (central, edge):
            assert (await taken(one, 1)).central.max_concurrent == 7
        async with asyncio.timeout(60):
            while not (tmp_path / "b" / FILE).exists():
                await asyncio.sleep(0.01)
        assert told == [7]
        assert (tmp_path / "b" / FILE).stat().st_mode & 0o777 == 0o600
        done = await central.apply(ApplySettings(1, most(7), ANN), ASKER)
        assert (done.version, done.is_new) == (1, False), "it says that already"


async def test_who_starts_without_nats_goes_by_the_last_version_on_its_disk(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(url, tmp_path, may_write=True) as central:
        await central.apply(ApplySettings(0, most(7), ANN), ASKER)
        await taken(central, 1)
        async with asyncio.timeout(60):
            while not (tmp_path / FILE).exists():
                await asyncio.sleep(0.01)
    monkeypatch.setattr(buses, "CONNECT_S", 0.05)
    async with following("nats://127.0.0.1:1", tmp_path) as edge:
        assert edge.versions == (1, 0)
        assert edge.config.central.max_concurrent == 7


async def test_of_two_who_apply_at_once_one_is_told_what_the_other_did(url: str, tmp_path: Path) -> None:
    async with (
        following(url, tmp_path / "a", may_write=True) as one,
        following(url, tmp_path / "b", may_write=True) as two,
    ):
        both = (one.apply(ApplySettings(0, most(7), ANN), ASKER), two.apply(ApplySettings(0, most(8), BOB), ASKER))
        done = await asyncio.gather(*both, return_exceptions=True)
        (refused,) = [each for each in done if isinstance(each, Refused)]
        assert refused.reason.startswith("changed_meanwhile: ")
        assert (await taken(one, 1)).central == (await taken(two, 1)).central


async def test_whoever_writes_to_the_bucket_by_hand_is_read_like_a_stranger(url: str, tmp_path: Path) -> None:
    bus = await Bus.connect(url, name="operator", node_id=NodeId("n1"))
    bucket = bus.kv(Bucket.CONFIG)
    good = {"version": 1, "wall": "", "by": "", "why": "", "settings": {"central": {"max_concurrent": 7}}}
    host = {"sip": {"trunks": [{"name": "carrier", "host": "evil.example"}]}}
    async with following(url, tmp_path) as edge:
        await bucket.put(SETTINGS_KEY, good)
        await taken(edge, 1)
        for number, body in enumerate(
            ({"settings": 3}, {"version": "x"}, {**good, "settings": host}, {**good, "settings": {"central": 3}}), 2
        ):
            await bucket.put(SETTINGS_KEY, {**body, "version": number} if "wall" in body else body)
            async with asyncio.timeout(60):
                while not edge.versions[1]:
                    await asyncio.sleep(0.01)
            assert edge.versions[0] == 1
            assert edge.config.central.max_concurrent == 7
            assert edge.config.sip.trunks[0].host == "sip.example.net"
            await bucket.put(SETTINGS_KEY, good)
            await taken(edge, 1)
    await bus.close()


@pytest.mark.parametrize(
    "left", ["", "{", '{"version": 3}', "[" * 9000, '{"version":3,"wall":"","by":"","why":"","settings":{"x":1}}']
)
async def test_a_file_that_says_nothing_is_no_version(
    tmp_path: Path, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buses, "CONNECT_S", 0.05)
    (tmp_path / FILE).write_text(left)
    bus = await Bus.connect("nats://127.0.0.1:1", name="edge-0", node_id=NodeId("n1"))
    settings = Settings(configured(tmp_path), bus.kv(Bucket.CONFIG))
    assert settings.versions[0] == 0
    assert settings.config.central.max_concurrent == 0
    await bus.close()


async def test_a_bucket_that_was_lost_is_filled_by_central_and_versions_go_on_from_there(
    url: str, tmp_path: Path
) -> None:
    bus = await Bus.connect(url, name="operator", node_id=NodeId("n1"))
    jetstream = bus._connection.jetstream
    async with following(url, tmp_path / "a", may_write=True) as central, following(url, tmp_path / "b") as edge:
        for n in range(3):
            await central.apply(ApplySettings(n, most(n + 7), ANN), ASKER)
        await taken(central, 3)
        await jetstream.delete_stream("KV_rm_config")
        await bus.ensure_layout()
        async with asyncio.timeout(60):
            while await bus.kv(Bucket.CONFIG).get(SETTINGS_KEY) is None:
                await asyncio.sleep(0.05)
        assert (await central.apply(ApplySettings(3, most(1), ANN), ASKER)).version == 4
        assert (await taken(edge, 4)).central.max_concurrent == 1
    await bus.close()


async def test_an_edge_reads_them_with_its_own_login_and_the_bucket_has_no_secret(
    nats_server: NatsServer, url: str, tmp_path: Path
) -> None:
    me = login(nats_server.config, Role.EDGE)
    bus = await Bus.connect(me, name="edge-0", node_id=NodeId("n1"))
    async with following(url, tmp_path / "a", may_write=True) as central, Tasks() as tasks:
        edge = Settings(configured(tmp_path / "b"), bus.kv(Bucket.CONFIG))
        tasks.spawn(edge.follow())
        settings = {"sip": {"trunks": [{"name": "carrier", "cps": 3}]}}
        await central.apply(ApplySettings(0, json.dumps(settings), ANN), ASKER)
        config = await taken(edge, 1)
        assert (config.sip.trunks[0].cps, config.sip.trunks[0].password) == (3, "s3cret")
        told = (await central.history(GetSettings(), ASKER)).versions
        assert "s3cret" not in told
        for secret in ({"password": "x"}, {"user": "x"}, {"realms": ["x"]}):
            named = json.dumps({"sip": {"trunks": [{"name": "carrier", **secret}]}})
            with pytest.raises(Refused, match=r"bad_settings: .*is who we are to a carrier"):
                await central.apply(ApplySettings(1, named, ANN), ASKER)
    await bus.close()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("{", "bad_settings"), ("[]", "bad_settings"), ('{"central": {"base": "x"}}', "bad_settings: central.base"),
        ('{"sip": {"trunks": [{"name": "none", "cps": 1}]}}', "unknown_trunk: none"),
    ],
)  # fmt: skip
async def test_central_takes_nothing_that_it_could_not_go_by(
    url: str, tmp_path: Path, settings: str, reason: str
) -> None:
    async with following(url, tmp_path, may_write=True) as central:
        with pytest.raises(Refused, match=reason):
            await central.apply(ApplySettings(0, settings, ANN), ASKER)
        assert json.loads((await central.history(GetSettings(), ASKER)).versions) == []


async def test_who_applied_what_is_kept_of_the_last_ten_versions(url: str, tmp_path: Path) -> None:
    async with following(url, tmp_path, may_write=True) as central:
        for n in range(12):
            await central.apply(ApplySettings(n, most(n), ANN if n % 2 else BOB, f"try {n}"), ASKER)
        told = json.loads((await central.history(GetSettings(), ASKER)).versions)
    assert [(one["version"], one["by"], one["why"]) for one in told] == [
        (n + 1, ANN if n % 2 else BOB, f"try {n}") for n in range(2, 12)
    ]


# ---- several nodes --------------------------------------------------------------------------------------------------


def left_on_disk(state: Path, version: int) -> None:
    """Have a machine know this version, in which so many calls may be up."""
    state.mkdir(exist_ok=True)
    kept = {"version": version, "wall": "", "by": ANN, "why": "", "settings": json.loads(most(version))}
    (state / FILE).write_text(json.dumps(kept))


def word(settings: int = 0, trunks: tuple[str, ...] = (), edge: str = "n1.edge-9:1") -> ClusterTold:
    """What n1 is told of n2."""
    process = NodeProcess("edge", "edge-0", Identity(edge), "", 1, is_active=True)
    said = NodeWord(
        NodeId("n2"), 1, 1, "c", 1, "v", "", ("edge",), "", 0.0, (process,), settings=settings, trunks=trunks
    )
    return ClusterTold(1, (Member(said, NodeState.ALIVE),))


@asynccontextmanager
async def leading(
    settings: Settings, edge: Settings | None = None, serves: asyncio.Event | None = None
) -> AsyncIterator[Members]:
    """Have central of n1 know a cluster, with an edge of n2, which answers once it `serves`; yields what it knows."""
    async with AsyncExitStack() as closing:
        mesh = await Mesh.start(Identity("n1.central-0:1"))
        closing.push_async_callback(mesh.close)
        other = await Mesh.start(Identity("n1.edge-9:1"), "tcp://127.0.0.1:*")
        closing.push_async_callback(other.close)
        if edge and not serves:
            edge.serve(other)
        mesh.roster(Roster(1, (Peer("edge", "edge-9", other.identity, other.endpoint, 1, State.ACTIVE),)))
        members = Members(mesh, settings.config)
        settings.lead(mesh, members)
        tasks = await closing.enter_async_context(Tasks())
        tasks.spawn(settings.follow_others())
        if edge and serves:
            tasks.spawn(serve_then(edge, other, serves))
        yield members


async def serve_then(edge: Settings, mesh: Mesh, when: asyncio.Event) -> None:
    await when.wait()
    edge.serve(mesh)


async def held(url: str) -> Version:
    """Return what the bucket has."""
    bus = await Bus.connect(url, name="operator", node_id=NodeId("n1"))
    try:
        entry = await bus.kv(Bucket.CONFIG).get(SETTINGS_KEY)
        return Version(**entry.value) if entry and entry.value else Version(0, "", "", "")
    finally:
        await bus.close()


async def holds(url: str, version: int) -> None:
    async with asyncio.timeout(60):
        while (await held(url)).version != version:
            await asyncio.sleep(0.02)


async def test_a_bucket_that_was_lost_is_filled_with_the_highest_version_of_any_node_and_nobody_goes_back(
    url: str, tmp_path: Path
) -> None:
    left_on_disk(tmp_path / "a", 3)
    left_on_disk(tmp_path / "b", 5)
    async with following(url, tmp_path / "b") as edge:
        told: list[int] = []
        edge.changed = lambda config: told.append(config.central.max_concurrent)
        async with following(url, tmp_path / "a", may_write=True) as central, leading(central, edge) as members:
            await holds(url, 3)  # it has heard of nobody yet
            members.take(word(settings=5))
            await holds(url, 5)
            assert (await taken(central, 5)).central.max_concurrent == 5
            done = await central.apply(ApplySettings(5, most(9), ANN), ASKER)
            assert done.version == 6
            assert (await taken(edge, 6)).central.max_concurrent == 9
        assert told == [9], "no version was taken back meanwhile"


async def test_a_node_that_knows_more_and_does_not_answer_is_asked_again_though_it_says_nothing_new(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_of_links, "BEHIND_S", 0.05)
    left_on_disk(tmp_path / "b", 5)
    serves = asyncio.Event()
    async with (
        following(url, tmp_path / "b") as edge,
        following(url, tmp_path / "a", may_write=True) as central,
        leading(central, edge, serves) as members,
    ):
        with capture_logs() as lines:
            members.take(word(settings=5))
            async with asyncio.timeout(60):
                while not any(line["event"] == "settings.not_told" for line in lines):
                    await asyncio.sleep(0.01)
        serves.set()
        await holds(url, 5)


async def test_a_bucket_with_an_older_version_than_centrals_own_is_given_that(url: str, tmp_path: Path) -> None:
    left_on_disk(tmp_path / "a", 3)
    async with following(url, tmp_path / "a", may_write=True):
        await holds(url, 3)
    left_on_disk(tmp_path / "b", 5)
    async with following(url, tmp_path / "b", may_write=True) as central:
        await holds(url, 5)
        assert central.versions == (5, 0)


async def test_a_node_that_boasts_of_a_version_and_does_not_show_it_changes_nothing(url: str, tmp_path: Path) -> None:
    async with following(url, tmp_path / "a", may_write=True) as central:
        await central.apply(ApplySettings(0, most(7), ANN), ASKER)
        await taken(central, 1)
        async with leading(central) as members:
            for told in (word(settings=5), word(settings=6, edge="n1.edge-9:2")):
                members.take(told)
            done = await central.apply(ApplySettings(1, most(8), ANN), ASKER)
            assert done.version == 7, "whatever it has, what is applied now is newer"


async def test_a_trunk_of_another_node_may_be_named_and_one_that_nobody_has_may_not(url: str, tmp_path: Path) -> None:
    backup = json.dumps({"sip": {"trunks": [{"name": "backup", "cps": 3}]}})
    async with following(url, tmp_path / "a", may_write=True) as central, leading(central) as members:
        members.take(word(trunks=("other",)))
        with pytest.raises(Refused, match="unknown_trunk: backup"):
            await central.apply(ApplySettings(0, backup, ANN), ASKER)
        members.take(word(trunks=("other", "backup")))
        assert (await central.apply(ApplySettings(0, backup, ANN), ASKER)).is_new
        assert [trunk.name for trunk in (await taken(central, 1)).sip.trunks] == ["carrier"]
