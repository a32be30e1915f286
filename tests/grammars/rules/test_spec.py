"""A specification that exists can be compiled; everything else is refused with its reason."""

import subprocess
import sys
from datetime import date

import pytest

from grammars.errors import BadRule
from grammars.rules import NAMES, RuleSpec
from grammars.rules.compile import compile_rule


@pytest.mark.parametrize(
    ("name", "params", "reason"),
    [
        ("colour", {}, "no such rule"),
        ("yes_no", {"length": 4}, "unknown parameter 'length'"),
        ("digits", {"length": "four"}, "whole number"),
        ("digits", {"length": True}, "whole number"),
        ("digits", {"length": 25}, "0 to 24"),
        ("digits", {"min": 5, "max": 4}, "greater"),
        ("number", {"max": 10**9}, "0 to 999999999"),
        ("date", {"last_year": 1990}, "greater"),
        ("choices", {}, "options are missing"),
        ("choices", {"options": ["sales"]}, "must map"),
        ("choices", {"options": {"sales": "sales"}}, "must be a list"),
        ("choices", {"options": {"sales": []}}, "no phrases"),
        ("choices", {"options": {"sales": ["[sales]"]}}, "without a word"),
        ("choices", {"options": {"sales": ["(sales"]}}, "does not close"),
        ("choices", {"options": {"sales": ["sales)"]}}, "not open"),
        ("choices", {"options": {"a": ["[the] shop"], "b": ["the shop"]}}, "means both 'a' and 'b'"),
        ("choices", {"options": {"a": ["(a|b|c|d)" * 6]}}, "more than 1000"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_the_reason(name: str, params: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRule, match=reason) as refused:
        RuleSpec(name, params)
    assert refused.value.rule in (name, "phrase")


def test_equal_specifications_are_compiled_once() -> None:
    options = {"options": {"sales": ["sales"]}}
    assert hash(RuleSpec("choices", options)) == hash(RuleSpec("choices", dict(options)))
    one, other = (compile_rule(RuleSpec("choices", dict(options)), date(2026, 3, day)) for day in (3, 4))
    assert one.states is other.states
    assert (one.today.day, other.today.day) == (3, 4)


def test_specifications_and_compiled_rules_are_had_without_pynini() -> None:
    heavy = "{'pynini', 'gruut', 'kaldi_active_grammar', 'mimic3_tts', 'onnxruntime'}"
    code = f"import sys, grammars.rules, grammars.spoken; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_what_is_compiled_stays_small_whatever_the_rule_and_its_bounds() -> None:
    """Which is why it takes a tenth of a second."""
    large = [RuleSpec("digits", {"max": 24}), RuleSpec("date", {"first_year": 1900}), RuleSpec("ordinal")]
    for spec in large + [RuleSpec(name) for name in NAMES if name != "choices"]:
        rule = compile_rule(spec, date(2026, 3, 4))
        assert len(rule.states) < 1000, spec
        assert len(rule.acceptor.arcs) < 2000, spec
