"""Calls that an edge has taken over sleep until they are needed: what comes for one wakes it, before all others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.call.record import CallPhase, CallRecord
from nodes.edge.calls import Calls
from protocols.sip.message import Request, parse
from protocols.wire.events import Kind
from protocols.wire.ids import CallId
from protocols.wire.messages import EndCall
from tests.nodes.edge.records import leg, record
from tests.nodes.edge.test_process import DESK, LISTED, Rig, an_edge, say_who_is_listed, soon

__all__ = ["soon"]
N_CALLS = 5
BYE = """BYE sip:us@127.0.0.1 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK1
From: <sip:ann@127.0.0.1>;tag=u
To: <sip:us@127.0.0.1>;tag=t
Call-ID: {name}@y
CSeq: 7 BYE
Max-Forwards: 70
Content-Length: 0

"""


def talking(name: str, far_port: int, **fields: object) -> CallRecord:
    """A call that is up, whose far end is at this port; without a script, so that it can only be ended."""
    there = leg()
    dialog = replace(there.dialog, sip_call_id=f"{name}@y", remote_target=f"sip:ann@127.0.0.1:{far_port}")
    there = replace(there, dialog=dialog, next_hop=("127.0.0.1", far_port), session_at_s=None, ring_until_s=None)
    made = record(name, leg=there, media="media-0", **fields)
    return replace(made, order=replace(LISTED, call_id=CallId(name), target=made.order.target))


class Far:
    """The far end of all of them."""

    def __init__(self, sock: socket.socket) -> None:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        self.socket, self.port = sock, int(sock.getsockname()[1])

    async def hears(self) -> str:
        """Return the first word of what comes: a method, or a code."""
        async with asyncio.timeout(60):
            data = await asyncio.get_running_loop().sock_recv(self.socket, 65_535)
        message = parse(data)
        return f"{message.method} {message.sip_call_id}" if isinstance(message, Request) else str(message.code)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    say_who_is_listed(tmp_path)
    async with an_edge(tmp_path, wakes=False) as made:
        yield made


@pytest.fixture
async def far(rig: Rig) -> AsyncIterator[Far]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        made = Far(sock)
        for n in range(N_CALLS):
            fall_asleep(rig.calls, talking(f"c{n}", made.port))
        yield made


def fall_asleep(calls: Calls, record: CallRecord) -> None:
    calls._sleep(calls.keep(record))


def asleep(calls: Calls) -> set[str]:
    return set(calls._waiting)


async def test_what_the_far_end_says_wakes_its_own_call_and_is_answered(rig: Rig, far: Far) -> None:
    bye = BYE.format(port=far.port, name="c3").replace("\n", "\r\n").encode()
    far.socket.sendto(bye, ("127.0.0.1", rig.services.trunk.port))
    assert await far.hears() == "200"
    assert (await rig.ended(1)).call_id == "c3"
    assert asleep(rig.calls) == {"c0", "c1", "c2", "c4"}


async def test_an_order_that_is_not_for_anybody_here_wakes_nobody(rig: Rig, far: Far) -> None:
    bye = BYE.format(port=far.port, name="stranger").replace("\n", "\r\n").encode()
    far.socket.sendto(bye, ("127.0.0.1", rig.services.trunk.port))
    assert await far.hears() == "481"
    assert len(asleep(rig.calls)) == N_CALLS


async def test_whoever_tells_a_call_something_wakes_it_first(rig: Rig, far: Far) -> None:
    for _ in range(2):  # twice at once: it wakes once
        rig.requests.end(EndCall(CallId("c2")), DESK)
    assert await far.hears() == "BYE c2@y"
    assert [one.call_id for one in rig.events if one.kind is Kind.RECOVERED] == ["c2"]
    assert asleep(rig.calls) == {"c0", "c1", "c3", "c4"}


async def test_all_others_are_woken_one_after_the_other_the_next_due_first(rig: Rig, far: Far) -> None:
    now = asyncio.get_running_loop().time()
    for name, silent_since_s in (("late", now), ("due", now - 29.0)):
        fall_asleep(rig.calls, talking(name, far.port, silent_since_s=silent_since_s, phase=CallPhase.BRIDGED))
    await rig.calls.wake_all()
    woken = [one.call_id for one in rig.events if one.kind is Kind.RECOVERED]
    async with asyncio.timeout(60):
        while len(woken) < N_CALLS + 2:
            await asyncio.sleep(0.01)
            woken = [one.call_id for one in rig.events if one.kind is Kind.RECOVERED]
    assert woken[:2] == ["due", "late"]
    assert not asleep(rig.calls)


async def test_an_edge_that_is_told_to_stop_hangs_up_on_those_that_sleep_too(rig: Rig, far: Far) -> None:
    rig.services.is_stopping = True
    await rig.calls.stop()
    assert {await far.hears() for _ in range(N_CALLS)} == {f"BYE c{n}@y" for n in range(N_CALLS)}
    assert (await rig.ended(N_CALLS)).fields["cause"] == "edge_stopped"
