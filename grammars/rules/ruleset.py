"""Several rules heard at once: a state's own rule and the intents that hold everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from grammars.lang import ENGLISH
from grammars.rules.rule import Completeness, Rule
from protocols.wire.messages import Meaning


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules by the id a script gives them, in order of preference."""

    rules: Mapping[str, Rule]

    @property
    def words(self) -> frozenset[str]:
        """Every word that one of the rules can hear."""
        return frozenset[str]().union(*(rule.words for rule in self.rules.values()))

    @property
    def language(self) -> str:
        """The language of the rules: a script has one."""
        return next((rule.language for rule in self.rules.values()), ENGLISH)

    def parse(self, words: str) -> Meaning | None:
        """Return what the first rule that understands these words makes of them; `rule` is the script's id."""
        return self._first(lambda rule: rule.parse(words))

    def read(self, text: str) -> Meaning | None:
        """Return what the first rule that understands this written text makes of it."""
        return self._first(lambda rule: rule.read(text))

    def completeness(self, words: str) -> Completeness:
        """Return how far the words have come: complete only when no rule could make something else of what follows."""
        found = {rule.completeness(words) for rule in self.rules.values()} - {Completeness.NO}
        if len(found) <= 1:
            return next(iter(found), Completeness.NO)
        return Completeness.EXTENDABLE

    def _first(self, understand: Callable[[Rule], Meaning | None]) -> Meaning | None:
        for rule_id, rule in self.rules.items():
            if meaning := understand(rule):
                return replace(meaning, rule=rule_id)
        return None
