"""Whose turn it is: silence, barge-in by policy, late and missing results, keys; and that every turn ends once."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.floor import (
    Bargein,
    FalseAlarm,
    Floor,
    FloorEvent,
    FloorInput,
    FloorState,
    Listen,
    NotUnderstood,
    Pressed,
    PromptEnded,
    PromptStarted,
    Silence,
    StopListening,
    StopPrompt,
    Understood,
)
from protocols.machine import Expired
from protocols.wire.ids import ChannelId
from protocols.wire.messages import DigitPressed, Heard, Meaning, Partial, SpeechEnded, SpeechStarted

C = ChannelId("c")
YES = Meaning("yes_no", "yes")


def listen(bargein: Bargein = Bargein.GRAMMAR, turn: int = 1) -> Listen:
    return Listen(turn, ("yes_no",), bargein, noinput_s=5.0, speech_s=15.0)


def started(at: float, utterance: int = 1) -> SpeechStarted:
    return SpeechStarted(C, utterance, at)


def ended(at: float, utterance: int = 1) -> SpeechEnded:
    return SpeechEnded(C, utterance, at)


def heard(meaning: Meaning | None, words: str = "yes", utterance: int = 1, turn: int = 1) -> Heard:
    return Heard(C, turn, utterance, words, 0.9, speech_ended_s=0.5, decided_s=0.6, meaning=meaning)


def partial(in_grammar: bool, words: str = "yes") -> Partial:
    return Partial(C, 1, 1, words, in_grammar)


def run(floor: Floor, *timed: tuple[float, FloorInput]) -> list[FloorEvent]:
    """Give inputs at their times, and `Expired` whenever the deadline comes first; return what was told."""
    told: list[FloorEvent] = []
    for at, given_ in timed:
        while (due := floor.deadline) is not None and due < at:
            told += [notice.event for notice in floor.step(Expired(), due)]
        told += [notice.event for notice in floor.step(given_, at)]
    return told


ANSWER = Understood(YES, "yes", 0.9, 0.5)

# ---- silence ------------------------------------------------------------------------------------------------------


def test_silence_counts_from_the_end_of_the_prompt() -> None:
    floor = Floor()
    assert run(floor, (0.0, PromptStarted()), (0.0, listen()), (3.0, PromptEnded())) == []
    assert floor.deadline == 8.0
    assert run(floor, (7.9, Expired())) == [], "stepping early changes nothing"
    assert run(floor, (8.0, Expired())) == [Silence()]
    assert floor.deadline is None


def test_silence_does_not_count_while_the_callee_speaks() -> None:
    floor = Floor()
    run(floor, (0.0, listen()), (4.9, started(4.9)))
    assert floor.deadline == 4.9 + 15.0


def test_speech_that_began_before_the_question_is_no_answer_but_no_silence_either() -> None:
    floor = Floor()
    assert run(floor, (0.0, started(0.0)), (1.0, listen()), (7.0, ended(6.5))) == []
    assert floor.deadline == 12.0


def test_whoever_never_stops_speaking_is_not_understood() -> None:
    floor = Floor()
    assert run(floor, (0.0, listen()), (1.0, started(1.0)), (20.0, Expired())) == [NotUnderstood()]


# ---- answers ------------------------------------------------------------------------------------------------------


def test_an_answer_may_come_before_the_end_of_speech_is_told() -> None:
    floor = Floor()
    assert run(floor, (0.0, listen()), (1.0, started(1.0)), (1.5, heard(YES)), (2.0, ended(1.4))) == [ANSWER]


def test_what_is_not_understood_ends_the_turn_too() -> None:
    told = run(Floor(), (0.0, listen()), (1.0, started(1.0)), (2.0, ended(1.8)), (2.1, heard(None, "um")))
    assert told == [NotUnderstood("um")]


def test_a_result_of_another_turn_is_dropped() -> None:
    assert run(Floor(), (0.0, listen(turn=2)), (1.0, started(1.0)), (1.5, heard(YES, turn=1))) == []


def test_a_failure_of_an_utterance_is_dropped_when_the_callee_has_begun_another() -> None:
    floor = Floor()
    run(floor, (0.0, listen()), (1.0, started(1.0)), (1.5, ended(1.4)), (1.6, started(1.6, 2)))
    assert run(floor, (1.7, heard(None)), (2.5, heard(YES, utterance=2))) == [ANSWER]


def test_a_result_that_never_comes_is_not_understood_after_two_seconds() -> None:
    told = run(Floor(), (0.0, listen()), (1.0, started(1.0)), (1.5, ended(1.4)), (3.6, Expired()))
    assert told == [NotUnderstood()]


def test_nothing_is_heard_after_the_conversation_has_stopped_listening() -> None:
    floor = Floor()
    assert run(floor, (0.0, listen()), (0.5, StopListening()), (1.0, started(1.0)), (1.5, heard(YES))) == []
    assert floor.deadline is None


# ---- barge-in -----------------------------------------------------------------------------------------------------


def speaking(bargein: Bargein) -> Floor:
    floor = Floor()
    run(floor, (0.0, PromptStarted()), (0.0, listen(bargein)), (1.0, started(1.0)))
    return floor


def test_under_grammar_only_words_that_can_begin_an_answer_interrupt() -> None:
    floor = speaking(Bargein.GRAMMAR)
    assert run(floor, (1.4, partial(False, "mm")), (1.5, partial(True, ""))) == []
    assert run(floor, (1.6, partial(True))) == [StopPrompt()]
    assert run(floor, (1.7, partial(True))) == [], "it has been stopped"
    assert run(floor, (2.0, ended(1.8)), (2.1, heard(YES))) == [ANSWER]


def test_under_grammar_a_cough_during_the_prompt_is_nothing_at_all() -> None:
    floor = speaking(Bargein.GRAMMAR)
    assert run(floor, (1.3, ended(1.2)), (1.4, heard(None, "um")), (4.0, PromptEnded())) == []
    assert floor.deadline == 9.0


def test_under_grammar_an_interruption_that_comes_to_nothing_is_not_understood() -> None:
    floor = speaking(Bargein.GRAMMAR)
    assert run(floor, (1.6, partial(True)), (2.0, ended(1.8)), (2.1, heard(None, "yes but"))) == [
        StopPrompt(),
        NotUnderstood("yes but"),
    ]


def nothing(utterance: int, at_s: float) -> Heard:
    """What the engine tells of an utterance of which it has understood nothing."""
    return replace(heard(None, "", utterance), speech_ended_s=at_s)


def test_when_what_stopped_the_prompt_was_nothing_the_prompt_goes_on_and_the_question_stays_open() -> None:
    floor = speaking(Bargein.GRAMMAR)
    assert run(floor, (1.6, partial(True)), (2.1, nothing(1, 1.8))) == [StopPrompt(), FalseAlarm()]
    assert run(floor, (2.1, PromptStarted()), (2.6, ended(1.8)), (4.0, PromptEnded())) == []
    assert run(floor, (4.5, started(4.5, 2)), (5.0, heard(YES, utterance=2))) == [ANSWER]


def test_also_under_speech_and_twice_in_a_turn_but_not_a_third_time() -> None:
    floor, told = Floor(), list[FloorEvent]()
    run(floor, (0.0, listen(Bargein.SPEECH)))
    for n in (1, 2, 3):
        at = 3.0 * n
        run(floor, (at, PromptStarted()), (at, started(at, n)))
        told += run(floor, (at + 0.3, Expired()), (at + 1.0, nothing(n, at + 0.4)))
    assert told == [StopPrompt(), FalseAlarm(), StopPrompt(), FalseAlarm(), StopPrompt(), NotUnderstood()]
    assert run(floor, (20.0, listen(Bargein.SPEECH))) == []
    assert floor.state.n_alarms == 0


def test_who_speaks_over_the_prompt_for_long_is_told_that_nothing_was_understood() -> None:
    floor = speaking(Bargein.GRAMMAR)
    told = run(floor, (1.6, partial(True)), (2.8, nothing(1, 2.5)))
    assert told == [StopPrompt(), NotUnderstood()]


def test_who_leaves_the_floor_alone_after_a_false_alarm_is_silent_in_the_end() -> None:
    floor = speaking(Bargein.GRAMMAR)
    run(floor, (1.6, partial(True)), (2.1, nothing(1, 1.8)), (2.6, ended(1.8)))
    assert floor.deadline == 2.6 + 5.0, "also when nobody plays the rest"


def test_a_partial_of_another_turn_interrupts_nothing() -> None:
    assert run(Floor(), (0.0, PromptStarted()), (0.0, listen(turn=2)), (1.0, started(1.0)), (1.5, partial(True))) == []


def test_an_answer_without_a_partial_interrupts_as_well() -> None:
    assert run(speaking(Bargein.GRAMMAR), (1.5, heard(YES))) == [StopPrompt(), ANSWER]


def test_under_speech_300_ms_of_anything_interrupt() -> None:
    floor = speaking(Bargein.SPEECH)
    assert floor.deadline == 1.3
    assert run(floor, (1.29, partial(True))) == []
    assert run(floor, (1.3, Expired())) == [StopPrompt()]


def test_under_speech_a_shorter_sound_does_not() -> None:
    floor = speaking(Bargein.SPEECH)
    assert run(floor, (1.2, ended(1.1)), (1.3, heard(None)), (3.0, PromptEnded())) == []
    assert floor.deadline == 8.0


def test_speech_over_a_prompt_that_has_ended_since_is_heard_out() -> None:
    floor = speaking(Bargein.GRAMMAR)
    assert run(floor, (1.2, PromptEnded()), (1.8, ended(1.6)), (2.0, heard(YES))) == [ANSWER]


def test_who_is_still_speaking_when_the_prompt_ends_speaks_to_the_question() -> None:
    floor = speaking(Bargein.GRAMMAR)
    told = run(floor, (1.2, PromptEnded()), (1.8, ended(1.6)), (2.0, heard(None, "well")))
    assert told == [NotUnderstood("well")]


def test_a_key_interrupts_and_ends_the_turn() -> None:
    assert run(speaking(Bargein.GRAMMAR), (1.5, DigitPressed(C, "1", 1.5))) == [StopPrompt(), Pressed("1")]


def test_a_key_is_told_also_when_nobody_listens() -> None:
    assert run(Floor(), (0.0, PromptStarted()), (1.0, DigitPressed(C, "9", 1.0))) == [Pressed("9")]


@pytest.mark.parametrize("policy", list(Bargein))
def test_only_grammar_and_speech_hear_the_callee_while_the_bot_speaks(policy: Bargein) -> None:
    assert policy.listens_while_playing is (policy in (Bargein.GRAMMAR, Bargein.SPEECH))


# ---- a floor is its state -------------------------------------------------------------------------------------------


def test_a_silence_does_not_count_while_nobody_is_there_to_hear_it() -> None:
    floor = Floor()
    run(floor, (1.0, listen()))
    late = Floor(floor.state.later(3.5))
    assert run(late, (9.4, Expired())) == []
    assert run(late, (9.5, Expired())) == [Silence()]


def test_a_result_that_nobody_could_give_has_its_time_anew() -> None:
    floor = Floor()
    run(floor, (0.0, listen()), (1.0, started(1.0)), (1.5, ended(1.4)))
    late = Floor(floor.state.later(10.0))
    assert run(late, (13.4, Expired())) == []
    assert run(late, (13.5, Expired())) == [NotUnderstood()]


# ---- always -------------------------------------------------------------------------------------------------------

UTTERANCES = st.integers(1, 3)
TURNS = st.integers(1, 3)
MEANINGS = st.sampled_from([None, YES])
INPUTS: st.SearchStrategy[FloorInput] = st.one_of(
    st.builds(listen, st.sampled_from(Bargein), TURNS),
    st.sampled_from([StopListening(), PromptStarted(), PromptEnded(), Expired()]),
    st.builds(started, st.floats(0, 50), UTTERANCES),
    st.builds(ended, st.floats(0, 50), UTTERANCES),
    st.builds(heard, MEANINGS, st.just("w"), UTTERANCES, TURNS),
    st.builds(partial, st.booleans()),
    st.builds(DigitPressed, st.just(C), st.sampled_from("19#"), st.just(0.0)),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 8), INPUTS), max_size=30))
def test_each_question_ends_exactly_once_and_never_waits_for_ever(script: list[tuple[float, FloorInput]]) -> None:
    floor, now, open_, playing = Floor(), 0.0, False, False
    for pause, given_ in script:
        now += pause
        told = [notice.event for notice in floor.step(given_, now)]
        open_ = isinstance(given_, Listen) or (open_ and not isinstance(given_, StopListening))
        playing = isinstance(given_, PromptStarted) or (playing and not isinstance(given_, PromptEnded))
        ends = [event for event in told if not isinstance(event, StopPrompt | FalseAlarm | Pressed)]
        assert len(ends) <= open_, "an answer needs a question"
        assert told.count(StopPrompt()) <= playing, "only what plays is stopped"
        playing = playing and StopPrompt() not in told
        open_ = open_ and not ends and not any(isinstance(event, Pressed) for event in told)
        assert not open_ or playing or floor.deadline is not None, "a question that waits for nothing"


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 8), INPUTS), max_size=20))
def test_left_alone_an_open_question_ends_within_a_minute(script: list[tuple[float, FloorInput]]) -> None:
    floor, now = Floor(), 0.0
    for pause, given_ in [*script, (0.0, PromptEnded()), (0.0, listen())]:
        now += pause
        floor.step(given_, now)
    told: list[FloorEvent] = []
    asked = now
    while floor.deadline is not None:
        now = max(now, floor.deadline)
        told += [notice.event for notice in floor.step(Expired(), now)]
    assert told in ([Silence()], [NotUnderstood()])
    assert now <= asked + 60


Script = list[tuple[float, FloorInput]]


def turn(policy: Bargein) -> list[FloorInput]:
    """A question and what may come of it, in the order in which it comes."""
    return [
        PromptStarted(), listen(policy), started(1.0), partial(True), PromptEnded(), ended(1.5), heard(None),
        Expired(), heard(YES),
    ]  # fmt: skip


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Questions, each with something of what may come of it, and anything else in between."""
    some = st.sets(st.integers(0, 8), min_size=5).map(sorted)
    turns = st.builds(lambda policy, kept: [turn(policy)[n] for n in kept], st.sampled_from(Bargein), some)
    parts = draw(st.lists(turns | INPUTS.map(lambda one: [one]), min_size=3, max_size=8))
    return [(draw(st.floats(0, 4)), each) for part in parts for each in part]


