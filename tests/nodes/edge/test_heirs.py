"""What heirs keep: the later of two records whatever the order, and nothing of a call that is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.call.inputs import HangUpOrdered
from nodes.call.record import CallPhase, CallRecord
from nodes.edge.heir import MAX_TELLERS
from nodes.edge.heirs import MAX_RECORD, Heirs, Received, bequest, only
from nodes.edge.record_store import RecordStore
from nodes.edge.standby_records import StandbyRecords
from nodes.edge.succession import epoch_after
from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from protocols.sip import Disposition
from protocols.wire.heirs import ForgetScript, KeepOnly, KeepRecord, KeepScript
from protocols.wire.ids import CallId, Identity
from protocols.wire.reconcile import MAX_ASKED
from tests.nodes.edge.records import record

OWNER = Identity("n1.edge-0:1")
Told = KeepScript | KeepRecord


def tell(standby: StandbyRecords, told: Sequence[Told]) -> StandbyRecords:
    for one in told:
        standby.learn(one) if isinstance(one, KeepScript) else standby.keep(one)
    return standby


def of(*records: CallRecord) -> list[Told]:
    return [message for one in records for message in bequest(one, lambda script: False)]


def test_a_record_comes_back_whole_with_its_script() -> None:
    assert tell(StandbyRecords(), of(record())).take() == [record()]


def test_a_call_that_is_over_is_forgotten_and_remembered_as_over() -> None:
    standby = tell(
        StandbyRecords(), of(record(revision=4), record(revision=5, phase=CallPhase.DONE), record(revision=4))
    )
    assert standby.take() == []
    assert standby.has_been(CallId("c1"))
    assert standby.last_over(5) == ["c1"]


def test_a_new_epoch_is_later_than_any_revision_of_the_one_before() -> None:
    """A successor that went on from an older record counts on from there."""
    old, new = record(revision=90, epoch=1), record(revision=12, epoch=2)
    assert tell(StandbyRecords(), of(old, new)).take() == [new]
    assert tell(StandbyRecords(), of(new, old)).take() == [new]


def test_of_two_successors_that_went_on_from_one_record_the_one_that_began_later_has_the_later_record() -> None:
    """The first has come further with the call, and died before the second had heard of it; a fellow heir had."""
    one = record(revision=12, epoch=3)
    first = record(revision=90, epoch=epoch_after([one], wall_s=1000.0))
    second = record(revision=13, epoch=epoch_after([one], wall_s=1000.2))
    assert tell(StandbyRecords(), of(first, second)).take() == [second]
    assert tell(StandbyRecords(), of(second, first)).take() == [second]


def test_a_record_whose_script_is_not_known_comes_without_it_so_that_its_call_can_be_ended() -> None:
    (without,) = tell(StandbyRecords(), [one for one in of(record()) if isinstance(one, KeepRecord)]).take()
    assert (without.order.call_id, without.order.script) == ("c1", b"")


def test_a_record_that_cannot_be_read_is_one_call_and_not_all() -> None:
    broken = KeepRecord(CallId("c2"), 1, next(iter(of(record()))).script, b"\xc1")
    assert tell(StandbyRecords(), [broken, *of(record())]).take() == [record()]


def test_an_heir_gives_back_what_its_new_owner_does_not_know() -> None:
    standby = tell(StandbyRecords(), of(record("c1"), record("c2")))
    strays = standby.only(KeepOnly((CallId("c1"),)), OWNER)
    assert strays is not None
    assert tell(StandbyRecords(), strays).take() == [record("c2")]
    assert standby.take() == [record("c1")]


def test_who_has_been_silent_longest_is_forgotten_and_not_who_tells_now() -> None:
    received, ours = Received(), Identity("n1.edge-0:1")
    for n in range(3 * MAX_TELLERS):
        received.count(Identity(f"n2.edge-0:{n}"))
        received.count(ours)
    assert received.of(ours) == 3 * MAX_TELLERS
    assert len(received._n) == MAX_TELLERS
    assert received.of(Identity("n2.edge-0:0")) == 0


def test_an_owner_says_in_several_messages_which_calls_it_has_if_they_are_many() -> None:
    names = [f"c{n}" for n in range(MAX_ASKED + 1)]
    standby = tell(StandbyRecords(), of(*map(record, [*names, "stray"])))
    first, last = only([CallId(name) for name in names])
    assert standby.only(first, Identity("an owner that died of it")) is None
    assert standby.only(first, OWNER) is None
    (_, stray) = standby.only(last, OWNER) or []
    assert isinstance(stray, KeepRecord)
    assert stray.call_id == "stray"
    assert list(only([])) == [KeepOnly(())]


calls = st.sampled_from(["c1", "c2", "c3"])
told = st.lists(
    st.builds(
        lambda name, epoch, revision, is_over: record(
            name, revision, epoch, phase=CallPhase.DONE if is_over else CallPhase.CONVERSING
        ),
        calls, st.integers(0, 3), st.integers(1, 5), st.booleans(),
    ),
    max_size=12,
)  # fmt: skip


@given(told, st.data())
def test_what_is_gone_on_with_does_not_depend_on_who_was_told_what_in_which_order(
    records: list[CallRecord], data: st.DataObject
) -> None:
    heirs = [StandbyRecords() for _ in range(3)]
    for one in data.draw(st.permutations(records)):
        for heir in data.draw(st.lists(st.sampled_from(heirs), min_size=1, max_size=3)):
            tell(heir, of(one))
    first, *others = data.draw(st.permutations(heirs))
    for other in others:
        first.inherit(other)
    over = {one.order.call_id for one in records if one.phase is CallPhase.DONE}
    latest = {}
    for one in sorted(records, key=lambda one: (one.epoch, one.revision)):
        latest[one.order.call_id] = one
    assert {one.order.call_id: one for one in first.take()} == {k: v for k, v in latest.items() if k not in over}
    assert all(first.has_been(call_id) for call_id in over)


class Spare:
    """A spare in a process of its own, as far as the mesh knows."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh, self.standby, self.n_told = mesh, StandbyRecords(), 0
        self.last = CallId("")
        mesh.serve(KeepScript, lambda given, _: self.standby.learn(given))
        mesh.serve(ForgetScript, lambda given, _: self.standby.forget(given.script))
        mesh.serve(KeepRecord, self.keep)

    def keep(self, given: KeepRecord, sender: Identity) -> None:
        self.standby.keep(given)
        self.n_told += 1
        self.last = given.call_id

    async def told(self, n: int) -> None:
        async with asyncio.timeout(60):
            while self.n_told < n:
                await asyncio.sleep(0.001)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Heirs, dict[CallId, RecordStore], Spare]]:
    """An active edge with one spare, its calls, and the spare."""
    here, there = [await Mesh.start(Identity(f"n1.edge-0:{n}"), f"ipc://{tmp_path}/{n}") for n in (1, 2)]
    states = ((here, State.ACTIVE), (there, State.SPARE))
    roster = Roster(1, tuple(Peer("edge", "edge-0", one.identity, one.endpoint, 1, state) for one, state in states))
    for mesh in (here, there):
        mesh.roster(roster)
    calls: dict[CallId, RecordStore] = {}
    heirs, spare = Heirs(here, calls), Spare(there)
    heirs.follow(roster)
    yield heirs, calls, spare
    for mesh in (here, there):
        await mesh.close()


