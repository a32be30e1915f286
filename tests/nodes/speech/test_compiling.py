"""Rules compiled elsewhere, and the recogniser that will not share a process with their compiler."""

import sys
from datetime import date
from pathlib import Path
from random import Random
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
    entropy = Random(1)
    for name, there in compile_rules(specs).items():
        here = compile_rule(specs[name], date.min)  # its states may be numbered otherwise: other rules came before
        assert there.words == here.words
        phrases = [here.sample(entropy)[0] for _ in range(50)]
        assert [there.parse(phrase) for phrase in phrases] == [here.parse(phrase) for phrase in phrases]


def test_a_compiler_that_fails_says_why() -> None:
    with pytest.raises(EngineFailed, match="AttributeError"):
        compile_rules({"confirm": cast(RuleSpec, "no specification")})


def test_the_recogniser_refuses_a_process_that_has_pynini(tmp_path: Path) -> None:
    assert pynini.__name__ in sys.modules
    with pytest.raises(EngineFailed, match="pynini"):
        Graphs(tmp_path, [])
