"""Outgoing numbers follow from the clock, so that a successor needs none of its predecessor's."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.rtp.numbers import FRAME_S, Numbers, unwrap
from protocols.rtp.packet import Packet

NUMBERS = Numbers(ssrc=0xCAFE, seq0=65535, ts0=2**32 - 160, born_s=100.0)


def sent(n: int, **kwargs: int) -> Packet:
    return Packet.parse(NUMBERS.header(n, payload_type=0, **kwargs))


def test_sequence_and_timestamp_wrap_at_their_width() -> None:
    assert (sent(0).sequence, sent(0).timestamp) == (65535, 2**32 - 160)
    assert (sent(1).sequence, sent(1).timestamp) == (0, 0)


@given(st.floats(0, 3600), st.integers(1, 100))
def test_a_later_beat_of_the_same_phase_is_as_many_packets_later(phase: float, beats: int) -> None:
    first = NUMBERS.index(100 + phase)
    assert NUMBERS.index(100 + phase + beats * FRAME_S) - first in (beats, beats - 1, beats + 1)
    assert NUMBERS.index(100 + phase) <= (phase + 1e-5) / FRAME_S < NUMBERS.index(100 + phase) + 1.001


@given(st.integers(0, 10_000_000))
def test_beats_on_the_slots_of_the_machine_never_repeat_or_leave_out_a_number(k: int) -> None:
    born = Numbers(ssrc=1, seq0=0, ts0=0, born_s=4321.005)
    assert born.index((k + 4) * 0.005) - born.index(k * 0.005) == 1


def test_a_telephone_event_keeps_the_timestamp_of_its_first_packet() -> None:
    assert sent(9, age=4).timestamp == sent(5).timestamp
    assert sent(9, age=4).sequence == sent(9).sequence


@given(st.integers(0, 2**40), st.integers(-30000, 30000))
def test_unwrapping_finds_the_number_that_was_meant(near: int, step: int) -> None:
    assert unwrap((near + step) & 0xFFFF, near, bits=16) == near + step
