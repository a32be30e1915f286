"""A script's rules as an ear has them: compiled, weighed for a recogniser, and what heard words mean by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from grammars.rules.rule import Acceptor, Rule
from grammars.rules.ruleset import RuleSet
from grammars.rules.spec import INTENTS, RuleSpec
from nodes.speech.compiling import compile_rules
from nodes.speech.confidence import REJECT
from nodes.speech.errors import UnknownRule
from nodes.speech.turn import Guess

__all__ = ["Rules", "guess", "weighed"]

WORD = 0.1
"""Probability of each further word. Without it the likeliest phrase of a rule costs nothing, and noise is heard as
words, such as an "oh" between two digits: 76 % right of two strangers' strings of four digits, with it 82 %."""

UNFINISHED = 0.5
"""Probability that a caller stops where no phrase ends. Without it what is missing is invented: three digits of four
are heard as four."""

INTENT = 0.1
"""Probability that a caller says what may be said anywhere, such as "wrong number", instead of what they were asked."""


class Rules:
    """Those of one script, by id."""

    def __init__(self, specs: Mapping[str, RuleSpec]) -> None:
        """Compile them; blocks. Raises: EngineFailed."""
        self.by_id: dict[str, Rule] = compile_rules(specs)

    @property
    def words(self) -> list[str]:
        """Every word that can be heard, in order."""
        return sorted({word for rule in self.by_id.values() for word in rule.words})

    def check(self, ids: Iterable[str]) -> None:
        """Raise UnknownRule unless all of these are there."""
        for rule in ids:
            if rule not in self.by_id:
                raise UnknownRule(rule)

    def choose(self, ids: Sequence[str], today: date) -> RuleSet:
        """The rules asked for, as they mean today: "tomorrow" moves at midnight, what can be heard does not.

        Raises: UnknownRule.
        """
        self.check(ids)
        return RuleSet({rule: replace(self.by_id[rule], today=today) for rule in ids})


def weighed(rule: Rule) -> Acceptor:
    """What a rule can hear, each word, each intent and an end in the middle of a phrase at its price."""
    acceptor = rule.arcs()
    first = INTENT if rule.name in INTENTS else 1.0
    arcs = (
        replace(arc, probability=arc.probability * WORD * (first if arc.src == acceptor.start else 1.0))
        for arc in acceptor.arcs
    )
    ends = dict(acceptor.finals)
    finals = ((state, ends.get(state, UNFINISHED)) for state in range(acceptor.n_states) if state != acceptor.start)
    return replace(acceptor, arcs=tuple(arcs), finals=tuple(finals))


def guess(rules: RuleSet, words: str, sure: float, certainty: float = 1.0) -> Guess:
    """What heard words are by these rules. `sure`: that a phrase was said at all, `certainty`: this one; 0 to 1."""
    meaning = rules.parse(words) if words and sure >= REJECT else None
    # of the rule that understands it: "no" is an answer, though "no such person" would be another rule's
    rule = rules.rules[meaning.rule] if meaning else None
    more = rule.likely_more(words) if rule else 1.0
    return Guess(words, (rule or rules).completeness(words), sure, meaning, certainty, more, rules.language)
