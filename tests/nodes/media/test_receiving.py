"""What is made of what the far end sends: who is believed, what is dropped, what is told."""

import socket

import numpy as np

from nodes.audio.g711 import SILENCE, encode, fade, ulaw_to_alaw
from nodes.audio.tones import tone
from nodes.media.line import LOST_S, QUIET_S
from protocols.rtp import is_rtcp, rtcp
from protocols.rtp.dtmf import TelephoneEvent, press
from protocols.rtp.latch import GRACE_S
from protocols.rtp.packet import Packet
from protocols.wire.ids import ChannelId
from protocols.wire.messages import AudioArrived, AudioLost, BeepHeard, DigitPressed
from protocols.wire.takeover import Beware


async def test_the_first_packet_is_told_and_no_other(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    rig.converse(far, [bytes(160)] * 5)
    assert [told.channel_id for told in rig.heard_of(AudioArrived)] == ["c"]


async def test_silence_on_the_line_is_told_once_and_its_end_too(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    rig.converse(far, [bytes(160)] * 3)
    rig.frames(int(2 * LOST_S / 0.02))
    assert [round(told.silent_s, 1) for told in rig.heard_of(AudioLost)] == [LOST_S]
    rig.converse(far, [bytes(160)])
    assert len(rig.heard_of(AudioArrived)) == 2


async def test_a_held_line_is_not_lost(rig, far) -> None:
    rig.plane.set(rig.channel(far, sends=False))
    rig.frames(int(2 * LOST_S / 0.02))
    rig.plane.set(rig.channel(far))
    rig.frames(int(LOST_S / 0.02) - 1)
    assert rig.heard_of(AudioLost) == []


async def test_a_far_end_behind_a_translator_is_answered_where_it_sends_from(rig, fars) -> None:
    far, real = fars[0], fars[1]
    real.near = far.near
    rig.plane.set(rig.channel(far))
    rig.converse(real, [bytes(160)] * (int(GRACE_S / 0.02) + 5))
    assert rig.heard_of(AudioArrived)[-1].source == (real.host, real.port)
    assert rig.plane.figures()["learnt"] == 1
    far.heard()
    assert len(rig.converse(real, [bytes(160)] * 3)) == 3
    assert not far.heard()


async def test_a_stranger_who_sprays_before_the_call_and_during_it_hears_nothing_and_presses_nothing(rig, fars) -> None:
    """Shared case security/rtp_bleed, dtmf_inject."""
    far, stranger = fars[0], fars[1]
    stranger.near = far.near
    rig.plane.open(ChannelId("c"), rig.channel(far).owner)
    ticks = [tick for tick in press("9" * 40, ms=60) if tick]
    bleeding = []
    for k, tick in enumerate(ticks):
        stranger.say(tick.event.build(), payload_type=101, timestamp=160 * (k - tick.age), ssrc=66)
        if k == 3:
            rig.plane.set(rig.channel(far, agreed_s=rig.now))
        if k >= 10:  # 140 ms after its SDP
            far.say(bytes(160))
        rig.frames()
        bleeding += stranger.heard()
    assert not bleeding
    assert rig.heard_of(DigitPressed) == []
    figures = rig.plane.figures()
    assert figures["received"] == len(ticks) - 10
    assert figures["foreign"] > 100


async def test_a_far_end_that_moves_by_a_re_invite_goes_on_from_there(rig, fars) -> None:
    far, moved = fars[0], fars[1]
    moved.near = far.near
    rig.plane.set(rig.channel(far))
    rig.converse(far, [bytes(160)] * 5)
    rig.plane.set(rig.channel(far, remote_host=moved.host, remote_port=moved.port, agreed_s=rig.now))
    rig.converse(moved, [bytes(160)] * 5)
    assert len(rig.converse(moved, [bytes(160)] * 3)) == 3
    assert rig.plane.figures()["received"] == 13
    assert [told.source[1] for told in rig.heard_of(AudioArrived)] == [far.port, moved.port]


async def test_on_a_strict_trunk_only_the_agreed_address_is_heard(rig, fars) -> None:
    far, real = fars[0], fars[1]
    real.near = far.near
    rig.plane.set(rig.channel(far, strict=True))
    rig.converse(real, [bytes(160)] * 40)
    assert rig.plane.figures()["received"] == 0
    assert len(far.heard()) == 40


async def test_what_comes_before_an_address_was_agreed_is_dropped(rig, far) -> None:
    rig.plane.open(ChannelId("c"), rig.channel(far).owner)
    rig.converse(far, [bytes(160)] * 2)
    assert rig.plane.figures()["early"] == 2


async def test_both_laws_are_understood_whichever_was_agreed(rig, fars) -> None:
    here, there = fars[:2]
    rig.plane.set(rig.channel(here, "one", bridge=ChannelId("two")))
    rig.plane.set(rig.channel(there, "two"))
    for _ in range(5):
        there.say(ulaw_to_alaw(b"\x10" * 160), payload_type=8)
        rig.frames()
    assert here.heard()[-1].payload == b"\x10" * 160


async def test_a_lost_frame_fades_out_instead_of_clicking(rig, fars) -> None:
    here, there = fars[:2]
    rig.plane.set(rig.channel(here, "one", bridge=ChannelId("two")))
    rig.plane.set(rig.channel(there, "two"))
    rig.converse(there, [b"\x90" * 160] * 3)
    rig.frames(10)
    payloads = [packet.payload for packet in here.heard()]
    first, faded = payloads.index(b"\x90" * 160), [b"\x90" * 160]
    for _ in range(3):
        faded.append(fade(faded[-1]))
    assert payloads[first + 2 : first + 7] == [*faded, SILENCE]


async def test_a_key_is_told_once(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    for k, tick in enumerate(press("42", ms=80)):
        if tick:
            far.say(tick.event.build(), payload_type=101, timestamp=160 * (k - tick.age))
        rig.frames()
    assert [told.digit for told in rig.heard_of(DigitPressed)] == ["4", "2"]


async def test_a_key_whose_end_is_lost_is_told_all_the_same(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    rig.converse(far, [bytes(160)] * 3)
    far.say(TelephoneEvent(code=10, is_end=False, duration=160).build(), payload_type=101)
    rig.frames(12)
    assert [told.digit for told in rig.heard_of(DigitPressed)] == ["*"]


async def test_what_has_waited_for_the_beat_is_not_waited_for_again_however_late_the_beat_is(rig, fars) -> None:
    talker, listener = fars[:2]
    rig.plane.set(rig.channel(talker, "talker"))
    rig.plane.set(rig.channel(listener, "listener", bridge="talker"))
    rig.converse(talker, [bytes(160)] * 5)
    for late_s in (0.0, 0.003):
        rig.late_s = late_s
        rig.beats(203 - rig.beat % 4)  # silence; the next beat is theirs
        talker.k += 1000  # another stretch of talk: its first packet waits for the whole depth
        n_beats = 0
        talker.say(b"\x01" * 160)
        while all(packet.payload != b"\x01" * 160 for packet in listener.heard()) and n_beats < 40:
            rig.beats(1)
            n_beats += 1
        assert n_beats == 1 + 40 / 5, "the beat that it is read at, and the depth"


async def test_a_beep_is_told(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    beep = encode(np.concatenate((tone(1000, 400), np.zeros(800, np.int16))))
    rig.converse(far, [beep[k : k + 160] for k in range(0, len(beep), 160)])
    rig.frames(3)
    assert len(rig.heard_of(BeepHeard)) == 1


async def test_a_report_on_the_rtp_port_is_answered_with_ours(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    rig.converse(far, [bytes(160)] * 4)
    far.send(rtcp.build(rtcp.Report(77, None, ()), "far"))
    rig.beats(1)
    (report,) = [report for data in far.datagrams() if is_rtcp(data) for report in rtcp.parse(data)]
    assert report.sender is not None
    assert (report.ssrc, report.sender.packets, report.blocks[0].ssrc) == (5, 4, 77)


async def test_no_datagram_whatever_it_holds_disturbs_the_channel(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    heads = [b"", b"\x80", bytes(12), b"\x80" + b"\xc8" * 40, b"\xb0\x00" + bytes(10) + b"\xff" * 8]
    huge = Packet(0, 1, 2, 3, bytes(1400)).build()
    for data in [*heads, huge, *(bytes((0x80, kind)) + bytes(range(60)) for kind in range(256))]:
        far.send(data)
        rig.frames()
        assert len(far.heard()) == 1
    figures = rig.plane.figures()
    assert figures["truncated"] > 0
    assert figures["huge"] == 1
    assert figures["unknown_type"] > 200


async def test_sockets_carry_expedited_forwarding(rig, far, sockets) -> None:
    rig.plane.set(rig.channel(far))
    assert sockets[far.near[1]].getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 46 << 2


async def test_a_spare_reads_nothing(rig, far) -> None:
    far.say(b"\x42" * 160)
    rig.frames(3)
    assert rig.sockets[far.near[1]].recv(2048).endswith(b"\x42")


async def test_in_doubt_who_is_not_heard_is_told_nothing_and_hears_again_when_they_are_heard(rig, far) -> None:
    """Their audio may have gone on with another machine: then two would speak to them (`protocols.takeover`)."""
    rig.plane.set(rig.channel(far))
    assert len(rig.converse(far, [bytes(160)] * 5)) == 5
    rig.plane.beware(Beware((ChannelId("c"), ChannelId("unknown")), is_wary=True))
    rig.frames(int((QUIET_S + 0.1) / 0.02))
    assert [round(told.silent_s, 1) for told in rig.heard_of(AudioLost)] == [QUIET_S]
    far.heard()
    rig.frames(10)
    assert not far.heard()
    assert len(rig.converse(far, [bytes(160)] * 5)) >= 4
    rig.frames(int((QUIET_S + 0.1) / 0.02))
    rig.plane.beware(Beware((ChannelId("c"),), is_wary=False))
    far.heard()
    rig.frames(10)
    assert len(far.heard()) == 10
