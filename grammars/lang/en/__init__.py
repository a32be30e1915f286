"""American English."""

from __future__ import annotations

import re
from typing import Final

from grammars.lang.en import values
from grammars.lang.en.free_text import normalise, unspeakable
from grammars.lang.en.words import words_of
from grammars.lang.pack import Pack

_NAME: Final = r"(?:the )?(?:\{(?!name\})[a-z0-9_]+\}|(?-i:[^\W\d_a-zäöüß])[\w&'-]*)"

PACK: Final = Pack(
    name="English",
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
    sentence_end=re.compile(r"(?<=[.?!])(?<!Mr\.)(?<!Mrs\.)(?<!Ms\.)(?<!Dr\.)(?<!St\.)\s+"),
    longest_sentence=600,
    places={"<name>": _NAME, "<who>": rf"(?:{_NAME}|the [^\W\d_]+)"},
)
