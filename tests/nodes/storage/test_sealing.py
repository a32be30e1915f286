"""Files encrypted at rest: whatever range is read is what was sealed, and whatever was changed is refused."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.storage.sealing import CHUNK, HEADER_BYTES, TAG, BadKey, Key, NotSealed, Ring, Sealed, seal, sealed_length

KEY, OTHER = Key.of(bytes(range(32))), Key.of(bytes(32))
RING = Ring({"": KEY}, {KEY.id: KEY, OTHER.id: OTHER})
LENGTHS = st.one_of(
    st.integers(0, 300), st.sampled_from([CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
)  # fmt: skip
ALWAYS = settings(deadline=None)
NOISE = os.urandom(4 * CHUNK)


def sealed(data: bytes, name: str = "c1", key: Key = KEY) -> bytes:
    return b"".join(seal(key, name, len(data), io.BytesIO(data)))


def opened(file: bytes, name: str = "c1", ring: Ring = RING) -> Sealed:
    return Sealed(ring, name, len(file), lambda offset, n: file[offset : offset + n])


@ALWAYS
@given(length=LENGTHS, offset=st.integers(0, 4 * CHUNK), n=st.integers(0, 4 * CHUNK))
def test_any_range_of_a_sealed_file_is_what_was_sealed(length: int, offset: int, n: int) -> None:
    data = NOISE[:length]
    file = sealed(data)
    assert len(file) == sealed_length(length)
    one = opened(file)
    assert one.n_bytes == length
    assert one.read(offset, n) == data[offset : offset + n]
    one.prove()


@ALWAYS
@given(length=LENGTHS, data=st.data())
def test_whatever_bit_is_flipped_the_file_is_refused(length: int, data: st.DataObject) -> None:
    file = bytearray(sealed(NOISE[:length]))
    at = data.draw(st.integers(0, len(file) * 8 - 1))
    file[at // 8] ^= 1 << at % 8
    with pytest.raises(NotSealed):
        opened(bytes(file)).prove()


@ALWAYS
@given(length=LENGTHS, data=st.data())
def test_a_file_that_is_cut_or_grows_is_refused_before_anything_of_it_is_read(length: int, data: st.DataObject) -> None:
    file = sealed(NOISE[:length])
    cut = data.draw(st.integers(0, len(file) - 1))
    for changed in (file[:cut], file + b"x", file + file[-CHUNK - TAG :]):
        with pytest.raises(NotSealed):
            opened(changed)


def test_chunks_in_another_order_or_of_another_file_are_refused() -> None:
    size = CHUNK + TAG
    file, other = sealed(NOISE[: 3 * CHUNK]), sealed(NOISE[: 3 * CHUNK])
    chunks = [file[HEADER_BYTES + k * size : HEADER_BYTES + (k + 1) * size] for k in range(3)]
    head = file[:HEADER_BYTES]
    assert opened(head + b"".join(chunks)).read(0, CHUNK) == NOISE[:CHUNK]
    swapped = head + chunks[1] + chunks[0] + chunks[2]
    foreign = head + other[HEADER_BYTES : HEADER_BYTES + size] + chunks[1] + chunks[2]
    for changed in (swapped, foreign):
        with pytest.raises(NotSealed, match="forged"):
            opened(changed).read(0, 1)


def test_a_file_under_another_name_is_refused() -> None:
    with pytest.raises(NotSealed, match="forged"):
        opened(sealed(b"words", "c1"), "c2").prove()


def test_files_of_a_former_key_are_read_and_those_of_an_unknown_one_are_told_apart() -> None:
    file = sealed(b"words", key=OTHER)
    assert opened(file).read(0, 9) == b"words"
    with pytest.raises(NotSealed, match="key_unknown"):
        opened(file, ring=Ring({"": KEY}, {KEY.id: KEY}))
    with pytest.raises(NotSealed, match="no_seal"):
        opened(b"RIFF" + bytes(1000))


def test_nothing_of_what_was_said_is_in_a_sealed_file_nor_anything_of_the_key() -> None:
    file = sealed(b"words that nobody reads" * 100)
    assert b"words" not in file
    assert KEY.secret not in file
    assert sealed(b"words") != sealed(b"words"), "no two files are alike"


@pytest.mark.parametrize("length", [CHUNK + 9, 5])
def test_a_file_that_changes_while_it_is_sealed_is_refused(length: int) -> None:
    for was in (length + 1, length - 1):
        with pytest.raises(NotSealed, match="length"):
            list(seal(KEY, "c1", was, io.BytesIO(bytes(length))))


def test_keys_are_files_of_their_owner_alone_and_an_owner_without_any_has_those_of_all(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("new.key", "old.key", "acme.key")]
    for path in paths:
        path.write_text(os.urandom(32).hex() + "\n")
        path.chmod(0o600)
    new, old, acme = map(Key.read, paths)
    ring = Ring.read({"": paths[:2], "acme": paths[2:], "b": ()})
    assert ring.sealing == {"": new, "acme": acme, "b": new}
    assert set(ring.by_id) == {new.id, old.id, acme.id}
    assert new.secret.hex() not in repr(ring)
    assert Ring.read({"": (), "acme": ()}).sealing == {}
    paths[0].chmod(0o640)
    with pytest.raises(BadKey, match=r"new.key: may be read by others: chmod 600"):
        Key.read(paths[0])
    paths[1].write_text("not a key")
    with pytest.raises(BadKey, match="is not 64 hexadecimal digits"):
        Key.read(paths[1])
