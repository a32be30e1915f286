"""An utterance's frames: in order, each once, none missing, whoever sends them."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nodes.speech.channel import FRAME_BYTES, LONGEST_MS, Utterance
from protocols.wire.ids import ChannelId
from protocols.wire.messages import AudioFrame


def frames(voiced: Sequence[bool], number: int = 7, start_s: float = 100.0) -> list[AudioFrame]:
    """Frames whose bytes are their index."""
    return [
        AudioFrame(ChannelId("c"), number, index, said, bytes([index % 250]) * FRAME_BYTES, start_s + index * 0.02)
        for index, said in enumerate(voiced)
    ]


def heard(given_frames: Sequence[AudioFrame]) -> Utterance:
    utterance = Utterance()
    for frame in given_frames:
        utterance.add(frame)
    return utterance


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_frames_that_come_again_change_nothing(voiced: list[bool], rng) -> None:
    sent = frames(voiced)
    again = [copy for n, frame in enumerate(sent) for copy in (frame, *rng.sample(sent[: n + 1], rng.randrange(2)))]
    once, twice = heard(sent), heard(again)
    assert twice.audio == once.audio
    assert (twice.silence_ms, twice.speech_ms) == (once.silence_ms, once.speech_ms)


@given(st.integers(2, 60), st.data())
def test_a_lost_frame_is_a_frame_of_silence(n_frames: int, data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.integers(1, n_frames - 2))) if n_frames > 2 else set()
    utterance = heard([frame for frame in frames([True] * n_frames) if frame.index not in lost])
    assert len(utterance.audio) == n_frames * FRAME_BYTES
    for index in range(n_frames):
        byte = 0xFF if index in lost else index
        assert utterance.audio[index * FRAME_BYTES] == byte


@given(st.binary(max_size=400))
def test_a_payload_of_another_length_is_as_good_as_lost(payload: bytes) -> None:
    utterance = heard([replace(frames([True])[0], payload=payload)])
    assert len(utterance.audio) == FRAME_BYTES


def test_silence_counts_from_the_last_voiced_frame() -> None:
    utterance = heard(frames([False] * 15 + [True] * 10 + [False] * 8))
    assert utterance.silence_ms == 160
    assert utterance.speech_ms == 200
    assert utterance.last_voiced_s == 100.0 + 24 * 0.02


def test_before_the_first_voiced_frame_nothing_has_been_said() -> None:
    utterance = heard(frames([False] * 15))
    assert (utterance.silence_ms, utterance.speech_ms, utterance.last_voiced_s) == (0, 0, None)


def test_numbers_that_change_in_the_middle_are_the_same_speech_from_a_successor() -> None:
    first, second = frames([True] * 10, number=7), frames([True] * 10, number=900, start_s=100.3)
    utterance = heard([*first, *second])
    assert len(utterance.audio) == 20 * FRAME_BYTES
    assert utterance.number == 900


def test_a_late_frame_of_the_utterance_before_is_refused() -> None:
    utterance = heard(frames([True] * 5, number=8, start_s=105.0))
    assert not utterance.add(frames([True] * 3, number=7)[2])
    assert not utterance.is_newer(frames([True] * 3, number=7)[2])


def test_the_last_frame_ends_it() -> None:
    *sent, last = frames([True] * 5)
    utterance = heard([*sent, replace(last, last=True)])
    assert utterance.is_over
    assert not utterance.add(replace(last, index=9, at_s=200.0))


def test_a_caller_who_never_pauses_is_cut() -> None:
    utterance = heard(frames([True] * (LONGEST_MS // 20 + 50)))
    assert utterance.is_over
    assert len(utterance.audio) == LONGEST_MS * 8


def test_an_index_out_of_the_blue_does_not_fill_the_memory() -> None:
    utterance = heard([frames([True])[0], replace(frames([True])[0], index=2**40, at_s=101.0)])
    assert len(utterance.audio) <= (LONGEST_MS + 40) * 8


def test_the_rest_begins_with_the_silence_and_goes_on_counting() -> None:
    sent = frames([True] * 10 + [False] * 8 + [True] * 5)
    utterance = heard(sent[:18])
    rest = utterance.rest()
    assert bytes(rest.audio) == b"".join(frame.payload for frame in sent[10:18])
    assert not rest.add(sent[17])
    for frame in sent[18:]:
        assert rest.add(frame)
    assert rest.speech_ms == 100
