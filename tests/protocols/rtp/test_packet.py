"""RFC 3550 s.5.1: what is a packet, and what never gets past the parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import RemoteProtocolError
from protocols.rtp.packet import Packet, is_rtcp

packets = st.builds(
    Packet,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=400),
    marker=st.booleans(),
)


@given(packets)
def test_a_packet_comes_back_from_its_own_bytes(packet: Packet) -> None:
    assert Packet.parse(packet.build()) == packet


@given(st.binary(max_size=200))
def test_any_bytes_are_a_packet_or_a_remote_error(data: bytes) -> None:
    try:
        Packet.parse(data)
    except RemoteProtocolError:
        pass


def test_contributing_sources_an_extension_and_padding_are_stepped_over() -> None:
    sources, extension, padding = bytes(8), bytes.fromhex("bede0001") + bytes(4), bytes((0, 0, 3))
    data = bytes((0x80 | 0x20 | 0x10 | 2, 0)) + bytes(10) + sources + extension + b"audio" + padding
    assert Packet.parse(data).payload == b"audio"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "truncated"),
        (bytes(11), "truncated"),
        (bytes(12), "not_rtp"),
        (bytes((0x8F,)) + bytes(11), "truncated"),
        (bytes((0x90,)) + bytes(11), "truncated"),
        (bytes((0x90,)) + bytes(13) + b"\xff\xff", "truncated"),
        (bytes((0xA0,)) + bytes(11), "bad_padding"),
        (bytes((0xA0,)) + bytes(11) + b"\xff", "truncated"),
    ],
)
def test_what_is_wrong_has_a_name(data: bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Packet.parse(data)
    assert caught.value.what == what


def test_rtcp_is_told_from_rtp_by_its_second_byte() -> None:
    assert is_rtcp(bytes((0x80, 200)))
    assert not is_rtcp(Packet(payload_type=101, sequence=1, timestamp=0, ssrc=1, payload=b"", marker=True).build())
    assert not is_rtcp(b"\x80")
