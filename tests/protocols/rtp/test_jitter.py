"""The playout buffer against any network: the rules of its header, one by one, and what holds whatever happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.rtp.jitter import Gap, JitterBuffer

FRAME_S = 0.02


def audio(k: int) -> bytes:
    """A frame that says which it is."""
    return k.to_bytes(4, "big") * 40


def number(frame: object) -> int | None:
    return None if isinstance(frame, Gap) else int.from_bytes(frame[:4], "big")  # type: ignore[index]


def played(arrivals: list[tuple[float, int]], until: float, buffer: JitterBuffer, first_tick: float = 0.0) -> list[int]:
    """Put frames in as they arrive (at, which), ask every 20 ms, return which came out; checks what always holds."""
    waiting, out, beats = sorted(arrivals), [], int((until - first_tick) / FRAME_S)
    for at in (first_tick + beat * FRAME_S for beat in range(beats)):
        while waiting and waiting[0][0] <= at:
            came, k = waiting.pop(0)
            buffer.put((k * 160) & 0xFFFFFFFF, audio(k), came)
            assert buffer.held <= 200 * 8
        got = number(buffer.playout(at))
        if got is not None:
            out.append(got)
    return out


networks = st.lists(st.tuples(st.integers(0, 60), st.floats(0, 0.5)), max_size=120)


@given(networks, st.floats(0, 0.019))
def test_whatever_arrives_is_played_in_order_once_and_never_from_a_deeper_buffer_than_its_limit(
    network: list[tuple[int, float]], phase: float
) -> None:
    arrivals = [(k * FRAME_S + delay, k) for k, delay in network]
    out = played(arrivals, until=3.0, buffer=JitterBuffer(), first_tick=phase)
    assert out == sorted(set(out))
    assert set(out) <= {k for k, _ in network}


@given(st.lists(st.floats(0, 0.038), min_size=100, max_size=100), st.floats(0, 0.0199))
def test_delay_that_varies_less_than_the_depth_loses_nothing(delays: list[float], phase: float) -> None:
    delays[0] = 0.038  # the first packet sets the cursor: nothing can be played before it
    arrivals = [(k * FRAME_S + delay, k) for k, delay in enumerate(delays)]
    out = played(arrivals, until=2.4, buffer=JitterBuffer(depth_ms=40), first_tick=phase)
    assert out == list(range(100)) or len(out) >= 98  # rule 4 may cut what a calm second never needed


def test_the_first_packet_waits_for_the_depth() -> None:
    buffer = JitterBuffer(depth_ms=40)
    buffer.put(0, audio(0), now=1.0)
    assert buffer.playout(1.039) == Gap("filling")
    assert number(buffer.playout(1.04)) == 0


def test_a_lost_frame_is_a_gap_where_it_was_and_the_next_is_on_time() -> None:
    buffer = JitterBuffer()
    for k in (0, 2, 3):
        buffer.put(k * 160, audio(k), now=0.0)
    assert [number(buffer.playout(0.04 + k * FRAME_S)) for k in range(4)] == [0, None, 2, 3]


def test_a_frame_that_is_late_is_counted_and_not_played() -> None:
    buffer = JitterBuffer()
    for k in (0, 2, 3):
        buffer.put(k * 160, audio(k), now=0.0)
    assert [number(buffer.playout(0.04 + k * FRAME_S)) for k in range(2)] == [0, None]
    buffer.put(160, audio(1), now=0.07)
    assert (buffer.late, number(buffer.playout(0.08))) == (1, 2)


def test_the_missing_packet_of_an_empty_buffer_is_played_at_once_and_all_that_follow_are_as_late() -> None:
    buffer = JitterBuffer()
    buffer.put(0, audio(0), now=0.0)
    assert number(buffer.playout(0.04)) == 0
    assert buffer.playout(0.06) == Gap("empty")
    buffer.put(160, audio(1), now=0.07)
    assert number(buffer.playout(0.08)) == 1
    assert buffer.late == 0


def test_a_pause_of_the_sender_begins_a_new_wait() -> None:
    buffer = JitterBuffer()
    buffer.put(0, audio(0), now=0.0)
    assert number(buffer.playout(0.04)) == 0
    buffer.put(8000, audio(50), now=1.0)
    assert buffer.playout(1.03) == Gap("filling")
    assert number(buffer.playout(1.04)) == 50


def test_a_burst_after_a_stall_is_cut_down_to_the_depth() -> None:
    buffer = JitterBuffer(depth_ms=40, limit_ms=200)
    for k in range(11):
        buffer.put(k * 160, audio(k), now=0.0)
    assert buffer.held == 40 * 8
    assert number(buffer.playout(0.04)) == 9
    assert buffer.skipped == 9 * 160


def test_depth_that_a_second_never_needed_is_given_back_frame_by_frame() -> None:
    buffer = JitterBuffer(depth_ms=40)
    for k in range(6):
        buffer.put(k * 160, audio(k), now=0.0)  # 120 ms at once: a stall is over
    for k in range(150):
        buffer.playout(0.04 + k * FRAME_S)
        buffer.put((6 + k) * 160, audio(6 + k), now=0.05 + k * FRAME_S)
    assert buffer.held <= 60 * 8
    assert buffer.skipped == 3 * 160


def test_timestamps_that_come_round_are_in_order() -> None:
    buffer = JitterBuffer()
    for k, timestamp in enumerate((2**32 - 320, 2**32 - 160, 0, 160)):
        buffer.put(timestamp, audio(k), now=0.0)
    assert [number(buffer.playout(0.04 + k * FRAME_S)) for k in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("ms", [10, 30, 40, 60])
def test_packets_of_any_length_come_out_as_frames(ms: int) -> None:
    speech = bytes(k % 251 for k in range(160 * 12))
    buffer = JitterBuffer()
    for start in range(0, len(speech), ms * 8):
        buffer.put(start, speech[start : start + ms * 8], now=start / 8000)
        if start / 8000 >= 0.06:
            break
    out = b"".join(bytes(frame) for k in range(3) if not isinstance(frame := buffer.playout(0.06 + k * FRAME_S), Gap))
    assert out == speech[: len(out)]
    assert len(out) == 480


def test_a_frame_of_which_a_part_is_missing_has_silence_there() -> None:
    buffer = JitterBuffer(silence=b"\xff")
    buffer.put(0, bytes(80), now=0.0)
    buffer.put(160, bytes(160), now=0.0)
    assert buffer.playout(0.04) == bytes(80) + b"\xff" * 80


def test_a_stream_that_leaps_back_more_than_a_second_is_a_new_one() -> None:
    buffer = JitterBuffer()
    buffer.put(100_000, audio(1), now=0.0)
    buffer.put(50_000, audio(2), now=0.01)
    assert number(buffer.playout(0.06)) == 2


def test_after_a_restart_only_the_counts_remain() -> None:
    buffer = JitterBuffer()
    buffer.put(0, audio(0), now=0.0)
    buffer.put(0, audio(0), now=0.0)
    buffer.restart()
    assert buffer.playout(1.0) == Gap("empty")
    assert buffer.duplicate == 1
