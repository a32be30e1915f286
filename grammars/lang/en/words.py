"""What words a text has, in the recogniser's spelling."""

from __future__ import annotations

import re

_WORD = re.compile(r"[a-z']*[a-z][a-z']*")
_MERIDIEM = re.compile(r"\b([AP])M\b")


def words_of(text: str) -> list[str]:
    """Return the words of a spoken text as the recogniser writes them: lower case, no punctuation, `PM` as `p m`.

    The synthesiser is given `AM` in capitals, which it spells; the "a" of "a m" it would read as an article.

    >>> words_of("It's three PM, isn't it?")
    ["it's", 'three', 'p', 'm', "isn't", 'it']
    """
    return _WORD.findall(_MERIDIEM.sub(r"\1 M", text).lower())
