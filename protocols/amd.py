"""Who has answered: a person or a machine. Decides on speech, pauses and tones; hears no words.

    a beep, within 30 s of the answer, also while the bot already speaks      a machine
    more than 2.5 s of speech without a pause of 1 s                          a machine: people say "hello?" and wait
    a pause of 1 s after less than that                                       a person
    no speech for 4 s                                                         a person, not sure: nobody is hung up on

What is speech is known when its end is told, which is `TAIL_S` after it: a greeting is judged by its own length, so a
machine that goes on is known 3.3 s after it began.

After a machine has been recognised by its long greeting, the message may start after the beep, or after 2.5 s without
speech where none came, or after 25 s. Tones and cadences of the network are not here: the SIP leg knows those.
Source of the times: the timing stage that answering machine detectors share (2.5 s of speech), with the longer pause.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, assert_never

from protocols.machine import Expired, Notify
from protocols.moments import Moment
from protocols.pauses import TAIL_S
from protocols.replacing import replace
from protocols.wire.messages import BeepHeard, SpeechEnded, SpeechStarted

GREETING_S = 2.5
PAUSE_S = 1.0
NOBODY_S = 4.0
BEEP_WATCH_S = 30.0
QUIET_S = 2.5
AFTER_BEEP_S = 0.2
"""A beep is told when it has ended; some systems record a moment later."""
MACHINE_S = 25.0
LATE_S = 0.4
"""Who is told so late that the greeting is long has stood still and heard none of it (as `supervisors.silence`)."""


@dataclass(frozen=True, slots=True)
class HumanAnswered:
    """Begin to speak. `sure` is False when nothing was heard at all."""

    sure: bool


@dataclass(frozen=True, slots=True)
class MachineAnswered:
    """Be silent. `how`: `greeting` or `beep`."""

    how: str


@dataclass(frozen=True, slots=True)
class MessageMayStart:
    """The machine records now; or there is no message to wait with."""


AmdInput: TypeAlias = SpeechStarted | SpeechEnded | BeepHeard | Expired
AmdEvent: TypeAlias = HumanAnswered | MachineAnswered | MessageMayStart


class AmdStage(StrEnum):
    """What is being decided."""

    LISTENING = "listening"
    """Person or machine."""
    HUMAN = "human"
    """A person; a beep says that it is a machine after all."""
    MACHINE = "machine"
    """When the message may start."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class AmdState:
    """Everything a detector is. Made of plain data, to be packed into a call's record."""

    answered_s: Moment
    wants_message: bool
    stage: AmdStage
    began_s: Moment | None
    """When the first speech began."""
    pause_s: Moment | None
    """Since when nobody speaks; None while somebody does."""
    latest_s: Moment
    """When the stage ends at the latest, where it is not `listening`."""


class Amd:
    """One answered call's detector. `answered_s`: monotonic seconds; `wants_message`: whether a beep is waited for.

    `state` is replaced, never changed, by each step: a detector made of it (`of`) goes on as this one would have.
    """

    def __init__(self, answered_s: float, *, wants_message: bool) -> None:
        latest_s = answered_s + BEEP_WATCH_S
        self.state = AmdState(answered_s, wants_message, AmdStage.LISTENING, None, answered_s, latest_s)

    @classmethod
    def of(cls, state: AmdState) -> Amd:
        """Return the detector that has come to this state."""
        amd = cls.__new__(cls)
        amd.state = state
        return amd

    @property
    def deadline(self) -> float | None:
        """The next moment at which something is decided by time alone."""
        state = self.state
        match state.stage:
            case AmdStage.LISTENING if state.began_s is None:
                return state.answered_s + NOBODY_S
            case AmdStage.LISTENING if state.pause_s is not None:
                return state.pause_s + PAUSE_S
            case AmdStage.LISTENING:
                return state.began_s + GREETING_S + TAIL_S if state.began_s is not None else None
            case AmdStage.HUMAN:
                return state.latest_s
            case AmdStage.MACHINE:
                return state.latest_s if state.pause_s is None else min(state.latest_s, state.pause_s + QUIET_S)
            case AmdStage.DONE:
                return None

    def step(self, given: AmdInput, now: float) -> list[Notify[AmdEvent]]:
        """Take one input at `now` and return what has been decided."""
        return [Notify(event) for event in self._step(given, now)]

    def _step(self, given: AmdInput, now: float) -> list[AmdEvent]:
        match given:
            case SpeechStarted(at_s=at):
                began_s = at if self.state.began_s is None else self.state.began_s
                self.state = replace(self.state, began_s=began_s, pause_s=None)
                return []
            case SpeechEnded(at_s=at):
                self.state = replace(self.state, pause_s=at)
                is_long = self.state.began_s is not None and at - self.state.began_s > GREETING_S
                return self._greeted(now) if is_long and self.state.stage is AmdStage.LISTENING else []
            case BeepHeard():
                return self._beep(now)
            case Expired():
                return self._expired(now)
        assert_never(given)

    def _beep(self, now: float) -> list[AmdEvent]:
        match self.state.stage:
            case AmdStage.LISTENING | AmdStage.HUMAN:
                return [MachineAnswered("beep"), *self._machine(now + AFTER_BEEP_S)]
            case AmdStage.MACHINE:
                self.state = replace(self.state, latest_s=min(self.state.latest_s, now + AFTER_BEEP_S))
        return []

    def _greeted(self, now: float) -> list[AmdEvent]:
        """Nobody says so much and waits for an answer."""
        return [MachineAnswered("greeting"), *self._machine(now + MACHINE_S)]

    def _machine(self, latest_s: float) -> list[AmdEvent]:
        self.state = replace(self.state, stage=AmdStage.MACHINE, latest_s=latest_s, pause_s=None)
        return [] if self.state.wants_message else self._done()

    def _done(self) -> list[AmdEvent]:
        self.state = replace(self.state, stage=AmdStage.DONE)
        return [MessageMayStart()]

    def _expired(self, now: float) -> list[AmdEvent]:
        due = self.deadline
        if due is None or now < due:
            return []
        match self.state.stage:
            case AmdStage.LISTENING:
                return self._decided(now)
            case AmdStage.HUMAN:
                self.state = replace(self.state, stage=AmdStage.DONE)
                return []
        return self._done()

    def _decided(self, now: float) -> list[AmdEvent]:
        state = self.state
        if state.began_s is not None and state.pause_s is None:
            if now - state.began_s > GREETING_S + TAIL_S + LATE_S:  # nobody listened meanwhile: listen anew
                self.state = replace(state, began_s=now)
                return []
            return self._greeted(now)
        self.state = replace(state, stage=AmdStage.HUMAN, latest_s=state.answered_s + BEEP_WATCH_S)
        return [HumanAnswered(sure=state.began_s is not None)]
