"""A machine's calls at another machine: kept there while it lives, gone on with when it is dead, never at both."""

from __future__ import annotations

import asyncio
import re
import select
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nodes.bus import bus
from nodes.call.inputs import Moved
from nodes.call.record import CallPhase, CallRecord
from nodes.edge import arrivals, flight, hold_back, returning
from nodes.edge.checkpoint import LAYOUT, Alive, Opened, frame
from nodes.edge.heir import bequest, to_keep
from nodes.edge.ownership import choose
from nodes.edge.recent import Noted
from nodes.edge.services import EdgeServices
from nodes.links import incarnation
from nodes.links.errors import Refused
from protocols import heir
from protocols.sip.confirmed import TAKEOVER_GAP, ConfirmedLeg
from protocols.wire.cluster import NodeState, NodeWord
from protocols.wire.events import Kind
from protocols.wire.heirs import KeepRecord
from protocols.wire.ids import CallId, NodeId
from protocols.wire.messages import CloseChannel, EndCall
from protocols.wire.reconcile import FindCalls
from protocols.wire.takeover import Beware, WhoHas
from tests.nodes.edge.two_edges import HERE, FarEnd, Machine, machine, ringing, talking

C1 = CallId("c1")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)  # there is no NATS


@dataclass
class Pair:
    """Two machines that know each other, the first with one call, and its callee."""

    a: Machine
    b: Machine
    far: FarEnd

    async def begin(self, record: CallRecord) -> None:
        """Have the first go on with this call; return once the second keeps it."""
        await self.until_known()
        await self.a.calls.go_on(self.a.calls.keep(record))
        await self.b.until(lambda: self.kept(record.order.call_id) and self.is_told(record.order.call_id))
        self.far.heard()

    async def until_known(self) -> None:
        self.a.sees(self.b.member())
        self.b.sees(self.a.member())
        await self.a.until(lambda: self.a.calls.elsewhere.ownership.heir_for(C1) == "b")

    def kept(self, call_id: CallId) -> bool:
        return self.b.calls.elsewhere.inheritance._heir.keeps(self.a.name, call_id)

    def is_told(self, call_id: CallId) -> bool:
        """The second has the last record of the first."""
        ours, node = self.a.calls.stores[call_id].record, self.b.calls.elsewhere.inheritance._nodes[self.a.name]
        kept = node.standbys["edge-0"]._kept.get(call_id)
        return kept is not None and (kept.epoch, kept.revision) == (ours.epoch, ours.revision)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(machine(tmp_path, "a"))
        b = await stack.enter_async_context(machine(tmp_path, "b"))
        far = FarEnd()
        stack.callback(far.sock.close)
        yield Pair(a, b, far)


async def test_a_call_of_a_dead_machine_goes_on_at_its_heir_which_tells_the_callee_where_it_is(
    pair: Pair,
) -> None:
    await pair.begin(talking(pair.far, pair.a))
    before = pair.a.calls.stores[C1].record
    assert before.heir == "b"
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    assert C1 in pair.b.calls.stores, "it has it from this moment"
    invite, source = await pair.far.hears()
    assert source == ("127.0.0.1", pair.b.services.trunk.port)
    assert invite.startswith("INVITE")
    assert f"CSeq: {before.leg.dialog.local_cseq + TAKEOVER_GAP + 1} INVITE" in invite
    await pair.b.until(lambda: pair.b.channel(C1))
    channel = pair.b.channel(C1)
    assert channel is not None
    assert (channel.port, channel.ssrc, channel.remote_port) == (40000, 7, 4000)
    assert f"m=audio {channel.port} " in invite
    after = pair.b.calls.stores[C1].record
    assert after.epoch > before.epoch
    assert after.owner == pair.b.identity


