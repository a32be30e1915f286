"""What a callee must be told with the first words: that a machine calls, for whom, and how to have no more calls.

Words are looked for, in the script's own language, from a table that anybody may read and lengthen (`law` of its pack).
A table cannot understand: it finds the scripts that say nothing of the kind, not those that say it badly.
Sources: 47 CFR 64.1200(b)(1) and (3) (identity at the beginning, the opt-out with it), FCC 24-17 (an AI voice is an
artificial one), Regulation (EU) 2024/1689 art. 50(1) (a person is told that they talk to an AI system).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import cache

from grammars.errors import Reason
from grammars.lang import pack, package
from grammars.script_model import Script
from grammars.tables import table
from grammars.template import Sentence

FIRST_SENTENCES = 2
"""Of the identification: "Hello Ann." may come before that a machine calls, and nothing else."""


class Said(StrEnum):
    """What words may say; the second column of the table."""

    AUTOMATED = "automated"
    BEHALF = "behalf"
    OPT_OUT = "opt_out"
    RECORDED = "recorded"


def first_words(script: Script) -> Iterator[Reason]:
    """The callee is told first who calls, that it is a machine, and how to have no more calls."""
    identify = script.identify
    wanted = (
        (Said.AUTOMATED, identify.sentences[:FIRST_SENTENCES], "identify must begin by saying that a machine calls"),
        (Said.BEHALF, identify.sentences, "identify must say on whose behalf the machine calls"),
        (Said.OPT_OUT, _opening(script), "identify, or what follows it, must say how to have no more calls"),
    )
    for what, sentences, reason in wanted:
        if not says(script.language, what, sentences):
            yield Reason(identify.line, f"{reason}, for example: {_example(script.language, what)}")


def announces_recording(script: Script) -> bool:
    """Say whether the callee is told, before the first question is over, that the call is recorded."""
    return says(script.language, Said.RECORDED, _opening(script))


def says(language: str, what: Said, sentences: Iterable[Sentence]) -> bool:
    """Say whether one of the sentences has one of the table's phrases.

    >>> says("en", Said.AUTOMATED, [("This is an automated call.",)]), says("en", Said.AUTOMATED, [("It is me.",)])
    (True, False)
    """
    return any(_pattern(language, what).search(_text(sentence)) for sentence in sentences)


def _opening(script: Script) -> tuple[Sentence, ...]:
    """Return everything that is said before the callee is listened to for the first time."""
    first = script.states.get(script.initial.redirect)
    return (*script.identify.sentences, *script.initial.say.sentences, *(first.say.sentences if first else ()))


def _text(sentence: Sentence) -> str:
    words = "".join(piece if isinstance(piece, str) else f"{{{piece.slot}}}" for piece in sentence)
    return " ".join(words.split())


@cache
def _pattern(language: str, what: Said) -> re.Pattern[str]:
    phrases = "|".join(map(re.escape, _rows(language, what)))
    known = pack(language)
    for place, pattern in known.places.items():
        phrases = phrases.replace(re.escape(place), pattern)
    return re.compile(rf"(?<!{known.edge})(?:{phrases})(?!{known.edge})" if known.edge else phrases, re.IGNORECASE)


def _rows(language: str, what: Said) -> list[str]:
    return [phrase for said, phrase in table(package(language), "law") if said == what]


def _example(language: str, what: Said) -> str:
    return _rows(language, what)[0].replace("<who>", "{company}")


__all__ = ["Said", "announces_recording", "first_words", "says"]
