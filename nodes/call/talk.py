"""The bot's side of a call: machine detection, floor and conversation, and what they want of media, speech and others.

What follows words in the same breath (the question, a fetch, an agent) waits until they are rendered, and is then what
the conversation says is pending: nobody is listened to for a question that they have not heard.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

from grammars import conversation_state as says
from nodes.call import ending, handing, line
from nodes.call.effects import AskBusiness, HearCallee, PutOnList, Speak, StopHearing
from nodes.call.inputs import Hears, Speech, Spoken
from nodes.call.record import UP, Ask, Asked, CallPhase, CallRecord
from nodes.call.step import CallStep
from protocols import amd, floor
from protocols.machine import Expired, earliest
from protocols.replacing import replace
from protocols.sip import Disposition
from protocols.wire.events import Kind
from protocols.wire.ids import Identity
from protocols.wire.messages import BeepHeard, Heard, PlayEnded, SpeechEnded, SpeechStarted

SPEAK_S: Final = 100.0
HEAR_S: Final = 120.0
"""Whoever looks for an engine gives up sooner: a minute for the first to come up, and half of one for a script."""
FETCH_MORE_S: Final = 10.0
_WITH_BOT = (
    says.TalkPhase.NEW,
    says.TalkPhase.IDENTIFYING,
    says.TalkPhase.SPEAKING,
    says.TalkPhase.LISTENING,
    says.TalkPhase.FETCHING,
)


# ---- time -----------------------------------------------------------------------------------------------------------


def deadline(record: CallRecord) -> float | None:
    """Return when `expired` is wanted next. A question that nobody hears yet cannot come to silence."""
    is_heard = not any(one.what is Ask.HEAR for one in record.asked)
    return earliest([
        amd.Amd.of(record.amd).deadline if record.amd else None,
        floor.Floor(record.floor).deadline if is_heard else None,
    ])  # fmt: skip


def expired(step: CallStep) -> None:
    """A deadline has passed."""
    if step.record.amd is not None:
        _detected(step, step.detect(Expired()))
    if not step.is_open(Ask.HEAR):
        _floored(step, step.floor(Expired()))


# ---- what happens ---------------------------------------------------------------------------------------------------


def begin(step: CallStep) -> None:
    """Somebody, or something, has picked up: find out what, before a word is said."""
    if step.script is not None:
        step.write(amd=amd.Amd(step.now, wants_message=step.script.leaves_message).state)


def heard(step: CallStep, given: Speech) -> None:
    """Media or speech has told something of the callee. What is told again is known by its number."""
    record = step.record
    if isinstance(given, SpeechStarted | SpeechEnded):
        if _is_known(record, given):
            return
        step.write(utterance=max(record.utterance, given.utterance))
    if record.phase in (CallPhase.HANDING_OVER, CallPhase.BRIDGED) or step.script is None:
        if isinstance(
            given, SpeechStarted | SpeechEnded
        ):  # what is said is the agent's, but whether they speak is known
            step.floor(given)
        return
    if isinstance(given, SpeechEnded) and record.phase is CallPhase.ANSWERED:
        step.write(greeted_s=given.at_s)
    if step.record.amd is not None and isinstance(given, SpeechStarted | SpeechEnded | BeepHeard):
        _detected(step, step.detect(given))
    if isinstance(given, Heard) and step.record.listen:
        step.write(answer_ended_s=given.speech_ended_s)
    if not isinstance(given, BeepHeard):
        _floored(step, step.floor(given))


def played(step: CallStep, given: PlayEnded) -> None:
    """The play has come to its end; an earlier play's end means nothing any more."""
    playing = line.playing(step.record)
    if playing is None or playing.play_id != given.play_id:
        return
    line.played(step)
    step.note(Kind.PROMPT_ENDED, play_id=given.play_id)
    if step.is_open(Ask.SPEAK) or step.script is None:
        return  # the next words are being rendered: these were not the last
    step.floor(floor.PromptEnded())
    converse(step, floor.PromptEnded())


def spoken(step: CallStep, given: Spoken, asked: Asked) -> None:
    """The words are there: they are said, and what came after them in the same breath is done."""
    play_id = line.play(step, tuple(prompt.prompt for prompt in given.prompts))
    step.floor(floor.PromptStarted())
    record = step.record
    answer_ms = step.since_ms(record.answer_ended_s) if record.answer_ended_s else None
    step.note(
        Kind.PROMPT_STARTED,
        play_id=play_id,
        spoken=" ".join(prompt.spoken for prompt in given.prompts),
        answer_ms=answer_ms,
        first_word_ms=step.since_ms(record.greeted_s) if record.greeted_s else None,
    )
    step.write(answer_ended_s=0.0, greeted_s=0.0, recognition_ms=record.recognition_ms + (answer_ms or 0))
    for wanted in step.conversation().pending():
        match wanted:
            case floor.Listen():
                _listen(step, wanted, is_again=asked.is_again)
            case says.Fetch():
                _fetch(step, wanted, is_again=asked.is_again)
            case says.Enqueue():
                handing.start(step, wanted)
            case _:
                pass  # the words themselves


