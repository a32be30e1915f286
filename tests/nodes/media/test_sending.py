"""What the far end gets: a packet every 20 ms with the numbers of the clock, whatever is or is not being played."""

from dataclasses import replace
from itertools import pairwise

import pytest

from nodes.audio.g711 import SILENCE, ulaw_to_alaw
from nodes.links.errors import Refused
from protocols.rtp.dtmf import TelephoneEvent
from protocols.wire.ids import ChannelId, PromptHash
from protocols.wire.messages import PlayEnded, Playing


async def test_rtp_never_stops_and_its_numbers_follow_from_the_clock(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    rig.frames(10)
    packets = far.heard()
    assert [packet.sequence for packet in packets] == [65530, 65531, 65532, 65533, 65534, 65535, 0, 1, 2, 3]
    assert [packet.timestamp for packet in packets[:3]] == [2**32 - 160, 0, 160]
    assert [packet.marker for packet in packets] == [True] + [False] * 9
    assert {(packet.ssrc, packet.payload_type, packet.payload) for packet in packets} == {(5, 0, SILENCE)}


async def test_nothing_is_sent_before_the_far_end_has_said_where_it_listens(rig, far) -> None:
    rig.plane.set(rig.channel(far, remote_host="", remote_port=0))
    rig.frames(3)
    assert far.heard() == []


async def test_while_the_far_end_holds_us_nothing_is_sent_and_the_numbers_go_on(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    rig.frames(2)
    rig.plane.set(rig.channel(far, sends=False))
    rig.frames(3)
    rig.plane.set(rig.channel(far))
    rig.frames(2)
    assert [(packet.sequence, packet.marker) for packet in far.heard()] == [
        (65530, True),
        (65531, False),
        (65535, True),
        (0, False),
    ]


async def test_an_a_law_leg_hears_the_prompt_in_a_law(rig, far) -> None:
    playing = Playing(1, (rig.prompt("p", 3),), at_s=rig.now)
    rig.plane.set(rig.channel(far, payload_type=8, playing=playing))
    rig.frames(2)
    assert [(packet.payload_type, packet.payload) for packet in far.heard()] == [
        (8, ulaw_to_alaw(bytes((k,)) * 160)) for k in (1, 2)
    ]


async def test_prompts_follow_each_other_and_the_end_is_told_once_when_it_was_heard(rig, far) -> None:
    playing = Playing(7, (rig.prompt("a", 2), rig.prompt("b", 1.5, first=9)), at_s=rig.now)
    rig.plane.set(rig.channel(far, playing=playing))
    rig.frames(4)
    assert rig.heard_of(PlayEnded) == []
    ended_at = rig.now
    rig.frames(4)
    assert [packet.payload[:1] for packet in far.heard()] == [b"\1", b"\2", b"\x09", b"\x0a"] + [b"\xff"] * 4
    assert [(ended.play_id, ended.at_s > ended_at) for ended in rig.heard_of(PlayEnded)] == [(7, True)]


@pytest.mark.parametrize(
    ("skip_s", "first"), [(0.0, b"\1"), (0.03, b"\1"), (0.04, b"\x09"), (0.06, b"\x09"), (9.0, b"\x09")]
)
async def test_the_rest_of_a_play_begins_with_the_prompt_that_was_cut_off(
    rig, far, skip_s: float, first: bytes
) -> None:
    play = Playing(7, (rig.prompt("a", 2), rig.prompt("b", 2, first=9)), at_s=rig.now, skip_s=skip_s)
    rig.plane.set(rig.channel(far, playing=play))
    rig.frames(6)
    assert far.heard()[0].payload[:1] == first
    assert len(rig.heard_of(PlayEnded)) == 1


async def test_the_tail_of_a_prompt_is_filled_up_with_silence(rig, far) -> None:
    rig.plane.set(rig.channel(far, playing=Playing(1, (rig.prompt("p", 0.5),), at_s=rig.now)))
    rig.frames()
    assert far.heard()[0].payload == b"\1" * 80 + b"\xff" * 80


async def test_the_same_state_again_changes_nothing(rig, far) -> None:
    wanted = rig.channel(far, playing=Playing(1, (rig.prompt("p", 6),), at_s=rig.now))
    for _ in range(4):
        rig.plane.set(wanted)
        rig.frames(2)
    assert [packet.payload[0] for packet in far.heard()] == [1, 2, 3, 4, 5, 6, 255, 255]
    assert len(rig.heard_of(PlayEnded)) == 1


async def test_a_play_taken_away_is_silent_at_the_next_packet_and_its_end_is_not_told(rig, far) -> None:
    rig.plane.set(rig.channel(far, playing=Playing(1, (rig.prompt("p", 9),), at_s=rig.now)))
    rig.frames(2)
    rig.plane.set(rig.channel(far))
    rig.frames(9)
    assert [packet.payload[0] for packet in far.heard()] == [1, 2] + [255] * 9
    assert rig.heard_of(PlayEnded) == []


async def test_a_play_of_the_future_waits_for_its_time(rig, far) -> None:
    rig.plane.set(rig.channel(far, playing=Playing(1, (rig.prompt("p", 2),), at_s=rig.now + 0.04)))
    rig.frames(4)
    assert [packet.payload[0] for packet in far.heard()] == [255, 255, 1, 2]


async def test_a_prompt_that_is_not_there_is_counted_and_over_at_once(rig, far) -> None:
    playing = Playing(1, (PromptHash("nowhere"), PromptHash("../secret")), at_s=rig.now)
    rig.plane.set(rig.channel(far, playing=playing))
    rig.frames()
    assert rig.plane.figures()["prompts_missing"] == 2
    assert len(rig.heard_of(PlayEnded)) == 1


async def test_keys_go_out_as_telephone_events_instead_of_audio(rig, far) -> None:
    wanted = rig.channel(far)
    rig.plane.set(wanted)
    rig.frames(2)
    rig.plane.press(wanted.channel_id, "5#", ms=60)
    rig.frames(16)
    packets = far.heard()
    events = [packet for packet in packets if packet.payload_type == 101]
    assert [packet.sequence for packet in packets] == [(65530 + k) % 65536 for k in range(18)]
    assert [TelephoneEvent.parse(packet.payload).code for packet in events] == [5] * 5 + [11] * 5
    assert [packet.marker for packet in events] == ([True] + [False] * 4) * 2
    assert {packet.timestamp for packet in events[:5]} == {packets[2].sequence * 160 - 65530 * 160 - 160}
    assert len({packet.timestamp for packet in events}) == 2


@pytest.mark.parametrize(("dtmf_type", "keys", "reason"), [(-1, "1", "no_dtmf"), (101, "1x", "no_such_key")])
async def test_keys_that_cannot_be_sent_are_refused(rig, far, dtmf_type, keys, reason) -> None:
    rig.plane.set(rig.channel(far, dtmf_type=dtmf_type))
    with pytest.raises(Refused, match=reason):
        rig.plane.press(ChannelId("c"), keys, 100)


async def test_the_callers_of_two_bridged_channels_hear_each_other_at_the_next_beat(rig, fars) -> None:
    here, there = fars[:2]
    one, two = rig.channel(here, "one", ssrc=1), rig.channel(there, "two", ssrc=2)
    rig.plane.set(one)
    rig.plane.set(two)
    for k in range(1, 12):
        if k == 6:
            rig.plane.set(replace(one, bridge=two.channel_id))
            rig.plane.set(replace(two, bridge=one.channel_id))
        here.say(bytes((k,)) * 160)
        there.say(bytes((100 + k,)) * 160)
        rig.frames()
    at_here, at_there = ([packet.payload[0] for packet in end.heard()] for end in (here, there))
    assert set(at_here[:5]) == set(at_there[:5]) == {255}
    assert at_here[-5:] == [at_here[-5] + k for k in range(5)]
    assert at_there[-5:] == [at_there[-5] + k for k in range(5)]
    assert (min(at_there), min(at_here)) in {(k, 100 + j) for k in (2, 3, 4, 5) for j in (2, 3, 4, 5)}


async def test_bridging_moves_both_into_one_slot_without_losing_a_number(rig, fars) -> None:
    here, there = fars[:2]
    one, two = rig.channel(here, "one"), rig.channel(there, "two")
    rig.plane.set(one)
    rig.plane.set(two)
    rig.frames(3)
    rig.plane.set(replace(two, bridge=one.channel_id))
    rig.frames(5)
    numbers = [packet.sequence for packet in there.heard()]
    assert all((later - earlier) % 65536 == 1 for earlier, later in pairwise(numbers))


async def test_a_bridge_to_a_channel_that_is_not_there_yet_plays_on(rig, far) -> None:
    playing = Playing(1, (rig.prompt("p", 2),), at_s=rig.now)
    rig.plane.set(rig.channel(far, playing=playing, bridge=ChannelId("later")))
    rig.frames(2)
    assert [packet.payload[0] for packet in far.heard()] == [1, 2]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"remote_host": "example.invalid"}, "bad_remote"),
        ({"remote_port": 0}, "bad_remote"),
        ({"payload_type": 9}, "bad_payload_type"),
        ({"port": 1}, "port_not_ours"),
    ],
)
async def test_what_cannot_be_done_is_refused(rig, far, fields, reason) -> None:
    with pytest.raises(Refused, match=reason):
        rig.plane.set(rig.channel(far, **fields))


async def test_only_so_many_orders_of_keys_wait_for_each_other(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    for _ in range(16):
        rig.plane.press(ChannelId("c"), "1", 100)
    with pytest.raises(Refused, match="too_many_keys"):
        rig.plane.press(ChannelId("c"), "1", 100)
