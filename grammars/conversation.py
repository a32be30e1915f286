"""The conversation: a pure machine that runs a script. `step(given)` takes what happened, returns what is to be done.

It knows no clock (the floor counts silence), no audio (prompts are words) and no wire. Its whole state is one frozen
`ConversationState`, which goes into the call's record after every step: a conversation made from it goes on exactly as
this one would have, in any process, and `pending()` says what the outside must be doing for it.

Always, whatever comes in (`tests/grammars/test_conversation.py`): no input raises; one that does not fit the phase
changes nothing; either something is awaited or the call has ended; after the script's number of turns it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from grammars import script_model as model
from grammars.conversation_state import (
    Begin,
    ConversationState,
    Effect,
    Fetched,
    FetchFailed,
    HangUp,
    HungUp,
    Input,
    Json,
    OptOut,
    Say,
    TalkPhase,
    Turn,
)
from grammars.conversation_walk import Walk
from grammars.doubt import YES_NO, Meant, is_doubtful, is_heard
from grammars.errors import WrongScript
from grammars.rules.spec import INTENTS
from grammars.script_model import OPT_OUT_KEY, Gather, Script, rung, taken
from protocols.amd import MessageMayStart
from protocols.floor import Bargein, NotUnderstood, Pressed, PromptEnded, Silence, Understood
from protocols.handover import HandoverDone, HandoverFailed
from protocols.replacing import replace

_ASK_AGAIN, _SAY_NOTHING = (model.Action(0, reprompt=True),), (model.Action(0),)
_WITH_BOT = (TalkPhase.IDENTIFYING, TalkPhase.SPEAKING, TalkPhase.LISTENING, TalkPhase.FETCHING)


class Conversation:
    """One call's conversation. Raises `WrongScript` when the state belongs to another script."""

    def __init__(self, script: Script, state: ConversationState) -> None:
        if state.script != script.hash:
            raise WrongScript(state.script, script.hash)
        self._script = script
        self.state = state
        """Replaced, never changed, by each step."""

    def step(self, given: Input) -> list[Effect]:
        """Take one input and return what is to be done, in order. Raises nothing."""
        walk = Walk(self._script, self.state)
        _take(walk, given)
        self.state = walk.state
        return walk.effects

    def pending(self) -> list[Effect]:
        """Return what the outside must be doing in this state: what a successor does before it goes on."""
        walk, state = Walk(self._script, self.state), self.state
        said: list[Effect] = [Say(state.prompt, walk.bargein())] if state.playing else []
        match state.phase, walk.verb:
            case TalkPhase.LISTENING, _:
                return [*said, walk.listen()]
            case TalkPhase.FETCHING, model.Fetch() as fetch if not state.event:
                return [*said, walk.fetch(fetch)]
            case TalkPhase.HANDING_OVER, model.Enqueue() as enqueue:
                return [*said, walk.enqueue(enqueue)]
            case TalkPhase.ENDED, _:
                return [HangUp(state.disposition)]
        return said


def _take(walk: Walk, given: Input) -> None:
    phase = walk.state.phase
    match given:
        case Begin():
            if phase is TalkPhase.NEW:
                walk.identify(walk.script.initial)
        case MessageMayStart():
            _machine(walk)
        case PromptEnded():
            _prompt_ended(walk)
        case Understood() | NotUnderstood() | Silence():
            if phase is TalkPhase.LISTENING:
                _heard(walk, given)
        case Pressed(digit=digit):
            _pressed(walk, digit)
        case Fetched() | FetchFailed():
            _fetched(walk, given)
        case HandoverDone() | HandoverFailed():
            _handover(walk, given)
        case HungUp():
            _hung_up(walk)
        case _:
            assert_never(given)


