"""What a recogniser is, whichever library hears: rules and audio in, guesses out.

A recogniser makes an `Ear` for a script's rules; an ear begins a `Decoding` for each utterance; a decoding is fed and
asked for a `Guess`. Ours are in `engines`; a package of somebody else's names its own under the entry point
`ringmaster.recognisers`: a function that takes a model's directory, or None for its own model, and returns a
`Recogniser`. All are held to the same contract: `tests/nodes/speech/test_contract.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, Protocol

from grammars.rules.spec import RuleSpec
from nodes.speech.turn import Guess

__all__ = ["Capabilities", "Decoding", "Ear", "Recogniser"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a recogniser can do, as data."""

    hears: Literal["grammar", "text"]
    """`grammar`: the script's rules guide the search. `text`: any words, which our rules then read."""
    languages: tuple[str, ...]
    """Those of scripts (`language: en`) that it understands; others are refused when a script is warmed."""
    rates_hz: tuple[int, ...] = (8000,)
    """Of the audio that its models were made for. Decodings are fed 8 kHz, whatever it is."""
    has_partials: bool = True
    """Whether `so_far` says anything: without it nobody interrupts the bot by words."""
    has_confidence: bool = True
    """Whether it tells a phrase of the rules from other speech. Without, confidence is 1 for whatever can be read."""


class Decoding(Protocol):
    """One utterance being heard: `feed` it, look at `so_far`, then `finish`; or `close` it unfinished.

    Used by one thread at a time. After an EngineFailed it is over; there is nothing left to close.
    """

    def feed(self, audio: bytes) -> None:
        """Hear further 8 kHz mu-law. Raises: EngineFailed."""

    def so_far(self, speech_ms: int) -> Guess:
        """What it may become; `speech_ms` of it are speech. Raises: EngineFailed."""

    def finish(self, speech_ms: int) -> Guess:
        """What it was. Raises: EngineFailed."""

    def close(self) -> None:
        """Stop hearing it."""


class Ear(Protocol):
    """Hears utterances with the rules of one script, several at once, in any threads."""

    def begin(self, rules: Sequence[str], today: date) -> Decoding:
        """Start hearing an utterance with these rules, in order of preference.

        Raises: UnknownRule, EngineBusy, EngineFailed.
        """

    def check(self, rules: Iterable[str]) -> None:
        """Raise UnknownRule unless the script has all of these."""

    def close(self) -> None:
        """Free it; what utterances under way have, when they end."""


class Recogniser(Protocol):
    """One library with one model, in a process that has no other."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def ear(self, rules: Mapping[str, RuleSpec], into: Path) -> Ear:
        """Return an ear for these rules (id -> spec); blocks. `into` is a directory of its own, which need not exist.

        Raises: BrokenModel, EngineFailed; `grammars.errors.UnknownWord` for a word nobody can pronounce.
        """
