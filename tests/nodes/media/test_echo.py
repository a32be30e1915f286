"""A line that returns our prompts is no callee, and a callee on such a line is heard."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.audio import g711
from nodes.commands.echoing import TAIL_MS, EchoLine, FarEnd, Ringing, ringing
from nodes.speech.flite import FliteVoice
from nodes.speech.telephone import at_8_khz, telephone
from protocols.wire.ids import PromptHash
from protocols.wire.messages import AudioFrame, SpeechEnded, SpeechStarted

LEVEL = 0.05 * 32768
"""A callee's, in the loud parts: -26 dBov."""
AFTER = 40
"""Frames after a prompt: an echo of 200 ms is over."""
LATE_FRAMES = 25
"""500 ms: so soon a callee is heard."""


@pytest.fixture(scope="module")
def prompt() -> bytes:
    voice = FliteVoice("rms")
    return telephone(voice.speak("How satisfied are you with us, from one to ten?", 1.0), voice.rate_hz)


@pytest.fixture(scope="module")
def answer() -> np.ndarray:
    voice = FliteVoice("slt")
    low = at_8_khz(voice.speak("i would like to talk to a human", 1.0), voice.rate_hz).astype(float)
    low = low[np.flatnonzero(np.abs(low) > 1000)[0] :]
    return low * (LEVEL / np.sqrt(np.square(low[np.abs(low) > 1000]).mean()))


def played(call: Ringing, end: FarEnd, prompt: PromptHash, n: int) -> Iterator[object]:
    """Play a prompt, and the silence after it; yield what media tells."""
    call.play(prompt)
    for _ in range(n + AFTER):
        yield from call.turn(end)