async def test_a_far_end_that_is_asked_again_after_491_is_so_once_others_have_the_record(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("DISK_S", "LONGEST_S"):
        monkeypatch.setattr(hold_back, limit, 60.0)
    monkeypatch.setattr(ConfirmedLeg, "_back_off_s", lambda _: 0.05)
    await pair.begin(talking(pair.far, pair.a))
    disk, may_write = pair.b.calls.disk, threading.Event()
    try:
        pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
        invite, source = await pair.far.hears()
        disk._thread.submit(may_write.wait)
        pair.far.says(491, invite, source)
        await pair.b.until(lambda: pair.b.calls.figures()["held_back"] == 2)
        assert pair.far.heard() == []
    finally:
        may_write.set()
    assert (await pair.far.hears())[0].startswith("ACK")
    again, _ = await pair.far.hears()
    (cseq,) = re.findall(r"CSeq: (\d+) INVITE", again)
    found = disk.read()
    assert found is not None
    (kept,) = found.standby.take()
    assert kept.leg is not None
    assert kept.leg.dialog.local_cseq == int(cseq)


async def many(pair: Pair, n: int) -> list[CallId]:
    """Have so many calls at the first machine, and all of them kept by the second."""
    await pair.until_known()
    names = [CallId(f"c{k}") for k in range(n)]
    for name in names:
        await pair.a.calls.go_on(pair.a.calls.keep(talking(pair.far, pair.a, name)))
    await pair.b.until(lambda: all(pair.kept(name) for name in names), within_s=20)
    pair.far.heard()
    return names


def invited(messages: Sequence[str]) -> list[CallId]:
    """Return whose far ends these messages ask, in order."""
    return [CallId(one.partition("Call-ID: ")[2].partition("@")[0]) for one in messages if one.startswith("INVITE")]


async def test_of_many_calls_that_come_at_once_all_are_heard_before_the_first_far_end_is_asked_and_few_are_at_a_time(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "HOLDS_S", 60.0)
    monkeypatch.setattr(arrivals, "FIRST_S", 60.0)
    names = await many(pair, 80)
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    await pair.b.until(lambda: select.select([pair.far.sock], [], [], 0)[0], within_s=20)
    assert all(pair.b.channel(name) for name in names), "their audio waits for nothing"
    asked, waiting, most, is_answering = list[CallId](), list[str](), 0, False
    async with asyncio.timeout(60):
        while len(asked) < len(names) or waiting:
            new = [text for text in pair.far.heard() if invited([text]) and invited([text])[0] not in asked]
            asked += invited(new)
            waiting += new
            most = max(most, len(waiting))
            is_full = pair.b.calls.figures()["takeovers_waiting"] == len(names) - flight.AT_ONCE
            is_answering = is_answering or (is_full and len(waiting) == flight.AT_ONCE)
            if waiting and is_answering:
                pair.far.says(200, waiting.pop(0), (HERE, pair.b.services.trunk.port))
            await asyncio.sleep(0.002)
    assert sorted(asked) == sorted(names)
    assert most == flight.AT_ONCE


async def test_far_ends_that_say_nothing_keep_nobody_from_being_asked(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "HOLDS_S", 0.05)
    names = await many(pair, 80)
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    asked = set[CallId]()
    async with asyncio.timeout(60):
        while asked < {*names}:
            asked |= {*invited(pair.far.heard())}
            await asyncio.sleep(0.005)


async def test_what_comes_for_a_call_whose_line_is_not_ready_here_yet_waits_for_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was dropped: nobody had the call yet."""
    await pair.begin(talking(pair.far, pair.a))
    go, ready = asyncio.Event(), arrivals.have_ready

    async def waits(services: EdgeServices, record: CallRecord, outage_s: float) -> Moved:
        await go.wait()
        return await ready(services, record, outage_s)

    monkeypatch.setattr("nodes.edge.elsewhere.have_ready", waits)
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    pair.b.requests.end(EndCall(C1), pair.b.identity)
    go.set()
    await pair.b.until(lambda: Kind.ENDED in pair.b.kinds)
    assert next(one for one in pair.b.events if one.kind is Kind.ENDED).fields["cause"] == "ordered"


async def test_who_comes_back_lets_go_of_what_its_heir_has_without_a_word_to_anybody(
    pair: Pair,
) -> None:
    await pair.begin(talking(pair.far, pair.a))
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    await pair.far.hears()
    pair.b.sees(pair.a.member())  # it was not dead, but stood still
    await pair.a.until(lambda: C1 not in pair.a.calls.stores)
    await pair.a.until(lambda: CloseChannel(C1) in pair.a.told)
    assert Kind.ENDED not in pair.a.kinds
    ours = f"127.0.0.1:{pair.a.services.trunk.port}"
    assert not [one for one in pair.far.heard() if re.search(rf"Via:.*{ours}", one)]
    assert C1 in pair.b.calls.stores
    assert not pair.a.calls.has_been(C1), "it is not over"
    await pair.a.until(lambda: not pair.a.services.calls)


async def test_what_its_owner_wrote_last_does_not_overrule_an_heir_that_gets_ready(pair: Pair) -> None:
    """Both let go of it: the heir, overruled, and the owner, who was told that it is taken."""
    await pair.begin(talking(pair.far, pair.a))
    left = pair.a.calls.stores[C1].record
    last = to_keep(replace(left, revision=left.revision + 5))
    assert isinstance(last, KeepRecord)
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    pair.b.calls.elsewhere.take(last, pair.a.identity)
    assert C1 in pair.b.calls.stores
    pair.b.sees(pair.a.member())
    await pair.a.until(lambda: C1 not in pair.a.calls.stores)
    await pair.far.hears()
    assert C1 in pair.b.calls.stores


async def test_a_later_life_of_a_call_at_its_old_owner_overrules_nobody(pair: Pair) -> None:
    """Epochs follow the wall clock: who is back with its disk begins a later one, and is not the owner for that."""
    await pair.begin(talking(pair.far, pair.a))
    stale = replace(pair.a.calls.stores[C1].record, epoch=10**15)
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    await pair.far.hears()
    told = to_keep(stale)
    assert isinstance(told, KeepRecord)
    pair.b.calls.elsewhere.take(told, pair.a.identity)
    assert C1 in pair.b.calls.stores
    assert not pair.kept(C1)


async def test_a_call_has_an_heir_when_that_has_said_so(pair: Pair) -> None:
    await pair.begin(talking(pair.far, pair.a))
    await pair.a.until(lambda: pair.a.calls.figures()["unkept_afar"] == 0)
    assert pair.b.identity in pair.a.calls._heirs.kept(C1)
    pair.a.calls._heirs.retell(pair.b.identity, [C1])
    assert pair.a.calls.figures()["unkept_afar"] == 1, "it has given up what it had, and is told anew"
    await pair.a.until(lambda: pair.a.calls.figures()["unkept_afar"] == 0)


async def test_how_many_calls_stand_is_told_to_media_together(pair: Pair) -> None:
    await pair.until_known()
    names = [CallId(f"c{k}") for k in range(1, 9)]
    for name in names:
        pair.a.calls.keep(replace(talking(pair.far, pair.a, name), heir=NodeId("unheard")))
    await pair.a.until(lambda: any(isinstance(one, Beware) for one in pair.a.told))
    assert [one for one in pair.a.told if isinstance(one, Beware)] == [Beware(tuple(names), is_wary=True)]


async def test_suspicion_alone_takes_nothing_from_who_still_asks(pair: Pair) -> None:
    await pair.begin(talking(pair.far, pair.a))
    pair.b.sees(pair.a.member(NodeState.DEAD))
    asked = pair.b.calls.elsewhere.inheritance._heir._asked_at[NodeId("a")]
    await pair.b.until(lambda: pair.b.calls.elsewhere.inheritance._heir._asked_at[NodeId("a")] > asked)
    assert C1 not in pair.b.calls.stores
    assert C1 in pair.a.calls.stores


async def test_a_callee_who_picks_up_as_their_machine_dies_is_asked_by_its_heir_and_talked_with(pair: Pair) -> None:
    """What they say to that machine nobody hears; once they have agreed, no other machine has a part in the call."""
    await pair.begin(ringing(pair.far, pair.a))
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    said = [(await pair.far.hears())[0].split()[0] for _ in range(2)]
    invite = await pair.far.answer()
    assert said == ["CANCEL", "ACK"]
    assert "m=audio 40000" in invite
    await pair.b.until(lambda: Kind.ANSWERED in pair.b.kinds)
    assert (await pair.far.hears())[0].startswith("ACK")
    assert pair.b.calls.stores[C1].record.phase is CallPhase.ANSWERED
    pair.b.sees(pair.a.member())
    pair.a.calls.elsewhere.ownership._owner._vouched.clear()  # it stood still for longer than a lease
    await pair.a.until(lambda: C1 not in pair.a.calls.stores)
    assert Kind.ENDED not in pair.a.kinds
    assert not [one for one in pair.far.heard() if one.startswith(("BYE", "CANCEL"))]


async def test_a_call_that_nobody_had_answered_ends_as_lost_and_once(pair: Pair) -> None:
    await pair.begin(ringing(pair.far, pair.a))
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    await pair.far.answer(481)
    await pair.b.until(lambda: Kind.ENDED in pair.b.kinds)
    ended = next(event for event in pair.b.events if event.kind is Kind.ENDED)
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("failed", "node_lost")
    pair.b.sees(pair.a.member())
    pair.a.calls.elsewhere.ownership._owner._vouched.clear()  # it stood still for longer than a lease
    await pair.a.until(lambda: C1 not in pair.a.calls.stores)
    assert Kind.ENDED not in pair.a.kinds


async def test_what_rings_at_a_machine_that_may_only_be_cut_off_is_closed_when_it_can_ring_no_more(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heir, "LEASE_S", 0.1)
    monkeypatch.setattr(heir, "CLOSES_S", 1.0)
    await pair.begin(ringing(pair.far, pair.a))
    pair.a.calls.elsewhere.ownership.stop()
    pair.b.sees(pair.a.member(NodeState.DEAD))
    await pair.b.until(lambda: pair.b.calls.elsewhere.inheritance._heir._closes)
    assert Kind.ENDED not in pair.b.kinds
    assert pair.kept(C1)
    await pair.b.until(lambda: Kind.ENDED in pair.b.kinds)
    ended = next(event for event in pair.b.events if event.kind is Kind.ENDED)
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("failed", "node_lost")
    assert (await pair.far.hears())[0].startswith("CANCEL")
    assert not pair.far.heard(), "they may talk with that machine"


def left_behind(*records: CallRecord, ago_s: float = 0.0) -> bytes:
    """The disk of a node whose launcher was another one, which has died so long ago."""
    told = [message for record in records for message in bequest(record, lambda _: False)]
    opened = Opened(LAYOUT, "before", incarnation.boot())
    return b"".join(map(frame, [opened, *told, Alive(time.monotonic() - ago_s)]))


async def test_a_node_that_is_back_goes_on_with_what_its_heir_has_not_and_with_nothing_else(
    tmp_path: Path, pair: Pair
) -> None:
    await pair.begin(talking(pair.far, pair.a))
    left = pair.a.calls.stores[C1].record
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    await pair.far.hears()
    other = talking(pair.far, pair.a, "c2", heir=NodeId("b"))
    async with machine(tmp_path, "a", left_behind(left, other), epoch=2) as back:
        assert not back.calls.stores
        with pytest.raises(Refused, match="unsettled"):
            back.requests.find_calls(FindCalls((C1,)), back.identity)
        pair.b.sees(back.member())
        back.sees(pair.b.member())
        await back.until(lambda: "c2" in back.calls.stores or back.calls.has_been(CallId("c2")))
        await back.until(lambda: back.calls.is_settled)
        assert C1 not in back.calls.stores
        assert not back.calls.has_been(C1)
        assert C1 in pair.b.calls.stores


async def test_a_node_that_was_away_for_long_says_nothing_of_its_calls_before_the_others_can_be_asked(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was cut off again before it had joined, and told that a call was lost which its heir had."""
    monkeypatch.setattr(returning, "JOINS_S", 0.05)
    await pair.begin(talking(pair.far, pair.a))
    left = pair.a.calls.stores[C1].record
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    await pair.far.hears()
    async with machine(tmp_path, "a", left_behind(left, ago_s=60.0), epoch=2) as back:
        await asyncio.sleep(0.3)
        pair.b.sees(back.member())
        back.sees(pair.b.member())
        await back.until(lambda: back.calls.is_settled)
        assert Kind.ENDED not in back.kinds
        assert C1 not in back.calls.stores


async def test_a_node_that_was_away_for_long_waits_for_a_machine_that_stands_still(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It told 75 calls as lost while the machine that had them was paused for 4 s."""
    monkeypatch.setattr(returning, "ANSWERS_S", 0.05)
    await pair.begin(talking(pair.far, pair.a))
    left = pair.a.calls.stores[C1].record
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    await pair.far.hears()
    async with machine(tmp_path, "a", left_behind(left, ago_s=60.0), epoch=2) as back:
        back.sees(pair.b.member(NodeState.DEAD))
        await asyncio.sleep(0.5)
        assert not back.calls.is_settled
        pair.b.sees(back.member())
        back.sees(pair.b.member())
        await back.until(lambda: back.calls.is_settled)
        assert Kind.ENDED not in back.kinds
        assert C1 not in back.calls.stores


async def test_a_node_that_was_away_for_long_says_at_last_what_nobody_has(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returning, "ANSWERS_S", 0.05)
    monkeypatch.setattr(returning, "LATE_S", 0.3)
    left = talking(pair.far, pair.a, heir=NodeId("nobody"))
    async with machine(tmp_path, "a", left_behind(left, ago_s=60.0), epoch=2) as back:
        back.sees()
        await back.until(lambda: Kind.ENDED in back.kinds)
        assert next(one for one in back.events if one.kind is Kind.ENDED).fields["cause"] == "node_lost"


async def test_a_node_that_is_back_and_knows_not_all_others_yet_waits_for_the_heir_that_a_record_names(
    tmp_path: Path, pair: Pair
) -> None:
    """It told a hundred calls as lost, a second before it heard the machine that had them."""
    await pair.begin(talking(pair.far, pair.a))
    left = pair.a.calls.stores[C1].record
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    await pair.far.hears()
    async with machine(tmp_path, "a", left_behind(left), epoch=2) as back:
        back.sees()
        await asyncio.sleep(0.3)
        pair.b.sees(back.member())
        back.sees(pair.b.member())
        await back.until(lambda: back.calls.is_settled)
        assert Kind.ENDED not in back.kinds
        assert C1 not in back.calls.stores
        assert C1 in pair.b.calls.stores


async def test_what_a_node_that_is_back_asks_about_stays_on_its_disk_until_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    """It may die again while it asks; and whatever else it writes begins a new file."""
    left = talking(pair.far, pair.a, "c2", heir=NodeId("b"))
    on_disk: list[bytes] = []
    ask = returning.ask_all

    async def asks(services: EdgeServices, records: Sequence[CallRecord], *, is_late: bool) -> object:
        back = services.config.paths.checkpoint
        for _ in range(20):
            await asyncio.sleep(0.005)
        on_disk.append(back.read_bytes())
        return await ask(services, records, is_late=is_late)

    monkeypatch.setattr("nodes.edge.elsewhere.ask_all", asks)
    monkeypatch.setattr("nodes.edge.disk.FLUSH_S", 0.0)
    monkeypatch.setattr(returning, "ANSWERS_S", 0.1)
    monkeypatch.setattr(returning, "LATE_S", 0.1)
    async with machine(tmp_path, "a", found := left_behind(left), epoch=2) as back:
        back.sees()
        back.calls.disk.noted(Noted("e", C1, b"{}"))
        await back.until(lambda: back.calls.is_settled)
    assert on_disk == [found]


async def test_what_the_dead_machine_noted_last_is_handed_to_the_bus_once_more(pair: Pair) -> None:
    await pair.begin(talking(pair.far, pair.a))
    theirs = {event.event_id for event in pair.a.events}
    assert theirs
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    assert theirs <= {event.event_id for event in pair.b.events}


async def test_what_a_call_plays_is_on_its_heirs_disk_before_it_is_needed(pair: Pair) -> None:
    prompt, audio = "a" * 32, bytes(300_000)
    (pair.a.state / "prompts").mkdir()
    (pair.b.state / "prompts").mkdir()
    (pair.a.state / "prompts" / f"{prompt}.ulaw").write_bytes(audio)
    await pair.begin(talking(pair.far, pair.a))
    there = pair.b.state / "prompts" / f"{prompt}.ulaw"
    await pair.b.until(there.exists)
    assert there.read_bytes() == audio


async def test_an_heir_that_leaves_is_replaced_and_gives_its_copy_up(tmp_path: Path, pair: Pair) -> None:
    await pair.begin(talking(pair.far, pair.a))
    async with machine(tmp_path, "c") as c:
        c.sees(pair.a.member())
        draining = pair.b.member()
        draining = replace(draining, word=replace(draining.word, is_draining=True))
        pair.a.sees(draining, c.member())
        heir = c.calls.elsewhere.inheritance._heir
        await c.until(lambda: heir.keeps(pair.a.name, C1))
        await pair.b.until(lambda: not pair.kept(C1))
        assert pair.a.calls.stores[C1].record.heir == "c"


async def test_nobody_is_told_anything_by_a_machine_that_is_alone(pair: Pair) -> None:
    await pair.a.calls.go_on(pair.a.calls.keep(talking(pair.far, pair.a)))
    await pair.a.until(lambda: pair.a.channel(C1))
    assert pair.a.calls.stores[C1].record.heir == ""
    assert not pair.a.calls.elsewhere.ownership.is_silent(C1)
    assert not any(isinstance(one, Beware) for one in pair.a.told)


async def test_a_spare_answers_for_no_call(pair: Pair) -> None:
    pair.b.calls.is_active = False
    pair.a.sees(pair.b.member())
    pair.b.sees(pair.a.member())
    with pytest.raises(Refused, match="not_active"):
        await pair.a.services.mesh.ask(pair.b.identity, WhoHas({}))


def word(name: str, zone: str = "") -> NodeWord:
    return NodeWord(NodeId(name), 1, 1, "c", 1, "1", zone, (), "", 0.0, ())


def test_calls_spread_over_the_nodes_of_their_zone_and_one_that_leaves_moves_only_its_own() -> None:
    nodes = [word(f"n{k}", zone="east" if k < 4 else "west") for k in range(8)]
    calls = [CallId(f"c{k}") for k in range(400)]
    heirs = {call: choose(call, nodes, "east") for call in calls}
    assert set(heirs.values()) == {"n0", "n1", "n2", "n3"}
    assert min(list(heirs.values()).count(NodeId(name)) for name in ("n0", "n1", "n2", "n3")) > 60
    fewer = {call: choose(call, nodes[1:], "east") for call in calls}
    assert all(fewer[call] == heir for call, heir in heirs.items() if heir != "n0")
    assert choose(calls[0], [], "east") == ""