def _machine(walk: Walk) -> None:
    """An answering machine listens: identify and leave the message, whatever the bot was doing; or hang up."""
    if walk.state.phase not in (TalkPhase.NEW, *_WITH_BOT) or walk.state.disposition:
        return
    walk.state = replace(walk.state, disposition="machine", playing=False)
    if walk.script.leaves_message:
        walk.identify(taken(walk.script.machine, walk.state.slots))
    else:
        walk.act(walk.script.machine)


def _prompt_ended(walk: Walk) -> None:
    walk.state = replace(walk.state, playing=False)
    match walk.state.phase, walk.verb:
        case TalkPhase.IDENTIFYING, _:
            walk.enter(walk.state.state)
        case TalkPhase.SPEAKING, Gather():
            walk.state = replace(walk.state, phase=TalkPhase.LISTENING)
            walk.effects.append(walk.listen())
        case TalkPhase.SPEAKING, _:
            walk.end()
        case TalkPhase.FETCHING, model.Fetch() as fetch if walk.state.event:
            walk.act(fetch.fetched if walk.state.event == "fetched" else fetch.failed)


def _heard(walk: Walk, given: Understood | NotUnderstood | Silence) -> None:
    if isinstance(given, Understood) and not is_heard(_intent(given), given.confidence):
        given = NotUnderstood(given.words)
    doubt, is_patient = walk.state.doubt, walk.state.is_patient
    if not _waits(given, is_patient):  # else what was asked is asked still
        walk.state = replace(walk.state, doubt=None, is_patient=False)
    match given:
        case Understood(meaning=meaning) if doubt and meaning.rule == YES_NO:
            turn = _turn(given)
            if meaning.intent == "yes":
                _meant(walk, turn, doubt)
            else:
                walk.turn(turn)
                walk.act(_ASK_AGAIN)
        case Understood(meaning=meaning) if meaning.rule in walk.script.heard_in(walk.gather):
            meant = Meant(meaning.rule, _intent(given), meaning.slots.get("value", meaning.intent))
            _meant(walk, _turn(given), meant, 1.0 if meant == doubt else given.confidence)  # said again, it is meant
        case NotUnderstood(words=words) if is_patient:
            walk.turn(Turn("callee", words, intent="nomatch"))
            walk.act(_SAY_NOTHING)
        case Understood(words=words) | NotUnderstood(words=words):
            _missed(walk, words)
        case Silence():
            walk.turn(Turn("callee", "", intent="noinput"), silences=1)
            walk.act(rung(walk.gather.noinput, walk.state.silences))


def _intent(given: Understood) -> str:
    """Return the global intent; empty: an answer."""
    return given.meaning.rule if given.meaning.rule in INTENTS else ""


def _turn(given: Understood) -> Turn:
    return Turn("callee", given.words, given.meaning.rule, given.meaning.intent)


def _waits(given: Understood | NotUnderstood | Silence, is_patient: bool) -> bool:
    """Say whether the callee asks us to wait, or has, and speaks to somebody else."""
    if isinstance(given, Understood):
        return given.meaning.rule == "wait"
    return is_patient and isinstance(given, NotUnderstood)


def _meant(walk: Walk, turn: Turn, meant: Meant, confidence: float = 1.0) -> None:
    """Follow a global intent, or fill the question's slot and take the answer's branch; or ask first."""
    gather, intent, answer = walk.gather, meant.intent, meant.answer
    branch = walk.script.intents[intent] if intent else gather.match.get(answer, gather.match.get("any"))
    if not branch or not (intent or _fits(walk.script, gather.slot, answer)):
        _missed(walk, turn.text)
    elif is_doubtful(walk.script, gather, intent, confidence) and walk.wonder(turn, meant):
        pass  # the answer to that comes back here
    elif intent == "stop":
        _stop(walk, turn)
    else:
        walk.turn(turn)
        walk.state = replace(walk.state, is_patient=intent == "wait")
        if gather.slot and not intent:
            walk.fill({gather.slot: answer})
        walk.act(branch)


def _missed(walk: Walk, words: str) -> None:
    walk.turn(Turn("callee", words, intent="nomatch"), misses=1)
    walk.act(rung(walk.gather.nomatch, walk.state.misses))


