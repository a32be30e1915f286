"""Nothing goes out before others have the record of it: a real disk, which may be slow, as its heirs may be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nodes.call.record import CallPhase
from nodes.edge.disk import Disk
from nodes.edge.heirs import Heirs
from nodes.edge.hold_back import DISK_S, LONGEST_S, HoldBack
from nodes.edge.record_store import RecordStore
from nodes.edge.standby_records import StandbyRecords
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from protocols.wire.heirs import AskKept, ForgetScript, KeepOnly, KeepRecord, KeepScript, Kept
from protocols.wire.ids import CallId, Identity
from tests.nodes.edge.records import record


@dataclass
class Spare:
    """A spare that keeps what it is told, and says so if it `answers`."""

    mesh: Mesh
    answers: bool = True
    standby: StandbyRecords = field(default_factory=StandbyRecords)
    n_told: int = 0

    def serve(self) -> None:
        for kind, keep in (
            (KeepScript, self.standby.learn),
            (KeepRecord, self.standby.keep),
            (KeepOnly, lambda given: self.standby.only(given, Identity("n1.edge-0:1"))),
            (ForgetScript, lambda given: self.standby.forget(given.script)),
        ):
            self.mesh.serve(kind, lambda given, _, keep=keep: self._told(keep, given))
        self.mesh.serve(AskKept, self._asked)

    def _told(self, keep, given) -> None:  # type: ignore[no-untyped-def]
        self.n_told += 1
        keep(given)

    def _asked(self, given: AskKept, owner: Identity) -> None:
        if self.answers:
            self.mesh.tell(owner, Kept(given.number, self.n_told))


@dataclass
class Rig:
    """An edge with a disk and, once it `has` them, spares."""

    mesh: Mesh
    heirs: Heirs
    disk: Disk
    hold_back: HoldBack
    calls: dict[CallId, RecordStore]
    path: Path
    spares: list[Spare] = field(default_factory=list)
    may_write: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> RecordStore:
        def wrote(store: RecordStore) -> None:
            self.heirs.wrote(store)
            self.disk.wrote(store)

        store = self.calls[CallId("c1")] = RecordStore(record("c1", phase=CallPhase.PLACING), wrote)
        store.write(n_events=1)
        return store

    async def has(self, *answers: bool) -> None:
        """Let so many spares live, of which these acknowledge what they are told."""
        for n, does_answer in enumerate(answers, 2):
            mesh = await Mesh.start(Identity(f"n1.edge-0:{n}"), f"ipc://{self.path.parent}/{n}")
            self.spares.append(Spare(mesh, does_answer))
        meshes = [self.mesh, *(spare.mesh for spare in self.spares)]
        peers = [Peer("edge", "edge-0", one.identity, one.endpoint, 1, State.SPARE if n else State.ACTIVE)
                 for n, one in enumerate(meshes)]  # fmt: skip
        for mesh in meshes:
            mesh.roster(Roster(1, tuple(peers)))
        for spare in self.spares:
            spare.serve()
        self.heirs.follow(Roster(1, tuple(peers)))

    def stop_the_disk(self) -> None:
        """Whatever is to be written waits until it may be."""
        self.disk._thread.submit(self.may_write.wait)

    async def waited(self, store: RecordStore) -> float:
        """Return how long something waited until the call was kept, in seconds."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        since = loop.time()
        self.hold_back.until_kept(store, done.set)
        async with asyncio.timeout(60):
            await done.wait()
        return loop.time() - since

    @property
    def on_disk(self) -> int:
        """How many events the call's record on disk has; -1: there is none."""
        found = Disk(self.path, "launcher", {}, lambda n: [], tuple).read()
        records = found.standby.take() if found else []
        return records[0].n_events if records else -1


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    mesh = await Mesh.start(Identity("n1.edge-0:1"), f"ipc://{tmp_path}/1")
    calls: dict[CallId, RecordStore] = {}
    heirs = Heirs(mesh, calls)
    mesh.serve(Kept, heirs.acknowledged)
    disk = Disk(tmp_path / "checkpoint", "launcher", calls, lambda n: [], tuple)
    rig = Rig(mesh, heirs, disk, HoldBack(heirs, disk), calls, tmp_path / "checkpoint")
    async with Tasks() as tasks:
        tasks.spawn(disk.run())
        yield rig
        rig.may_write.set()
    disk.close()
    for one in (mesh, *(spare.mesh for spare in rig.spares)):
        await one.close()


async def test_what_goes_out_finds_its_record_on_disk_and_waits_no_longer_than_that(rig: Rig) -> None:
    store, seen = rig.begin(), []
    for n in range(1, 6):
        store.write(n_events=n)
        rig.hold_back.until_kept(store, lambda: seen.append(rig.on_disk))
    assert seen == []
    assert await rig.waited(store) < 0.2, "not as long as what is not urgent"
    assert len(seen) == 5
    assert all(found >= n for n, found in enumerate(seen, 1))
    rig.hold_back.until_kept(store, lambda: seen.append(99))
    assert seen[-1] == 99, "what is on disk already waits for nobody"
    assert rig.hold_back.figures() == {"held_back": 0, "sent_unkept": 0}


async def test_what_one_call_sends_keeps_its_order(rig: Rig) -> None:
    store, sent = rig.begin(), list[int]()
    for n in range(9):
        if n % 3 == 0:
            store.write(n_events=n + 2)
        if n == 5:
            await rig.waited(store)
        rig.hold_back.until_kept(store, lambda n=n: sent.append(n))
    await rig.waited(store)
    assert sent == list(range(9))


async def test_a_disk_that_is_slow_is_not_waited_for_where_two_heirs_have_the_record(rig: Rig) -> None:
    await rig.has(True, True)
    rig.stop_the_disk()
    assert DISK_S <= await rig.waited(rig.begin()) < LONGEST_S
    assert all(spare.standby.take() for spare in rig.spares)
    assert rig.on_disk == -1
    assert rig.hold_back.n_unkept == 0


async def test_where_one_heir_lives_it_is_enough_that_it_has_the_record(rig: Rig) -> None:
    """The other one is being started: it died a moment ago, and two at a time are more than is promised."""
    await rig.has(True)
    rig.stop_the_disk()
    assert DISK_S <= await rig.waited(rig.begin()) < LONGEST_S


@pytest.mark.parametrize("answers", [(), (True, False), (False, False)], ids=["none", "one of two", "none of two"])
async def test_no_call_waits_long_for_a_disk_and_heirs_that_are_slow(rig: Rig, answers: tuple[bool, ...]) -> None:
    await rig.has(*answers)
    rig.stop_the_disk()
    assert LONGEST_S <= await rig.waited(rig.begin()) < 0.5
    assert rig.hold_back.n_unkept == 1


async def test_a_call_that_is_over_waits_for_nobody(rig: Rig) -> None:
    store, sent = rig.begin(), list[str]()
    rig.stop_the_disk()
    rig.hold_back.until_kept(store, lambda: sent.append("before"))
    store.write(phase=CallPhase.DONE)
    del rig.calls[CallId("c1")]
    rig.hold_back.until_kept(store, lambda: sent.append("after"))
    async with asyncio.timeout(60):
        while len(sent) < 2:
            await asyncio.sleep(0.005)
    assert sent == ["before", "after"]
    assert rig.hold_back.n_unkept == 0
