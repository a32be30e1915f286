"""The talk of a call, case by case: words that are not there yet, interruptions, engines that change, and takeovers."""

from __future__ import annotations

import pytest

from grammars.conversation_state import Fetched, FetchFailed
from grammars.conversation_state import TalkPhase as Talk
from nodes.call import inputs
from nodes.call.effects import AskBusiness, Effect, HearCallee, Note, Question, Speak, StopHearing, Want
from nodes.call.record import Ask, CallPhase
from protocols.wire.events import Kind
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import DigitPressed, Heard, Meaning, PlayEnded
from tests.nodes.call.audio import Said
from tests.nodes.call.world import CALL, World

CHANNEL = ChannelId(CALL)


def prompt_world(script: str = "desk") -> World:
    """A call of somebody who has said hello and is being told who calls."""
    world = World(script)
    world.begin(2, "ann")
    world.pass_(0.1)
    world.phone.answer()
    world.line.speak(Said())
    world.until(lambda: world.record.phase is CallPhase.CONVERSING)
    return world


def asked_world(script: str = "desk") -> World:
    """A call in which the first question has been said, and is open."""
    world = prompt_world(script)
    world.until(lambda: world.record.listen and not world.asks and not playing(world))
    return world


def playing(world: World) -> int | None:
    """Return the number of what plays."""
    channel = world.record.channel
    return channel.playing.play_id if channel and channel.playing else None


def slow(world: World, *kinds: type[Question]) -> None:
    """Let questions of these kinds wait until they are answered by hand."""
    world.waits = lambda question: None if isinstance(question, kinds) else 0.005


def done(world: World, given: inputs.Input) -> list[Effect]:
    """Return what the call wants done about this."""
    n = len(world.done)
    world.give(given)
    return world.done[n:]


def heard(world: World, turn: int, value: str = "yes") -> Heard:
    """An answer as the engine tells it."""
    meaning = Meaning("yes_no", "answer", {"value": value})
    return Heard(CHANNEL, turn, 10**6, value, 0.9, world.now, world.now, meaning)


def is_open(world: World, what: Ask) -> bool:
    """Say whether a question is in the record."""
    return any(one.what is what for one in world.record.asked)


# ---- words that are not there yet -----------------------------------------------------------------------------------


def test_neither_silence_nor_speech_answers_a_question_whose_words_are_not_there_yet() -> None:
    world = prompt_world()
    slow(world, Speak)
    world.until(lambda: is_open(world, Ask.SPEAK))
    world.line.speak(Said("", "yes", 3.0))
    world.pass_(30.0)
    assert not world.noted(Kind.NOINPUT, Kind.NOMATCH, Kind.HEARD)
    assert is_open(world, Ask.SPEAK)
    world.answer(world.asks[Speak])
    assert world.record.listen


def test_a_callee_who_is_told_nothing_for_long_is_hung_up_on() -> None:
    world = prompt_world()
    slow(world, Speak)
    world.pass_(200.0)
    assert world.is_over
    assert world.notes[-1].fields["cause"] == "no_engine"


def test_the_end_of_the_last_prompt_is_not_taken_for_the_end_of_the_words_that_are_being_rendered() -> None:
    world = prompt_world()
    world.until(lambda: playing(world) is not None)
    slow(world, Speak)
    before = playing(world)
    world.give(DigitPressed(CHANNEL, "9", world.now))
    assert is_open(world, Ask.SPEAK)
    assert playing(world) == before
    world.until(lambda: playing(world) is None)
    talk = world.record.conversation
    assert talk
    assert talk.playing
    assert is_open(world, Ask.SPEAK)
    world.answer(world.asks[Speak])
    assert world.notes[-1].fields["spoken"] == "We will not call you again."


