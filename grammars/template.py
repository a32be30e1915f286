"""What a script says: text with slots, sentence by sentence.

The sentence is the unit of synthesis: sentences without slots are rendered before the first call, the others while
the telephone rings or when they are needed, each cached by its words. A slot's value is written text, and its kind
says how it is spoken: `{balance}` as its slot is declared, `{account:digits}` as said there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeAlias

from grammars.lang import ENGLISH
from protocols.wire.messages import Part


class Kind(StrEnum):
    """What a slot holds; the value is written text, and the kind says how it is spoken."""

    TEXT = "text"
    DATE = "date"
    TIME = "time"
    MONEY = "money"
    NUMBER = "number"
    ORDINAL = "ordinal"
    DIGITS = "digits"
    PHONE = "phone"

    def fits(self, value: str) -> bool:
        """Say whether `value` is written as this kind is written.

        >>> Kind.DATE.fits("2026-03-03"), Kind.TIME.fits("9 pm"), Kind.MONEY.fits("42.50")
        (True, False, True)
        >>> Kind.DATE.fits("2026-02-30")
        False

        No value is longer than a sentence can have:

        >>> Kind.NUMBER.fits("126.30000000000001"), Kind.NUMBER.fits("1." + "3" * 60_000), Kind.TEXT.fits("x" * 201)
        (True, False, False)
        """
        return _WRITTEN[self].fullmatch(value) is not None and (self is not Kind.DATE or _is_a_day(value))


_WRITTEN: Mapping[Kind, re.Pattern[str]] = {
    Kind.TEXT: re.compile(r"(?=.*\S).{1,200}"),
    Kind.DATE: re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", re.ASCII),
    Kind.TIME: re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII),
    Kind.MONEY: re.compile(r"\d{1,9}(\.\d{1,2})?", re.ASCII),
    Kind.NUMBER: re.compile(r"-?\d{1,12}(\.\d{1,20})?", re.ASCII),
    Kind.ORDINAL: re.compile(r"[1-9]\d{0,8}", re.ASCII),
    Kind.DIGITS: re.compile(r"\d{1,24}", re.ASCII),
    Kind.PHONE: re.compile(r"\+?\d{3,15}", re.ASCII),
}


def _is_a_day(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


Prompt: TypeAlias = tuple[Part, ...]
"""One sentence, ready to be rendered."""


@dataclass(frozen=True, slots=True)
class Value:
    """The place of a slot in a template."""

    slot: str
    kind: Kind


Sentence: TypeAlias = tuple[str | Value, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """Text with slots, sentence by sentence."""

    line: int = 0
    sentences: tuple[Sentence, ...] = ()

    def __bool__(self) -> bool:
        """Say whether there is anything to say."""
        return bool(self.sentences)

    def values(self) -> Iterator[Value]:
        """Yield the places of slots."""
        yield from (piece for sentence in self.sentences for piece in sentence if isinstance(piece, Value))

    def speakable(self, slots: Mapping[str, str]) -> tuple[Prompt, ...]:
        """Return the sentences whose slots all have a value."""
        known = (s for s in self.sentences if all(isinstance(piece, str) or slots.get(piece.slot) for piece in s))
        return tuple(_filled(sentence, slots) for sentence in known)

    def prompts(self, slots: Mapping[str, str]) -> tuple[Prompt, ...]:
        """Fill in the slots. One without a value is left out: the checker has seen to it that it has one."""
        return tuple(prompt for sentence in self.sentences if (prompt := _filled(sentence, slots)))

    def text(self, slots: Mapping[str, str], quote: Callable[[str], str] = str) -> str:
        """Return it as one text, each value passed through `quote`."""
        pieces = (piece for sentence in self.sentences for piece in sentence)
        return "".join(piece if isinstance(piece, str) else quote(slots.get(piece.slot, "")) for piece in pieces)


def in_language(prompts: tuple[Prompt, ...], language: str) -> tuple[Prompt, ...]:
    """Return the same sentences, to be said in this language."""
    if language == ENGLISH:
        return prompts
    return tuple(tuple(Part(part.text, part.kind, language) for part in prompt) for prompt in prompts)


def _filled(sentence: Sentence, slots: Mapping[str, str]) -> Prompt:
    spoken = (Part(p) if isinstance(p, str) else _part(p, slots.get(p.slot, "")) for p in sentence)
    return tuple(part for part in spoken if part.text)


def _part(value: Value, text: str) -> Part:
    return Part(text, value.kind.value)
