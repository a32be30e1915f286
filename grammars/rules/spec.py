"""What a script asks to be heard: the name of a rule and its parameters, checked. Pure; compiles nothing.

A `RuleSpec` that exists is a good one: name, parameters, their ranges and the phrases of `choices` are checked when it
is made. `compile.py` turns it into a `Rule` (`rule.py`), which hears.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from grammars.errors import BadRule
from grammars.lang import ENGLISH, pack
from grammars.rules.phrase import expand

INTENTS = ("repeat", "human", "stop", "wrong_number", "call_later", "who", "busy", "wait", "unsure")
"""The rules that hold in every state of a script; each means its own name."""

MOST_PHRASES = 2000
"""That the options of `choices` may stand for, all together: each is written out, in 50 us, when the rule is read."""


class Limit(NamedTuple):
    """The range of a whole-number parameter and what it is when the script does not say."""

    least: int
    most: int
    default: int


ANY_DAY = -99_999
"""`from_days` of a date that may be long past."""

_LIMITS: Mapping[str, Mapping[str, Limit]] = {
    "yes_no": {},
    "digits": {"length": Limit(0, 24, 0), "min": Limit(1, 24, 1), "max": Limit(1, 24, 10)},
    "number": {"min": Limit(0, 999_999_999, 0), "max": Limit(0, 999_999_999, 999_999_999)},
    "ordinal": {"min": Limit(1, 999_999_999, 1), "max": Limit(1, 999_999_999, 999_999_999)},
    "date": {
        "first_year": Limit(1900, 2099, 2000),
        "last_year": Limit(1900, 2099, 2099),
        "from_days": Limit(ANY_DAY, 366, ANY_DAY),
    },
    "time": {},
    "money": {"max": Limit(1, 999_999, 999_999)},
    "phone": {},
    "choices": {},
    **{name: {} for name in INTENTS},
}
"""Rule -> its whole-number parameters. `choices` has `options` besides; `length` 0 is any length."""

NAMES = tuple(_LIMITS)
"""Every rule there is."""


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule by name with its parameters, hashable by content. Raises `BadRule` with the reason.

    digits: `length`, or `min` and `max` (how many digits; 1 to 10). number, ordinal: `min`, `max`. date: `first_year`,
    `last_year`, and `from_days`: how many days from today on it is at least (0: no day in the past). money: `max`
    (whole dollars). choices: `options`, a mapping of value to phrases; a phrase may have `[optional]` words and
    `(one|of)` alternatives (`phrase.py`), and belongs to one value. The others have none.
    Small grammars are heard better: give the bounds that are known.

    >>> RuleSpec("digits", {"length": 4}).integer("length")
    4
    >>> RuleSpec("choices", {"options": {"sales": ["[the] sales [team]"]}}).options["sales"]
    ('the sales team', 'the sales', 'sales team', 'sales')
    """

    name: str
    params: Mapping[str, object] = field(default_factory=dict)
    language: str = ENGLISH

    def __post_init__(self) -> None:
        """Refuse what cannot be compiled. Raises, too: `UnknownLanguage`."""
        pack(self.language)
        if self.name not in _LIMITS:
            raise BadRule(self.name, f"no such rule; there are {', '.join(NAMES)}")
        known = {*_LIMITS[self.name], *(["options"] if self.name == "choices" else [])}
        if strange := sorted(set(self.params) - known):
            raise BadRule(self.name, f"unknown parameter {strange[0]!r}; it has {', '.join(sorted(known)) or 'none'}")
        for name, limit in _LIMITS[self.name].items():
            if not limit.least <= self.integer(name) <= limit.most:
                raise BadRule(self.name, f"{name} must be {limit.least} to {limit.most}")
        for low, high in (("min", "max"), ("first_year", "last_year")):
            if high in known and low in known and self.integer(low) > self.integer(high):
                raise BadRule(self.name, f"{low} is greater than {high}")
        if self.name == "choices":
            self._check_options()

    def __hash__(self) -> int:
        """Equal specs have equal hashes. Parameters may hold lists, so only their names are hashed."""
        return hash((self.name, self.language, *sorted(self.params)))

    def integer(self, name: str) -> int:
        """Return a whole-number parameter of this rule, or its default."""
        value = self.params.get(name, _LIMITS[self.name][name].default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadRule(self.name, f"{name} must be a whole number, not {value!r}")
        return value

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        """Value -> every phrase that means it, as plain words; empty for rules without options."""
        given = self.params.get("options", {})
        if not isinstance(given, Mapping):
            raise BadRule(self.name, "options must map each value to a list of phrases")
        options: dict[str, tuple[str, ...]] = {}
        for value, patterns in given.items():
            options[str(value)] = self._phrases(patterns, MOST_PHRASES - sum(map(len, options.values())))
        return options

    def _phrases(self, patterns: object, most: int) -> tuple[str, ...]:
        if not isinstance(patterns, list | tuple):
            raise BadRule(self.name, f"phrases must be a list, not {patterns!r}")
        phrases: list[str] = []
        for pattern in patterns:
            phrases += expand(str(pattern), self.language)
            if len(phrases) > most:
                raise BadRule(self.name, f"the options stand for more than {MOST_PHRASES} phrases")
        return tuple(phrases)

    def _check_options(self) -> None:
        owner: dict[str, str] = {}
        for value, phrases in self.options.items():
            if not phrases:
                raise BadRule(self.name, f"{value!r} has no phrases")
            for phrase in phrases:
                if owner.setdefault(phrase, value) != value:
                    raise BadRule(self.name, f"{phrase!r} means both {owner[phrase]!r} and {value!r}")
        if not owner:
            raise BadRule(self.name, "options are missing")
