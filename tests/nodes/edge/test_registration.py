"""A trunk that wants us registered: it is asked until it knows us, and trouble with it is nobody else's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from nodes import config
from nodes.edge import registration
from nodes.edge.registration import TrunkRegistration
from nodes.edge.trunk import Trunk, Unreachable
from supervisors import Child, Supervisor, running

COPIED = ("via", "from", "to", "call-id", "cseq", "contact")
HOST = "127.0.0.1"


class Registrar(asyncio.DatagramProtocol):
    """A registrar with few words: answers every REGISTER with the next status line, the last one for ever."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked = 0
        self.contacts: set[str] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        lines = [line for line in data.decode().split("\r\n") if line.partition(":")[0].lower() in COPIED]
        self.contacts |= {line for line in lines if line.lower().startswith("contact:")}
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self._transport.sendto("\r\n".join([f"SIP/2.0 {answer}", *lines, "", ""]).encode(), addr)


@asynccontextmanager
async def registering(tmp_path: Path, host: str, port: int) -> AsyncIterator[Trunk]:
    """Have an edge's socket and one trunk at this registrar."""
    account = config.Trunk("carrier", host, port, user="us", register=True)
    file = tmp_path / "ringmaster.toml"
    file.write_text('[paths]\nstate = "."\n')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        trunk = Trunk(config.load(file), sock)
        trunk.open()
        try:
            async with running(Supervisor([Child(lambda: TrunkRegistration(trunk, account), id="carrier")])):
                yield trunk
        finally:
            trunk.close()


@asynccontextmanager
async def registrar(*answers: str) -> AsyncIterator[tuple[Registrar, int]]:
    """Run a registrar; yields it and its port."""
    loop = asyncio.get_running_loop()
    transport, one = await loop.create_datagram_endpoint(lambda: Registrar(*answers), local_addr=(HOST, 0))
    try:
        yield one, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def test_a_trunk_that_knows_us_is_counted_for_as_long_as_we_live(tmp_path: Path) -> None:
    async with registrar("200 OK") as (one, port), asyncio.timeout(60):
        async with registering(tmp_path, HOST, port) as trunk:
            while not trunk.registered:
                await asyncio.sleep(0.01)
            assert trunk.registered == {"carrier"}
        assert not trunk.registered
        assert one.asked == 1


async def test_each_edge_of_a_node_registers_with_the_port_at_which_it_is_reached(tmp_path: Path) -> None:
    """What a carrier has to say to one of them does not come to another, which knows nothing of the call."""
    async with registrar("200 OK") as (one, port), asyncio.timeout(60):
        async with registering(tmp_path, HOST, port) as first, registering(tmp_path, HOST, port) as second:
            while not (first.registered and second.registered):
                await asyncio.sleep(0.01)
            ports = [first.port, second.port]
    assert len(one.contacts) == 2
    assert [sum(f"@{HOST}:{port}" in contact for contact in one.contacts) for port in ports] == [1, 1]


async def test_a_trunk_that_refuses_us_is_not_counted_and_troubles_nobody(tmp_path: Path) -> None:
    async with registrar("403 Forbidden") as (one, port), asyncio.timeout(60):
        async with registering(tmp_path, HOST, port) as trunk:
            while not one.asked:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert not trunk.registered


async def test_a_trunk_without_an_address_is_looked_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "LOOK_UP_AGAIN_S", 0.01)
    looked_up: list[str] = []

    async def next_hop(self: Trunk, target: str) -> tuple[str, int]:
        looked_up.append(target)
        if len(looked_up) == 1:
            raise Unreachable("no such name")
        return HOST, port

    monkeypatch.setattr(Trunk, "next_hop", next_hop)
    async with registrar("200 OK") as (_, port), asyncio.timeout(60):
        async with registering(tmp_path, "nowhere.invalid", 5060) as trunk:
            while not trunk.registered:
                await asyncio.sleep(0.01)
    assert looked_up == ["sip:nowhere.invalid:5060"] * 2
