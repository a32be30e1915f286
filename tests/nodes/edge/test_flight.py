"""Which far ends are asked next where their calls are now, and how many at a time; in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from nodes.call.effects import TakeOverLeg
from nodes.call.record import CallPhase
from nodes.edge import flight
from nodes.edge.flight import HOLDS_S, Flight, Turns, is_asking
from nodes.edge.record_store import RecordStore
from protocols.machine import Transmit
from protocols.sip import LegPhase, Listening, TakeoverStage
from protocols.wire.ids import CallId
from tests.nodes.edge.records import record

MOST = 3
LEG = record("c0").leg
assert LEG is not None


@dataclass(frozen=True)
class Want:
    call: int
    is_urgent: bool


@dataclass(frozen=True)
class Answer:
    call: int


@dataclass(frozen=True)
class Forget:
    call: int


@dataclass(frozen=True)
class Pass:
    seconds: float


CALLS = st.integers(0, 9)
DEEDS = st.lists(
    st.builds(Want, CALLS, st.booleans()) | st.builds(Answer, CALLS) | st.builds(Forget, CALLS)
    | st.builds(Pass, st.floats(0.0, 2 * HOLDS_S)),
    max_size=60,
)  # fmt: skip


@given(DEEDS)
def test_never_more_than_so_many_are_asked_and_everybody_in_the_end_the_urgent_ones_first(
    deeds: Sequence[object],
) -> None:
    asks, now = Flight(MOST), 100.0
    urgent: list[CallId] = []
    others: list[CallId] = []
    asked: dict[CallId, float] = {}

    def look() -> None:
        for call_id in asks.next(now):
            assert call_id == (urgent or others)[0], "in order, and the urgent ones first"
            (urgent or others).remove(call_id)
            asked[call_id] = now
        held = [call_id for call_id, at in asked.items() if now < at + HOLDS_S]
        assert len(held) <= MOST
        assert len(held) == MOST or not (urgent or others), "no place is free while somebody waits"

    for deed in deeds:
        match deed:
            case Want(call=call, is_urgent=is_urgent):
                call_id = CallId(f"c{call}")
                if is_urgent and call_id in others:
                    others.remove(call_id)
                if call_id not in urgent + others:
                    (urgent if is_urgent else others).append(call_id)
                asks.want(call_id, is_urgent=is_urgent)
            case Answer(call=call):
                asked.pop(CallId(f"c{call}"), None)
                asks.answered(CallId(f"c{call}"))
            case Forget(call=call):
                for calls in (urgent, others):
                    calls[:] = [one for one in calls if one != f"c{call}"]
                asked.pop(CallId(f"c{call}"), None)
                asks.forget(CallId(f"c{call}"))
            case Pass(seconds=seconds):
                now += seconds
        look()
    for _ in range(len(urgent + others)):  # nobody answers any more
        if (deadline := asks.deadline) is None:
            break
        assert deadline <= now + HOLDS_S
        now = max(now, deadline)
        look()
    assert not urgent + others
    assert asks.n_waiting == 0


def test_what_a_leg_begins_by_itself_is_counted_and_takes_the_place_of_the_next() -> None:
    asks = Flight(1)
    asks.began(CallId("c1"), 100.0)
    asks.want(CallId("c2"), is_urgent=True)
    assert asks.next(100.0) == []
    asks.answered(CallId("c1"))
    assert asks.next(100.0) == ["c2"]


def of(name: str) -> RecordStore:
    return RecordStore(record(name, leg=LEG), lambda store: None)


def listens(port: int) -> TakeOverLeg:
    return TakeOverLeg(LEG.local, Listening(LEG.ours.host, port))


INVITED = replace(LEG, takeover=TakeoverStage.ASKED, invite=Transmit(b"", None))


async def test_whose_audio_has_to_move_is_asked_before_those_that_are_where_they_were() -> None:
    turns, told = Turns(), list[tuple[str, bool]]()
    turns._flight.most = 1

    def tell(name: str, store: RecordStore, port: int) -> None:
        turns.take(store, listens(port), lambda order: told.append((name, order.listening is not None)))

    first = of("c1")
    tell("c1", first, LEG.ours.port)
    assert told == [("c1", True)]
    tell("c2", of("c2"), LEG.ours.port)
    tell("c3", of("c3"), 40002)
    assert told[1:] == [("c2", False), ("c3", False)], "they are here from now on, and ask nobody yet"
    first.record = replace(first.record, leg=INVITED)
    turns.wrote(first.record)
    assert told[3:] == []
    first.record = replace(first.record, leg=replace(LEG, takeover=TakeoverStage.AGREED))
    turns.wrote(first.record)
    assert told[3:] == [("c3", True)]
    turns.stop()


async def test_a_call_that_ends_before_its_turn_has_none() -> None:
    turns, told = Turns(), list[str]()
    turns._flight.most = 1
    first, second, third = of("c1"), of("c2"), of("c3")
    for store in (first, second, third):
        name = store.record.order.call_id
        turns.take(store, listens(40002), partial(lambda name, order: order.listening and told.append(name), name))
    turns.wrote(replace(second.record, phase=CallPhase.ENDING))
    third.record = replace(third.record, leg=replace(LEG, phase=LegPhase.ENDED))
    first.record = replace(first.record, leg=INVITED)
    turns.wrote(first.record)
    turns.wrote(replace(first.record, leg=replace(LEG, takeover=TakeoverStage.REFUSED)))
    assert told == ["c1"]
    assert turns.figures() == {"takeovers_waiting": 0.0}
    turns.stop()


async def test_nothing_is_kept_of_a_call_that_goes_on_elsewhere_while_its_far_end_is_asked() -> None:
    turns, one = Turns(), of("c1")
    turns.take(one, listens(40002), lambda order: None)
    asking = replace(one.record, leg=INVITED)
    turns.wrote(asking)
    turns.wrote(replace(asking, phase=CallPhase.MOVED))
    assert not turns._asking
    assert not turns._flight._until


async def test_at_a_browser_and_where_nothing_is_to_be_heard_any_more_there_is_no_turn_to_wait_for() -> None:
    turns, told = Turns(), list[TakeOverLeg]()
    turns._flight.most = 0
    ends, planned = TakeOverLeg(LEG.local, None), replace(listens(40002), is_planned=True)
    turns.take(of("c1"), ends, told.append)
    turns.take(of("c2"), planned, told.append)
    browser = of("c3")
    browser.record = replace(browser.record, leg=None, browser="confirmed")
    turns.take(browser, listens(0), told.append)
    assert told == [ends, planned, listens(0)]


def test_who_waits_after_a_glare_is_not_being_asked() -> None:
    waits = replace(INVITED, invite=None)
    assert not is_asking(record("c1", leg=waits))
    assert is_asking(record("c1", leg=INVITED))
    assert flight.AT_ONCE == 32
