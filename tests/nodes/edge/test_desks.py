"""What a call wants of its desks, carried out: who is asked, and what comes back to the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from grammars import conversation_state as says
from grammars.script import load
from nodes.call.effects import Connect, Effect, Keep, Reserve, Show, TellDesk, TellDesks
from nodes.call.inputs import SeatTold
from nodes.call.record import CallRecord, Handed
from nodes.edge import desks
from nodes.edge.line import NoMedia, open_port
from nodes.links.roster import NOBODY
from protocols import handover as machine
from protocols.wire import desk as wire
from protocols.wire.cluster import ClusterTold, Member, NodeProcess, NodeState, NodeWord
from protocols.wire.ids import CallId, ChannelId, Identity, NodeId
from protocols.wire.messages import Channel, OpenChannel, SetChannel
from tests.nodes.edge.records import record
from tests.nodes.edge.surroundings import EDGE, Surroundings, surroundings

CALL, LINK = CallId("c1"), ChannelId("c1-agent")
FIRST, SECOND = Identity("n1.desk-0:1"), Identity("n1.desk-1:1")
SCRIPT = load((Path(__file__).parents[2] / "journeys" / "desk.yaml").read_text())
SIDE = Channel(LINK, EDGE, 0, 0, 0, 0, born_s=1.0, sends=False, link=FIRST)
COUNTED = ("retries_reserve", "retries_link", "contexts_sent", "contexts_lost")
LOST, FOUND = machine.SeatLost(), machine.SeatReserved("ann")


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[Surroundings]:
    async with surroundings(tmp_path, "desk-0", "desk-1", "media-0") as made:
        yield made


@pytest.fixture
def call() -> CallRecord:
    """One that wants an agent, and has said six things."""
    turns = tuple(says.Turn("callee", word) for word in "abcdef")
    talk = says.ConversationState.new(SCRIPT, {"name": "Alex"})
    talk = replace(talk, phase=says.TalkPhase.HANDING_OVER, state="desk", turns=turns)
    wanted = Handed(says.Enqueue("service", "wants a person", "high"), desk=FIRST, seat="ann", number=3)
    return record(media="media-0", conversation=talk, handover=wanted)


async def asked(around: Surroundings, call: CallRecord, effect: Effect) -> SeatTold | None:
    return await desks.asked(around.services, call, effect)


async def test_desks_are_asked_one_after_the_other_until_one_has_a_seat(around: Surroundings, call: CallRecord) -> None:
    around.refusals["desk-0", wire.ReserveSeat] = "no_seat_free"
    assert await asked(around, call, Reserve(3, "service")) == SeatTold(FOUND, SECOND, "ann", 3)
    assert [(await around.hears(wire.ReserveSeat)) for _ in range(2)] == [
        ("desk-0", wire.ReserveSeat(CALL, "service")),
        ("desk-1", wire.ReserveSeat(CALL, "service")),
    ]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("nobody_here", "nobody_here"), machine.NobodyHere()),
        (("nobody_here", "no_seat_free"), machine.SeatRefused()),
        (("no_seat_free", "nobody_here"), machine.SeatRefused()),
    ],
)
async def test_who_waits_waits_for_somebody(
    around: Surroundings, call: CallRecord, words: tuple[str, str], answer: machine.HandoverInput
) -> None:
    around.refusals = {(name, wire.ReserveSeat): word for name, word in zip(("desk-0", "desk-1"), words, strict=True)}
    assert await asked(around, call, Reserve(3, "service")) == SeatTold(answer, number=3)


async def test_a_node_without_a_desk_is_a_node_where_nobody_is(around: Surroundings, call: CallRecord) -> None:
    around.follow("desk-0", "desk-1")
    nobody = SeatTold(machine.NobodyHere())
    assert await asked(around, call, Reserve(3, "service")) == replace(nobody, number=3)
    places = desks.Places()
    assert places.tell(around.services, TellDesks(wire.JoinQueue(CALL, "service"))) == nobody
    assert places.tell(around.services, TellDesks(wire.LeaveQueue(CALL))) is None


async def test_every_desk_is_told_who_waits(around: Surroundings) -> None:
    assert desks.Places().tell(around.services, TellDesks(wire.JoinQueue(CALL, "service"))) is None
    assert {(await around.hears(wire.JoinQueue))[0] for _ in range(2)} == {"desk-0", "desk-1"}


async def test_nobody_is_there_for_a_caller_only_when_the_last_desk_has_said_so(around: Surroundings) -> None:
    places, join = desks.Places(), TellDesks(wire.JoinQueue(CALL, "service"))
    first, second = (SeatTold(machine.NobodyHere(), desk) for desk in (FIRST, SECOND))
    places.tell(around.services, join)
    assert [places.is_news(said) for said in (first, first, second)] == [False, True, True]
    places.tell(around.services, join)  # somebody has come or gone: they wait at both again
    assert [places.is_news(said) for said in (second, first)] == [False, True]
    places.tell(around.services, join)
    assert places.is_news(SeatTold(FOUND, FIRST, "ann"))
    assert places.is_news(SeatTold(machine.NobodyHere(), number=3))


async def test_desks_of_other_nodes_are_asked_after_ours_and_a_silent_one_keeps_its_seats_until_it_is_dead(
    around: Surroundings,
) -> None:
    def node(name: str, state: NodeState) -> Member:
        desk = NodeProcess("desk", "desk-0", Identity(f"{name}.desk-0:1"), "", 1, is_active=True)
        return Member(NodeWord(NodeId(name), 1, 1, "c", 1, "0", "", ("desk",), "", 0.0, (desk,)), state)

    states = {"n2": NodeState.ALIVE, "n3": NodeState.SILENT, "n4": NodeState.DEAD}
    around.services.members.take(ClusterTold(1, tuple(node(name, state) for name, state in states.items())))
    assert [peer.identity for peer in around.services.desks()] == [FIRST, SECOND, "n2.desk-0:1"]
    assert around.services.desks_alive() == {FIRST, SECOND, "n2.desk-0:1", "n3.desk-0:1"}


async def test_desks_with_a_free_agent_are_asked_before_those_that_have_nobody_to_give(around: Surroundings) -> None:
    """With a desk on each of many nodes a caller was refused by one after the other, each of which may be slow."""
    desk = NodeProcess("desk", "desk-0", Identity("n2.desk-0:1"), "", 1, is_active=True)
    word = NodeWord(NodeId("n2"), 1, 1, "c", 1, "0", "", ("desk",), "", 0.0, (desk,))
    around.services.members.take(ClusterTold(1, (Member(word, NodeState.ALIVE),)))
    ready, busy = {"state": "ready", "skills": ["billing"]}, {"state": "talking", "skills": ["service"]}
    around.services.agents = lambda: [{"node": "n2", **ready}, {"node": "n1", **busy}]
    there, here = "n2.desk-0:1", [FIRST, SECOND]

    def asked(skill: str) -> list[Identity]:
        return [peer.identity for peer in around.services.desks(skill)]

    assert asked("billing") == asked("") == [there, *here]
    assert asked("service") == [*here, there], "nobody is free: the near ones first, and all of them"
    around.services.agents = lambda: [{"node": "n2", **ready}, {"node": "n1", **ready}]
    assert asked("billing") == [*here, there]


async def test_the_agents_side_is_opened_where_the_callee_is(around: Surroundings, call: CallRecord) -> None:
    told = await asked(around, call, Connect(3, FIRST, "ann", SIDE))
    assert told == SeatTold(machine.LegConnected(), FIRST, "ann", 3)
    assert await around.hears(SetChannel) == ("media-0", SetChannel(SIDE))


async def test_the_context_has_the_four_blocks_and_the_last_five_turns(around: Surroundings, call: CallRecord) -> None:
    told = await asked(around, call, Show(3, FIRST, "ann"))
    assert told == SeatTold(machine.ContextAcknowledged(), FIRST, "ann", 3)
    name, shown = await around.hears(wire.ShowContext)
    assert (name, shown.seat) == ("desk-0", "ann")
    assert [turn.words for turn in shown.context.dialog_history] == ["b", "c", "d", "e", "f"]
    assert (shown.context.session_meta.call_id, shown.context.session_meta.state) == (CALL, "desk")
    assert shown.context.user_profile.slots == {"name": "Alex"}
    reason = shown.context.handover_context
    assert (reason.reason, reason.urgency, reason.skill) == ("wants a person", "high", "service")


@pytest.mark.parametrize("effect", [Connect(3, FIRST, "ann", SIDE), Show(3, FIRST, "ann"), Keep(3, FIRST, "ann")])
async def test_whoever_cannot_be_reached_or_refuses_has_lost_the_seat(
    around: Surroundings, call: CallRecord, effect: Effect
) -> None:
    around.refusals = {("desk-0", wire.ShowContext): "not_yours", ("desk-0", wire.KeepSeat): "not_yours"}
    around.refusals["media-0", SetChannel] = "internal_error"
    assert await asked(around, call, effect) == SeatTold(LOST, FIRST, "ann", 3)
    around.follow("desk-0", "media-0")
    assert await asked(around, call, effect) == SeatTold(LOST, FIRST, "ann", 3)


async def test_a_context_that_the_page_does_not_acknowledge_is_counted_as_lost_and_the_seat_as_asked_for_again(
    around: Surroundings, call: CallRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `ContextLost` fires by, and `ManyRetries`."""
    assert around.services.tries.figures() == dict.fromkeys(COUNTED, 0.0), "there from the beginning, for rates"
    await asked(around, call, Show(3, FIRST, "ann"))
    assert around.services.tries.figures() == dict.fromkeys(COUNTED, 0.0) | {"contexts_sent": 1.0}
    monkeypatch.setattr(machine, "CONNECTED_S", 0.05)
    around.waits[wire.ShowContext] = asyncio.Event()
    show = desks.asked(around.services, call, Show(3, FIRST, "ann"))
    assert await show == SeatTold(LOST, FIRST, "ann", 3)
    lost = {"contexts_sent": 2.0, "contexts_lost": 1.0, "retries_reserve": 1.0, "retries_link": 0.0}
    assert around.services.tries.figures() == lost


