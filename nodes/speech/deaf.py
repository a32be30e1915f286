"""An ear for a language that this process's recogniser does not hear: all that is said is not understood.

Whoever is asked in such a language answers with keys, which media hears. A script that has no key for a question has no
such ear: nobody could answer it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from grammars.rules.rule import Completeness
from nodes.speech.errors import UnknownRule
from nodes.speech.turn import Guess

__all__ = ["DeafEar"]

_NOTHING = Guess("", Completeness.NO, 0.0, None)


class DeafEar:
    """Of a script with these rules."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._rules = frozenset(rules)

    def begin(self, rules: Sequence[str], today: date) -> _DeafDecoding:
        """Start hearing nothing. Raises: UnknownRule."""
        self.check(rules)
        return _DeafDecoding()

    def check(self, rules: Iterable[str]) -> None:
        """Raise UnknownRule unless the script has all of these."""
        for rule in rules:
            if rule not in self._rules:
                raise UnknownRule(rule)

    def close(self) -> None:
        """There is nothing to free."""


class _DeafDecoding:
    """One utterance, of which nothing is known."""

    def feed(self, audio: bytes) -> None:
        """Take no notice."""

    def so_far(self, speech_ms: int) -> Guess:
        """Nothing."""
        return _NOTHING

    def finish(self, speech_ms: int) -> Guess:
        """Nothing."""
        return _NOTHING

    def close(self) -> None:
        """There is nothing to free."""
