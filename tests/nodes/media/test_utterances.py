"""What an engine is given to hear: whole utterances, once, and again when another engine must take over."""

from dataclasses import replace
from itertools import groupby

from nodes.audio.g711 import SILENCE
from nodes.audio.vad import DECISIVE_FRAMES, TAIL_FRAMES
from nodes.media.bench import speech
from nodes.media.player import LAST_WORD_FRAMES
from nodes.media.utterance import BEFORE_FRAMES, RING_FRAMES, Utterances
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import Audio, Playing, SpeechEnded, SpeechStarted

OTHER = Identity("n1.speech-1:1")
SPOKEN = speech()
TALK = [SPOKEN[k : k + 160] for k in range(0, 160 * 60, 160)]  # 1.2 s in three syllables
HUSH = [SILENCE] * 60


async def test_an_utterance_is_heard_from_300_ms_before_it_to_the_end_of_its_tail(rig, far) -> None:
    rig.plane.set(rig.channel(far, engine="n1.speech-0:1"))
    rig.converse(far, HUSH + TALK + HUSH)
    frames = rig.audio()
    first = next(k for k, frame in enumerate(frames) if frame.voiced)
    last = max(k for k, frame in enumerate(frames) if frame.voiced)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert first == BEFORE_FRAMES
    assert len(frames) - 1 - last == TAIL_FRAMES
    assert [frame.last for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert b"".join(frame.payload for frame in frames).strip(b"\xff") == b"".join(TALK).strip(b"\xff")


async def test_beginning_and_end_are_told_with_the_instants_of_the_voice(rig, far) -> None:
    rig.plane.set(rig.channel(far, engine="n1.speech-0:1"))
    rig.converse(far, (HUSH + TALK + HUSH) * 2)
    voiced = [frame for frame in rig.audio() if frame.voiced]
    started, ended = rig.heard_of(SpeechStarted), rig.heard_of(SpeechEnded)
    assert [told.utterance for told in started] == [told.utterance for told in ended]
    assert started[0].utterance < started[1].utterance
    for k, number in enumerate(told.utterance for told in started):
        mine = [frame.at_s for frame in voiced if frame.utterance == number]
        assert (started[k].at_s, ended[k].at_s) == (mine[0], mine[-1])


async def test_frames_for_one_engine_come_together_many_to_a_message(rig, fars) -> None:
    for k, far in enumerate(fars):
        rig.plane.set(rig.channel(far, str(k), engine="n1.speech-0:1"))
    for payload in HUSH + TALK:
        for far in fars:
            far.say(payload)
        rig.frames()
    batches = [{frame.channel_id for frame in batch.frames} for batch in rig.heard_of(Audio)]
    assert batches[len(batches) // 2] == {"0", "1", "2"}
    assert len(batches) * 4 < len(rig.audio())


async def test_the_frame_that_completes_a_pause_comes_at_once_with_all_before_it(rig, far) -> None:
    rig.plane.set(rig.channel(far, engine="n1.speech-0:1"))
    n_silent = -len(HUSH)  # what comes before the voice is no pause
    for payload in HUSH + TALK + HUSH:
        far.say(payload)
        for _ in range(4):
            before = len(rig.audio())
            rig.beats(1)
            for frame in rig.audio()[before:]:
                n_silent = 0 if frame.voiced else n_silent + 1
                if any(each.voiced for each in rig.audio()) and n_silent in DECISIVE_FRAMES:
                    assert frame == rig.audio()[-1]
                    assert frame.at_s == rig.now
    assert rig.audio()[-1].last


async def test_what_waits_is_told_before_a_process_stops(rig, far) -> None:
    rig.plane.set(rig.channel(far, engine="n1.speech-0:1"))
    rig.converse(far, HUSH + TALK[:30])
    while rig.audio()[-1].at_s > rig.now - 0.02:  # until something waits
        rig.converse(far, TALK[30:31])
    rig.plane.stop()
    assert rig.audio()[-1].at_s > rig.now - 0.02


async def test_another_engine_is_told_the_utterance_in_progress_from_its_start(rig, far) -> None:
    wanted = rig.channel(far, engine="n1.speech-0:1")
    rig.plane.set(wanted)
    rig.converse(far, HUSH + TALK[:30])
    rig.plane.set(replace(wanted, engine=OTHER))
    in_progress = rig.audio(OTHER)
    assert in_progress[: len(rig.audio())] == rig.audio()
    assert in_progress[-1].at_s > rig.now - 0.02
    rig.converse(far, TALK[30:] + HUSH)
    assert [frame.index for frame in rig.audio(OTHER)] == list(range(len(rig.audio(OTHER))))
    assert {frame.utterance for frame in rig.audio(OTHER)} == {in_progress[0].utterance}
    assert rig.audio() == in_progress[: len(rig.audio())]
    assert len(rig.heard_of(SpeechStarted)) == 1


async def test_each_frame_says_whether_more_than_the_last_word_of_a_play_was_still_to_come(rig, far) -> None:
    wanted = rig.channel(far, engine="n1.speech-0:1")
    rig.plane.set(wanted)
    rig.converse(far, HUSH)
    wanted = replace(wanted, playing=Playing(1, (rig.prompt("p", 30),), rig.now))
    rig.plane.set(wanted)
    rig.converse(far, TALK[:50])
    over = [frame.over_prompt for frame in rig.audio()]
    assert [over_prompt for over_prompt, _ in groupby(over)] == [0, 1, 0]
    assert sum(over) == 30 - LAST_WORD_FRAMES
    rig.plane.set(replace(wanted, engine=OTHER))
    assert rig.audio(OTHER)[: len(rig.audio())] == rig.audio()


async def test_an_utterance_that_has_just_ended_is_told_to_the_next_engine_and_an_old_one_is_not(rig, far) -> None:
    wanted = rig.channel(far, engine="n1.speech-0:1")
    rig.plane.set(wanted)
    rig.converse(far, HUSH + TALK + HUSH)
    rig.plane.set(replace(wanted, engine=OTHER))
    assert rig.audio(OTHER) == rig.audio()
    rig.frames(150)
    rig.plane.set(wanted)
    assert rig.audio(OTHER) == rig.audio()


async def test_the_first_engine_of_a_channel_hears_what_is_being_said_and_not_what_was(rig, far) -> None:
    wanted = rig.channel(far)
    rig.plane.set(wanted)
    rig.converse(far, HUSH + TALK + HUSH)
    rig.plane.set(replace(wanted, engine="n1.speech-0:1"))
    assert rig.audio() == []
    rig.plane.set(wanted)
    rig.converse(far, TALK)
    rig.plane.set(replace(wanted, engine="n1.speech-0:1"))
    assert len(rig.audio()) > 30


async def test_numbers_go_on_growing_in_a_successor() -> None:
    def first_number(at: float) -> int:
        utterances = Utterances(ChannelId("c"), born_s=100.0)
        for k in range(5):
            utterances.step(bytes(160), True, at + k * 0.02)
        return utterances.number

    assert first_number(100.0) == 1
    assert first_number(120.0) == 1001


async def test_an_endless_utterance_keeps_its_last_thirty_seconds() -> None:
    utterances = Utterances(ChannelId("c"), born_s=0.0)
    for k in range(RING_FRAMES + 100):
        utterances.step(bytes(160), True, k * 0.02)
    kept = utterances.replay(at=(RING_FRAMES + 100) * 0.02)
    assert len(kept) == RING_FRAMES
    assert kept[-1].index == RING_FRAMES + 99


async def test_an_engine_that_cannot_be_reached_is_counted_and_disturbs_nothing(rig, far) -> None:
    rig.reachable = False
    rig.plane.set(rig.channel(far, engine="n1.speech-0:1"))
    assert len(rig.converse(far, HUSH + TALK)) == len(HUSH + TALK)
    assert rig.plane.figures()["untold"] == len(rig.told)
