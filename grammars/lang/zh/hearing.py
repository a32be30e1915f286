"""The rules that Mandarin has modules for: rule -> its transducer. Needs the compiler; nothing else imports it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from grammars.fst import Fst
from grammars.lang.zh import counted, date, money, time
from grammars.rules.spec import RuleSpec

BUILDERS: Final[Mapping[str, Callable[[RuleSpec], Fst]]] = {
    "digits": counted.spelled,
    "number": counted.number,
    "ordinal": counted.ordinal,
    "date": date.build,
    "time": time.build,
    "money": money.build,
    "phone": counted.phone,
}
