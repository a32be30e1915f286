"""RFC 4733: a key is told once, whatever the network does to its packets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.rtp.dtmf import KEYS, KeyReceiver, TelephoneEvent, press

keys = st.text(alphabet=KEYS, min_size=1, max_size=5)


def packets(text: str, ms: int = 100) -> list[tuple[float, int, TelephoneEvent]]:
    """What a sender of these keys puts on the wire: (at, timestamp, event)."""
    ticks = enumerate(press(text, ms))
    return [(k * 0.02, 160 * (k - tick.age), tick.event) for k, tick in ticks if tick]


def heard(given: list[tuple[float, int, TelephoneEvent]]) -> str:
    receiver, told = KeyReceiver(), ""
    for at, timestamp, event in given:
        told += receiver.lapse(at) + receiver.hear(event, timestamp, at)
    return told + receiver.lapse(given[-1][0] + 1 if given else 0.0)


@given(keys, st.integers(20, 400))
def test_keys_arrive_as_they_were_pressed(text: str, ms: int) -> None:
    assert heard(packets(text, ms)) == text


@given(keys, st.data())
def test_each_press_is_told_once_however_its_packets_are_lost_and_repeated(text: str, data: st.DataObject) -> None:
    sent, survivors = packets(text), []
    for timestamp in sorted({packet[1] for packet in sent}):
        of_press = [packet for packet in sent if packet[1] == timestamp]
        kept = data.draw(st.sets(st.sampled_from(range(len(of_press))), min_size=1))
        survivors += [of_press[k] for k in sorted(kept) for _ in range(data.draw(st.integers(1, 2)))]
    assert heard(survivors) == text


@given(keys, st.data())
def test_no_press_is_told_twice_in_any_order_of_arrival(text: str, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(packets(text)))
    in_time = [(k * 0.02, timestamp, event) for k, (_, timestamp, event) in enumerate(shuffled)]
    told = heard(in_time)
    assert len(told) <= len(text)
    assert all(told.count(key) <= text.count(key) for key in KEYS)


def test_a_press_whose_end_was_lost_is_told_after_a_while() -> None:
    receiver = KeyReceiver()
    assert receiver.deadline is None
    assert receiver.hear(TelephoneEvent(code=9, is_end=False, duration=160), 0, now=1.0) == ""
    assert receiver.deadline == pytest.approx(1.2)
    assert receiver.lapse(1.19) == ""
    assert receiver.lapse(1.2) == "9"
    assert receiver.lapse(2.0) == ""


def test_a_press_is_told_at_its_first_end_packet_and_not_before() -> None:
    receiver = KeyReceiver()
    told = [receiver.hear(event, timestamp, at) for at, timestamp, event in packets("7", ms=60)]
    assert told == ["", "", "7", "", ""]


def test_flash_and_modem_tones_are_no_keys() -> None:
    assert KeyReceiver().hear(TelephoneEvent(code=16, is_end=True, duration=800), 0, now=0.0) == ""


def test_a_key_that_does_not_exist_is_our_own_error() -> None:
    with pytest.raises(LocalProtocolError, match="no_such_key"):
        press("12E", ms=100)


@given(st.binary(max_size=8))
def test_any_payload_is_an_event_or_a_remote_error(payload: bytes) -> None:
    try:
        TelephoneEvent.parse(payload)
    except RemoteProtocolError:
        assert len(payload) < 4
