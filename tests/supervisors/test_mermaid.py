"""A state machine draws itself, and the page has the drawing of the example."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from supervisors.statem import Statem, StateTimeout, Step, goto, on

PAGE = Path(__file__).parents[2] / "supervisors/SEMANTICS.md"


class St(Enum):
    CLOSED = 1
    OPEN = 2


@dataclass(frozen=True)
class Push:
    """Somebody pushes."""


class Door(Statem[St]):
    """The example in `supervisors/statem.py`."""

    first = St.CLOSED

    @on(Push, St.CLOSED, to=St.OPEN)
    def push(self, event: Push) -> Step[St]:
        """Open, for a while."""
        return goto(St.OPEN).after(2.0)

    @on(StateTimeout, St.OPEN, to=St.CLOSED)
    def swing_back(self, event: StateTimeout) -> Step[St]:
        """Close."""
        return goto(St.CLOSED)


def test_the_drawing_on_the_page_is_the_one_that_the_example_makes() -> None:
    (drawn,) = re.findall(r"```mermaid\n(.*?)\n```", PAGE.read_text(), flags=re.DOTALL)
    assert drawn == Door.mermaid()
