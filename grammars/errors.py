"""What goes wrong with language, by name.

    GrammarError
        BadRule         a rule is asked for that cannot be: unknown name, parameter out of range, ambiguous phrase
        UnknownWord     no pronunciation can be found or guessed
        UnknownLanguage there is no pack of this language
        ScriptError     a conversation script that must not be run, with every reason and its line
        WrongScript     a conversation was to be resumed with another script than it began with

Speech that is not understood is no error: it is the value None.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_MOST_REASONS = 100
_LONGEST = 300
"""Characters of a reason, which may quote a stranger's script."""


class GrammarError(Exception):
    """The root of this room's errors."""


class BadRule(GrammarError):
    """The rule `rule` cannot be made, because of `reason`."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule
        self.reason = reason


class UnknownWord(GrammarError):
    """Nobody knows how to say `word`."""

    def __init__(self, word: str) -> None:
        super().__init__(f"no pronunciation for {word!r}")
        self.word = word


class UnknownLanguage(GrammarError):
    """There is no pack of `language`; `known` are those that there are."""

    def __init__(self, language: str, known: Iterable[str]) -> None:
        self.language, self.known = language, tuple(known)
        super().__init__(f"no language {language[:40]!r}; there are {', '.join(self.known)}")


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """Why a script is refused: the line (from 1) and what is wrong there."""

    line: int
    reason: str


class ScriptError(GrammarError):
    """The script must not be run. `reasons` holds the first of what was found, in the order of the lines."""

    def __init__(self, reasons: Iterable[Reason]) -> None:
        short = {Reason(each.line, each.reason[:_LONGEST]) for each in reasons}
        self.reasons = tuple(sorted(short))[:_MOST_REASONS]
        super().__init__("\n".join(f"line {each.line}: {each.reason}" for each in self.reasons))


class WrongScript(GrammarError):
    """A conversation that is pinned to the script `pinned` was given the script `given`."""

    def __init__(self, pinned: str, given: str) -> None:
        super().__init__(f"pinned to {pinned}, not {given}")
        self.pinned = pinned
        self.given = given
