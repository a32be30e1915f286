"""Person or machine: by the length of the greeting, by a beep, and by silence."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.amd import (
    GREETING_S,
    Amd,
    AmdEvent,
    AmdInput,
    AmdState,
    HumanAnswered,
    MachineAnswered,
    MessageMayStart,
)
from protocols.machine import Expired
from protocols.pauses import TAIL_S
from protocols.wire.ids import ChannelId
from protocols.wire.messages import BeepHeard, SpeechEnded, SpeechStarted

C = ChannelId("c")


def speech(*spans: tuple[float, float]) -> list[tuple[float, AmdInput]]:
    """Speech from and to these seconds, told as a voice detector does."""
    heard: list[tuple[float, AmdInput]] = []
    for n, (begin, end) in enumerate(spans, start=1):
        heard += [(begin, SpeechStarted(C, n, begin)), (end + TAIL_S, SpeechEnded(C, n, end))]
    return heard


def beep(at: float) -> tuple[float, AmdInput]:
    return (at, BeepHeard(C, at))


def decide(
    heard: list[tuple[float, AmdInput]], *, wants_message: bool = True, until: float = 60.0
) -> list[tuple[float, AmdEvent]]:
    """Answer at 0 s, hear these, and return every decision with its time."""
    amd, now, told = Amd(0.0, wants_message=wants_message), 0.0, []
    for at, given_ in sorted([*heard, (until, Expired())], key=lambda each: each[0]):
        while (due := amd.deadline) is not None and due < at:
            now = max(now, due)
            told += [(round(now, 2), notice.event) for notice in amd.step(Expired(), now)]
        now = at
        told += [(round(now, 2), notice.event) for notice in amd.step(given_, now)]
    return told


def test_a_short_greeting_and_a_pause_is_a_person() -> None:
    assert decide(speech((0.5, 1.2))) == [(2.2, HumanAnswered(sure=True))]


def test_a_greeting_with_a_breath_is_still_one_greeting() -> None:
    assert decide(speech((0.5, 0.9), (1.8, 2.2))) == [(3.2, HumanAnswered(sure=True))]


def test_more_than_two_and_a_half_seconds_without_a_pause_is_a_machine() -> None:
    assert decide(speech((0.5, 6.0)))[0] == (3.8, MachineAnswered("greeting"))


@pytest.mark.parametrize("seconds", [1.4, 1.8, 2.2, 2.4])
def test_a_person_who_says_more_than_hello_is_a_person_although_the_end_of_it_is_told_late(seconds: float) -> None:
    """Shared case: 1.8 s were a machine, because the voice detector's tail counted as speech."""
    assert decide(speech((0.5, 0.5 + seconds))) == [(round(1.5 + seconds, 2), HumanAnswered(sure=True))]


def test_a_greeting_that_is_long_enough_is_a_machine_also_when_it_has_ended() -> None:
    assert decide(speech((0.5, 1.3), (2.2, 2.5), (3.35, 3.4)))[0] == (3.8, MachineAnswered("greeting"))
    amd = Amd(0.0, wants_message=True)
    amd.step(SpeechStarted(C, 1, 0.5), 0.5)
    assert amd.step(SpeechEnded(C, 1, 3.1), 3.3)[0].event == MachineAnswered("greeting"), (
        "told at once, by whoever it is"
    )


def test_a_machine_that_breathes_is_a_machine() -> None:
    assert decide(speech((0.5, 2.0), (2.9, 6.0)))[0] == (3.8, MachineAnswered("greeting"))


def test_a_judge_that_stood_still_while_somebody_spoke_listens_anew_and_then_judges() -> None:
    amd = Amd(0.0, wants_message=True)
    amd.step(SpeechStarted(C, 1, 0.5), 0.5)
    assert amd.step(Expired(), 5.0) == []
    assert amd.deadline == 5.0 + GREETING_S + TAIL_S
    amd.step(SpeechEnded(C, 1, 5.1), 5.4)
    assert [notice.event for notice in amd.step(Expired(), 6.2)] == [HumanAnswered(sure=True)]


def test_nobody_is_hung_up_on_for_saying_nothing() -> None:
    assert decide([]) == [(4.0, HumanAnswered(sure=False))]


def test_the_message_starts_a_moment_after_the_end_of_the_beep() -> None:
    assert decide([*speech((0.5, 6.0)), beep(7.0)]) == [
        (3.8, MachineAnswered("greeting")),
        (7.2, MessageMayStart()),
    ]


def test_without_a_beep_the_message_starts_after_the_greeting_has_ended() -> None:
    assert decide(speech((0.5, 6.0)))[1] == (8.5, MessageMayStart())


def test_a_machine_that_never_stops_is_spoken_to_all_the_same() -> None:
    assert decide(speech((0.5, 59.0)))[1] == (28.8, MessageMayStart())


def test_a_beep_after_a_short_greeting_is_a_machine_after_all() -> None:
    assert decide([*speech((0.5, 1.2)), beep(6.0)]) == [
        (2.2, HumanAnswered(sure=True)),
        (6.0, MachineAnswered("beep")),
        (6.2, MessageMayStart()),
    ]


def test_a_tone_in_the_middle_of_a_long_call_means_nothing() -> None:
    assert decide([*speech((0.5, 1.2)), beep(40.0)]) == [(2.2, HumanAnswered(sure=True))]


def test_without_a_message_there_is_nothing_to_wait_for() -> None:
    assert decide(speech((0.5, 6.0)), wants_message=False) == [
        (3.8, MachineAnswered("greeting")),
        (3.8, MessageMayStart()),
    ]


EVENTS = st.sampled_from([SpeechStarted, SpeechEnded, BeepHeard])


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 6), EVENTS), max_size=25), st.booleans())
def test_a_decision_comes_within_seconds_and_a_machine_is_told_once_and_last(
    script: list[tuple[float, type]], wants_message: bool
) -> None:
    at, heard = 0.0, []
    for pause, kind in script:
        at += pause
        heard.append((at, BeepHeard(C, at) if kind is BeepHeard else kind(C, 1, at)))
    told = decide(heard, wants_message=wants_message, until=at + 120)
    kinds = [type(event) for _, event in told]
    assert kinds in (
        [HumanAnswered],
        [MachineAnswered, MessageMayStart],
        [HumanAnswered, MachineAnswered, MessageMayStart],
    )
    assert told[0][0] <= 12.0, "speech and pauses alternate for a while at most"
    assert all(earlier <= later for (earlier, _), (later, _) in pairwise(told))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 6), EVENTS | st.just(Expired)), max_size=25), st.booleans())
def test_a_detector_made_anew_of_its_packed_state_before_every_step_goes_on_as_one_that_is_kept(
    script: list[tuple[float, type]], wants_message: bool
) -> None:
    kept, now = Amd(0.0, wants_message=wants_message), 0.0
    packed = msgspec.msgpack.encode(kept.state)
    for pause, kind in script:
        now += pause
        if kind is Expired and pause > 1.0:  # at the deadline: later is a judge that stood still
            now = max(now - pause, kept.deadline or 0.0)
        given_: AmdInput = Expired() if kind is Expired else BeepHeard(C, now) if kind is BeepHeard else kind(C, 1, now)
        anew = Amd.of(msgspec.msgpack.decode(packed, type=AmdState))
        assert anew.deadline == kept.deadline
        assert anew.step(given_, now) == kept.step(given_, now)
        assert anew.state == kept.state
        packed = msgspec.msgpack.encode(anew.state)