def _stop(walk: Walk, turn: Turn) -> None:
    walk.turn(turn)
    _opt_out(walk)
    walk.act(walk.script.intents["stop"])


def _opt_out(walk: Walk) -> None:
    walk.state = replace(walk.state, disposition="opted_out")
    walk.effects.append(OptOut())


def _pressed(walk: Walk, digit: str) -> None:
    """Take a key: the opt-out whenever the bot has the callee, the others while a question is open."""
    phase = walk.state.phase
    turn = Turn("callee", digit, "dtmf", digit)
    walk.state = replace(walk.state, doubt=None, is_patient=False)
    if digit == OPT_OUT_KEY and phase in _WITH_BOT and walk.state.disposition != "opted_out":
        _stop(walk, turn)
    elif phase is TalkPhase.LISTENING or (phase is TalkPhase.SPEAKING and walk.bargein() is Bargein.DTMF):
        meant = walk.gather.dtmf.get(digit)
        if meant is None:
            _missed(walk, digit)
        else:
            _meant(walk, turn, Meant("", meant if meant in walk.script.intents else "", meant))


def _fetched(walk: Walk, given: Fetched | FetchFailed) -> None:
    fetch = walk.verb
    if walk.state.phase is not TalkPhase.FETCHING or walk.state.event or not isinstance(fetch, model.Fetch):
        return
    found = _found(fetch.slots, given.body) if isinstance(given, Fetched) else None
    good = found is not None and all(_fits(walk.script, slot, value) for slot, value in found.items())
    walk.state = replace(walk.state, event="fetched" if good else "failed")
    if found and good:
        walk.fill(found)
    if not walk.state.playing:
        walk.act(fetch.fetched if good else fetch.failed)


def _handover(walk: Walk, given: HandoverDone | HandoverFailed) -> None:
    if not isinstance(enqueue := walk.verb, model.Enqueue):
        return
    waiting, served = walk.state.phase is TalkPhase.HANDING_OVER, walk.state.phase is TalkPhase.WITH_AGENT
    if isinstance(given, HandoverDone) and waiting:
        walk.state = replace(walk.state, phase=TalkPhase.WITH_AGENT, playing=False, disposition="transferred")
    elif isinstance(given, HandoverFailed) and (waiting or served):
        walk.state = replace(walk.state, disposition="")
        walk.act(enqueue.failed)


def _hung_up(walk: Walk) -> None:
    """They have gone. Who goes while asked whether they want no more calls has answered that."""
    if walk.state.doubt and walk.state.doubt.intent == "stop":
        _opt_out(walk)
    default = "abandoned" if walk.state.phase is TalkPhase.HANDING_OVER else "human"
    disposition = walk.state.disposition or default
    walk.state = replace(walk.state, phase=TalkPhase.ENDED, playing=False, disposition=disposition)


def _fits(script: Script, slot: str, value: str) -> bool:
    """Say whether a value may go into a slot; the nameless slot takes everything."""
    return not slot or script.slots[slot].kind.fits(value)


def _found(paths: Mapping[str, str], body: Json) -> dict[str, str] | None:
    """Return slot -> written value out of a reply, or None when a field is missing or is no value.

    >>> _found({"due": "account.balance", "open": "account.open"}, {"account": {"balance": 42.5, "open": True}})
    {'due': '42.5', 'open': 'yes'}
    """
    found = {slot: _written(_at(body, path)) for slot, path in paths.items()}
    return None if any(value is None for value in found.values()) else {s: v for s, v in found.items() if v is not None}


def _at(body: Json, path: str) -> Json:
    for name in path.split("."):
        match body:
            case dict():
                body = body.get(name)
            case list() if name.isdecimal() and int(name) < len(body):
                body = body[int(name)]
            case _:
                return None
    return body


def _written(value: Json) -> str | None:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float() | str():
            return str(value).strip()
    return None
