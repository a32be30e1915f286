"""The short way to write phrases."""

import pytest

from grammars.rules.phrase import expand


@pytest.mark.parametrize(
    ("pattern", "phrases"),
    [
        ("sales", ("sales",)),
        ("[the] sales", ("the sales", "sales")),
        ("call (me|us)[back]", ("call me back", "call me", "call us back", "call us")),
        ("take (it|[all] of it) off", ("take it off", "take all of it off", "take of it off")),
        ("The 5G plan!", ("the five g plan",)),
        ("yes|no", ("yes", "no")),
        ("(a|a) b", ("a b",)),
    ],
)
def test_brackets_stand_for_every_phrase(pattern: str, phrases: tuple[str, ...]) -> None:
    assert expand(pattern) == phrases
