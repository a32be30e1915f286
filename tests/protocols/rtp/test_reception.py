"""Loss and jitter as RFC 3550 A.3 and A.8 count them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.rtp.packet import Packet
from protocols.rtp.reception import Reception


def packet(k: int, ssrc: int = 7, timestamp: int | None = None) -> Packet:
    stamp = (160 * k if timestamp is None else timestamp) & 0xFFFFFFFF
    return Packet(payload_type=0, sequence=k & 0xFFFF, timestamp=stamp, ssrc=ssrc, payload=bytes(160))


@given(st.integers(0, 0xFFFF), st.sets(st.integers(1, 198)), st.randoms(use_true_random=False))
def test_what_did_not_come_is_lost_in_any_order_across_the_wrap(start: int, lost: set[int], random: object) -> None:
    reception = Reception()
    came = [k for k in range(200) if k not in lost]
    middle = came[1:-1]
    random.shuffle(middle)  # type: ignore[attr-defined]
    for k in [came[0], *middle, came[-1]]:
        reception.arrived(packet(start + k), now=k * 0.02)
    assert (reception.lost, reception.received) == (len(lost), 200 - len(lost))


def test_an_even_stream_has_no_jitter() -> None:
    reception = Reception()
    for k in range(100):
        reception.arrived(packet(k), now=5 + k * 0.02)
    assert reception.jitter_ms == pytest.approx(0, abs=1e-6)


def test_a_stream_that_is_10_ms_early_and_late_by_turns_has_a_jitter_of_10_ms() -> None:
    reception = Reception()
    for k in range(400):
        reception.arrived(packet(k), now=5 + k * 0.02 + (k % 2) * 0.01)
    assert reception.jitter_ms == pytest.approx(10, rel=0.01)


def test_telephone_events_do_not_count_as_jitter() -> None:
    reception = Reception()
    for k in range(100):
        in_press = 20 <= k < 30
        stamp = 160 * 20 if in_press else None
        reception.arrived(packet(k, timestamp=stamp), now=k * 0.02, is_timed=not in_press)
    assert reception.jitter_ms == pytest.approx(0, abs=1e-6)


def test_another_source_is_a_new_stream_and_its_number_is_no_loss() -> None:
    reception = Reception()
    firsts = [reception.arrived(packet(k), now=k * 0.02) for k in (0, 1, 3)]
    firsts += [reception.arrived(packet(9000 + k, ssrc=8), now=1 + k * 0.02) for k in (0, 2)]
    assert firsts == [True, False, False, True, False]
    assert reception.lost == 2


def test_a_report_says_what_was_lost_since_the_last() -> None:
    reception = Reception()
    assert reception.report() is None
    for k in (0, 1, 2, 3):
        reception.arrived(packet(k), now=k * 0.02)
    first = reception.report()
    for k in (4, 7):
        reception.arrived(packet(k), now=k * 0.02)
    second = reception.report()
    assert first is not None
    assert second is not None
    assert (first.fraction_lost, first.lost, first.highest) == (0, 0, 3)
    assert (second.fraction_lost, second.lost, second.highest) == (128, 2, 7)
