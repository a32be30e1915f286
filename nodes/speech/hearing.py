"""One utterance on its way from sound to meaning: its audio, how to hear it, and what it is taken for so far."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from nodes.speech.recogniser import Decoding, Ear
from nodes.speech.turn import Guess
from nodes.speech.utterance import BYTES_PER_MS, Utterance
from protocols.wire.messages import Hear

__all__ = ["Hearing"]

REST_MS = 1000
"""How long what is said after an answer waits for the edge to ask again."""


@dataclass(slots=True)
class Hearing:
    """What a channel's task works at. The loop adds audio while a thread decodes what was there before."""

    utterance: Utterance
    wanted: Hear | None = None
    """How to hear it; None while nobody has asked, after an answer."""
    ear: Ear | None = None
    guess: Guess | None = None
    """What it is if it ends here; None when there is no guess for all that was said."""
    told: tuple[str, bool] = ("", False)
    """The words of the last partial, and whether they could be an answer."""
    _decoding: Decoding | None = None
    _n_fed: int = 0

    def ask(self, wanted: Hear, ear: Ear) -> None:
        """Say how to hear it."""
        self.wanted, self.ear = wanted, ear

    def is_for(self, wanted: Hear) -> bool:
        """Whether it is heard for the turn of this wish."""
        return self.wanted is not None and self.wanted.turn == wanted.turn

    @property
    def is_fresh_rest(self) -> bool:
        """Whether it goes on after an answer, and is not yet long enough to be speech over a prompt."""
        return self.wanted is None and len(self.utterance.audio) < REST_MS * BYTES_PER_MS

    @property
    def unfed(self) -> int:
        """Bytes that no decoder has heard: all of them again, once a guess has ended the decoding."""
        return len(self.utterance.audio) - (self._n_fed if self._decoding else 0)

    def take_unfed(self) -> bytes:
        """The audio to `decode` next. Called on the loop, which may add to it meanwhile."""
        audio = bytes(self.utterance.audio[len(self.utterance.audio) - self.unfed :])
        self._n_fed = len(self.utterance.audio)
        return audio

    def decode(self, audio: bytes, speech_ms: int, today: date, *, finish: bool) -> Guess:
        """Hear more of it, in a thread: what it may become, or with `finish` what it is. Raises: SpeechError.

        `speech_ms`: how long the caller has spoken by the end of this audio.
        """
        assert self.ear
        assert self.wanted
        decoding = self._decoding or self.ear.begin(self.wanted.rules, today)
        self._decoding = None  # stays so when it fails: the next attempt begins anew
        decoding.feed(audio)
        if finish:
            return decoding.finish(speech_ms)
        guess = decoding.so_far(speech_ms)
        self._decoding = decoding
        return guess

    def close(self) -> None:
        """Free the decoder of an utterance that nobody needs any more."""
        if self._decoding:
            self._decoding.close()
