"""The actor of a call: what a step wants is done, what was asked comes back, and who dies is gone on for.

What a call decides is in `tests/nodes/call`; here it is real, and so are buses and roster. Its telephone is a leg that
writes down what it is told.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import grammars
from grammars.script import load
from grammars.script_pack import pack
from nodes.call.effects import HandOn, LetGoLeg, Moving, TakeOverLeg
from nodes.call.inputs import HangUpOrdered, LetGo
from nodes.call.record import Ask, CallPhase, CallRecord
from nodes.edge import diary
from nodes.edge.call import CallActor
from nodes.edge.leg import Leg
from nodes.edge.record_store import RecordStore
from nodes.edge.services import AnyCall
from nodes.telemetry.logs import TRACE
from nodes.telemetry.trace import of_call
from protocols.machine import Expired
from protocols.sip import Answered, Dial, Disposition, Ended, HangUp, Local, Media, Ringing, Side
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, ChannelId, Identity
from protocols.wire.messages import (
    AudioArrived,
    CloseChannel,
    Deafen,
    DigitPressed,
    Done,
    Hear,
    OpenChannel,
    PlaceCall,
    PlayEnded,
    SpeechEnded,
    SpeechStarted,
)
from supervisors import Child, Ref, Restart, Supervisor, running
from tests.nodes.edge.surroundings import ANSWERS, CLOSED, Surroundings, surroundings
from tests.nodes.telemetry.sink import telling

HELLO = pack(load((Path(grammars.__file__).parent / "scripts/hello.yaml").read_text()))
ORDER = PlaceCall(AttemptId("a1"), CallId("c1"), "sip:ada@127.0.0.1:5062", HELLO)
NAME = ChannelId("c1")
YES = DigitPressed(NAME, "1", 0.0)
THERE = Media("127.0.0.1", 4000, payload_type=0, dtmf_type=101, sends=True, hears=True)


class Telephone(Leg):
    """A leg that writes down what it is told, and what the record said then."""

    def __init__(self, store: RecordStore, told: asyncio.Queue[tuple[object, CallRecord]]) -> None:
        self._store, self._told = store, told

    def dial(self, local: Local, order: Dial) -> None:
        self._told.put_nowait((order, self._store.record))
        self._store.write(browser="inviting")

    def hang_up(self, order: HangUp) -> None:
        self._told.put_nowait((order, self._store.record))
        if self._store.record.browser:
            self._store.write(browser="ended")
            self._store.happened(Ended(order.disposition, order.cause, Side.US))

    def take_over(self, order: TakeOverLeg) -> None:
        self._told.put_nowait((order, self._store.record))

    def renumber(self, cseq: int, version: int) -> None: ...

    def let_go(self) -> None:
        self._told.put_nowait((LetGoLeg(), self._store.record))


@dataclass
class Rig:
    """One call, its telephone and all that it is surrounded by."""

    around: Surroundings
    store: RecordStore
    leg: asyncio.Queue[tuple[object, CallRecord]] = field(default_factory=asyncio.Queue)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Ref[AnyCall]]:
        """Run the call; return where it is told what happens."""
        children = [
            Child(lambda: Telephone(self.store, self.leg), id="leg"),
            Child(lambda: CallActor(self.store, self.around.services), id="call", restart=Restart.TRANSIENT),
        ]
        async with running(Supervisor(children)) as system:
            yield system.ref("call", AnyCall)

    async def dialled(self) -> Dial:
        async with asyncio.timeout(60):
            order, _ = await self.leg.get()
        assert isinstance(order, Dial)
        return order

    async def asks(self, call: Ref[AnyCall]) -> None:
        """Have the callee answer, say hello, and be asked the question of the script."""
        await self.dialled()
        self.store.write(browser="confirmed")
        now = time.monotonic()
        for given in (Ringing(), Answered(THERE), AudioArrived(NAME, now), SpeechStarted(NAME, 1, now - 1.5),
                      SpeechEnded(NAME, 1, now - 1.1)):  # fmt: skip
            await call.ask(AnyCall.take, given)
        await self.around.event(Kind.PROMPT_STARTED)
        await call.ask(AnyCall.take, PlayEnded(NAME, self.play_id, 0.0))
        await self.around.event(Kind.PROMPT_STARTED, 2)
        await self.around.hears(Hear)

    @property
    def play_id(self) -> int:
        channel = self.store.record.channel
        assert channel is not None
        assert channel.playing is not None
        return channel.playing.play_id

    @property
    def kinds(self) -> list[Kind]:
        return [event.kind for event in self.around.events]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with surroundings(tmp_path, "media-0", "speech-0") as around:
        yield Rig(around, RecordStore(CallRecord(ORDER), lambda store: None))


async def test_a_call_is_placed_answered_talked_through_and_ended(rig: Rig) -> None:
    async with rig.life() as call:
        await rig.asks(call)
        await call.ask(AnyCall.take, YES)
        await rig.around.event(Kind.PROMPT_STARTED, 3)
        await call.ask(AnyCall.take, PlayEnded(NAME, rig.play_id, 0.0))
        ended = await rig.around.event(Kind.ENDED)
        async with asyncio.timeout(60):
            while call.is_alive:
                await asyncio.sleep(0)
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("completed", "script")
    assert (ended.fields["sent"], ended.fields["received"]) == (CLOSED.sent, CLOSED.received)
    assert [event.seq for event in rig.around.events] == list(range(1, len(rig.around.events) + 1))
    assert rig.store.record.phase is CallPhase.DONE
    assert await rig.around.hears(Deafen) == ("speech-0", Deafen(NAME))
    assert (await rig.around.hears(CloseChannel))[0] == "media-0"
    assert rig.around.services.calls == {}


async def test_what_others_are_asked_is_below_the_last_turn_that_was_told_and_a_question_left_open_is_told(
    rig: Rig,
) -> None:
    """So there is no span whose parent nobody has told, wherever the call ends."""
    asked: dict[type, list[str]] = defaultdict(list)
    rig.around.services.post = lambda event: (diary.tell_spans(event), rig.around.note(event))

    def take(message: object, sender: Identity) -> object:
        asked[type(message)].append(TRACE.get())
        rig.around.told.put_nowait(("", message))
        return ANSWERS.get(type(message), Done())

    for kind in (OpenChannel, Hear, CloseChannel):
        for peer in rig.around.peers.values():
            peer.serve(kind, take)
    with telling() as told:
        async with rig.life() as call:
            await rig.asks(call)
            await call.ask(AnyCall.take, DigitPressed(NAME, "5", 0.0))  # which is no answer: asked again
            await rig.around.event(Kind.PROMPT_STARTED, 3)
            while len(asked[Hear]) < 2:
                await asyncio.sleep(0.001)
            await call.ask(AnyCall.take, HangUpOrdered(Disposition.COMPLETED, "ordered"))
            await rig.around.event(Kind.ENDED)
    root = of_call(ORDER.call_id)
    turns = [root.below("turn", n) for n in range(2)]
    assert [(span.name, span.at) for span in told] == [
        ("dial", root.below("dial", told_by(rig, Kind.ANSWERED))), ("turn", turns[0]), ("turn", turns[1]),
        ("call", root),
    ]  # fmt: skip
    assert [span.attributes["outcome"] for span in told if span.name == "turn"] == ["dtmf.received", "left"]
    assert asked == {OpenChannel: [str(root)], Hear: [str(root), str(turns[0])], CloseChannel: [str(turns[1])]}
    assert all(not span.parent or span.parent in {one.at.span_id for one in told} for span in told)


def told_by(rig: Rig, kind: Kind) -> int:
    return next(event.seq for event in rig.around.events if event.kind is kind)


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_a_far_end_is_told_the_trace_where_that_is_wanted(rig: Rig, is_wanted: bool) -> None:
    with telling(sip_trace=is_wanted):
        async with rig.life():
            dial = await rig.dialled()
    told = [value for name, value in dial.headers if name == "x-ringmaster-trace"]
    assert told == [str(of_call(ORDER.call_id))] * is_wanted


async def test_what_is_done_is_in_the_record_before_anybody_hears_of_it(rig: Rig) -> None:
    before: list[bool] = []

    def post(event: CallEvent) -> None:
        before.append(rig.store.record.n_events >= event.seq)
        rig.around.note(event)

    rig.around.services.post = post
    async with rig.life():
        async with asyncio.timeout(60):
            order, record = await rig.leg.get()
        assert isinstance(order, Dial)
        assert (record.media, record.asked) == ("media-0", ())
        assert record.channel is not None
        assert rig.store.is_dialling
    assert before == [True]


async def test_words_that_are_on_disk_are_said_in_the_turn_that_wants_them(rig: Rig) -> None:
    async with rig.life() as call:
        await rig.asks(call)
        while rig.around.services.engines.known(load_words()) is None:
            await asyncio.sleep(0.001)
        before = rig.play_id if rig.store.record.channel and rig.store.record.channel.playing else -1
        await call.ask(AnyCall.take, YES)
        assert rig.play_id > before
        assert not any(one.what is Ask.SPEAK for one in rig.store.record.asked)


def load_words() -> tuple[tuple[object, ...], ...]:
    return load((Path(grammars.__file__).parent / "scripts/hello.yaml").read_text()).speakable({})


async def test_who_must_not_be_called_while_a_line_is_opened_is_not_dialled(rig: Rig) -> None:
    rig.around.waits[OpenChannel] = asyncio.Event()
    async with rig.life() as call:
        await rig.around.hears(OpenChannel)
        await call.ask(AnyCall.take, HangUpOrdered(Disposition.REJECTED, "do_not_call"))
        ended = await rig.around.event(Kind.ENDED)
        rig.around.waits[OpenChannel].set()
        order, _ = await rig.leg.get()
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("rejected", "do_not_call")
    assert order == HangUp(Disposition.REJECTED, "do_not_call"), "a leg that never dials ends by being told"
    assert rig.leg.empty()


async def test_what_a_life_dies_of_is_named_and_what_came_after_it_is_the_next_lifes(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rig.life() as call:
        await rig.asks(call)
        call.tell(AnyCall.take, SpeechStarted(NAME, None, 0.0))
        call.tell(AnyCall.take, YES)
        recovered = await rig.around.event(Kind.RECOVERED)
        await rig.around.event(Kind.DTMF)
        await rig.around.event(Kind.PROMPT_STARTED, 3)
    assert recovered.fields["what"] == "call"
    assert rig.kinds.count(Kind.ANSWERED) == 1
    assert rig.store.record.epoch == 1
    said = capsys.readouterr().out
    assert "call.step_failed" in said
    assert "given=SpeechStarted" in said


async def test_a_call_that_came_without_its_script_can_be_ended(rig: Rig) -> None:
    order = replace(ORDER, script=b"")
    begun = CallRecord(order, CallPhase.ENDING, placed_s=1.0, version=1, browser="confirmed",
                       ending=HangUp(Disposition.FAILED, "node_lost"))  # fmt: skip
    rig.store = RecordStore(begun, lambda store: None)
    async with rig.life():
        ended = await rig.around.event(Kind.ENDED)
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("failed", "node_lost")


async def test_a_call_that_may_be_another_machines_decides_nothing_until_it_is_known_to_be_ours(rig: Rig) -> None:
    async with rig.life() as call:
        await rig.asks(call)
        before = rig.store.record
        rig.store.is_silent = lambda: True
        await call.ask(AnyCall.take, YES)
        await call.ask(AnyCall.take, HangUpOrdered(Disposition.FAILED, "ordered"))
        assert rig.store.record == before
        rig.store.is_silent = lambda: False
        await call.ask(AnyCall.take, Expired())
        await rig.around.event(Kind.ENDED)
    answers = [event for event in rig.around.events if event.kind is Kind.ENDED]
    assert [event.fields["cause"] for event in answers] == ["ordered"]


async def test_a_call_that_is_another_machines_leaves_nothing_here_and_says_nothing(rig: Rig) -> None:
    """Also not what had been decided in doubt: that waited, and is for whoever has it now to decide."""
    said: list[Moving] = []
    rig.around.services.moving = lambda call_id, word: said.append(word)
    async with rig.life() as call:
        await rig.asks(call)
        before, n_events = rig.store.record, len(rig.around.events)
        rig.store.is_silent = lambda: True
        await call.ask(AnyCall.take, HangUpOrdered(Disposition.FAILED, "ordered"))
        call.tell(AnyCall.take, LetGo())
        assert (await rig.around.hears(CloseChannel))[0] == "media-0"
        assert (await rig.leg.get())[0] == LetGoLeg()
        async with asyncio.timeout(60):
            while call.is_alive:
                await asyncio.sleep(0)
    assert said == [HandOn(before)]
    assert rig.store.record.phase is CallPhase.MOVED
    assert len(rig.around.events) == n_events
