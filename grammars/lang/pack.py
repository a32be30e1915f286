"""What a language must bring: one dataclass, and the names of its tables and of its rules.

`tests/grammars/lang/test_packs.py` holds every pack to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

TABLES = (
    "yes_no", "repeat", "human", "stop", "wrong_number", "call_later", "who", "busy", "wait", "unsure",
    "wrapping", "backchannel", "law", "usual_words",
)  # fmt: skip
"""Tables of phrases that each pack has: `yes_no` and the intents, what stands around them, what a listener says, what
a callee must be told, and what a script says that has no words of its own for it."""

HEARD = ("digits", "number", "ordinal", "date", "time", "money", "phone")
"""Rules that each pack builds in a module of its own (`BUILDERS` of its module `hearing`): rule -> words to reading.
A reading is the same in all languages (`grammars/rules/readings.py`)."""


@dataclass(frozen=True, slots=True)
class Pack:
    """One language, as far as it needs no compiler."""

    name: str
    """What people call it, in English."""
    words_of: Callable[[str], list[str]]
    """Text -> the words that the rules hear, in the recogniser's spelling."""
    normalise: Callable[[str], str]
    """Prompt text -> words and pauses for the voice, without digits and symbols. Raises nothing."""
    kinds: Mapping[str, Callable[[str], str]]
    """Kind of a slot -> its written value in words. Raises `ValueError` for what is no such value."""
    unspeakable: Callable[[str], str]
    """Text -> the letters and digits in it that its voice cannot say."""
    sentence_end: re.Pattern[str]
    """What stands between two sentences; it may be empty."""
    longest_sentence: int
    """Characters: forty seconds without a breath, and what waits for the voice meanwhile waits as long as it takes."""
    places: Mapping[str, str]
    """`<name>` and `<who>`, which stand for somebody in the table `law` -> a regular expression."""
    edge: str = r"\w"
    """What may stand neither before nor after a phrase of that table: a character class; empty where words touch."""


__all__ = ["HEARD", "TABLES", "Pack"]
