"""Tables of TOML as dataclasses: what the configuration itself does not use, and a campaign's file does."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nodes.tables import ConfigError, Reader


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan."""

    days: tuple[int, ...] = (0, 1)
    retries: dict[str, tuple[float, ...]] = field(default_factory=lambda: {"busy": (300.0,)})


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign."""

    id: str
    plan: Plan = field(default_factory=Plan)


def read(text: str) -> Campaign:
    """Read a campaign's text."""
    return Reader("c.toml", Path("/")).table(Campaign, tomllib.loads(text), "")


def test_a_default_may_be_made_anew_for_each() -> None:
    assert read('id = "x"') == Campaign("x", Plan((0, 1), {"busy": (300.0,)}))


def test_a_table_may_have_names_of_its_own() -> None:
    assert read('id = "x"\n[plan.retries]\nno_answer = [60, 1.5]').plan.retries == {"no_answer": (60.0, 1.5)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "c.toml: id: is missing"),
        ('id = "x"\n[plan]\nretries = 3', "c.toml: plan.retries: is a whole number, not a table"),
        ('id = "x"\n[plan.retries]\nbusy = ["soon"]', "c.toml: plan.retries.busy[0]: is a string, not a number"),
        ('id = "x"\n[plan]\nday = [1]', "c.toml: plan.day: is not known; did you mean days?"),
    ],
)
def test_a_mistake_is_named_with_its_key(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value) == told