async def test_a_script_is_kept_for_as_long_as_a_call_has_it_however_many_there_were(
    pair: tuple[Heirs, dict[CallId, RecordStore], Spare],
) -> None:
    """Whoever orders calls by the API may give each a script of its own."""
    heirs, calls, spare = pair
    unused: list[str] = []
    heirs.unused = unused.append

    def begin(name: str, script: bytes) -> RecordStore:
        made = record(name)
        store = calls[CallId(name)] = RecordStore(replace(made, order=replace(made.order, script=script)), heirs.wrote)
        store.write(n_events=1)
        return store

    def end(store: RecordStore) -> None:
        store.write(phase=CallPhase.DONE)
        del calls[store.record.order.call_id]
        store.write(n_events=9)  # the last event's number: it is written after its end

    shared = begin("shared-0", b"shared")
    for n in range(20):
        both = begin(f"c{n}", b"script %d" % n), begin(f"shared-{n + 1}", b"shared")
        await spare.told(3 * n + n % 2)  # sometimes before the first is told, sometimes after
        end(both[0])
        await asyncio.sleep(0)
        end(both[1])
    one = begin("one", b"script 7")  # forgotten by both sides alike: it is told again
    async with asyncio.timeout(60):
        while spare.last != "one":  # and so all that came before has been heard
            await asyncio.sleep(0.001)
    assert (spare.standby.n_scripts, len(unused)) == (2, 20)
    assert {one.order.script for one in spare.standby.take()} == {b"shared", b"script 7"}
    end(one)
    end(shared)
    async with asyncio.timeout(60):
        while spare.standby.n_scripts:
            await asyncio.sleep(0.001)


async def test_a_call_is_ended_before_its_record_is_longer_than_what_heirs_can_be_told(
    pair: tuple[Heirs, dict[CallId, RecordStore], Spare],
) -> None:
    """Then nobody could go on with it. It is told so once, and the heir still gets the record."""
    heirs, calls, spare = pair
    told: list[tuple[CallId, HangUpOrdered]] = []
    heirs.tell = lambda call_id, order: told.append((call_id, order))
    for name, n_bytes in (("short", MAX_RECORD - 4096), ("long", MAX_RECORD)):
        made = record(name)
        order = replace(made.order, slots={"note": "x" * n_bytes})
        calls[CallId(name)] = store = RecordStore(replace(made, order=order), heirs.wrote)
        for n in range(3):
            store.write(n_events=n + 1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    async with asyncio.timeout(60):
        while spare.last != CallId("long"):
            await asyncio.sleep(0.001)
    assert told == [(CallId("long"), HangUpOrdered(Disposition.FAILED, "record_too_long"))]
    assert heirs.figures()["records_too_long"] == 1
