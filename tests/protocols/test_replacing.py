"""What is replaced quickly is what `dataclasses.replace` makes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.replacing import replace


@dataclass(frozen=True, slots=True)
class Page:
    number: int
    text: str = ""
    notes: tuple[str, ...] = ()
    extra: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Longer(Page):
    more: float = 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    least: int
    most: int

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError("least > most")


@dataclass(frozen=True)
class Loose:
    """It has a dictionary for its fields."""

    number: int
    text: str = ""


CHANGES = st.fixed_dictionaries(
    {}, optional={"number": st.integers(), "text": st.text(), "notes": st.tuples(st.text())}
)  # fmt: skip


@given(CHANGES, st.builds(Longer, number=st.integers(), text=st.text(), more=st.floats(allow_nan=False)))
def test_it_is_what_dataclasses_would_make(changes: dict[str, object], before: Longer) -> None:
    kept = dataclasses.replace(before)
    after = replace(before, **changes)  # type: ignore[arg-type]
    assert after == dataclasses.replace(before, **changes)  # type: ignore[arg-type]
    assert type(after) is Longer
    assert before == kept, "what was given has not changed"


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="'colour'"):
        replace(Page(1), colour="red")  # type: ignore[call-arg]


def test_a_class_that_judges_its_fields_does_so_here_too() -> None:
    with pytest.raises(ValueError, match="least > most"):
        replace(Judged(1, 2), least=3)


def test_a_class_without_slots_is_replaced_as_usual() -> None:
    assert replace(Loose(1), text="a") == Loose(1, "a")
