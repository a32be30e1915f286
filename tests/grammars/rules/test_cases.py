"""One table of cases per rule, `<rule>.tsv` beside this file, read in both directions."""

from collections.abc import Callable
from pathlib import Path

import pytest

from grammars.rules import INTENTS, NAMES, Rule

NOT_UNDERSTOOD = "-"


def cases() -> list[tuple[str, str, str]]:
    """Rule, heard words, value."""
    lines = (
        (name, line) for name in NAMES for line in (Path(__file__).parent / f"{name}.tsv").read_text().splitlines()
    )
    return [(name, *line.split("\t")) for name, line in lines if not line.startswith("#")]  # type: ignore[misc]


def understood() -> list[tuple[str, str]]:
    """Rule and value, once each."""
    return list(dict.fromkeys((name, value) for name, _, value in cases() if value != NOT_UNDERSTOOD))


@pytest.mark.parametrize(("name", "heard", "value"), cases())
def test_what_is_heard_has_the_meaning_in_the_table(
    rule_of: Callable[..., Rule], name: str, heard: str, value: str
) -> None:
    meaning = rule_of(name).parse(heard)
    if value == NOT_UNDERSTOOD:
        assert meaning is None
        return
    assert meaning is not None
    assert meaning.rule == name
    assert meaning.intent == (value if name in ("yes_no", "choices") else name)
    assert meaning.slots == ({} if name in INTENTS else {"value": value})


@pytest.mark.parametrize(("name", "value"), understood())
def test_every_meaning_in_the_table_can_be_said_so_that_the_rule_understands_it(
    rule_of: Callable[..., Rule], name: str, value: str
) -> None:
    rule = rule_of(name)
    phrase = rule.say(value)
    assert phrase is not None
    meaning = rule.parse(phrase)
    assert meaning is not None
    assert meaning.slots.get("value", meaning.intent) == value