def test_a_key_while_words_are_rendered_is_answered_by_other_words_alone() -> None:
    world = prompt_world()
    slow(world, Speak)
    world.until(lambda: is_open(world, Ask.SPEAK))
    first = world.asks[Speak]
    world.give(DigitPressed(CHANNEL, "9", world.now))
    n_prompts = len(world.noted(Kind.PROMPT_STARTED))
    world.give(inputs.Spoken(first.number, ()))
    assert len(world.noted(Kind.PROMPT_STARTED)) == n_prompts, "the former question is withdrawn"
    world.answer(world.asks[Speak])
    assert len(world.noted(Kind.PROMPT_STARTED)) == n_prompts + 1


# ---- interruptions --------------------------------------------------------------------------------------------------


def test_words_that_can_begin_an_answer_stop_the_prompt_in_the_same_step() -> None:
    world = prompt_world()
    world.until(lambda: world.record.listen and playing(world) is not None and not world.asks)
    listen = world.record.listen
    assert listen
    wanted = done(world, inputs.Partial(CHANNEL, listen.turn, 1, "yes", in_grammar=True))
    assert [one.channel.playing for one in wanted if isinstance(one, Want)] == [None]
    assert world.notes[-1].fields["is_cut"] is True


def test_what_stopped_the_prompt_and_was_nothing_lets_it_go_on_from_where_it_was_stopped_and_asks_nobody_anew() -> None:
    world = prompt_world()
    world.until(lambda: world.record.listen and playing(world) is not None and not world.asks)
    listen, channel = world.record.listen, world.record.channel
    assert listen
    assert channel
    assert channel.playing
    before = channel.playing
    world.line.speak(Said("", "", 0.6))
    world.pass_(0.4)
    done(world, inputs.Partial(CHANNEL, listen.turn, world.record.utterance, "yes", in_grammar=True))
    assert playing(world) is None
    stopped_s = world.now - before.at_s
    world.until(lambda: playing(world) is not None)
    rest = world.record.channel and world.record.channel.playing
    assert rest
    assert (rest.prompts, rest.skip_s, world.record.listen) == (before.prompts, pytest.approx(stopped_s), listen)
    assert world.notes[-1].fields["is_resumed"] is True
    assert not world.noted(Kind.NOMATCH)
    world.until(lambda: playing(world) is None)
    world.line.speak(Said("", "yes"))
    world.until(lambda: world.noted(Kind.HEARD))


def test_a_turn_that_goes_on_to_the_next_question_deafens_nobody() -> None:
    world = asked_world("appointment_reminder")
    slow(world, Speak)
    n = len(world.done)
    world.line.speak(Said("", "move"))
    world.until(lambda: is_open(world, Ask.SPEAK))
    world.pass_(1.0)
    world.answer(world.asks[Speak])
    world.pass_(1.0)
    assert world.record.listen
    assert not [one for one in world.done[n:] if isinstance(one, StopHearing)]


def test_who_answers_nothing_any_more_is_not_heard() -> None:
    world = asked_world()
    listen = world.record.listen
    assert listen
    engine = world.record.channel and world.record.channel.engine
    assert StopHearing(engine or Identity("")) in done(world, heard(world, listen.turn, "no"))


# ---- engines --------------------------------------------------------------------------------------------------------


def test_an_engine_that_hears_after_the_answer_is_stopped_and_one_that_was_asked_anew_is_not() -> None:
    world = prompt_world("appointment_reminder")
    slow(world, HearCallee)
    world.until(lambda: is_open(world, Ask.HEAR))
    first, engine = world.asks[HearCallee], min(world.line.engines)
    world.give(DigitPressed(CHANNEL, "2", world.now))  # the next question, and the next engine
    world.until(lambda: is_open(world, Ask.HEAR) and world.asks[HearCallee] is not first)
    assert done(world, inputs.Hears(first.number, engine)) == [], "it may be the one that was asked anew"
    world.give(DigitPressed(CHANNEL, "9", world.now))
    assert not world.record.listen
    assert done(world, inputs.Hears(first.number, engine)) == [StopHearing(engine)]


def test_a_question_that_nobody_hears_yet_does_not_come_to_silence() -> None:
    world = asked_world()
    world.line.engines.clear()
    slow(world, HearCallee)
    world.roster()
    world.pass_(20.0)
    assert not world.noted(Kind.NOINPUT)
    world.engine_comes()
    world.answer(world.asks[HearCallee])
    world.pass_(2.0)
    assert not world.noted(Kind.NOINPUT), "the silence of before is not counted"
    world.until(lambda: world.noted(Kind.NOINPUT))


