"""What one heir acknowledges is what it keeps, whatever is lost on the way; and it is told no more than it can take."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nodes.call.record import CallPhase, CallRecord
from nodes.edge.heir import AGAIN_S, WINDOW, Heir
from nodes.edge.heirs import Heirs
from nodes.edge.record_store import RecordStore, version
from nodes.edge.standby_records import StandbyRecords
from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from protocols.wire.heirs import AskKept, ForgetScript, KeepEvents, KeepOnly, KeepRecord, KeepScript, Kept
from protocols.wire.ids import CallId, Identity
from tests.nodes.edge.records import record

OWNER, SPARE = Identity("n1.edge-0:1"), Identity("n1.edge-0:2")
NAMES = [f"c{n}" for n in range(8)]


# ---- over a way on which messages are lost ---------------------------------------------------------------------------


@dataclass
class Way:
    """The owner's mesh, as far as an heir uses it: in order; what is on it is lost when its connection breaks."""

    coming: deque[object] = field(default_factory=deque)

    def tell(self, peer: Identity, message: object) -> bool:
        self.coming.append(message)
        return True


class LossyWay(RuleBasedStateMachine):
    """One owner and one heir, whose connection may break at any time, in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.way, self.answers = Way(), deque[Kept]()
        self.heir = Heir(self.way, SPARE, window=7)  # type: ignore[arg-type]
        self.standby, self.n_told = StandbyRecords(), 0
        self.calls: dict[CallId, CallRecord] = {}
        self.over: set[CallId] = set()
        self.heir.all((), (), self.now)

    @rule(name=st.sampled_from(NAMES), is_over=st.sampled_from([False, False, False, True]))
    def write(self, name: str, is_over: bool) -> None:
        call_id = CallId(name)
        before = self.calls.get(call_id)
        if call_id in self.over or (before is None and is_over):
            return
        phase = CallPhase.DONE if is_over else CallPhase.CONVERSING
        made = record(name, before.revision + 1 if before else 1, phase=phase)
        self.calls[call_id] = made
        if is_over:
            del self.calls[call_id]
            self.over.add(call_id)
        self.heir.record(made, self.now)

    @rule(n=st.integers(1, 9))
    def it_reads(self, n: int) -> None:
        for _ in range(min(n, len(self.way.coming))):
            message = self.way.coming.popleft()
            if isinstance(message, AskKept):
                self.answers.append(Kept(message.number, self.n_told))
                continue
            self.n_told += 1
            match message:
                case KeepScript():
                    self.standby.learn(message)
                case KeepRecord():
                    self.standby.keep(message)
                case KeepOnly():
                    self.standby.only(message, OWNER)

    @rule(seconds=st.sampled_from([0.02, AGAIN_S]))
    def ask(self, seconds: float) -> None:
        self.now += seconds
        self.heir.ask(self.now)

    @rule()
    def an_answer_comes(self) -> None:
        if self.answers and not self.heir.acknowledged(self.answers.popleft()):
            self.heir.all((), [RecordStore(one, lambda _: None) for one in self.calls.values()], self.now)

    @rule(there=st.integers(0, 5), back=st.integers(0, 2))
    def the_connection_breaks(self, there: int, back: int) -> None:
        """The first that were on it are lost, or those that come after them, too."""
        for _ in range(min(there, len(self.way.coming))):
            self.way.coming.popleft()
        for _ in range(min(back, len(self.answers))):
            self.answers.popleft()

    @invariant()
    def it_keeps_what_it_has_acknowledged(self) -> None:
        kept = {call_id: (one.epoch, one.revision) for call_id, one in self.standby._kept.items()}
        for call_id, acknowledged in self.heir.kept.items():
            assert kept.get(call_id, (0, -1)) >= acknowledged or self.standby.has_been(call_id)

    def teardown(self) -> None:
        for _ in range(9):
            self.ask(AGAIN_S)
            self.it_reads(999)
            while self.answers:
                self.an_answer_comes()
        newest = {call_id: version(made) for call_id, made in self.calls.items()}
        assert self.heir.kept == newest
        assert {call_id: (one.epoch, one.revision) for call_id, one in self.standby._kept.items()} == newest
        assert {one.order.script for one in self.standby.take()} <= {record().order.script}
        assert not self.heir.is_behind
        assert all(self.heir.lacks_since(CallId(name)) is None for name in NAMES)


LossyWay.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLossyWay = LossyWay.TestCase


# ---- over the mesh ---------------------------------------------------------------------------------------------------


class Spare:
    """A spare that keeps and acknowledges, in a process of its own as far as the mesh knows."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh, self.standby, self.n_told, self.n_asked = mesh, StandbyRecords(), 0, 0
        mesh.serve(KeepScript, lambda given, _: self._count(self.standby.learn(given)))
        mesh.serve(ForgetScript, lambda given, _: self._count(self.standby.forget(given.script)))
        mesh.serve(KeepRecord, lambda given, _: self._count(self.standby.keep(given)))
        mesh.serve(KeepEvents, lambda given, _: self._count(None))
        mesh.serve(KeepOnly, lambda given, owner: self._count(self.standby.only(given, owner)))
        mesh.serve(AskKept, self._answer)

    def _count(self, kept: object) -> None:
        self.n_told += 1

    def _answer(self, given: AskKept, owner: Identity) -> None:
        self.n_asked += 1
        self.mesh.tell(owner, Kept(given.number, self.n_told))


