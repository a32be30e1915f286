"""A media process dies, its spare is sent the same channels: what the caller and the callee notice."""

from dataclasses import replace

import pytest

from nodes.audio.g711 import SILENCE as HUSH
from nodes.media.bench import speech
from nodes.media.line import LOST_S
from protocols.wire.messages import AudioArrived, AudioLost, PlayEnded, Playing, SpeechEnded, SpeechStarted

SPOKEN = speech()
SPEECH = [SPOKEN[k : k + 160] for k in range(0, 160 * 60, 160)]


@pytest.mark.parametrize("gap_ms", [5, 35, 90])
async def test_prompt_sequence_and_timestamp_go_on_as_if_nobody_had_died(incarnate, far, gap_ms) -> None:
    first = incarnate()
    wanted = first.channel(far, playing=Playing(1, (first.prompt("p", 100),), at_s=first.now))
    first.plane.set(wanted)
    first.frames(20)
    first.die()
    last = far.heard()[-1]
    second = incarnate(at=first.now + gap_ms / 1000)
    second.plane.set(wanted)
    second.frames(10)
    packets = far.heard()
    missed = (packets[0].sequence - last.sequence) % 65536 - 1
    assert missed <= gap_ms / 20 + 1
    assert packets[0].payload[0] == last.payload[0] + 1 + missed
    assert packets[0].timestamp == (last.timestamp + 160 * (1 + missed)) % 2**32
    assert [packet.payload[0] - packets[0].payload[0] for packet in packets] == list(range(10))


async def test_the_callers_packets_wait_in_the_socket_for_the_successor(incarnate, fars) -> None:
    here, there = fars[:2]
    first = incarnate()
    channels = [first.channel(here, "one", bridge="two"), first.channel(there, "two", bridge="one")]
    for wanted in channels:
        first.plane.set(wanted)
    first.converse(here, [b"\x90" * 160] * 5)
    first.die()
    for _ in range(3):
        here.say(b"\x91" * 160)
    second = incarnate(at=first.now + 0.06)
    for wanted in channels:
        second.plane.set(wanted)
    there.heard()
    second.frames(8)
    assert [packet.payload[0] for packet in there.heard()].count(0x91) == 3
    assert len(second.heard_of(AudioArrived)) == 1


async def test_a_play_that_ended_in_between_is_told_by_the_successor(incarnate, far) -> None:
    first = incarnate()
    wanted = first.channel(far, playing=Playing(4, (first.prompt("p", 10),), at_s=first.now))
    first.plane.set(wanted)
    first.frames(8)
    first.die()
    second = incarnate(at=first.now + 0.1)
    second.plane.set(wanted)
    second.frames()
    assert [told.play_id for told in second.heard_of(PlayEnded)] == [4]


async def test_a_spare_that_was_told_of_the_channels_goes_on_without_a_word(incarnate, far) -> None:
    first, spare = incarnate(), incarnate(is_spare=True)
    wanted = first.channel(far, playing=Playing(1, (first.prompt("p", 100),), at_s=first.now))
    for rig in (first, spare):
        rig.plane.set(wanted)
    first.frames(20)
    first.die()
    last = far.heard()[-1]
    spare.beat = first.beat
    spare.plane.start()
    spare.plane.pacer.stop()  # the test goes on being the clock
    spare.frames(10)
    packets = far.heard()
    assert [packet.sequence for packet in packets] == [(last.sequence + 1 + k) % 65536 for k in range(10)]
    assert [packet.payload[0] for packet in packets] == [last.payload[0] + 1 + k for k in range(10)]


async def test_a_spare_that_knows_the_source_believes_it_at_once_and_nobody_else(incarnate, fars) -> None:
    far, real, stranger = fars
    real.near = stranger.near = far.near
    first, spare = incarnate(), incarnate(is_spare=True)
    first.plane.set(first.channel(far))
    first.converse(real, [bytes(160)] * 30)
    wanted = first.channel(far, source=first.heard_of(AudioArrived)[-1].source)
    for rig in (first, spare):
        rig.plane.set(wanted)
    first.die()
    spare.beat = first.beat
    spare.plane.start()
    spare.plane.pacer.stop()
    real.heard()
    assert not spare.converse(stranger, [bytes(160)] * 5)
    assert len(spare.converse(real, [bytes(160)])) == 6
    assert spare.plane.figures()["received"] == 1


