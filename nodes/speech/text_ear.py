"""An ear for recognisers that only write down what they hear: any words, which the script's rules then read.

What such a library has to bring is a `Transcript`. Digits ("421", "3:30 pm") are read as the rule would say them, and
what people say while they think is left out. A grammar is no help to the search here: what is heard is as good as the
language model, and a phrase of the rules among other words is not an answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Final, Protocol, TypeVar

from grammars.rules.ruleset import RuleSet
from grammars.spoken import words_of
from nodes.speech.confidence import REJECT
from nodes.speech.errors import EngineFailed
from nodes.speech.pool import Pool
from nodes.speech.rules import Rules, guess
from nodes.speech.turn import Guess

__all__ = ["TextDecoding", "TextEar", "Transcript"]

T = TypeVar("T")

MAX_UTTERANCES: Final = 32
KEPT: Final = 2
HESITATIONS: Final = frozenset("uh um er hm hmm mhm ah".split())


class Transcript(Protocol):
    """One utterance as text; any method may raise EngineFailed, after which it is of no more use."""

    def feed(self, audio: bytes) -> None:
        """Hear further 8 kHz mu-law."""

    def text(self) -> tuple[str, float]:
        """Return what was said so far, and how sure that is, 0 to 1 (1 where the library does not say)."""

    def finish(self) -> tuple[str, float]:
        """The same, of all of it."""

    def again(self) -> None:
        """Forget it, and be ready for the next utterance."""


class TextEar:
    """Hears utterances as text, and reads them with the rules of one script."""

    def __init__(self, rules: Rules, start: Callable[[], Transcript]) -> None:
        """`start` makes a transcript, of which some are kept for the next utterances."""
        self._rules = rules
        self._transcripts: Pool[Transcript] = Pool(start, most=MAX_UTTERANCES, kept=KEPT)

    def begin(self, rules: Sequence[str], today: date) -> TextDecoding:
        """Start hearing an utterance with these rules. Raises: UnknownRule, EngineBusy, EngineFailed."""
        chosen = self._rules.choose(rules, today)
        return TextDecoding(self._transcripts, self._transcripts.take(), chosen)

    def check(self, rules: Iterable[str]) -> None:
        """Raise UnknownRule unless the script has all of these."""
        self._rules.check(rules)

    def close(self) -> None:
        """Free what is kept."""
        self._transcripts.close()


class TextDecoding:
    """One utterance being heard."""

    def __init__(self, transcripts: Pool[Transcript], transcript: Transcript, rules: RuleSet) -> None:
        self._transcripts, self._transcript, self._rules = transcripts, transcript, rules

    def feed(self, audio: bytes) -> None:
        """Hear further 8 kHz mu-law. Raises: EngineFailed."""
        self._or_end(lambda: self._transcript.feed(audio))

    def so_far(self, speech_ms: int) -> Guess:
        """What it may become. Raises: EngineFailed."""
        return read(self._rules, *self._or_end(self._transcript.text))

    def finish(self, speech_ms: int) -> Guess:
        """What it was. Raises: EngineFailed."""
        found = read(self._rules, *self._or_end(self._transcript.finish))
        self._end()
        return found

    def close(self) -> None:
        """Stop hearing it."""
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(EngineFailed):  # then it has been discarded
            self._or_end(self._transcript.again)
            self._transcripts.give_back(self._transcript)

    def _or_end(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except EngineFailed:
            self._transcripts.discard(self._transcript)
            raise


def read(rules: RuleSet, text: str, sure: float) -> Guess:
    """What a text is by these rules: as it stands, or as its numbers are said."""
    words = " ".join(word for word in words_of(text, rules.language) if word not in HESITATIONS)
    found = guess(rules, words, sure)
    if found.meaning or sure < REJECT or not (written := rules.read(text)):
        return found
    aloud = rules.rules[written.rule]
    said = aloud.say(next(iter(written.slots.values()), ""))
    return guess(rules, said, sure) if said else found
