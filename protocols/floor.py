"""Whose turn it is: from speech, silence, keys and playback to one answer for each `Listen`.

The floor is told what media and speech processes hear, as it arrives, and what the bot plays. Each `Listen` ends in
exactly one of `Understood`, `NotUnderstood`, `Silence` and `Pressed`; and the prompt is stopped when the callee barges
in, which is decided by the policy of the state:

    off       nothing; what is said meanwhile is no answer, so `Listen` follows the prompt
    dtmf      only a key: `Listen` follows the prompt here, too, and the next prompt replaces this one
    grammar   a key, or words that can begin an answer: "mm-hm", a cough and the television do not
    speech    a key, or 300 ms of any speech

Clocks: silence counts from the moment nobody speaks (the prompt has ended, the last utterance has come to nothing).
An utterance counts for the turn when it began after `Listen`; the engine hears from the next utterance on, too.
Not here: when a phrase is complete (the engine's grammar knows), what an answer means (the script knows).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, assert_never

from protocols.machine import Expired, Notify
from protocols.moments import Moment, shifted
from protocols.pauses import COMPLETE_S, INCOMPLETE_S
from protocols.replacing import replace
from protocols.wire.messages import DigitPressed, Heard, Meaning, Partial, SpeechEnded, SpeechStarted

BARGE_IN_S = 0.3
"""So much speech stops a prompt under `speech` (the usual confirmation is 0.2 to 0.5 s)."""

MEANT_S = 1.5
"""Who speaks over a prompt for so long wants to be heard, whatever comes of it."""
MOST_ALARMS = 2
"""So often a prompt goes on after it was stopped for nothing; then somebody seems to mean it."""

RESULT_S = 2.0
"""A result that is later than this after the end of speech will not come: the engine has died without a successor."""


class Bargein(StrEnum):
    """What may interrupt a prompt."""

    OFF = "off"
    SPEECH = "speech"
    GRAMMAR = "grammar"
    DTMF = "dtmf"

    @property
    def listens_while_playing(self) -> bool:
        """Say whether the callee is heard while the prompt plays; if not, `Listen` follows the prompt."""
        return self in (Bargein.SPEECH, Bargein.GRAMMAR)


@dataclass(frozen=True, slots=True)
class Listen:
    """The callee may speak now. `rules`: ids of the script, for the engine. A new `Listen` replaces the last."""

    turn: int
    rules: tuple[str, ...]
    bargein: Bargein
    noinput_s: float
    """So long may nobody speak."""
    speech_s: float
    """So long may the callee speak without being understood."""
    complete_s: float = COMPLETE_S
    incomplete_s: float = INCOMPLETE_S
    """So long may they pause (`Hear`)."""


@dataclass(frozen=True, slots=True)
class StopListening:
    """The turn is over without an answer: the call ends, or an agent takes it."""


@dataclass(frozen=True, slots=True)
class PromptStarted:
    """The bot speaks from now on."""


@dataclass(frozen=True, slots=True)
class PromptEnded:
    """The bot has said all, or was stopped."""


@dataclass(frozen=True, slots=True)
class StopPrompt:
    """Stop playing at once: the callee has taken the floor. No `PromptEnded` is needed afterwards."""


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """What stopped the prompt was nothing: say the rest of it. The question stays open."""


@dataclass(frozen=True, slots=True)
class Understood:
    """The callee's answer. `ended_s`: their last voiced frame, for the measurement of turns."""

    meaning: Meaning
    words: str
    confidence: float = 1.0
    ended_s: Moment = 0.0


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """The callee spoke, and it was no answer. `words`: the nearest guess, or nothing."""

    words: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """The callee said nothing for `noinput_s`."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """A key, whoever had the floor."""

    digit: str


_FromTheEdge: TypeAlias = Listen | StopListening | PromptStarted | PromptEnded
_AsItArrives: TypeAlias = SpeechStarted | SpeechEnded | Partial | Heard | DigitPressed
FloorInput: TypeAlias = _FromTheEdge | _AsItArrives | Expired
FloorEvent: TypeAlias = StopPrompt | FalseAlarm | Understood | NotUnderstood | Silence | Pressed


@dataclass(frozen=True, slots=True)
class FloorUtterance:
    """Speech that counts for the turn."""

    number: int
    since_s: Moment
    over_prompt: bool
    """It began while the bot spoke, and has neither stopped it nor outlasted it."""
    ended_s: Moment | None = None
    has_stopped: bool = False
    """It has stopped the prompt."""


@dataclass(frozen=True, slots=True)
class FloorState:
    """Everything a floor is. Made of plain data, to be packed into a call's record."""

    listen: Listen | None = None
    is_playing: bool = False
    is_speaking: bool = False
    utterance: FloorUtterance | None = None
    quiet_since_s: Moment = 0.0
    n_alarms: int = 0
    """How often a prompt was stopped for nothing in this turn."""

    def later(self, seconds: float) -> FloorState:
        """Return the floor as if so much less time had passed: nobody was there to listen."""
        return shifted(self, seconds)


