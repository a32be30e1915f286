"""How words are pronounced that a voice would misread character by character: 银行 is yin2 hang2, and not yin2 xing2.

espeak-ng reads pinyin among characters, so its voice is given that in their place (`pinyin.tsv`).
"""

from __future__ import annotations

import re
from typing import Final

from grammars.tables import table

_PINYIN: Final = {row[0]: row[1] for row in table("grammars.lang.zh", "pinyin")}
_KNOWN: Final = re.compile("|".join(sorted(_PINYIN, key=len, reverse=True)))


def respelled(words: str) -> str:
    """Return the words with pinyin for those that are misread.

    >>> respelled("请到银行还款。")
    '请到 yin2 hang2  huan2 kuan3 。'
    """
    return _KNOWN.sub(lambda found: f" {_PINYIN[found[0]]} ", words)
