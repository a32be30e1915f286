"""The actor of a SIP leg: what its machine wants sent goes out, unless the call may be another machine's."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from nodes.call.record import CallRecord
from nodes.config import parse
from nodes.edge.leg import SipLeg
from nodes.edge.record_store import RecordStore
from nodes.edge.trunk import Trunk
from protocols.sip import Dial, Listening, Local
from protocols.wire.ids import AttemptId, CallId
from protocols.wire.messages import PlaceCall
from supervisors import Child, Supervisor, running


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


async def test_in_doubt_a_leg_sends_nothing_and_what_it_held_back_goes_out_when_that_is_over(tmp_path: Path) -> None:
    with bound() as ours, bound() as theirs:
        host, port = theirs.getsockname()
        target = f"sip:ada@{host}:{port}"
        store = RecordStore(CallRecord(PlaceCall(AttemptId("a"), CallId("c"), target, b"")), lambda store: None)
        store.is_silent = lambda: True
        trunk = Trunk(parse("", "test", tmp_path), ours)
        async with running(Supervisor([Child(lambda: SipLeg(store, trunk), id="leg")])) as system:
            local = Local("127.0.0.1", trunk.port)
            order = Dial(target, "sip:us@127.0.0.1", Listening("127.0.0.1", 4000), (host, port), 20.0)
            await system.ref("leg", SipLeg).ask(SipLeg.dial, local, order)
            with pytest.raises(BlockingIOError):
                theirs.recv(4096)
            store.is_silent = lambda: False
            async with asyncio.timeout(60):
                invite = await asyncio.get_running_loop().sock_recv(theirs, 4096)
        assert invite.startswith(b"INVITE")
