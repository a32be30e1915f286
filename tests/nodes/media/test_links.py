"""A channel whose far end is a seat at a desk: frames over the mesh, bridged with a telephone by a pointer."""

from protocols.wire import messages as wire
from protocols.wire.desk import LinkAudio, LinkFrame
from protocols.wire.ids import ChannelId, Identity

DESK, EDGE = Identity("n1.desk-0:1"), Identity("n1.edge-0:1")
SEAT, CALLER = ChannelId("c-agent"), ChannelId("c")


def seat(**fields) -> wire.Channel:
    given = {"sends": False, "link": DESK, "bridge": "", **fields}
    return wire.Channel(SEAT, EDGE, port=0, ssrc=0, seq0=0, ts0=0, born_s=1000.0, **given)


def frames_to_the_desk(rig) -> list[LinkFrame]:
    return [frame for audio in rig.heard_of(LinkAudio, DESK) for frame in audio.frames]


def say(rig, n: int, payload: bytes) -> None:
    rig.plane.link(LinkAudio((LinkFrame(SEAT, n, payload),)))


def bridge(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    rig.plane.set(seat())
    rig.plane.set(seat(sends=True, bridge=CALLER))
    rig.plane.set(rig.channel(far, bridge=SEAT))


async def test_a_link_takes_no_port_and_is_silent_until_it_is_to_send(rig) -> None:
    free = rig.plane.figures()["ports_free"]
    rig.plane.set(seat())
    rig.frames(5)
    assert rig.plane.figures()["ports_free"] == free
    assert frames_to_the_desk(rig) == []


async def test_what_the_caller_says_reaches_the_desk_frame_by_frame(rig, far) -> None:
    bridge(rig, far)
    said = [bytes((k,)) * 160 for k in range(1, 11)]
    rig.converse(far, said)
    sent = frames_to_the_desk(rig)
    assert [frame.n for frame in sent] == list(range(sent[0].n, sent[0].n + len(sent)))
    heard = [frame.payload for frame in sent if frame.payload in said]
    assert heard == said[: len(heard)]
    assert len(heard) >= 7, "all but those in the jitter buffer"


async def test_what_the_seat_says_reaches_the_caller_after_60_ms(rig, far) -> None:
    bridge(rig, far)
    said = [bytes((k,)) * 160 for k in range(1, 11)]
    heard = []
    for n, payload in enumerate(said):
        say(rig, n, payload)
        rig.frames()
        heard += [packet.payload for packet in far.heard()]
    in_time = [payload for payload in heard if payload in said]
    assert in_time == said[: len(in_time)]
    assert len(said) - len(in_time) in (3, 4), "60 ms are held back"


async def test_a_burst_of_the_browser_is_cut_at_200_ms(rig, far) -> None:
    bridge(rig, far)
    for n in range(50):
        say(rig, n, bytes((n + 1,)) * 160)
    rig.frames(8)
    heard = [packet.payload[0] for packet in far.heard() if packet.payload[0] != 255]
    assert heard[0] > 40, "the oldest were skipped"


async def test_frames_that_are_none_or_for_nobody_are_dropped_and_counted(rig) -> None:
    rig.plane.set(seat())
    say(rig, 0, b"short")
    rig.plane.link(LinkAudio((LinkFrame(ChannelId("gone"), 0, bytes(160)),)))
    assert rig.plane.figures()["bad_frame"] == 1


async def test_a_seat_alone_hears_prompts_as_a_telephone_does(rig) -> None:
    """A browser that is called: the link is the callee's own channel."""
    playing = wire.Playing(1, (rig.prompt("p", 3),), rig.now)
    rig.plane.set(seat(sends=True, playing=playing))
    rig.frames(5)
    assert [frame.payload[0] for frame in frames_to_the_desk(rig)] == [1, 2, 3, 255, 255]
    assert [type(message) for _, message in rig.told if isinstance(message, wire.PlayEnded)] == [wire.PlayEnded]


async def test_a_successor_bridges_the_two_again_in_whichever_order_it_is_told(rig, incarnate, far) -> None:
    bridge(rig, far)
    now = rig.now
    rig.die()
    heir = incarnate(at=now)
    heir.plane.set(heir.channel(far, bridge=SEAT))
    heir.plane.set(seat(sends=True, bridge=CALLER))
    heir.converse(far, [bytes((9,)) * 160] * 6)
    assert bytes((9,)) * 160 in [frame.payload for frame in frames_to_the_desk(heir)]
    say(heir, 0, bytes((7,)) * 160)
    heir.frames(6)
    assert bytes((7,)) * 160 in [packet.payload for packet in far.heard()]


async def test_a_link_that_is_closed_leaves_nothing(rig, far) -> None:
    bridge(rig, far)
    closed = await rig.plane.close(SEAT)
    rig.frames(2)
    assert closed.recording == ""
    assert rig.plane.figures()["channels"] == 1
