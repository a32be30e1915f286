"""The file of an edge's calls as bytes: whatever is cut off or broken, what stands before it holds."""

from __future__ import annotations

import struct
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.edge.checkpoint import LAYOUT, Alive, Opened, frame, read
from nodes.edge.heirs import bequest
from protocols.errors import RemoteProtocolError
from tests.nodes.edge.records import record

OPENED = Opened(LAYOUT, "launcher", "boot")
CALLS = [record("c1"), record("c2"), record("c1", revision=2)]
FRAMES = [frame(OPENED), *(b"".join(map(frame, bequest(one, lambda _: False))) for one in CALLS), frame(Alive(7.0))]


def test_a_file_says_who_wrote_it_when_last_and_what_calls_there_were() -> None:
    found = read(b"".join(FRAMES))
    assert (found.opened, found.alive_s, found.n_torn) == (OPENED, 7.0, 0)
    assert {one.order.call_id: one.revision for one in found.standby.take()} == {"c1": 2, "c2": 1}


@given(st.integers(0), st.binary(max_size=40))
def test_what_stands_before_a_torn_end_holds(cut: int, garbage: bytes) -> None:
    data = b"".join(FRAMES)
    at = len(FRAMES[0]) + cut % (len(data) - len(FRAMES[0]))
    found = read(data[:at] + garbage)
    n_whole = sum(len(b"".join(FRAMES[: k + 1])) <= at for k in range(len(FRAMES)))
    known = {one.order.call_id: one.revision for one in CALLS[: max(0, n_whole - 1)]}
    assert known.items() <= {one.order.call_id: one.revision for one in found.standby.take()}.items()


@given(st.integers(0), st.integers(1, 255))
def test_a_byte_that_has_changed_is_noticed_and_never_an_error_of_ours(where: int, flip: int) -> None:
    data = bytearray(b"".join(FRAMES))
    data[where % len(data)] ^= flip
    try:
        found = read(bytes(data))
    except RemoteProtocolError:
        return
    assert all(one in CALLS for one in found.standby.take())


@pytest.mark.parametrize("data", [b"", b"garbage", FRAMES[1], frame(Opened(LAYOUT + 1, "", ""))])
def test_a_file_without_our_first_frame_is_unreadable_as_a_whole(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="checkpoint_layout"):
        read(data)


def test_a_kind_that_a_later_version_has_added_is_passed_over() -> None:
    data = msgspec.msgpack.encode(("Newer", {"a": 1}))
    newer = struct.pack(">II", len(data), zlib.crc32(data)) + data
    found = read(FRAMES[0] + newer + FRAMES[1])
    assert found.standby.take() == [CALLS[0]]
