"""Ports and slots: who gets one, who is refused, and how it comes back."""

import asyncio
from itertools import pairwise

import pytest

from nodes.links.errors import Refused
from nodes.media import plane as module
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import ChannelClosed

EDGE = Identity("n1.edge-0:1")


def ids(*names: str) -> list[ChannelId]:
    return [ChannelId(name) for name in names]


async def test_each_channel_has_a_port_of_its_own_until_there_are_none(rig) -> None:
    ports = {rig.plane.open(name, EDGE) for name in ids("a", "b", "c")}
    assert ports == set(rig.sockets)
    with pytest.raises(Refused, match="no_port_free"):
        rig.plane.open(ChannelId("d"), EDGE)


async def test_opening_twice_gives_the_same_port(rig) -> None:
    assert rig.plane.open(ChannelId("a"), EDGE) == rig.plane.open(ChannelId("a"), EDGE)
    assert rig.plane.figures()["channels"] == 1


async def test_a_port_that_was_given_back_is_the_last_to_be_used_again(rig) -> None:
    first = rig.plane.open(ChannelId("a"), EDGE)
    await rig.plane.close(ChannelId("a"))
    later = [rig.plane.open(name, EDGE) for name in ids("b", "c", "d")]
    assert later.index(first) == 2


async def test_a_port_belongs_to_one_channel(rig, far) -> None:
    rig.plane.set(rig.channel(far, "a"))
    with pytest.raises(Refused, match="port_taken"):
        rig.plane.set(rig.channel(far, "b"))


async def test_of_two_channels_that_want_one_port_the_younger_has_it_whatever_order_they_are_told_in(rig, far) -> None:
    """A spare hears of a call's end and of the next call on its port by different edges, when one of them has died."""
    old, young = rig.channel(far, "old"), rig.channel(far, "young", born_s=rig.now + 1.0)
    rig.plane.set(old)
    rig.plane.set(young)
    with pytest.raises(Refused, match="port_taken"):
        rig.plane.set(old)
    assert list(rig.plane.wanted()) == ["young"]


async def test_what_a_port_received_for_an_earlier_channel_is_not_heard_by_the_next(rig, far) -> None:
    far.say(bytes(160))
    rig.plane.open(ChannelId("a"), EDGE)
    rig.beats(1)
    rig.plane.set(rig.channel(far, "a"))
    rig.frames(4)
    assert rig.plane.figures()["received"] == 0


async def test_closing_says_what_was_carried(rig, far) -> None:
    rig.plane.set(rig.channel(far))
    rig.converse(far, [bytes(160)] * 5)
    far.k += 2
    rig.converse(far, [bytes(160)] * 5)
    closed = await rig.plane.close(ChannelId("c"))
    assert (closed.sent, closed.received, closed.lost, closed.late) == (10, 10, 2, 0)


async def test_an_unknown_channel_has_carried_nothing(rig) -> None:
    assert await rig.plane.close(ChannelId("x")) == ChannelClosed(0, 0, 0, 0, 0.0)
    with pytest.raises(Refused, match="no_such_channel"):
        rig.plane.press(ChannelId("x"), "1", 100)


@pytest.mark.parametrize(("n_in_a_slot", "sent"), [(64, [0, 0, 1, 2]), (1, [0, 1, 1, 1])])
async def test_channels_are_spread_over_two_slots_and_over_four_when_these_are_full(
    rig, fars, monkeypatch, n_in_a_slot: int, sent: list[int]
) -> None:
    monkeypatch.setattr(module, "_FULL_SLOT", n_in_a_slot)
    for k, far in enumerate(fars):
        rig.plane.set(rig.channel(far, str(k)))
    counts = []
    for _ in range(4):
        rig.beats(1)
        counts.append(sum(len(far.heard()) for far in fars))
    assert sorted(counts) == sent
    assert [counts[beat] for beat in range(4) if (rig.beat - 3 + beat) % 4 in (0, 2)].count(0) == 0


async def test_the_beat_of_the_process_sends_every_20_ms_at_its_instant(rig, far) -> None:
    """The one test here with the real clock: a second of it."""
    loop = asyncio.get_running_loop()
    plane = rig.plane
    plane._clock = loop.time
    arrivals: list[float] = []
    done = asyncio.Event()

    def arrived() -> None:
        far.sock.recv(2048)
        arrivals.append(loop.time())
        if len(arrivals) == 25:
            done.set()

    loop.add_reader(far.sock, arrived)
    plane.set(rig.channel(far, born_s=loop.time()))
    plane.start()
    await asyncio.wait_for(done.wait(), 60)
    plane.stop()
    loop.remove_reader(far.sock)
    assert arrivals[-1] - arrivals[0] == pytest.approx(24 * 0.02, abs=0.1)
    assert sum(abs(b - a - 0.02) < 0.015 for a, b in pairwise(arrivals)) > 12


async def test_a_core_that_is_full_refuses_the_next_channel_and_keeps_those_it_has(rig) -> None:
    port = rig.plane.open(ChannelId("a"), EDGE)
    rig.plane.pacer.busy = 0.7
    with pytest.raises(Refused, match="saturated"):
        rig.plane.open(ChannelId("b"), EDGE)
    assert rig.plane.open(ChannelId("a"), EDGE) == port
