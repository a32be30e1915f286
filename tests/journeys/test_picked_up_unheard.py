"""Callees of real telephones who pick up as the machine that rings them dies: another one asks, and is heard.

Only the legs are ours, each with a socket of its own, as two machines have.
"""

from __future__ import annotations

import asyncio
import random
import socket
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes import ports
from protocols.machine import Address, Expired, Notify, Transmit
from protocols.sip import (
    Answered,
    Credentials,
    Dial,
    Ended,
    HangUp,
    LegInput,
    LegRecord,
    Listening,
    Local,
    Received,
    Register,
    Registered,
    Registration,
    Ringing,
    TakeOver,
    Uac,
)
from protocols.sip.message import parse
from tests.journeys.peers.baresip import Baresip, baresip
from tests.journeys.peers.kamailio import Account, kamailio
from tests.journeys.peers.programs import HOST

DICE = random.Random(11)


class Machine:
    """A SIP socket, and what a leg or a registration does with it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.bind((HOST, 0))
        sock.setblocking(False)
        self.sock, self.local = sock, Local(*sock.getsockname())

    async def goes_on(self, one: Uac | Registration, given: LegInput | Register, until: type[object]) -> object:
        """Give it this, then all that comes, until it tells something of this kind or that the call has ended."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            effects = one.step(given, loop.time())
            while (told := self._carry_out(effects, until)) is None:
                effects = one.step(await self._next(one.deadline), loop.time())
        return told

    def _carry_out(self, effects: Sequence[object], until: type[object]) -> object:
        told = None
        for effect in effects:
            if isinstance(effect, Transmit) and effect.to:
                self.sock.sendto(effect.data, effect.to)
            elif isinstance(effect, Notify) and isinstance(effect.event, until | Ended):
                told = effect.event
        return told

    async def is_answered(self) -> None:
        """Return when an answer has come, and do nothing about it."""
        async with asyncio.timeout(60):
            while not (await asyncio.get_running_loop().sock_recv(self.sock, 65_535)).startswith(b"SIP/2.0 200"):
                pass

    async def _next(self, deadline: float | None) -> Received | Expired:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                data, source = await asyncio.get_running_loop().sock_recvfrom(self.sock, 65_535)
                return Received(parse(data), source)
        return Expired()


@asynccontextmanager
async def machine() -> AsyncIterator[Machine]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield Machine(sock)


@dataclass
class Line:
    """A telephone that waits to be picked up, and how it is reached."""

    telephone: Baresip
    uri: str
    hop: Address
    who: Credentials | None = None

    async def rings(self, at: Machine) -> LegRecord:
        """Call it from a machine that says nothing any more once it rings; return what its heir has."""
        leg = Uac(at.local, DICE.randbytes, self.who)
        dial = Dial(self.uri, "sip:ringmaster@127.0.0.1", Listening(HOST, 40_000), self.hop)
        assert isinstance(await at.goes_on(leg, dial, Ringing), Ringing)
        return leg.record


@asynccontextmanager
async def to_a_telephone(directory: Path, *, is_proxied: bool) -> AsyncIterator[Line]:
    """Have a telephone, straight or through a proxy that stays on the route."""
    with wave.open(str(directory / "silence.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000 * 60))
    async with AsyncExitStack() as stack:
        telephone = await stack.enter_async_context(
            baresip(directory / "silence.wav", directory / "telephone", answers=False)
        )
        port = int(telephone.uri.rpartition(":")[2])
        if not is_proxied:
            yield Line(telephone, telephone.uri, (HOST, port))
            return
        account = Account(ports.take())
        who, hop = Credentials(account.user, account.password), (HOST, account.port)
        await stack.enter_async_context(kamailio(account, telephone.uri, directory))
        ours = await stack.enter_async_context(machine())
        register = Register(f"sip:{HOST}", f"sip:{account.user}@{HOST}", hop)
        told = await ours.goes_on(Registration(ours.local, DICE.randbytes, who), register, Registered)
        assert isinstance(told, Registered)
        yield Line(telephone, account.uri("+12025550100"), hop, who)


@pytest.mark.parametrize("is_proxied", [False, True])
async def test_who_picks_up_at_a_dead_machine_is_asked_by_another_one_and_talked_with(
    tmp_path: Path, is_proxied: bool
) -> None:
    async with to_a_telephone(tmp_path, is_proxied=is_proxied) as line, machine() as dead, machine() as heir:
        left = await line.rings(dead)
        line.telephone.command("accept")
        await dead.is_answered()
        leg = Uac.resume(left, asyncio.get_running_loop().time(), DICE.randbytes, line.who)
        answered = await heir.goes_on(leg, TakeOver(heir.local, Listening(HOST, 40_010)), Answered)
        assert isinstance(answered, Answered)
        assert answered.media.port
        assert not any(kind == "CALL_CLOSED" for kind, _ in line.telephone.events)
        await heir.goes_on(leg, HangUp(), Ended)
        await line.telephone.tells("CALL_CLOSED")


@pytest.mark.parametrize("is_proxied", [False, True])
async def test_a_phone_that_still_rings_when_another_machine_asks_stops(tmp_path: Path, is_proxied: bool) -> None:
    async with to_a_telephone(tmp_path, is_proxied=is_proxied) as line, machine() as dead, machine() as heir:
        left = await line.rings(dead)
        leg = Uac.resume(left, asyncio.get_running_loop().time(), DICE.randbytes, line.who)
        ended = await heir.goes_on(leg, TakeOver(heir.local, Listening(HOST, 40_010)), Answered)
        assert isinstance(ended, Ended)
        assert ended.cause == "node_lost"
        await line.telephone.tells("CALL_CLOSED")
