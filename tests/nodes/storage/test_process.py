"""What the process that keeps recordings answers, asked over a real mesh, and by the API of another node."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from nodes.admin import recordings
from nodes.admin.recordings import RecordingsApi
from nodes.admin.routes import handler_of
from nodes.audio.wav import FRAME_FILE_BYTES, header
from nodes.config import Config, Owner, Paths, Recorder
from nodes.config import Node as NodeSettings
from nodes.links.errors import LinkError, Refused
from nodes.links.recordings import Recordings
from nodes.links.roster import Peer, State
from nodes.links.tasks import closing
from nodes.mesh.curve import ClusterKey
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from nodes.mesh.pieces import Shelves
from nodes.storage.names import places
from nodes.storage.process import Keeping
from nodes.storage.sealing import BadKey
from protocols.wire.campaigns import Campaigns, CampaignStatus, ContactId, ListCampaigns
from protocols.wire.forgetting import Find, ForgottenPeople, GetForgotten, GetRemoved, Person
from protocols.wire.ids import CallId, CampaignId, Identity, NodeId
from protocols.wire.messages import GetStatus
from protocols.wire.pieces import GetPiece, Shelf
from protocols.wire.recordings import EraseRecordings, FindRecording, FindStored, OwnersFull
from tests.nodes.storage.conftest import Bucket

KEY = ClusterKey.make()
DESK, KEEPER = Identity("n1.desk-0:1"), Identity("n2.storage-0:1")
DAY_S = 86400.0
LONG_S = 60.0


def samples(first: int, last: int) -> bytes:
    data = b"".join(number.to_bytes(2, "little") * (FRAME_FILE_BYTES // 2) for number in range(first, last))
    return header(first, len(data)) + data


@dataclass
class Rig:
    """The desk of n1, whose API is asked, and the keeper of n2."""

    desk: Mesh
    keeper: Mesh
    keeping: Keeping
    config: Config
    address: str
    told: dict[int, NodeId]

    def publish(self, name: str, data: bytes, age_s: float = 600.0, owner: str = "") -> Path:
        path = self.config.recordings_of(owner) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        then = time.time() - age_s
        os.utime(path, (then, then))
        return path

    async def keep(self) -> None:
        await self.keeping.keeper.seal_some()
        assert await self.keeping.keeper.send_some()

    async def get(self, path: str, wanted: str = "") -> tuple[int, bytes]:
        headers = {"Range": wanted} if wanted else {}
        async with aiohttp.ClientSession() as session, session.get(self.address + path, headers=headers) as reply:
            return reply.status, await reply.read()


@pytest.fixture
def config(bucket: Bucket, tmp_path: Path) -> Config:
    """Of n2: a store, a key, and an owner with a quota."""
    (key := tmp_path / "rec.key").write_text(os.urandom(32).hex())
    key.chmod(0o600)
    state = tmp_path / "n2"
    return Config(
        node=NodeSettings(id=NodeId("n2")), paths=Paths(state), storage=replace(bucket.settings, keys=(key,)),
        owners={"acme": Owner(quota_mb=1)}, recorder=Recorder(database=state / "ringmaster.duckdb"),
    )  # fmt: skip


@pytest.fixture
async def rig(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    for name in ("ASK_S", "STORE_S", "PIECE_S"):
        monkeypatch.setattr(recordings, name, LONG_S)
    async with AsyncExitStack() as stack:
        meshes: list[Mesh] = []
        for identity in (DESK, KEEPER):
            mesh = await Mesh.start(identity, f"ipc://{tmp_path}/{identity}.sock", Outside(KEY, "127.0.0.1"))
            meshes.append(await stack.enter_async_context(closing(mesh)))
        desk, keeper = meshes
        peers = [
            Peer(role, f"{role}-0", mesh.identity, mesh.address, 1, State.ACTIVE)
            for role, mesh in (("desk", desk), ("storage", keeper))
        ]
        for mesh in meshes:
            mesh.members(peers)
        keeping = Keeping(config, keeper)
        stack.callback(keeping.close)
        (tmp_path / "n1").mkdir()
        shelves, told = Shelves({Shelf.RECORDINGS: tmp_path / "n1"}), dict[int, NodeId]()

        async def tell(call_id: CallId) -> dict[int, NodeId]:
            return told

        api = RecordingsApi(desk, Recordings(shelves), shelves, lambda: peers[1:], tell, lambda: peers[1:])
        app = web.Application()
        app.add_routes([web.route(one.method, one.path, handler_of(one)) for one in api.table()])
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Rig(desk, keeper, keeping, config, f"http://127.0.0.1:{runner.addresses[0][1]}", told)


async def test_a_call_is_played_from_a_disk_another_nodes_disk_and_the_store_as_one(rig: Rig, tmp_path: Path) -> None:
    """One part is in the store, one encrypted on n2, one plain there, and one plain on n1, which is asked."""
    rig.publish("c1.wav", samples(0, 300))
    await rig.keep()
    rig.publish("c1.1.wav", samples(300, 700))
    await rig.keeping.keeper.seal_some()
    rig.publish("c1.2.wav", samples(700, 900), age_s=1)
    (tmp_path / "n1" / "c1.3.wav").write_bytes(samples(900, 1000))
    status, told = await rig.get("/api/recordings?call=c1")
    assert status == 200
    assert [(one["part"], one["node"], one["is_stored"]) for one in json.loads(told)["parts"]] == [
        (0, "n2", True), (1, "n2", False), (2, "n2", False), (3, "n1", False),
    ]  # fmt: skip
    whole = samples(0, 1000)
    assert await rig.get("/api/recordings/audio?call=c1") == (200, whole)
    for start, end in ((0, 10), (60, 200_000), (500_000, 500_001)):
        assert await rig.get("/api/recordings/audio?call=c1", f"bytes={start}-{end - 1}") == (206, whole[start:end])
    assert await rig.get("/api/recordings/audio?call=c1&part=0") == (200, samples(0, 300))


async def test_a_recording_that_leaves_for_the_store_while_it_is_played_is_played_to_its_end(rig: Rig) -> None:
    rig.publish("c1.wav", data := samples(0, 1000))
    found = await rig.desk.ask(KEEPER, FindRecording(CallId("c1")), LONG_S)
    assert found.parts == {0: len(data)}
    first = await rig.desk.ask(KEEPER, GetPiece(Shelf.RECORDINGS, "c1"), LONG_S)
    await rig.keep()
    rest = await rig.desk.ask(KEEPER, GetPiece(Shelf.RECORDINGS, "c1", len(first.data)), LONG_S)
    assert data.startswith(first.data + rest.data)


async def test_what_cannot_be_read_is_refused_by_word(rig: Rig, bucket: Bucket) -> None:
    path = rig.publish("c1.wav", samples(0, 300))
    await rig.keeping.keeper.seal_some()
    sealed = path.with_suffix(".sealed")
    sealed.write_bytes(sealed.read_bytes()[:-1] + b"x")
    sealed.with_name("c2.sealed").write_bytes(b"nothing")
    for ask, word in (
        (GetPiece(Shelf.RECORDINGS, "c1", 131072), "unreadable"),
        (GetPiece(Shelf.RECORDINGS, "c2"), "unreadable"),
        (GetPiece(Shelf.RECORDINGS, "../c1"), "no_such_file"),
        (GetPiece(Shelf.RECORDINGS, "c1", -1), "no_such_file"),
        (GetPiece(Shelf.PROMPTS, "c1"), "no_such_file"),
        (EraseRecordings((CallId("x"),) * 201), "too_many"),
    ):
        with pytest.raises(Refused, match=word):
            await rig.desk.ask(KEEPER, ask, LONG_S)
    assert (await rig.desk.ask(KEEPER, FindRecording(CallId("c2")), LONG_S)).parts == {}


async def test_a_store_that_is_away_is_told_of_and_what_is_on_disks_is_played(rig: Rig, bucket: Bucket) -> None:
    rig.publish("c1.wav", data := samples(0, 300), age_s=1)
    bucket.client.delete_bucket(Bucket=bucket.settings.bucket)
    with pytest.raises(Refused, match="store_away"):
        await rig.desk.ask(KEEPER, FindStored(CallId("c1")), LONG_S)
    told = json.loads((await rig.get("/api/recordings?call=c1"))[1])
    assert ([one["part"] for one in told["parts"]], told["is_store_away"]) == ([0], True)
    assert await rig.get("/api/recordings/audio?call=c1") == (200, data)
    erased = await rig.desk.ask(KEEPER, EraseRecordings((CallId("c1"),)), LONG_S)
    assert ([one.name for one in erased.deleted], erased.unseen) == (["c1.wav"], ("store",))


async def test_recordings_are_kept_as_long_as_their_campaigns_plan_says(rig: Rig, bucket: Bucket) -> None:
    plans = {"spring": 7, "may": 0}

    def campaigns(asked: ListCampaigns, sender: Identity) -> Campaigns:
        listed = [CampaignStatus(CampaignId(name), "running", 1, 1, 0, 0, 0, retention_days=days)
                  for name, days in plans.items()]  # fmt: skip
        return Campaigns(tuple(listed))

    rig.desk.serve(ListCampaigns, campaigns)
    central = Peer("central", "central-0", DESK, rig.desk.address, 1, State.ACTIVE)
    retention = rig.keeping.retention
    retention._otherwise = 30
    for name in ("spring-a4-1", "may-a4-1", "june-a4-1", "c1"):
        rig.publish(f"{name}.wav", samples(0, 3), age_s=8 * DAY_S)
    rig.publish("spring-a5-1.wav", samples(0, 3), age_s=6 * DAY_S)
    await rig.keep()
    rig.publish("spring-a6-1.wav", samples(0, 3), age_s=8 * DAY_S)
    await retention.look()
    assert len(bucket.keys) == 5, "nobody knows what campaigns' plans say"
    retention._members.of_role = lambda role: [central] if role == "central" else []
    for _ in range(2):
        await retention.look()
        assert sorted(key.split("/")[2] for key in bucket.keys) == ["c1", "june-a4-1", "may-a4-1", "spring-a5-1"]
        assert not list(rig.config.paths.recordings.glob("*.*"))
        assert retention.counts["expired"] == 2
    retention._otherwise = 8
    await retention.look()
    assert sorted(key.split("/")[2] for key in bucket.keys) == ["june-a4-1", "spring-a5-1"]


async def test_of_several_keepers_one_looks_after_the_store_for_all(rig: Rig, bucket: Bucket) -> None:
    rig.publish("c1.wav", samples(0, 3), age_s=8 * DAY_S)
    await rig.keep()
    rig.publish("c2.wav", samples(0, 3), age_s=8 * DAY_S)
    retention = rig.keeping.retention
    retention._otherwise = 7
    other = Peer("storage", "storage-0", Identity("n1.storage-0:1"), "", 1, State.ACTIVE)
    retention._members.of_role = lambda role: [other] if role == "storage" else []
    await retention.look()
    assert [key.split("/")[2] for key in bucket.keys] == ["c1"]
    assert not list(rig.config.paths.recordings.glob("*.*")), "its own disk everybody looks after"


async def test_an_owner_whose_quota_is_used_up_has_no_room_until_a_tenth_is_free(rig: Rig, bucket: Bucket) -> None:
    quotas = rig.keeping.quotas
    rig.publish("c1.wav", bytes(700_000), owner="acme")
    await rig.keep()
    await quotas.look()
    assert (quotas.full, quotas.figures()["quota_used_acme"]) == (frozenset(), pytest.approx(0.7, abs=0.01))
    path = rig.publish("c2.part", bytes(300_000), owner="acme")
    rig.publish("c3.wav", bytes(5_000_000))
    for size, full in ((300_000, {"acme"}), (250_000, {"acme"}), (190_000, set())):
        os.truncate(path, size)
        await quotas.look()
        assert quotas.full == full


async def test_edges_are_told_who_has_no_room(rig: Rig) -> None:
    said: list[tuple[str, OwnersFull]] = []
    quotas = rig.keeping.quotas
    rig.publish("c1.wav", bytes(2_000_000), owner="acme")
    quotas._tell = lambda edge, word: said.append((edge, word))
    edge = Peer("edge", "edge-0", Identity("n2.edge-0:1"), "", 1, State.SPARE)
    quotas.roster = replace(quotas.roster, processes=(edge,))
    await quotas.look()
    quotas.tell()
    assert said == [("n2.edge-0:1", OwnersFull(("acme",)))]


async def test_the_archive_is_copied_encrypted_and_again_when_it_has_changed(rig: Rig, bucket: Bucket) -> None:
    copies = rig.keeping.copies
    day = rig.config.paths.state / "archive" / "day=2026-03-03"
    day.mkdir(parents=True)
    (day / "ringmaster.parquet").write_bytes(b"words of a day")
    (day / ".ringmaster.parquet").write_bytes(b"a draft")
    looks = EraseRecordings((CallId("c1"),), only_look=True)
    assert (await rig.desk.ask(KEEPER, looks, LONG_S)).unseen == ("archive",)
    key = "rm/events/n2/day=2026-03-03/ringmaster.parquet.sealed"
    for n in (1, 2):
        copies.look()
        copies.look()
        assert bucket.keys == [key]
        assert b"words" not in bucket.get(key)
        assert copies.counts["copies"] == n
        assert (await rig.desk.ask(KEEPER, looks, LONG_S)).unseen == ()
        (day / "ringmaster.parquet").write_bytes(b"fewer words")
    copies.look()
    assert b"fewer words" == _unsealed(rig, key, bucket.get(key))


async def test_a_copy_goes_with_its_file_and_stays_when_the_whole_archive_is_away_or_the_file_is_set_aside(
    rig: Rig, bucket: Bucket
) -> None:
    copies, archive = rig.keeping.copies, rig.config.paths.state / "archive"
    looks = EraseRecordings((CallId("c1"),), only_look=True)
    for day in ("2026-03-03", "2026-03-04", "2026-03-05"):
        (archive / f"day={day}").mkdir(parents=True)
        (archive / f"day={day}" / "ringmaster.parquet").write_bytes(b"words of a day")
        bucket.put(f"rm/events/n2/day={day}/ringmaster.parquet", b"of a time without a key")
    copies.look()
    assert [key.rpartition("day=")[2] for key in bucket.keys] == [
        f"2026-03-0{n}/ringmaster.parquet.sealed" for n in (3, 4, 5)
    ]
    archive.rename(archive.with_name("away"))
    copies.look()
    archive.mkdir()
    copies.look()
    assert (len(bucket.keys), copies.behind) == (3, [])
    archive.rmdir()
    archive.with_name("away").rename(archive)
    (archive / "day=2026-03-03" / "ringmaster.parquet").unlink()
    broken = archive / "day=2026-03-04" / "ringmaster.broken-20260305T000000Z"
    (archive / "day=2026-03-04" / "ringmaster.parquet").rename(broken)
    assert copies.behind == ["day=2026-03-03/ringmaster.parquet"]
    assert (await rig.desk.ask(KEEPER, looks, LONG_S)).unseen == ("archive",)
    copies.look()
    assert [key.rpartition("day=")[2][:10] for key in bucket.keys] == ["2026-03-04", "2026-03-05"]
    assert (await rig.desk.ask(KEEPER, looks, LONG_S)).unseen == ()
    broken.unlink()
    copies.look()
    assert [key.rpartition("day=")[2][:10] for key in bucket.keys] == ["2026-03-05"]


def _unsealed(rig: Rig, key: str, data: bytes) -> bytes:
    from nodes.storage.sealing import Ring, Sealed

    ring = Ring.read({"": rig.config.storage.keys})
    name = "n2/day=2026-03-03/ringmaster.parquet"
    return Sealed(ring, name, len(data), lambda offset, n: data[offset : offset + n]).read(0, 100)


async def test_figures_are_there_before_anything_has_happened(rig: Rig) -> None:
    await rig.keeping.quotas.look()
    told = (await rig.desk.ask(KEEPER, GetStatus(), LONG_S)).figures
    assert {word: value for word, value in told.items() if value} == {"store_up": 1.0}
    assert {"uploads", "upload_failures", "waiting_bytes", "oldest_s", "expired", "quota_used_acme"} <= set(told)


def test_a_key_that_others_may_read_keeps_the_process_from_starting(config: Config) -> None:
    config.storage.keys[0].chmod(0o644)
    with pytest.raises(BadKey, match="chmod 600"):
        Keeping(config, None)


def test_places_of_owners_are_apart(config: Config) -> None:
    assert [(one.owner, one.prefix, one.quota_bytes) for one in places(config)] == [
        ("", "rm/", 0), ("acme", "rm/owners/acme/", 1_000_000),
    ]  # fmt: skip


async def test_a_clock_that_was_set_erases_nothing_at_once(rig: Rig) -> None:
    rig.publish("c1.wav", samples(0, 3), age_s=8 * DAY_S)
    retention = rig.keeping.retention
    retention._otherwise = 7
    retention._offset_s -= 30 * DAY_S
    await retention.look()
    assert (rig.config.paths.recordings / "c1.wav").exists()
    await retention.look()
    assert not (rig.config.paths.recordings / "c1.wav").exists()


async def test_who_is_forgotten_is_removed_from_disk_and_store_and_their_later_calls_stay(
    rig: Rig, bucket: Bucket
) -> None:
    forgetting, now = rig.keeping.forgetting, datetime.now(UTC)
    his = Person(ContactId("a4"), now - timedelta(days=1), (CallId("7c1f"),))
    rig.desk.serve(GetForgotten, lambda asked, sender: ForgottenPeople((his,)))
    for name in ("spring-a4-1", "spring-a5-1", "7c1f"):
        rig.publish(f"{name}.wav", samples(0, 3), age_s=8 * DAY_S)
    await rig.keep()
    rig.publish("may-a4-1.wav", samples(0, 3), age_s=8 * DAY_S)
    rig.publish("may-a4-2.wav", samples(0, 3), age_s=600.0)
    asked = GetRemoved(his.contact_id, his.at)
    with pytest.raises(LinkError):
        await forgetting.forgotten.round()
    assert not (await rig.desk.ask(KEEPER, asked, LONG_S)).is_done
    central = Peer("central", "central-0", DESK, rig.desk.address, 1, State.ACTIVE)
    forgetting._members.of_role = lambda role: [central] if role == "central" else []
    await forgetting.forgotten.round()
    told = await rig.desk.ask(KEEPER, asked, LONG_S)
    assert told.is_done
    assert [(one.looked, one.removed) for one in told.places] == [(5, 3)]
    assert [key.split("/")[2] for key in bucket.keys] == ["spring-a5-1"]
    assert [path.name for path in rig.config.paths.recordings.glob("*.*")] == ["may-a4-2.wav"]
    found = await rig.desk.ask(KEEPER, Find(("spring-a4",)), LONG_S)
    assert [(one.place, one.found, one.note) for one in found.places] == [
        ("names in the store", (), ""), ("copies of the archive in the store", (), ""),
    ]  # fmt: skip


async def test_as_long_as_a_day_that_was_written_anew_is_not_copied_nobody_is_said_to_be_forgotten(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetting, his = rig.keeping.forgetting, Person(ContactId("a4"), datetime.now(UTC))
    central = Peer("central", "central-0", DESK, rig.desk.address, 1, State.ACTIVE)
    rig.desk.serve(GetForgotten, lambda asked, sender: ForgottenPeople((his,)))
    forgetting._members.of_role = lambda role: [central] if role == "central" else []
    day = rig.config.paths.state / "archive" / "day=2026-03-03"
    day.mkdir(parents=True)
    await forgetting.forgotten.round()
    (day / "ringmaster.parquet").write_bytes(b"fewer words")
    asked = GetRemoved(his.contact_id, his.at)
    assert not (await rig.desk.ask(KEEPER, asked, LONG_S)).is_done
    found = await rig.desk.ask(KEEPER, Find(("words",)), LONG_S)
    assert found.places[1].note == "not copied yet: day=2026-03-03/ringmaster.parquet"
    await forgetting.forgotten.round()
    assert (await rig.desk.ask(KEEPER, asked, LONG_S)).is_done