@dataclass
class Rig:
    """An active edge, its calls, and who its spares are."""

    mesh: Mesh
    heirs: Heirs
    calls: dict[CallId, RecordStore]
    roster: Roster
    directory: Path

    def begin(self, name: str) -> RecordStore:
        store = self.calls[CallId(name)] = RecordStore(record(name), self.heirs.wrote)
        store.write(n_events=1)
        return store

    @asynccontextmanager
    async def spare(self) -> AsyncIterator[Spare]:
        mesh = await Mesh.start(SPARE, f"ipc://{self.directory}/2")
        mesh.roster(self.roster)
        yield Spare(mesh)
        await mesh.close()

    @property
    def is_kept(self) -> bool:
        newest = [version(store.record) for store in self.calls.values()]
        return all(self.heirs.keep(call_id, one) for call_id, one in zip(self.calls, newest, strict=True))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    mesh = await Mesh.start(OWNER, f"ipc://{tmp_path}/1")
    states = ((OWNER, 1, State.ACTIVE), (SPARE, 2, State.SPARE))
    roster = Roster(
        1, tuple(Peer("edge", "edge-0", one, f"ipc://{tmp_path}/{n}", n, state) for one, n, state in states)
    )
    calls: dict[CallId, RecordStore] = {}
    heirs = Heirs(mesh, calls)
    mesh.roster(roster)
    mesh.serve(Kept, heirs.acknowledged)
    heirs.follow(roster)
    yield Rig(mesh, heirs, calls, roster, tmp_path)
    await mesh.close()


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not what():
            await asyncio.sleep(0.002)


async def test_an_heir_acknowledges_all_that_it_was_told_in_few_answers(rig: Rig) -> None:
    async with rig.spare() as spare:
        for n in range(20):
            rig.begin(f"c{n}")
        await asyncio.sleep(0)
        for _ in range(30):
            for store in rig.calls.values():
                store.write(n_events=store.record.n_events + 1)
            await asyncio.sleep(0)
        await until(lambda: rig.is_kept)
        figures = rig.heirs.figures()
        assert (figures["heirs"], figures["unreplicated"], figures["unkept_ms"]) == (1, 0, 0)
        assert spare.n_told > 600
        assert spare.n_asked < 10


async def test_an_heir_is_asked_seldom_and_at_once_where_much_is_under_way(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.edge.heirs.ASK_S", 600.0)
    async with rig.spare() as spare:
        stores = [rig.begin(f"c{n}") for n in range(5)]
        for n in range(20):
            stores[0].write(n_events=2 + n)
            await asyncio.sleep(0)
        await until(lambda: spare.n_told > 20)
        assert spare.n_asked == 0
        for n in range(WINDOW):
            for store in stores:
                store.write(n_events=30 + n)
            await asyncio.sleep(0)
        rig.heirs.ask()  # as whoever waits for the last
        await until(lambda: rig.is_kept)
        assert {one.n_events for one in spare.standby.take()} == {29 + WINDOW}


async def test_a_record_that_may_wait_is_told_with_the_next_one_of_its_call(rig: Rig) -> None:
    async with rig.spare() as spare:
        one, other = rig.begin("c1"), rig.begin("c2")
        await until(lambda: len(spare.standby._kept) == 2)
        n_before = spare.n_told
        one.put(replace(one.record, utterance=7), may_wait=True)
        other.write(n_events=2)
        await until(lambda: spare.n_told == n_before + 1)
        one.write(n_events=2)
        await until(lambda: spare.n_told == n_before + 2)
        assert sorted((kept.order.call_id, kept.utterance) for kept in spare.standby.take()) == [("c1", 7), ("c2", 0)]


async def test_how_old_what_no_heir_has_acknowledged_is_can_be_seen(rig: Rig) -> None:
    rig.begin("c1")
    await asyncio.sleep(0.05)
    figures = rig.heirs.figures()
    assert figures["unreplicated"] == 1
    assert figures["unkept_ms"] >= 40


async def test_an_heir_that_reads_nothing_for_a_while_has_the_newest_record_of_each_call_a_moment_after(
    rig: Rig,
) -> None:
    """It is paused, or behind a line that is down: what waits for it is bounded, and none of it is the newest lost."""
    stores = [rig.begin(f"c{n}") for n in range(5)]
    for n in range(WINDOW):
        for store in stores:
            store.write(n_events=2 + n)
        await asyncio.sleep(0)
    async with rig.spare() as spare:
        await until(lambda: rig.is_kept)
        assert spare.n_told < WINDOW + 50
        assert {one.n_events for one in spare.standby.take()} == {WINDOW + 1}
    assert rig.mesh.counts["buffer_full"] == 0


async def test_what_was_lost_with_a_connection_is_told_again(rig: Rig) -> None:
    stores = [rig.begin(f"c{n}") for n in range(5)]
    async with rig.spare():
        await until(lambda: rig.is_kept)
    async with rig.spare() as spare:  # it knows nothing, and nobody has told its owner
        stores[0].write(n_events=9)
        await until(lambda: len(spare.standby._kept) == 5 and rig.is_kept)
        assert {one.order.script for one in spare.standby.take()} == {record().order.script}
