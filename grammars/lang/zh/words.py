"""What words a text has: each character is one, and each run of Latin letters.

Mandarin writes no spaces, and where words end is disputed even between dictionaries. A character is never wrong: every
phrase of a rule is a sequence of them, so nothing has to be cut, and what is typed is read as what is heard.
"""

from __future__ import annotations

import re
from typing import Final

from grammars.tables import table

HAN: Final = "\u3007\u4e00-\u9fa5"
"""Of a character class: the characters that a voice can be expected to say, the zero `〇` among them."""
_WORD: Final = re.compile(rf"[{HAN}]|[a-z']*[a-z][a-z']*")
_SIMPLIFIED: Final = str.maketrans(
    {one: other for row in table("grammars.lang.zh", "traditional") for one, other in zip(*row, strict=True)}
)


def words_of(text: str) -> list[str]:
    """Return the words of a spoken text: characters in their simplified form, Latin words in lower case.

    >>> words_of("請轉人工，VIP 客服！")
    ['请', '转', '人', '工', 'vip', '客', '服']
    """
    return _WORD.findall(text.translate(_SIMPLIFIED).lower())
