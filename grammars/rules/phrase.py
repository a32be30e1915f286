"""Phrases written briefly: `[optional]` words and `(one|of|these)`, the brackets of SRGS 1.0 ABNF (s.2.4, 2.5)."""

from __future__ import annotations

import re
from typing import TypeAlias

from grammars.errors import BadRule
from grammars.lang import ENGLISH, pack
from grammars.spoken import normalise, unspeakable, words_of

MOST = 1000
"""Phrases that one pattern may stand for; more is surely a mistake and would only confuse the recogniser."""

_TOKEN = re.compile(r"[][()|]|[^][()|]+")
_CLOSING = {"[": "]", "(": ")"}


def expand(pattern: str, language: str = ENGLISH) -> tuple[str, ...]:
    """Return every phrase that the pattern stands for, longest options first, as plain lower-case words.

    Raises `BadRule` for brackets that do not match, too many phrases, a phrase without a word, and letters that are
    not said in this language.

    >>> expand("(call|ring) me [back]")
    ('call me back', 'call me', 'ring me back', 'ring me')
    """
    if strange := unspeakable(pattern, language):
        raise BadRule("phrase", f"{pattern!r}: {strange!r} is not said in {pack(language).name}")
    rest = _TOKEN.findall(pattern)[::-1]
    phrases = _alternatives(rest, pattern)
    if rest:
        raise BadRule("phrase", f"{pattern!r} closes a bracket that is not open")
    written = dict.fromkeys(" ".join(phrase.split()) for phrase in phrases)  # optional words repeat each other
    plain = dict.fromkeys(" ".join(words_of(normalise(phrase, language), language)) for phrase in written)
    if "" in plain:
        raise BadRule("phrase", f"{pattern!r} can be said without a word")
    return tuple(plain)


Tree: TypeAlias = "tuple[tuple[str | Tree, ...], ...]"
"""A pattern as it is written: one of these sequences of words and further choices; an empty one may be left out."""


def tree(pattern: str, language: str = ENGLISH) -> Tree:
    """Return a pattern of ours without writing its phrases out, however many there are. Raises `BadRule`.

    >>> tree("(call|ring) me [back]")
    (((('call',), ('ring',)), 'me', (('back',), ())),)
    """
    rest = _TOKEN.findall(pattern)[::-1]
    found = _choice(rest, pattern, language)
    if rest:
        raise BadRule("phrase", f"{pattern!r} closes a bracket that is not open")
    return found


def _choice(rest: list[str], pattern: str, language: str) -> Tree:
    sequences: list[tuple[str | Tree, ...]] = []
    while True:
        sequence: list[str | Tree] = []
        while rest and rest[-1] not in ("|", "]", ")"):
            token = rest.pop()
            if token not in _CLOSING:
                if words := " ".join(words_of(normalise(token, language), language)):
                    sequence.append(words)
                continue
            inner = _choice(rest, pattern, language)
            if not rest or rest.pop() != _CLOSING[token]:
                raise BadRule("phrase", f"{pattern!r} does not close {token!r}")
            sequence.append((*inner, ()) if token == "[" else inner)
        sequences.append(tuple(sequence))
        if not rest or rest[-1] != "|":
            return tuple(sequences)
        rest.pop()


def first_of(tree: Tree) -> str:
    """Return the first phrase of a pattern, with all that may be left out.

    >>> first_of(tree("[please] (call|ring) me"))
    'please call me'
    """
    return " ".join(each if isinstance(each, str) else first_of(each) for each in tree[0])


def _alternatives(rest: list[str], pattern: str) -> list[str]:
    """Read up to a closing bracket or the end; `rest` is a stack of tokens."""
    phrases = _sequence(rest, pattern)
    while rest and rest[-1] == "|":
        rest.pop()
        phrases += _sequence(rest, pattern)
    return phrases


def _sequence(rest: list[str], pattern: str) -> list[str]:
    phrases = [""]
    while rest and rest[-1] not in ("|", "]", ")"):
        token = rest.pop()
        options = [token]
        if token in _CLOSING:
            options = _alternatives(rest, pattern) + ([""] if token == "[" else [])
            if not rest or rest.pop() != _CLOSING[token]:
                raise BadRule("phrase", f"{pattern!r} does not close {token!r}")
        phrases = [f"{before} {option}" for before in phrases for option in options]
        if len(phrases) > MOST:
            raise BadRule("phrase", f"{pattern!r} stands for more than {MOST} phrases")
    return phrases
