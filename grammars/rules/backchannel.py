"""What listeners say to show that they listen: "okay", "right", "mm" (`backchannel.tsv`).

Said after a question these are answers; said while somebody still speaks they are none, and ask nobody to stop
(Yngve 1970 named them back-channels).
"""

from __future__ import annotations

from functools import cache

from grammars.lang import ENGLISH, package
from grammars.rules.phrase import expand
from grammars.tables import table


def is_backchannel(words: str, language: str = ENGLISH) -> bool:
    """Say whether these words only show that somebody listens.

    >>> is_backchannel("okay okay"), is_backchannel("okay keep it"), is_backchannel("")
    (True, False, False)
    """
    return words in _phrases(language)


@cache
def _phrases(language: str) -> frozenset[str]:
    rows = table(package(language), "backchannel")
    return frozenset(phrase for (pattern,) in rows for phrase in expand(pattern, language))


__all__ = ["is_backchannel"]