def test_an_engine_dies_and_what_is_being_said_is_heard_by_the_next() -> None:
    world = asked_world()
    world.line.speak(Said("", "yes", 2.0))
    world.pass_(1.0)
    world.engine_dies()
    world.pass_(2.0)
    assert [note.fields["what"] for note in world.noted(Kind.RECOVERED)] == ["engine"]
    assert len(world.noted(Kind.HEARD)) == 1


# ---- person or machine ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", ["actor_dies", "edge_dies", "media_dies"])
def test_whoever_says_hello_while_somebody_dies_is_a_person(dies: str) -> None:
    world = World()
    world.begin(2)
    world.pass_(0.1)
    world.phone.answer()
    world.pass_(0.5)
    world.line.speak(Said("", "", 1.8))
    world.pass_(1.0)
    getattr(world, dies)()
    world.pass_(4.0)
    assert [note.fields["is_sure"] for note in world.noted(Kind.HUMAN_DETECTED)] == [True]
    assert not world.noted(Kind.MACHINE_DETECTED)


def test_who_was_speaking_when_media_died_and_is_silent_now_is_no_machine() -> None:
    world = World()
    world.begin(2)
    world.pass_(0.1)
    world.phone.answer()
    world.line.speak(Said("", "", 1.0))
    world.pass_(0.9)
    world.line.speech = None  # and nobody tells that they have stopped
    world.media_dies()
    world.pass_(4.0)
    assert [note.fields["is_sure"] for note in world.noted(Kind.HUMAN_DETECTED)] == [True]
    assert not world.noted(Kind.MACHINE_DETECTED)


def test_nothing_is_said_over_a_beep_not_even_by_who_goes_on() -> None:
    world = prompt_world("payment_reminder")
    slow(world, Speak)
    world.until(lambda: is_open(world, Ask.SPEAK))
    n_prompts = len(world.noted(Kind.PROMPT_STARTED))
    world.line.beep()
    assert not is_open(world, Ask.SPEAK)
    world.edge_dies()
    assert not is_open(world, Ask.SPEAK)
    assert len(world.noted(Kind.PROMPT_STARTED)) == n_prompts
    world.waits = lambda question: 0.005
    world.pass_(1.0)
    assert world.noted(Kind.PROMPT_STARTED)[-1].fields["spoken"].startswith("Hello.")  # type: ignore[union-attr]


# ---- who goes on ----------------------------------------------------------------------------------------------------


def test_a_prompt_that_plays_is_not_said_again_by_who_goes_on() -> None:
    world = prompt_world()
    world.until(lambda: playing(world) is not None)
    before = playing(world)
    world.edge_dies()
    assert playing(world) == before
    assert Speak not in world.asks
    world.until(lambda: playing(world) != before)
    assert [note.fields["play_id"] for note in world.noted(Kind.PROMPT_ENDED)] == [before]


def test_words_that_were_being_rendered_are_asked_for_again_by_who_goes_on() -> None:
    world = prompt_world()
    slow(world, Speak)
    world.until(lambda: is_open(world, Ask.SPEAK))
    number = world.asks[Speak].number
    world.edge_dies()
    assert world.asks[Speak].number > number
    assert next(one for one in world.record.asked if one.what is Ask.SPEAK).is_again


def test_what_is_being_said_while_somebody_takes_over_is_heard_once() -> None:
    world = asked_world()
    world.line.speak(Said("", "yes", 2.0))
    world.pass_(1.0)
    world.edge_dies()
    world.pass_(3.0)
    assert len(world.noted(Kind.HEARD)) == 1
    assert not world.noted(Kind.NOMATCH, Kind.NOINPUT)


# ---- a business that is asked ---------------------------------------------------------------------------------------