async def test_a_spare_leaves_the_recording_to_the_one_who_makes_it(incarnate, far, tmp_path) -> None:
    first, spare = incarnate(), incarnate(is_spare=True)
    wanted = first.channel(far, recording=str(tmp_path / "call"))
    for rig in (first, spare):
        rig.plane.set(wanted)
    first.frames(60)
    closed = await spare.plane.close(wanted.channel_id)
    assert (closed.sent, closed.recording) == (0, "")
    assert not list(tmp_path.glob("*.wav"))
    assert (await first.plane.close(wanted.channel_id)).recording.endswith("call.wav")


async def test_a_spare_does_not_count_its_waiting_as_silence_of_the_caller(incarnate, far) -> None:
    spare = incarnate(is_spare=True)
    spare.plane.set(spare.channel(far))
    spare.beat += 200 * 60  # a minute later
    spare.plane.start()
    spare.plane.pacer.stop()
    spare.frames(5)
    assert not spare.heard_of(AudioLost)


async def test_another_edge_takes_a_channel_over_by_naming_itself(rig, far) -> None:
    wanted = rig.channel(far)
    rig.plane.set(wanted)
    rig.plane.set(replace(wanted, owner="n1.edge-1:2"))
    rig.converse(far, [bytes(160)] * 3)
    assert len(rig.heard_of(AudioArrived, to="n1.edge-1:2")) == 1


async def test_an_owners_next_life_is_told_again_what_its_last_one_may_not_have_heard(rig, far) -> None:
    wanted = rig.channel(far, playing=Playing(4, (rig.prompt("p", 10),), at_s=rig.now))
    rig.plane.set(wanted)
    rig.converse(far, [HUSH] * 20 + SPEECH + [HUSH] * 60)
    started, ended = rig.heard_of(SpeechStarted), rig.heard_of(SpeechEnded)
    assert len(started) == len(ended) == len(rig.heard_of(PlayEnded)) == 1
    rig.plane.set(replace(wanted, epoch=1))
    rig.frames()
    assert rig.heard_of(SpeechStarted) == started * 2
    assert rig.heard_of(SpeechEnded) == ended * 2
    assert [told.play_id for told in rig.heard_of(PlayEnded)] == [4, 4]


async def test_of_an_utterance_in_progress_the_next_life_is_told_the_beginning_only(rig, far) -> None:
    wanted = rig.channel(far)
    rig.plane.set(wanted)
    rig.converse(far, [HUSH] * 20 + SPEECH)
    rig.plane.set(replace(wanted, owner="n1.edge-1:2"))
    assert rig.heard_of(SpeechStarted, to="n1.edge-1:2") == rig.heard_of(SpeechStarted)[:1]
    assert not rig.heard_of(SpeechEnded)


async def test_an_owners_next_life_hears_that_the_line_is_silent_or_that_it_is_not(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    rig.converse(far, [HUSH] * 3)
    rig.plane.set(rig.channel(far, epoch=1))
    assert len(rig.heard_of(AudioArrived)) == 2
    rig.frames(int(2 * LOST_S / 0.02))
    rig.plane.set(rig.channel(far, epoch=2))
    lost = rig.heard_of(AudioLost)
    assert len(lost) == 2
    assert lost[1].silent_s > lost[0].silent_s


async def test_a_silent_line_whose_far_end_moves_is_not_told_as_lost_twice(rig, fars) -> None:
    rig.plane.set(rig.channel(fars[0]))
    rig.converse(fars[0], [HUSH] * 3)
    rig.frames(int(2 * LOST_S / 0.02))
    rig.plane.set(replace(rig.channel(fars[0]), remote_host=fars[1].host, remote_port=fars[1].port))
    rig.frames(int(2 * LOST_S / 0.02))
    assert len(rig.heard_of(AudioLost)) == 1
    fars[1].near = fars[0].near
    rig.converse(fars[1], [HUSH] * 3)
    assert len(rig.heard_of(AudioArrived)) == 2


async def test_after_a_pause_of_ours_a_far_end_has_its_whole_time_again(incarnate, far) -> None:
    """What it has said meanwhile waits in the socket; what it would have said next comes a moment later."""
    rig = incarnate()
    rig.plane.set(rig.channel(far))
    rig.converse(far, SPEECH[:10])
    rig.beat += round((LOST_S + 1) / 0.005)
    rig.plane.wait_anew()
    rig.frames(50)
    assert rig.heard_of(AudioLost) == []
    rig.frames(round(LOST_S / 0.02))
    assert len(rig.heard_of(AudioLost)) == 1, "who stays silent is told of"