def hears(step: CallStep, given: Hears, asked: Asked) -> None:
    """An engine hears the callee: the question is open from now on."""
    wanted, channel = step.record.listen, step.record.channel
    if wanted is None or channel is None:
        return step.do(StopHearing(given.engine))
    if step.record.floor.listen != wanted:
        step.floor(wanted)
    else:
        step.write(floor=step.record.floor.later(step.now - asked.since_s))  # meanwhile nobody listened: no silence
    if given.engine != channel.engine:
        if channel.engine:
            step.do(StopHearing(channel.engine))
        if not asked.is_again:
            line.want(step, engine=Identity(""))  # what was said last has been answered: it is not for the new one
        line.want(step, engine=given.engine)


def business(step: CallStep, answer: says.Fetched | says.FetchFailed, asked: Asked) -> None:
    """The business API has answered, or has not."""
    ms = step.since_ms(asked.since_s)
    if isinstance(answer, says.FetchFailed):
        step.note(Kind.FETCH_FAILED, ms=ms, reason=answer.reason)
    else:
        step.note(Kind.FETCH_DONE, ms=ms)
    converse(step, answer)


def converse(step: CallStep, given: says.Input) -> None:
    """Tell the conversation, and do what it wants."""
    if step.script is None:
        return
    wanted = step.converse(given)
    state = step.conversation().state
    if state.phase is not says.TalkPhase.FETCHING or state.event:
        step.withdraw(Ask.FETCH)
    _carry_out(step, wanted)


def resume(step: CallStep, was_open: Set[Ask], engines: Set[Identity]) -> None:
    """Go on where the record is. Media plays on; what was asked and not answered is asked again."""
    state, channel = step.record.conversation, step.record.channel
    if state is not None and state.disposition == "opted_out":
        step.do(PutOnList())
    if state is not None and Ask.SPEAK in was_open:
        step.do(Speak(step.ask(Ask.SPEAK, SPEAK_S, is_again=True), state.prompt))
    if step.record.listen is not None:
        _listen(step, step.record.listen, is_again=True)
    elif channel is not None and channel.engine and channel.engine not in engines:
        step.note(Kind.RECOVERED, what="engine")
        line.want(step, engine=Identity(""))
    if Ask.FETCH in was_open:
        for wanted in step.conversation().pending():
            if isinstance(wanted, says.Fetch):
                _fetch(step, wanted, is_again=True)


def follow_engines(step: CallStep, engines: Set[Identity]) -> None:
    """The engines have changed: if ours has died, the next one hears the utterance again."""
    channel = step.record.channel
    if channel is None or not channel.engine or channel.engine in engines or step.is_open(Ask.HEAR):
        return
    step.note(Kind.RECOVERED, what="engine")
    if step.record.listen is not None:
        _listen(step, step.record.listen, is_again=True)
    else:
        line.want(step, engine=Identity(""))  # what was said last has been answered


def settle(step: CallStep) -> None:
    """Say so when what the callee says answers nothing any more."""
    if _is_listening(step.before) and not _is_listening(step.record):
        step.withdraw(Ask.HEAR)
        step.do(StopHearing(step.record.channel.engine if step.record.channel else Identity("")))


# ---- what it comes to -----------------------------------------------------------------------------------------------


def _is_known(record: CallRecord, given: SpeechStarted | SpeechEnded) -> bool:
    if isinstance(given, SpeechStarted):
        return given.utterance <= record.utterance
    is_current = given.utterance == record.utterance and record.floor.is_speaking
    return given.utterance <= record.utterance and not is_current


def _is_listening(record: CallRecord) -> bool:
    """Say whether the callee is heard for a question, or for one whose words are being rendered right now.

    Else every turn would deafen the engine between the answer and the next question, and lose the rest of what is said.
    """
    state = record.conversation
    is_about_to = state is not None and state.phase is says.TalkPhase.LISTENING
    return record.listen is not None or (is_about_to and any(one.what is Ask.SPEAK for one in record.asked))


def _detected(step: CallStep, events: Sequence[amd.AmdEvent]) -> None:
    for event in events:
        match event:
            case amd.HumanAnswered(sure=sure):
                step.write(phase=CallPhase.CONVERSING)
                step.note(Kind.HUMAN_DETECTED, after_ms=step.since_placed_ms(), is_sure=sure)
                converse(step, says.Begin())
            case amd.MachineAnswered(how=how) if _may_be_machine(step.record.conversation):
                step.write(phase=CallPhase.CONVERSING, greeted_s=0.0)
                hush(step)
                _stop_listening(step)
                step.note(Kind.MACHINE_DETECTED, after_ms=step.since_placed_ms(), evidence=how)
            case amd.MessageMayStart() if _may_be_machine(step.record.conversation):
                converse(step, event)
            case _:
                pass  # a beep while goodbye is said, or an agent is on the way, changes nothing


