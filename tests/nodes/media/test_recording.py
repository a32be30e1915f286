"""Two channels of equal length in one file, whatever happens to the process or to the disk."""

import os
import time
import wave
from dataclasses import replace

import numpy as np
import pytest

from nodes.audio.g711 import decode
from nodes.media.recording import LEFT_S, Writer, left_over
from protocols.wire.ids import ChannelId
from protocols.wire.messages import Playing

CALLER, OURS = b"\x90" * 160, 1
NAME = ChannelId("c")


def channels(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return left and right of a wav as any program reads it."""
    with wave.open(path) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return both[:, 0], both[:, 1]


def level(code: int) -> int:
    return int(decode(bytes((code,)))[0])


async def test_the_caller_is_left_what_we_send_is_right_and_both_are_as_long_as_the_call(rig, far) -> None:
    playing = Playing(1, (rig.prompt("p", 70),), at_s=rig.now)
    rig.plane.set(rig.channel(far, recording="call", playing=playing))
    rig.converse(far, [CALLER] * 120)
    closed = await rig.plane.close(NAME)
    left, right = channels(closed.recording)
    assert len(left) == len(right) == 120 * 160
    assert [right[k * 160] for k in (0, 69, 70)] == [level(1), level(70), 0]
    heard = np.flatnonzero(left == level(0x90))
    assert 40 <= heard[0] / 8 <= 80
    assert set(left[heard[0] :]) == {level(0x90)}


async def test_the_file_has_its_name_only_when_it_is_whole(rig, far) -> None:
    rig.plane.set(rig.channel(far, recording="day/call"))
    rig.frames(60)
    assert not (rig.root / "day/call.wav").exists()
    closed = await rig.plane.close(NAME)
    assert closed.recording == str(rig.root / "day/call.wav")
    assert not (rig.root / "day/call.part").exists()


async def test_a_successor_goes_on_where_it_is_and_what_lies_between_is_silence(incarnate, far) -> None:
    first = incarnate()
    playing = Playing(1, (first.prompt("p", 120, first=130),), at_s=first.now)
    wanted = first.channel(far, recording="call", playing=playing)
    first.plane.set(wanted)
    first.frames(40)
    first.die()
    second = incarnate(at=first.now + 0.2)
    second.plane.set(wanted)
    second.frames(40)
    left, right = channels((await second.plane.close(NAME)).recording)
    played = right[::160].tolist()
    assert len(left) == len(right) == 160 * len(played)
    assert len(played) == pytest.approx(90, abs=1)
    assert played == [level(130 + k) if sample else 0 for k, sample in enumerate(played)]
    assert played.count(0) == pytest.approx(10, abs=1)


async def test_a_recording_that_was_paused_goes_on_in_the_same_file(rig, far) -> None:
    wanted = rig.channel(far, recording="call", playing=Playing(1, (rig.prompt("p", 110),), at_s=rig.now))
    rig.plane.set(wanted)
    rig.frames(60)
    rig.plane.set(replace(wanted, recording=""))
    rig.frames(20)
    rig.plane.set(wanted)
    rig.frames(20)
    _, right = channels((await rig.plane.close(NAME)).recording)
    assert len(right) == 100 * 160
    assert np.flatnonzero(right[::160] == 0).tolist() == list(range(60, 80))


async def test_what_a_machine_that_died_was_recording_is_published_when_it_is_back(incarnate, far) -> None:
    """Its call had gone on at another machine, so nobody came back to it: the part stayed without its name for ever."""
    first = incarnate()
    first.plane.set(first.channel(far, recording="call"))
    first.frames(60)
    first.die()
    part, now = first.root / "call.part", time.time()
    assert left_over(first.root, now) == []
    os.utime(part, (now - LEFT_S - 1, now - LEFT_S - 1))
    second = incarnate(at=first.now + 1)
    assert left_over(second.root, now) == [str(second.root / "call")]
    second.writer.finish(str(second.root / "call"))
    assert await second.writer.publish("call") == ""
    left, right = channels(str(first.root / "call.wav"))
    assert len(left) == len(right) > 0


async def test_a_recording_that_was_taken_for_left_over_is_no_failure_when_it_ends(incarnate, far) -> None:
    """Its disk had been full for a minute."""
    rig = incarnate()
    rig.plane.set(rig.channel(far, recording="call"))
    rig.frames(60)
    other = Writer(rig.root)
    other.start()
    await rig.writer.publish("nothing")
    assert await other.publish("call") == str(rig.root / "call.wav")
    other.close()
    rig.frames(60)
    closed = await rig.plane.close(NAME)
    assert closed.recording == str(rig.root / "call.wav")
    assert rig.plane.figures()["recording_blocks_failed"] == 0


async def test_a_channel_that_is_not_recorded_leaves_no_file(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    rig.frames(60)
    assert (await rig.plane.close(NAME)).recording == ""
    assert list(rig.root.iterdir()) == []


async def test_a_full_disk_is_counted_and_the_call_goes_on(rig, far) -> None:
    (rig.root / "call.part").symlink_to("/dev/full")
    rig.plane.set(rig.channel(far, recording="call"))
    heard = rig.converse(far, [CALLER] * 120)
    closed = await rig.plane.close(NAME)
    assert len(heard) == 120
    assert closed.recording == ""
    assert rig.plane.figures()["recording_blocks_failed"] >= 2


async def test_a_disk_that_is_too_slow_loses_blocks_and_not_memory(rig, far, monkeypatch) -> None:
    monkeypatch.setattr("nodes.media.recording.MAX_WAITING", 0)
    rig.plane.set(rig.channel(far, recording="call"))
    rig.frames(120)
    assert rig.plane.figures()["recording_blocks_dropped"] >= 2


async def test_a_recording_that_nobody_ends_stops_growing_and_is_whole_as_far_as_it_goes(rig, far, monkeypatch) -> None:
    """Its header counts to 4 GB: beyond it the thread that writes all recordings would end."""
    monkeypatch.setattr("nodes.media.recording.MAX_BYTES", 100_000)
    rig.plane.set(rig.channel(far, recording="call"))
    rig.converse(far, [CALLER] * 400)
    left, _ = channels((await rig.plane.close(NAME)).recording)
    assert 100 * 160 < len(left) <= 25_000
    assert rig.plane.figures()["recording_blocks_too_long"] >= 3
    rig.plane.set(rig.channel(far, recording="next"))
    rig.converse(far, [CALLER] * 120)
    assert (await rig.plane.close(NAME)).recording != "", "the others go on"


async def test_publishing_what_a_predecessor_left_needs_no_audio_of_our_own(incarnate, far) -> None:
    first = incarnate()
    wanted = first.channel(far, recording="call")
    first.plane.set(wanted)
    first.frames(60)
    first.die()
    second = incarnate(at=first.now + 1)
    second.plane.set(wanted)
    left, _ = channels((await second.plane.close(NAME)).recording)
    assert len(left) == 60 * 160
