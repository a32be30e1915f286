"""When to answer: the turn detector's decision. Plain functions; no audio, no clock, no engine.

A voice detector alone must wait out every pause. The grammar knows more: after "yes" nothing that may follow matters,
after "twenty" a "three" may come, and nobody stops after "my number is". So we guess early, at 150 ms of silence, and
how long we then wait for more depends on what was guessed. Speech that goes on makes the guess void.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from grammars.lang import ENGLISH
from grammars.rules.backchannel import is_backchannel
from grammars.rules.rule import Completeness
from nodes.audio.vad import PAUSES_MS
from nodes.speech.confidence import ACCEPT, REJECT
from protocols.pauses import COMPLETE_S, INCOMPLETE_S
from protocols.wire.messages import Meaning

__all__ = ["GUESS_MS", "Guess", "Patience", "Step", "begins", "next_step", "patience_ms"]

GUESS_MS, UNSURE_MS, UNLIKELY_MS, NOTHING_MS = PAUSES_MS
"""The pauses at which something is decided. Media knows them, too: it lets no frame wait that completes one.

150 ms of silence before the first guess: shorter falls into the closure of a `t` or `p` too often.
200 after a phrase that was perhaps not said: one answer in twelve, and half a second after those made the whole turn
440 (p95; 350 is promised).
300 after a phrase that hardly ever goes on ("march third", and then the year).
800 after what is no phrase: the whole tail of the voice detector.
How long who may go on is waited for is the question's (`Patience`).
"""


LIKELY = 0.2
"""From this probability on a phrase is one that may go on (`Guess.more`)."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What an utterance is, if it ends here. `confidence` 0..1 says whether it is a phrase of the grammar at all,
    `certainty` that it is this one and no other."""

    words: str
    completeness: Completeness
    confidence: float
    meaning: Meaning | None
    certainty: float = 1.0
    more: float = 1.0
    """How likely it is that what follows changes it, by the grammar."""
    language: str = ENGLISH
    """Of the rules that were heard with."""

    @property
    def is_backchannel(self) -> bool:
        """Whether the words only show that somebody listens."""
        return is_backchannel(self.words, self.language)


@dataclass(frozen=True, slots=True)
class Patience:
    """What a question allows, in ms of silence (VoiceXML's `completetimeout` and `incompletetimeout`)."""

    complete_ms: float = COMPLETE_S * 1000
    """After a phrase that may well go on. What is said later is heard under the next question."""
    incomplete_ms: float = INCOMPLETE_S * 1000
    """After the beginning of a phrase. It is longer than the tail of the voice detector, so speech that begins anew
    meanwhile is the same utterance."""


class Step(Enum):
    """What to do now with an utterance."""

    LISTEN = auto()
    GUESS = auto()
    """Say what it is as if it ended here."""
    ANSWER = auto()
    """Tell the guess: the turn is ours."""


def next_step(silence_ms: float, guess: Guess | None, patience: Patience, *, is_over: bool) -> Step:
    """Decide. `guess` is None until there is one for all the speech so far; `is_over`: its frames have ended.

    >>> yes = Guess("yes", Completeness.COMPLETE, 0.9, None)
    >>> [next_step(ms, None, Patience(), is_over=False) for ms in (100, 160)]
    [<Step.LISTEN: 1>, <Step.GUESS: 2>]
    >>> next_step(160, yes, Patience(), is_over=False)
    <Step.ANSWER: 3>
    """
    if guess is None:
        return Step.GUESS if is_over or silence_ms >= GUESS_MS else Step.LISTEN
    return Step.ANSWER if silence_ms >= patience_ms(guess, patience) else Step.LISTEN


def begins(guess: Guess) -> bool:
    """Whether an unfinished utterance has begun like an answer: enough to stop a prompt for.

    Of answers, 70 to 90 % show it before they end, noise and tones never, other speech one time in six. Who says
    "okay" listens, and wants to hear the rest.
    """
    if guess.is_backchannel:
        return False
    return guess.completeness is not Completeness.NO and guess.confidence >= ACCEPT


def patience_ms(guess: Guess, allowed: Patience) -> float:
    """How much silence makes the turn ours after this guess.

    >>> patience_ms(Guess("twenty", Completeness.EXTENDABLE, 0.9, None), Patience(complete_ms=700))
    700
    """
    match guess.completeness:
        case Completeness.NO:
            return NOTHING_MS
        case _ if guess.confidence < REJECT:
            return NOTHING_MS
        case Completeness.PREFIX:
            return allowed.incomplete_ms
        case Completeness.COMPLETE:
            return GUESS_MS if guess.confidence >= ACCEPT else UNSURE_MS
        case Completeness.EXTENDABLE if guess.more < LIKELY:
            return min(UNLIKELY_MS, allowed.complete_ms)
        case Completeness.EXTENDABLE:
            return allowed.complete_ms
        case other:
            assert_never(other)