def starts(line: EchoLine, prompt: bytes, n_prompts: int = 2, seed: int = 1, *, cancels: bool = True) -> int:
    """Return how often somebody seems to speak while prompts are played to nobody but their echo."""
    with ringing([prompt], cancels=cancels) as (call, (name,)):
        end = FarEnd(line, seed)
        told = [one for _ in range(n_prompts) for one in played(call, end, name, len(prompt) // 160)]
    return sum(isinstance(one, SpeechStarted) for one in told)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    level_db=st.floats(-30, -10),
    delay_ms=st.floats(20, 200),
    tail=st.sampled_from(sorted(TAIL_MS)),
    seed=st.integers(0),
)
def test_a_prompt_that_comes_back_is_never_taken_for_a_callee(prompt, level_db, delay_ms, tail, seed) -> None:
    assert starts(EchoLine(level_db, delay_ms, tail), prompt, seed=seed) == 0


def test_without_an_echo_canceller_it_would_be(prompt) -> None:
    assert starts(EchoLine(-15, 100), prompt, cancels=False) == 2


@pytest.mark.parametrize("moved_ms", [-20, 20, 60])
def test_an_echo_that_comes_earlier_or_later_from_now_on_is_found_again(prompt, moved_ms) -> None:
    line = EchoLine(-15, 120, moved_ms=moved_ms)
    with ringing([prompt], cancels=True) as (call, (name,)):
        end = FarEnd(line, 1)
        told = []
        for _ in range(3):
            told += played(call, end, name, len(prompt) // 160)
            end.move()
    assert not [one for one in told if isinstance(one, SpeechStarted)]


def test_a_successor_in_the_middle_of_a_prompt_does_not_take_its_rest_for_a_callee(prompt) -> None:
    with ringing([prompt], cancels=True) as (call, (name,)):
        end, told = FarEnd(EchoLine(-12, 150), 1), []
        told += played(call, end, name, len(prompt) // 160)
        for died_at in (30, 70, len(prompt) // 160 + 2):
            call.play(name)
            for k in range(len(prompt) // 160 + AFTER):
                if k == died_at:
                    call.succeed()
                told += call.turn(end)
    assert not [one for one in told if isinstance(one, SpeechStarted)]


@pytest.mark.parametrize("line", [EchoLine(-90, 20), EchoLine(-12, 60), EchoLine(-20, 180, "hybrid")])
@pytest.mark.parametrize("is_first_prompt", [True, False])
def test_a_callee_who_speaks_over_a_prompt_is_heard_within_half_a_second_from_the_first_word(
    prompt, answer, line, is_first_prompt
) -> None:
    with ringing([prompt], cancels=True) as (call, (name,)):
        end = FarEnd(line, 1)
        if not is_first_prompt:
            list(played(call, end, name, len(prompt) // 160))
        call.play(name)
        heard_after, began_s, frames = None, call.now + 40 * 0.02, list[AudioFrame]()
        for k in range(100):
            n = k - 40
            said = answer[n * 160 : (n + 1) * 160] if n >= 0 else None
            for one in call.turn(end, said):
                if isinstance(one, SpeechStarted):
                    heard_after, started_s = n, one.at_s
                elif isinstance(one, AudioFrame):
                    frames.append(one)
    assert heard_after is not None
    assert 0 <= heard_after <= LATE_FRAMES
    assert began_s < started_s < began_s + 0.2
    assert frames[0].at_s < began_s
    assert [frame.index for frame in frames] == list(range(len(frames)))


def test_the_engine_hears_a_callee_over_an_echo_with_the_echo_taken_out(prompt, answer) -> None:
    heard = {}
    for level_db in (-10, -90):
        with ringing([prompt], cancels=True) as (call, (name,)):
            end = FarEnd(EchoLine(level_db, 100), 1)
            for _ in range(2):
                list(played(call, end, name, len(prompt) // 160))
            call.play(name)
            heard[level_db] = {}
            for k in range(100):
                said = answer[(k - 40) * 160 : (k - 39) * 160] if k >= 40 else None
                for one in call.turn(end, said):
                    if isinstance(one, AudioFrame) and said is not None:
                        heard[level_db][round(one.at_s / 0.02)] = g711.decode(one.payload).astype(float)
    both = sorted(heard[-10].keys() & heard[-90].keys())[10:]
    left = np.array([heard[-10][at] - heard[-90][at] for at in both])
    assert len(both) > 30
    assert 10 * np.log10(np.square(left).mean() / 32768**2) < -43  # the prompt has -19 dBov, its echo -29


@pytest.mark.parametrize("level_db", [0, -6, -45])
def test_lines_that_no_hybrid_makes_do_no_harm(prompt, level_db) -> None:
    assert starts(EchoLine(level_db, 300), prompt) <= 1


def test_what_is_heard_is_untouched_as_long_as_nothing_was_said(answer) -> None:
    with ringing([], cancels=True) as (call, _):
        end, frames = FarEnd(EchoLine(-10, 100), 1), []
        sent = []
        for k in range(80):
            said = answer[(k - 20) * 160 : (k - 19) * 160] if k >= 20 else None
            frames += [one for one in call.turn(end, said) if isinstance(one, AudioFrame)]
            sent.append(end.last)
    assert frames
    payloads = b"".join(sent)
    assert b"".join(frame.payload for frame in frames) in payloads


def test_a_prompt_that_follows_an_answer_at_once_does_not_go_on_with_it(prompt, answer) -> None:
    with ringing([prompt], cancels=True) as (call, (name,)):
        end, told = FarEnd(EchoLine(-12, 80), 1), []
        n_said = -(-len(answer) // 160)
        for k in range(n_said + 12):  # 0.24 s after the end of an answer: well within the voice detector's tail
            told += call.turn(end, answer[k * 160 : (k + 1) * 160] if k < n_said else None)
        asked_s = call.now
        told += played(call, end, name, len(prompt) // 160)
    assert sum(isinstance(one, SpeechStarted) for one in told) == 1
    (ended,) = (one for one in told if isinstance(one, SpeechEnded))
    assert ended.at_s < asked_s


def test_what_our_own_buffer_adds_to_a_delay_and_takes_off_again_is_no_other_echo(prompt) -> None:
    with ringing([prompt], cancels=True) as (call, (name,)):
        end = FarEnd(EchoLine(-10, 60), 1)
        told = list(played(call, end, name, len(prompt) // 160))
        for _ in range(3):
            call.play(name)
            for k in range(len(prompt) // 160 + AFTER):
                told += call.turn(end, is_late=k in (35, 36, 37, 38))
    assert not [one for one in told if isinstance(one, SpeechStarted)]
