"""Mandarin, as it is spoken on the Chinese mainland, in simplified characters; traditional ones are heard, too."""

from __future__ import annotations

import re
from typing import Final

from grammars.lang.pack import Pack
from grammars.lang.zh import values
from grammars.lang.zh.free_text import normalise, unspeakable
from grammars.lang.zh.words import words_of

_NOBODY: Final = "(?!您|你|我|他|她|它|自动|自動|智能|智慧|机器|機器|语音|語音|人工)"
"""What a name does not begin with."""
_WHO: Final = rf"(?:\{{(?!name\}})[a-z0-9_]+\}}|{_NOBODY}[\u4e00-\u9fa5A-Za-z]{{2,}})"

PACK: Final = Pack(
    name="Mandarin",
    words_of=words_of,
    normalise=normalise,
    kinds={
        "date": values.say_date,
        "time": values.say_time,
        "money": values.say_money,
        "number": values.say_number,
        "ordinal": values.say_ordinal,
        "digits": values.say_digits,
        "phone": values.say_phone,
    },
    unspeakable=unspeakable,
    sentence_end=re.compile(r"(?<=[。？！])(?![。？！”’」』）])\s*|(?<=[.?!])\s+"),
    longest_sentence=160,
    places={"<name>": _WHO, "<who>": _WHO},
    edge="",
)
