"""A handover carried out: what desk and media are told, what the record keeps, and the ways back to the bot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from grammars import conversation_state as says
from grammars.script import load
from nodes.call.record import CallPhase, CallRecord, pack, unpack
from nodes.edge.diary import Diary
from nodes.edge.handover import PATIENCE_S, Handing
from nodes.edge.keeper import Keeper
from nodes.edge.line import Line
from nodes.edge.seats import give_back, is_known
from nodes.links.errors import Refused
from nodes.links.mesh import Mesh
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import Tasks
from protocols import handover as machine
from protocols.handover import HandoverDone, HandoverFailed, HandoverInput
from protocols.machine import Expired
from protocols.wire import desk as wire
from protocols.wire import messages
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, ChannelId, Identity, NodeId

EDGE, MEDIA, DESK = (Identity(f"n1.{name}:1") for name in ("edge-0", "media-0", "desk-0"))
CALL, LINK = CallId("c1"), ChannelId("c1-agent")
SCRIPT = load((Path(__file__).parents[2] / "journeys" / "desk.yaml").read_text())
WANTED = says.Enqueue("service", "wants a person", "high")
TOLD = (
    wire.ReserveSeat, wire.ShowContext, wire.OfferCall, wire.KeepSeat, wire.ReleaseSeat, wire.JoinQueue,
    wire.LeaveQueue, messages.SetChannel, messages.CloseChannel,
)  # fmt: skip


class Rig:
    """The handover of one call, with a desk and a media process that write down what they are told and say yes."""

    def __init__(self, mesh: Mesh, desk: Mesh, media: Mesh, tasks: Tasks) -> None:
        self.mesh, self.tasks = mesh, tasks
        self.told: asyncio.Queue[object] = asyncio.Queue()
        self.inputs: asyncio.Queue[tuple[HandoverInput, Identity, str]] = asyncio.Queue()
        self.events: list[CallEvent] = []
        self.refusal = ""
        for served in (desk, media):
            for kind in TOLD:
                served.serve(kind, self._take)
        peers = (("edge", mesh), ("desk", desk), ("media", media))
        self.roster = Roster(
            1, tuple(Peer(role, f"{role}-0", one.identity, one.endpoint, 1, State.ACTIVE) for role, one in peers)
        )
        for one in (mesh, desk, media):
            one.roster(self.roster)
        self.keeper = self._keeper()
        self.line, self.handing = self._live()

    def _keeper(self) -> Keeper:
        order = messages.PlaceCall(AttemptId("a1"), CALL, "sip:x@y", b"", {"name": "Alex"})
        channel = messages.Channel(
            ChannelId(CALL), EDGE, 40000, 1, 2, 3, born_s=time.monotonic(), remote_host="127.0.0.1", remote_port=9
        )
        turns = tuple(says.Turn("callee", word) for word in "abcdef")
        talk = replace(
            says.ConversationState.new(SCRIPT, order.slots), phase=says.Phase.HANDING_OVER, state="desk", turns=turns
        )  # fmt: skip
        record = CallRecord(
            order, CallPhase.CONVERSING, media="media-0",
            channel=channel, conversation=talk, answered_s=time.monotonic(),
        )  # fmt: skip
        return Keeper(record, lambda keeper: None)

    def _live(self) -> tuple[Line, Handing]:
        """One life of the call's handover."""
        line = Line(self.keeper, self.mesh)
        diary = Diary(self.keeper, NodeId("n1"), self.events.append)
        handing = Handing(self.keeper, line, diary, self.mesh, self._tell, self._spawn)
        handing.follow(self.roster, line.follow(self.roster))
        return line, handing

    def live_again(self) -> None:
        """Go on in another life, from the record as an heir gets it."""
        self.keeper = Keeper(unpack(pack(self.keeper.record)), lambda keeper: None)
        self.line, self.handing = self._live()

    async def input(self) -> list[HandoverDone | HandoverFailed]:
        """Give the handover what its own work has brought."""
        async with asyncio.timeout(5):
            return self.handing.step(*await self.inputs.get())

    async def hears(self, kind: type) -> object:
        """Return the next message of a kind that desk or media was told."""
        async with asyncio.timeout(5):
            while not isinstance(message := await self.told.get(), kind):
                pass
        return message

    async def hears_of(self, channel_id: str) -> messages.Channel:
        """Return the next wanted state of a channel that media was told."""
        while (channel := (await self.hears(messages.SetChannel)).channel).channel_id != channel_id:
            pass
        return channel

    async def come_to(self, *inputs: HandoverInput) -> list[HandoverDone | HandoverFailed]:
        """Start, connect, and take these inputs of the desk; return the last one's outcome."""
        self.handing.start(WANTED)
        for _ in range(3):  # reserved, leg connected, context acknowledged
            await self.input()
        outcome: list[HandoverDone | HandoverFailed] = []
        for given in inputs:
            outcome = self.handing.step(given, DESK, "ann")
        return outcome

    def noted(self, kind: Kind) -> list[dict[str, object]]:
        return [dict(event.fields) for event in self.events if event.kind is kind]

    def _take(self, message: object, sender: Identity) -> object:
        self.told.put_nowait(message)
        if self.refusal and isinstance(message, wire.ReserveSeat | wire.ShowContext | wire.KeepSeat):
            raise Refused(self.refusal)
        if isinstance(message, wire.ReserveSeat):
            return wire.SeatReserved("ann")
        return (
            messages.ChannelClosed(0, 0, 0, 0, 0.0) if isinstance(message, messages.CloseChannel) else messages.Done()
        )

    def _tell(self, given: HandoverInput, desk: Identity, seat: str) -> None:
        self.inputs.put_nowait((given, desk, seat))

    def _spawn(self, work: Coroutine[object, None, None]) -> None:
        self.tasks.spawn(work)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A handover that has not begun."""
    made = [await Mesh.start(identity, f"ipc://{tmp_path}/{identity}") for identity in (EDGE, DESK, MEDIA)]
    tasks = Tasks()
    await tasks.open()
    yield Rig(*made, tasks)
    await tasks.close()
    for mesh in made:
        await mesh.close()


GOOD = (machine.AgentConfirmed(), machine.BridgeMade())


async def test_the_good_way_bridges_the_two_channels_and_says_how_long_it_took(rig: Rig) -> None:
    assert await rig.come_to(*GOOD) == [HandoverDone()]
    record = rig.keeper.record
    assert (record.phase, record.handover.seat, record.handover.desk) == (CallPhase.BRIDGED, "ann", DESK)
    assert record.channel.bridge == LINK
    (done,) = rig.noted(Kind.HANDOVER_DONE)
    assert done["agent_id"] == "ann"
    assert done.keys() == {"agent_id", "ms", "connected_ms", "confirmed_ms"}
    assert rig.noted(Kind.HANDOVER_STARTED) == [
        {"skill": "service", "reason": "wants a person", "urgency": "high"}
    ]  # fmt: skip


async def test_the_agents_side_is_silent_until_it_is_bridged(rig: Rig) -> None:
    await rig.come_to()
    silent = await rig.hears_of(LINK)
    assert (silent.link, silent.port, silent.sends, silent.bridge) == (DESK, 0, False, "")
    rig.handing.step(machine.AgentConfirmed(), DESK, "ann")
    agents = await rig.hears_of(LINK)
    assert (agents.sends, agents.bridge) == (True, CALL)
    assert (await rig.hears_of(CALL)).bridge == LINK


async def test_the_context_has_the_four_blocks_and_the_last_five_turns(rig: Rig) -> None:
    await rig.come_to()
    context = (await rig.hears(wire.ShowContext)).context
    assert [turn.words for turn in context.dialog_history] == ["b", "c", "d", "e", "f"]
    assert (context.session_meta.call_id, context.session_meta.state) == (CALL, "desk")
    assert context.user_profile.slots == {"name": "Alex"}
    assert (context.handover_context.reason, context.handover_context.urgency) == ("wants a person", "high")


async def test_the_agent_is_asked_only_when_leg_and_context_are_there(rig: Rig) -> None:
    rig.handing.start(WANTED)
    await rig.input()
    await rig.input()
    assert not any(isinstance(message, wire.OfferCall) for message in rig.told._queue)
    await rig.input()
    assert await rig.hears(wire.OfferCall) == wire.OfferCall(CALL, "ann", LINK)


async def test_where_nobody_is_the_bot_has_the_caller_at_once(rig: Rig) -> None:
    rig.refusal = "nobody_here"
    rig.handing.start(WANTED)
    assert await rig.input() == [HandoverFailed("no_agent")]
    assert (rig.keeper.record.phase, rig.keeper.record.handover) == (CallPhase.CONVERSING, None)
    assert rig.noted(Kind.HANDOVER_FAILED)[0]["then"] == "bot"


async def test_a_node_without_a_desk_is_a_node_where_nobody_is(rig: Rig) -> None:
    without = Roster(2, tuple(peer for peer in rig.roster.processes if peer.role != "desk"))
    rig.handing.follow(without, False)
    rig.handing.start(WANTED)
    assert await rig.input() == [HandoverFailed("no_agent")]


async def test_where_all_are_busy_the_caller_waits_and_is_served_when_a_seat_is_found(rig: Rig) -> None:
    rig.refusal = "no_seat_free"
    rig.handing.start(WANTED)
    assert await rig.input() == []
    assert await rig.hears(wire.JoinQueue) == wire.JoinQueue(CALL, "service", "high")
    rig.refusal = ""
    rig.handing.step(machine.SeatReserved("ben"), DESK, "ben")
    assert await rig.hears(wire.LeaveQueue) == wire.LeaveQueue(CALL)
    assert rig.keeper.record.handover.seat == "ben"
    assert rig.handing.deadline <= time.monotonic() + PATIENCE_S


async def test_a_context_that_nobody_shows_gives_the_seat_back(rig: Rig) -> None:
    rig.handing.start(WANTED)
    await rig.input()
    rig.refusal = "not_yours"
    rig.handing.step(machine.SeatLost(), DESK, "ann")
    assert await rig.hears(wire.ReleaseSeat) == wire.ReleaseSeat(CALL, "ann")
    assert rig.keeper.record.handover.seat == ""


async def test_an_agent_who_misses_the_offer_is_told_apart_from_one_whose_caller_left(rig: Rig) -> None:
    await rig.come_to()
    rig.handing._machine.state = replace(rig.handing._machine.state, latest_s=time.monotonic())  # ten seconds later
    rig.handing.step(Expired())
    assert (await rig.hears(wire.ReleaseSeat)).is_missed
    await rig.hears(wire.JoinQueue)


async def test_an_agent_who_is_lost_leaves_the_caller_unbridged_with_the_bot(rig: Rig) -> None:
    await rig.come_to(*GOOD)
    assert rig.handing.step(machine.SeatLost(), DESK, "ann") == [HandoverFailed("agent_lost")]
    assert rig.keeper.record.channel.bridge == ""
    assert await rig.hears(messages.CloseChannel) == messages.CloseChannel(LINK)
    rig.handing.start(WANTED)  # and may be handed over again
    assert await rig.input() == []
    assert len(rig.noted(Kind.HANDOVER_STARTED)) == 2


async def test_what_is_said_of_a_seat_that_is_not_ours_any_more_means_nothing(rig: Rig) -> None:
    await rig.come_to(*GOOD)
    assert rig.handing.step(machine.SeatLost(), DESK, "ben") == []
    assert rig.keeper.record.phase is CallPhase.BRIDGED


async def test_a_seat_that_comes_too_late_is_given_back(rig: Rig) -> None:
    rig.refusal = "nobody_here"
    rig.handing.start(WANTED)
    await rig.input()
    rig.handing.step(machine.SeatReserved("ann"), DESK, "ann")
    assert await rig.hears(wire.ReleaseSeat) == wire.ReleaseSeat(CALL, "ann")


async def test_an_agent_who_finishes_ends_it_for_everybody(rig: Rig) -> None:
    await rig.come_to(*GOOD)
    assert rig.handing.step(machine.AgentFinished(), DESK, "ann") == []
    assert rig.handing.is_finished
    await rig.hears(wire.ReleaseSeat)


async def test_a_caller_who_leaves_while_they_wait_is_called_back(rig: Rig) -> None:
    rig.refusal = "no_seat_free"
    rig.handing.start(WANTED)
    await rig.input()
    rig.handing.left()
    await rig.hears(wire.LeaveQueue)
    assert rig.noted(Kind.TAGGED) == [{"tag": "callback"}]


async def test_wanting_an_agent_twice_is_wanting_one(rig: Rig) -> None:
    rig.handing.start(WANTED)
    rig.handing.start(WANTED)
    await rig.hears(wire.ReserveSeat)
    assert len(rig.noted(Kind.HANDOVER_STARTED)) == 1


# ---- takeovers ----------------------------------------------------------------------------------------------------


async def test_a_successor_claims_the_seat_of_a_caller_who_is_with_an_agent(rig: Rig) -> None:
    await rig.come_to(*GOOD)
    rig.live_again()
    rig.handing.resume(says.Phase.WITH_AGENT)
    assert await rig.hears(wire.KeepSeat) == wire.KeepSeat(CALL, "ann")
    assert rig.handing.step(machine.AgentFinished(), DESK, "ann") == []
    assert rig.handing.is_finished


async def test_a_successor_whose_seat_is_gone_has_the_caller_back(rig: Rig) -> None:
    await rig.come_to(*GOOD)
    rig.live_again()
    rig.refusal = "not_yours"
    rig.handing.resume(says.Phase.WITH_AGENT)
    assert await rig.input() == [HandoverFailed("agent_lost")]


async def test_a_successor_begins_a_handover_anew_and_unbridges_what_was_half_done(rig: Rig) -> None:
    await rig.come_to(machine.AgentConfirmed())
    rig.live_again()
    rig.handing.resume(says.Phase.HANDING_OVER)
    assert rig.keeper.record.channel.bridge == ""
    await rig.hears(messages.CloseChannel)
    for _ in range(3):
        await rig.input()
    for given in GOOD:
        outcome = rig.handing.step(given, DESK, "ann")
    assert outcome == [HandoverDone()]
    assert len(rig.noted(Kind.HANDOVER_STARTED)) == 1


async def test_a_new_media_process_is_told_both_sides(rig: Rig) -> None:
    await rig.come_to(*GOOD)
    while not rig.told.empty():
        rig.told.get_nowait()
    rig.handing.follow(rig.roster, True)
    assert (await rig.hears_of(LINK)).bridge == CALL


async def test_who_has_the_callers_side_only_and_is_no_spare_lacks_the_agents(rig: Rig) -> None:
    await rig.come_to(*GOOD)
    record = rig.keeper.record
    caller = {record.channel.channel_id: record.channel.revision}
    assert is_known(record, {**caller, LINK: 0}, is_spare=False)
    assert is_known(record, caller, is_spare=True)
    assert not is_known(record, caller, is_spare=False)
    assert not is_known(record, {LINK: 0}, is_spare=True)


async def test_a_desk_that_dies_has_lost_its_seats(rig: Rig) -> None:
    await rig.come_to(*GOOD)
    without = Roster(2, tuple(peer for peer in rig.roster.processes if peer.role != "desk"))
    assert rig.handing.follow(without, False) == [HandoverFailed("agent_lost")]


async def test_a_call_that_nobody_can_go_on_with_gives_its_seats_back(rig: Rig) -> None:
    await rig.come_to(*GOOD)
    order = replace(rig.keeper.record.order, target=f"browser:{DESK}/phone-7")
    give_back(replace(rig.keeper.record, order=order), rig.mesh, MEDIA)
    released = {(await rig.hears(wire.ReleaseSeat)).seat for _ in range(2)}
    assert released == {"ann", "phone-7"}
