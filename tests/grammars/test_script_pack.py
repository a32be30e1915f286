"""A packed script is the script: nothing is lost, the name is the content's, and bytes that are none are refused."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import grammars
from grammars import Script, ScriptError, load
from grammars.script_pack import MAX_PACKED, pack, script_hash, unpack

SHIPPED = sorted(p for p in (Path(grammars.__file__).parent / "scripts").glob("*.yaml") if "cases" not in p.name)
HELLO = pack(load(next(path for path in SHIPPED if path.stem == "hello").read_text()))


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_who_unpacks_a_script_has_what_was_read(path: Path) -> None:
    script = load(path.read_text())
    assert unpack(pack(script)) == script


def test_a_script_is_named_by_its_bytes_whoever_unpacks_it() -> None:
    script = unpack(HELLO)
    assert script.hash == script_hash(HELLO)
    assert pack(script) == HELLO
    assert unpack(HELLO) is script  # all calls of a campaign share one


def test_a_script_of_a_later_version_is_read_without_what_is_not_known() -> None:
    later = msgspec.msgpack.decode(HELLO) | {"mood": "merry"}
    packed = msgspec.msgpack.encode(later)
    assert unpack(packed).states == unpack(HELLO).states
    assert unpack(packed).hash == script_hash(packed)


@given(st.binary(max_size=200) | st.integers(0, len(HELLO) - 1).map(lambda n: HELLO[:n]))
def test_bytes_that_are_no_script_are_refused_and_nothing_else(packed: bytes) -> None:
    with pytest.raises(ScriptError):
        unpack(packed)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_a_changed_byte_is_another_script_or_none(at: int, byte: int) -> None:
    changed = HELLO[:at] + bytes([byte]) + HELLO[at + 1 :]
    try:
        script = unpack(changed)
    except ScriptError:
        return
    assert isinstance(script, Script)
    assert (script.hash == script_hash(HELLO)) == (changed == HELLO)


@pytest.mark.parametrize(
    "bomb", [b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\x81\xa5hash" * 20_000, bytes(MAX_PACKED + 1)]
)
def test_a_bomb_is_refused(bomb: bytes) -> None:
    with pytest.raises(ScriptError):
        unpack(bomb)