async def test_a_desk_that_does_not_answer_is_a_retry_and_one_that_has_no_seat_is_none(
    around: Surroundings, call: CallRecord
) -> None:
    around.refusals = {("desk-0", wire.ReserveSeat): "no_seat_free"}
    await asked(around, call, Reserve(3, "service"))
    assert around.services.tries.reserve == 0
    around.peers["desk-0"].roster(NOBODY)  # it hears nobody, and the launcher has not said yet that it has ended
    await around.peers["desk-0"].close()
    around.services.mesh.roster(NOBODY)
    await asked(around, call, Reserve(3, "service"))
    assert around.services.tries.reserve == 2, "both are gone"


async def test_an_agents_side_that_is_not_connected_is_a_link_that_is_made_again(
    around: Surroundings, call: CallRecord
) -> None:
    around.refusals["media-0", SetChannel] = "internal_error"
    await asked(around, call, Connect(3, FIRST, "ann", SIDE))
    around.refusals["media-0", OpenChannel] = "saturated"
    with pytest.raises(NoMedia):
        await open_port(around.services, LINK)
    assert around.services.tries.link == 1, "whoever is full has answered"
    around.services.mesh.roster(NOBODY)
    with pytest.raises(NoMedia):
        await open_port(around.services, LINK)
    assert around.services.tries.link == 2


async def test_a_seat_that_is_kept_has_nothing_to_tell(around: Surroundings, call: CallRecord) -> None:
    assert await asked(around, call, Keep(3, FIRST, "ann")) is None
    assert await around.hears(wire.KeepSeat) == ("desk-0", wire.KeepSeat(CALL, "ann"))


async def test_an_offer_that_does_not_reach_its_desk_has_lost_the_seat(around: Surroundings) -> None:
    offer = TellDesk(FIRST, wire.OfferCall(CALL, "ann", LINK))
    assert desks.tell(around.services, offer) is None
    assert await around.hears(wire.OfferCall) == ("desk-0", offer.message)
    around.follow("desk-0")
    assert desks.tell(around.services, offer) == SeatTold(LOST, FIRST, "ann")
    assert desks.tell(around.services, TellDesk(FIRST, wire.ReleaseSeat(CALL, "ann"))) is None