@settings(deadline=None)
@given(scripts())
def test_a_floor_made_anew_of_its_packed_state_before_every_step_goes_on_as_one_that_is_kept(script: Script) -> None:
    kept, packed, now = Floor(), msgspec.msgpack.encode(FloorState()), 0.0
    for pause, given_ in script:
        now += pause
        if isinstance(given_, Expired):
            now = max(now, kept.deadline or 0.0)
        anew = Floor(msgspec.msgpack.decode(packed, type=FloorState))
        assert anew.deadline == kept.deadline
        assert anew.step(given_, now) == kept.step(given_, now)
        assert anew.state == kept.state
        packed = msgspec.msgpack.encode(anew.state)


@settings(deadline=None)
@given(scripts(), st.floats(0, 60))
def test_whatever_a_floor_waits_for_comes_as_much_later_as_nobody_listened(script: Script, seconds: float) -> None:
    floor, now = Floor(), 1.0  # no clock says 0.0, which is "not yet"
    for pause, given_ in script:
        now += pause
        floor.step(given_, now)
    late = Floor(floor.state.later(seconds))
    while (due := floor.deadline) is not None:
        assert late.deadline == pytest.approx(due + seconds)
        now = max(now, due)
        assert late.step(Expired(), max(now + seconds, late.deadline or 0.0)) == floor.step(Expired(), now)
    assert late.deadline is None