def _may_be_machine(state: says.ConversationState | None) -> bool:
    return state is None or (state.phase in _WITH_BOT and not state.disposition)


def _floored(step: CallStep, events: Sequence[floor.FloorEvent]) -> None:
    for event in events:
        if step.record.phase not in UP:
            return  # what came before it has ended the call
        listen, state = step.record.listen, step.conversation().state.state
        turn = listen.turn if listen else 0
        ms = step.since_ms(step.record.listen_s) if listen else None
        if not isinstance(event, floor.StopPrompt | floor.FalseAlarm):
            step.write(listen=None)  # the floor has answered the question: it is closed
            step.withdraw(Ask.HEAR)
        match event:
            case floor.StopPrompt():
                if playing := line.playing(step.record):
                    step.write(cut=replace(playing, skip_s=playing.skip_s or step.now - playing.at_s))
                hush(step)
                converse(step, floor.PromptEnded())
                continue
            case floor.FalseAlarm():
                _say_the_rest(step)
                continue
            case floor.Understood(meaning=meaning):
                step.note(
                    Kind.HEARD, turn=turn, words=event.words, confidence=round(event.confidence, 3),
                    rule=meaning.rule, intent=meaning.intent, slots=dict(meaning.slots), state=state, ms=ms,
                )  # fmt: skip
            case floor.NotUnderstood(words=words):
                step.note(Kind.NOMATCH, turn=turn, words=words, state=state, ms=ms)
            case floor.Silence():
                step.write(answer_ended_s=0.0)  # what was said before it was no answer to this question
                step.note(Kind.NOINPUT, turn=turn, state=state, ms=ms)
            case floor.Pressed(digit=digit):
                step.note(Kind.DTMF, digit=digit, turn=turn if listen else None, ms=ms)
        converse(step, event)


def _say_the_rest(step: CallStep) -> None:
    """Go on with what was stopped, from the sentence that was cut off."""
    if cut := step.record.cut:
        play_id = line.play(step, cut.prompts, cut.skip_s)
        step.floor(floor.PromptStarted())
        step.note(Kind.PROMPT_STARTED, play_id=play_id, spoken="...", is_resumed=True)


def _carry_out(step: CallStep, effects: Sequence[says.Effect]) -> None:
    speaks = any(isinstance(effect, says.Say) for effect in effects)
    if speaks:
        _stop_listening(step)
    for effect in effects:
        match effect:
            case says.Say(prompts=prompts):
                step.do(Speak(step.ask(Ask.SPEAK, SPEAK_S), prompts))
            case floor.Listen() | says.Fetch() | says.Enqueue() if speaks:
                pass  # when the words are there: `spoken`
            case floor.Listen():
                _listen(step, effect)
            case says.Fetch():
                _fetch(step, effect)
            case says.Enqueue():
                handing.start(step, effect)
            case says.OptOut():
                step.note(Kind.OPT_OUT, by="callee")
                step.do(PutOnList())
            case says.HangUp(disposition=disposition):
                ending.hang_up(step, Disposition(disposition), "script")
            case says.Entered(state=state):
                step.note(Kind.STATE_ENTERED, state=state)
            case says.Filled(slot=slot, value=value):
                step.note(Kind.SLOT_FILLED, slot=slot, value=value)
            case says.Tag(tag=tag):
                step.note(Kind.TAGGED, tag=tag)


def _listen(step: CallStep, wanted: floor.Listen, *, is_again: bool = False) -> None:
    before = step.record.channel.engine if step.record.channel else Identity("")
    step.write(listen=wanted, listen_s=step.record.listen_s if step.record.listen == wanted else step.now)
    step.do(HearCallee(step.ask(Ask.HEAR, HEAR_S, is_again=is_again), wanted, before))


def _fetch(step: CallStep, wanted: says.Fetch, *, is_again: bool = False) -> None:
    number = step.ask(Ask.FETCH, wanted.timeout_s + FETCH_MORE_S, is_again=is_again)
    step.do(AskBusiness(number, wanted, is_again))


def _stop_listening(step: CallStep) -> None:
    step.withdraw(Ask.HEAR)
    if step.record.listen is not None:
        step.write(listen=None)
        step.floor(floor.StopListening())


def hush(step: CallStep) -> None:
    """Say no more of what is being said, or is about to be."""
    step.withdraw(Ask.SPEAK)
    if playing := line.playing(step.record):
        line.want(step, playing=None)
        step.note(Kind.PROMPT_ENDED, play_id=playing.play_id, is_cut=True)
    step.floor(floor.PromptEnded())


__all__ = [
    "begin",
    "business",
    "converse",
    "deadline",
    "expired",
    "follow_engines",
    "heard",
    "hears",
    "hush",
    "played",
    "resume",
    "settle",
    "spoken",
]
