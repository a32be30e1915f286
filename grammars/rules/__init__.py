"""What may be heard: rules that turn words into meaning, and tell how complete they are.

A script names a rule (`RuleSpec`); `grammars.rules.compile` builds it with pynini; the `Rule` it returns is plain
tables, and so is everything imported here.
"""

from grammars.rules.rule import Acceptor, Arc, Completeness, Rule
from grammars.rules.ruleset import RuleSet
from grammars.rules.spec import INTENTS, NAMES, RuleSpec

__all__ = ["RuleSpec", "NAMES", "INTENTS", "Rule", "RuleSet", "Completeness", "Acceptor", "Arc"]
