"""Who has answered: a person or a machine. Decides on speech, pauses and tones; hears no words.

    a beep, within 30 s of the answer, also while the bot already speaks      a machine
    more than 2.5 s of speech without a pause of 1 s                          a machine: people say "hello?" and wait
    a pause of 1 s after less than that                                       a person
    no speech for 4 s                                                         a person, not sure: nobody is hung up on

After a machine has been recognised by its long greeting, the message may start after the beep, or after 2.5 s without
speech where none came, or after 25 s. Tones and cadences of the network are not here: the SIP leg knows those.
Source of the times: the timing stage that answering machine detectors share (2.5 s of speech), with the longer pause.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias, assert_never

from protocols.machine import Expired, Notify
from protocols.wire.messages import BeepHeard, SpeechEnded, SpeechStarted

GREETING_S = 2.5
PAUSE_S = 1.0
NOBODY_S = 4.0
BEEP_WATCH_S = 30.0
QUIET_S = 2.5
AFTER_BEEP_S = 0.5
"""A beep is told while it still sounds."""
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


class _Stage(Enum):
    LISTENING = auto()
    HUMAN = auto()
    MACHINE = auto()
    DONE = auto()


class Amd:
    """One answered call's detector. `answered_s`: monotonic seconds; `wants_message`: whether a beep is waited for."""

    def __init__(self, answered_s: float, *, wants_message: bool) -> None:
        self._wants_message = wants_message
        self._stage = _Stage.LISTENING
        self._answered = answered_s
        self._began: float | None = None
        self._pause: float | None = answered_s
        self._latest = answered_s + BEEP_WATCH_S

    @property
    def deadline(self) -> float | None:
        """The next moment at which something is decided by time alone."""
        match self._stage:
            case _Stage.LISTENING if self._began is None:
                return self._answered + NOBODY_S
            case _Stage.LISTENING if self._pause is not None:
                return self._pause + PAUSE_S
            case _Stage.LISTENING:
                return self._began + GREETING_S if self._began is not None else None
            case _Stage.HUMAN:
                return self._latest
            case _Stage.MACHINE:
                return self._latest if self._pause is None else min(self._latest, self._pause + QUIET_S)
            case _Stage.DONE:
                return None

    def step(self, given: AmdInput, now: float) -> list[Notify[AmdEvent]]:
        """Take one input at `now` and return what has been decided."""
        return [Notify(event) for event in self._step(given, now)]

    def _step(self, given: AmdInput, now: float) -> list[AmdEvent]:
        match given:
            case SpeechStarted(at_s=at):
                self._began, self._pause = (at if self._began is None else self._began), None
                return []
            case SpeechEnded(at_s=at):
                self._pause = at
                return []
            case BeepHeard():
                return self._beep(now)
            case Expired():
                return self._expired(now)
        assert_never(given)

    def _beep(self, now: float) -> list[AmdEvent]:
        match self._stage:
            case _Stage.LISTENING | _Stage.HUMAN:
                return [MachineAnswered("beep"), *self._machine(now + AFTER_BEEP_S)]
            case _Stage.MACHINE:
                self._latest = min(self._latest, now + AFTER_BEEP_S)
        return []

    def _machine(self, latest: float) -> list[AmdEvent]:
        self._stage, self._latest, self._pause = _Stage.MACHINE, latest, None
        return [] if self._wants_message else self._done()

    def _done(self) -> list[AmdEvent]:
        self._stage = _Stage.DONE
        return [MessageMayStart()]

    def _expired(self, now: float) -> list[AmdEvent]:
        due = self.deadline
        if due is None or now < due:
            return []
        match self._stage:
            case _Stage.LISTENING:
                return self._decided(now)
            case _Stage.HUMAN:
                self._stage = _Stage.DONE
                return []
        return self._done()

    def _decided(self, now: float) -> list[AmdEvent]:
        if self._began is not None and self._pause is None:
            if now - self._began > GREETING_S + LATE_S:  # nobody listened meanwhile: they are listened to anew
                self._began = now
                return []
            return [MachineAnswered("greeting"), *self._machine(now + MACHINE_S)]
        self._stage, self._latest = _Stage.HUMAN, self._answered + BEEP_WATCH_S
        return [HumanAnswered(sure=self._began is not None)]
