"""Rules compiled elsewhere, and the recogniser that will not share a process with their compiler."""

import sys
from datetime import date
from pathlib import Path
from typing import cast

import pynini
import pytest

from grammars.rules.spec import RuleSpec
from nodes.speech.compiling import compile_rules
from nodes.speech.errors import EngineFailed
from nodes.speech.kag import Graphs


def test_rules_come_back_as_they_are_compiled_here() -> None:
    from grammars.rules.compile import compile_rule

    specs = {"confirm": RuleSpec("yes_no"), "day": RuleSpec("date", {"first_year": 2026, "last_year": 2027})}
    assert compile_rules(specs) == {name: compile_rule(spec, date.min) for name, spec in specs.items()}


def test_a_compiler_that_fails_says_why() -> None:
    with pytest.raises(EngineFailed, match="AttributeError"):
        compile_rules({"confirm": cast(RuleSpec, "no specification")})


def test_the_recogniser_refuses_a_process_that_has_pynini(tmp_path: Path) -> None:
    assert pynini.__name__ in sys.modules
    with pytest.raises(EngineFailed, match="pynini"):
        Graphs(tmp_path, [])
