"""The rules that English has modules for: rule -> its transducer. Needs the compiler; nothing else imports it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from grammars.fst import Fst
from grammars.lang.en import date, digits, money, number, ordinal, phone, time
from grammars.rules.spec import RuleSpec

BUILDERS: Final[Mapping[str, Callable[[RuleSpec], Fst]]] = {
    "digits": digits.build,
    "number": number.build,
    "ordinal": ordinal.build,
    "date": date.build,
    "time": time.build,
    "money": money.build,
    "phone": phone.build,
}