def fetching_world() -> World:
    """A call that waits for a business API."""
    world = asked_world("payment_reminder")
    slow(world, AskBusiness)
    world.line.speak(Said("", "yes"))
    world.until(lambda: is_open(world, Ask.FETCH) and playing(world) is None)
    return world


def test_a_business_that_was_asked_in_an_earlier_life_is_told_that_it_may_have_been() -> None:
    world = fetching_world()
    assert not world.asks[AskBusiness].is_again  # type: ignore[union-attr]
    world.edge_dies()
    assert world.asks[AskBusiness].is_again  # type: ignore[union-attr]


def test_a_business_that_is_asked_after_words_of_an_earlier_life_may_have_been_asked() -> None:
    world = asked_world("payment_reminder")
    slow(world, Speak, AskBusiness)
    world.line.speak(Said("", "yes"))
    world.until(lambda: is_open(world, Ask.SPEAK))
    world.edge_dies()
    world.answer(world.asks[Speak])
    assert world.asks[AskBusiness].is_again  # type: ignore[union-attr]


def test_an_answer_of_a_business_that_comes_after_the_opt_out_is_nobodys() -> None:
    world = fetching_world()
    number = world.asks[AskBusiness].number
    world.give(DigitPressed(CHANNEL, "9", world.now))
    before = world.record
    world.give(inputs.BusinessAnswered(number, Fetched({"account": {"balance": 1, "due": "2026-01-01"}})))
    assert world.record == before


def test_a_business_that_never_answers_has_failed() -> None:
    world = fetching_world()
    world.until(lambda: world.noted(Kind.FETCH_FAILED))
    assert world.noted(Kind.FETCH_FAILED)[0].fields["reason"] == "no_answer"
    assert world.record.conversation
    assert world.record.conversation.phase is not Talk.FETCHING
    assert FetchFailed("no_answer").reason == "no_answer"


# ---- agents ---------------------------------------------------------------------------------------------------------


def handed_world() -> World:
    """A call whose callee waits for an agent."""
    world = asked_world()
    world.line.speak(Said("", "yes"))
    world.until(lambda: world.record.phase is CallPhase.HANDING_OVER)
    return world


def test_a_handover_begins_after_its_prompt_has_begun() -> None:
    world = handed_world()
    kinds = [note.kind for note in world.notes]
    assert kinds[-2:] == [Kind.PROMPT_STARTED, Kind.HANDOVER_STARTED]


def test_what_a_callee_says_to_an_agent_is_no_answer_but_the_bot_knows_when_they_have_stopped() -> None:
    world = handed_world()
    world.pass_(0.2)
    world.desk.accept("ann")
    world.until(lambda: world.record.phase is CallPhase.BRIDGED)
    world.pass_(1.0)
    world.line.speak(Said("", "yes", 2.0))
    world.pass_(1.0)
    assert world.record.floor.is_speaking
    world.pass_(3.0)
    assert not world.record.floor.is_speaking
    assert len(world.noted(Kind.HEARD)) == 1
    world.give(DigitPressed(CHANNEL, "9", world.now))
    assert not world.is_listed, "a key is the agent's to hear"


def test_a_play_that_is_not_the_last_one_ends_nothing() -> None:
    world = prompt_world()
    world.until(lambda: playing(world) is not None)
    before = world.record
    assert done(world, PlayEnded(CHANNEL, 1, world.now)) == []
    assert world.record == before
    assert not [one for one in world.notes if isinstance(one, Note) and one.kind is Kind.PROMPT_ENDED]


def test_media_is_not_told_that_what_it_has_played_is_over_and_knows_the_newest_channel() -> None:
    world = prompt_world()
    world.until(lambda: playing(world) is not None)
    number, revision = playing(world), world.record.channel and world.record.channel.revision
    assert number is not None
    effects = done(world, PlayEnded(CHANNEL, number, world.now))
    assert playing(world) != number
    wanted = [one.channel for one in effects if isinstance(one, Want)]
    assert all(channel.playing for channel in wanted), "only what is said next"
    assert world.record.channel
    assert world.record.channel.revision == (revision or 0) + len(wanted)