class Floor:
    """One call's floor. Steps on what happens and tells, through `Notify`, whose turn came to what.

    `state` is replaced, never changed, by each step: a floor made of it anew goes on as this one would have.
    """

    def __init__(self, state: FloorState | None = None) -> None:
        self.state = state or FloorState()

    @property
    def deadline(self) -> float | None:
        """The next moment at which silence, too long speech or a missing result means something.

        While a turn is open and nothing plays there always is one, so that no turn waits for ever.
        """
        state = self.state
        listen, utterance = state.listen, state.utterance
        if listen is None:
            return None
        if utterance and utterance.ended_s is not None:
            return utterance.ended_s + RESULT_S
        if state.is_playing:
            barges = utterance and listen.bargein is Bargein.SPEECH
            return utterance.since_s + BARGE_IN_S if utterance and barges else None
        if state.is_speaking:
            since_s = max(utterance.since_s, state.quiet_since_s) if utterance else state.quiet_since_s
            return since_s + listen.speech_s
        return state.quiet_since_s + listen.noinput_s

    def step(self, given: FloorInput, now: float) -> list[Notify[FloorEvent]]:
        """Take one input at `now` (monotonic seconds) and return what it means for the floor."""
        return [Notify(event) for event in self._step(given, now)]

    def _step(self, given: FloorInput, now: float) -> list[FloorEvent]:
        match given:
            case Listen() | StopListening():
                listen = given if isinstance(given, Listen) else None
                self.state = replace(self.state, listen=listen, utterance=None, quiet_since_s=now, n_alarms=0)
            case PromptStarted():
                self.state = replace(self.state, is_playing=True)
            case PromptEnded():
                self._prompt_ended(now)
            case SpeechStarted() | SpeechEnded():
                self._speech(given, now)
            case Partial():
                return self._partial(given)
            case Heard():
                return self._heard(given, now)
            case DigitPressed():
                return self._pressed(given)
            case Expired():
                return self._expired(now)
            case _:
                assert_never(given)
        return []

    def _prompt_ended(self, now: float) -> None:
        """The floor is the callee's; who is still speaking speaks to the question."""
        said = self.state.utterance
        if said and said.ended_s is None:
            said = replace(said, over_prompt=False)
        self.state = replace(self.state, is_playing=False, utterance=said, quiet_since_s=now)

    def _speech(self, given: SpeechStarted | SpeechEnded, now: float) -> None:
        state, said = self.state, self.state.utterance
        if isinstance(given, SpeechStarted):
            if state.listen:
                said = FloorUtterance(given.utterance, given.at_s, over_prompt=state.is_playing)
            self.state = replace(state, is_speaking=True, utterance=said)
        elif said and said.number == given.utterance:
            self.state = replace(state, is_speaking=False, utterance=replace(said, ended_s=now))
        else:
            self.state = replace(state, is_speaking=False, quiet_since_s=now)

    def _partial(self, partial: Partial) -> list[FloorEvent]:
        listen = self.state.listen
        if listen is None or partial.turn != listen.turn or listen.bargein is not Bargein.GRAMMAR:
            return []
        return self._barge_in() if partial.in_grammar and partial.words else []

    def _heard(self, heard: Heard, now: float) -> list[FloorEvent]:
        listen, said = self.state.listen, self.state.utterance
        if listen is None or heard.turn != listen.turn:
            return []
        if heard.meaning is not None:
            answer = Understood(heard.meaning, heard.words, heard.confidence, heard.speech_ended_s)
            return [*self._barge_in(), *self._ends(answer)]
        if said is None or said.number != heard.utterance:
            return []  # they have begun to speak again, or it was nothing that counts
        is_short = heard.speech_ended_s - said.since_s < MEANT_S
        if said.has_stopped and is_short and not heard.words and self.state.n_alarms < MOST_ALARMS:
            n_alarms = self.state.n_alarms + 1
            self.state = replace(self.state, utterance=None, quiet_since_s=now, n_alarms=n_alarms)
            return [FalseAlarm()]
        return self._comes_to_nothing(heard.words, now)

    def _comes_to_nothing(self, words: str, now: float) -> list[FloorEvent]:
        """End the turn, unless the bot was speaking and nobody meant to interrupt it."""
        if (said := self.state.utterance) and said.over_prompt:
            self.state = replace(self.state, utterance=None, quiet_since_s=now)
            return []
        return self._ends(NotUnderstood(words))

    def _pressed(self, pressed: DigitPressed) -> list[FloorEvent]:
        key = Pressed(pressed.digit)
        return [*self._barge_in(), *self._ends(key)] if self.state.listen else [key]

    def _expired(self, now: float) -> list[FloorEvent]:
        due, said = self.deadline, self.state.utterance
        if due is None or now < due:
            return []
        if said and said.ended_s is not None:
            return self._comes_to_nothing("", now)
        if self.state.is_playing:
            return self._barge_in()
        return self._ends(NotUnderstood() if self.state.is_speaking else Silence())

    def _barge_in(self) -> list[FloorEvent]:
        """Give the floor to the callee, if the bot has it."""
        if not self.state.is_playing:
            return []
        said = self.state.utterance
        if said:
            said = replace(said, over_prompt=False, has_stopped=True)
        self.state = replace(self.state, is_playing=False, utterance=said)
        return [StopPrompt()]

    def _ends(self, answer: FloorEvent) -> list[FloorEvent]:
        self.state = replace(self.state, listen=None, utterance=None)
        return [answer]
