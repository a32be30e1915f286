"""Rules are compiled once and heard from a fixed Wednesday."""

from collections.abc import Callable
from datetime import date

import pytest

from grammars.rules import Rule, RuleSpec
from grammars.rules.compile import compile_rule

WEDNESDAY = date(2026, 3, 4)
OPTIONS = {"sales": ["[the] sales [team]"], "new york office": ["[technical] help", "5G"]}


@pytest.fixture(scope="session")
def rule_of() -> Callable[..., Rule]:
    """Return a function from a rule's name and parameters to the compiled rule; `choices` gets two offices."""

    def compiled(name: str, **params: object) -> Rule:
        return compile_rule(RuleSpec(name, params or ({"options": OPTIONS} if name == "choices" else {})), WEDNESDAY)

    return compiled
