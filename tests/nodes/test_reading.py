"""What comes from outside is read within limits, and what is wrong with it is a `ValueError` of one kind."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.admin.api import NewCall
from nodes.bounds import is_too_deep
from nodes.config import ConfigError, parse
from nodes.reading import read_json
from nodes.tables import MAX_TEXT

NODES = Path(__file__).parents[2] / "nodes"
BOMBS = [
    b"[" * 100_000,
    b'{"a":' * 30_000,
    b'{"x": ' + b"[" * 5_000,
    b"1" * 60_000,
    b'"\\ud800"',
    b"\xff",
    b"",
    b"[[1]",
]


@pytest.mark.parametrize("data", BOMBS, ids=[repr(bomb[:12]) for bomb in BOMBS])
@pytest.mark.parametrize("wanted", [dict, NewCall])
def test_json_that_cannot_be_read_is_one_kind_of_error(data: bytes, wanted: type) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_json(data, wanted)


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_that_error(data: bytes) -> None:
    try:
        read_json(data)
    except msgspec.DecodeError:
        pass


def test_json_is_read_in_one_place() -> None:
    """Whoever reads it elsewhere forgets what 3,000 brackets do."""
    elsewhere = [
        path.relative_to(NODES).as_posix()
        for path in NODES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "msgspec.json.decode"
    ]
    assert elsewhere == ["reading.py"]


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 50_000, "a = " + "{b = " * 20_000, "a = '" + "x" * MAX_TEXT + "'", "a = ["]
)
def test_toml_that_is_made_to_hold_its_reader_is_a_wrong_configuration(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text, "x.toml", Path("/"))


@given(st.recursive(st.booleans() | st.text('[]{}"\\ax', max_size=5), lambda inner: st.lists(inner, max_size=3)))
def test_depth_is_counted_as_the_parser_goes(value: object) -> None:
    def depth(given: object) -> int:
        return 1 + max(map(depth, given), default=0) if isinstance(given, list) else 0

    written = msgspec.json.encode(value)
    assert not is_too_deep(written, depth(value))
    assert depth(value) == 0 or is_too_deep(written, depth(value) - 1)
