"""A callee who does what the test says, when it says so: our own user agent, real SIP and RTP, flite's voice.

Rehearsal callees follow the script by themselves; this one is for moments that must be met: half an utterance said, a
prompt half heard. It measures what a person at the phone would notice.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from nodes.rehearsal.earpiece import FRAME_S, Earpiece
from nodes.rehearsal.voices import speak
from protocols.machine import Address, Expired, Notify, Transmit
from protocols.sip import (
    Accept,
    Answered,
    Ended,
    HangUp,
    Invited,
    Listening,
    Local,
    MediaChanged,
    Received,
    Request,
    Responder,
    Response,
    Ring,
    Uas,
)

HOST = "127.0.0.1"
VOICE = "slt"
PATIENCE_S = 100.0


class Phone:
    """One telephone, for one call. `uri` is dialled; then `ring`, `answer`, `say`, `hang_up`."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((HOST, 0))
        port = int(self._socket.getsockname()[1])
        self.uri = f"sip:phone@{HOST}:{port}"
        self.earpiece = Earpiece(HOST)
        self.ended: Ended | None = None
        self.far_port = 0
        self._responder, self._uas = Responder(), Uas(Local(HOST, port, user="phone"), os.urandom)
        self._timer: asyncio.TimerHandle | None = None
        self._is_invited = self._is_answered = False
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Throw it away."""
        asyncio.get_running_loop().remove_reader(self._socket)
        if self._timer:
            self._timer.cancel()
        self.earpiece.close()
        self._socket.close()

    async def is_called(self) -> None:
        """Return when somebody calls; nothing is said to them yet."""
        await self._until(lambda: self._is_invited)

    async def rings(self) -> None:
        """Return when somebody calls; it rings from then on."""
        await self.is_called()
        self._step(Ring())

    async def answer(self) -> None:
        """Pick up; return when the call is up at both ends."""
        self._step(Accept(Listening(HOST, self.earpiece.port)))
        await self._until(lambda: self._is_answered)

    def hang_up(self) -> None:
        """Put it down."""
        self._step(HangUp())

    async def has_ended(self) -> Ended:
        """Return how the call has ended, when it has."""
        await self._until(lambda: self.ended)
        assert self.ended is not None
        return self.ended

    async def say(self, words: str, until_s: float = 60.0) -> None:
        """Say this; return when it is said, or when so many seconds of it are."""
        left_s = max(0.0, self.earpiece.say(await speak(words, VOICE)) - until_s)
        await self._until(lambda: self.earpiece.n_unsaid * FRAME_S <= left_s)

    async def hears_voice(self, for_s: float = 0.2) -> None:
        """Return when so much more of the bot's voice has been heard."""
        enough_s = self.earpiece.heard.voice_s + for_s
        await self._until(lambda: self.earpiece.heard.voice_s >= enough_s)

    async def is_quiet(self, for_s: float = 0.4) -> None:
        """Return when the bot has said nothing for so long."""
        await self._until(lambda: time.monotonic() - self.earpiece.heard.last_voice_s > for_s)

    def gap_ms(self) -> float:
        """Return the longest time between two packets since this was last asked."""
        gap, self.earpiece.heard.worst_gap_ms = self.earpiece.heard.worst_gap_ms, 0.0
        return round(gap, 1)

    # ---- inside ----------------------------------------------------------------------------------------------------

    async def _until(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not what():
                await asyncio.sleep(FRAME_S)

    def _readable(self) -> None:
        try:
            data, source = self._socket.recvfrom(65_535)
        except OSError:
            return
        match self._responder.admit(data, source):
            case Request() | Response() as message:
                self._step(Received(message, source))
            case _:
                pass

    def _step(self, given: object) -> None:
        for effect in self._uas.step(given, time.monotonic()):  # type: ignore[arg-type]
            match effect:
                case Transmit(data=data, to=to) if to is not None:
                    self._send(data, to)
                case Notify(event=event):
                    self._happened(event)
        if self._timer:
            self._timer.cancel()
        if self._uas.deadline is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self._uas.deadline - time.monotonic()), self._step, Expired())

    def _happened(self, event: object) -> None:
        match event:
            case Invited():
                self._is_invited = True
            case Answered(media=media) | MediaChanged(media=media):
                self.earpiece.start((media.host, media.port))
                self.far_port = media.port
                self._is_answered = True
            case Ended():
                self.ended = event
            case _:
                pass

    def _send(self, data: bytes, to: Address) -> None:
        try:
            self._socket.sendto(data, to)
        except OSError:
            pass  # sent again by its transaction


@asynccontextmanager
async def phones(n: int) -> AsyncIterator[list[Phone]]:
    """So many telephones, for the length of the block."""
    async with asyncio.TaskGroup() as tasks:
        made = [Phone(tasks) for _ in range(n)]
        try:
            yield made
        finally:
            for phone in made:
                phone.close()


__all__ = ["Phone", "phones"]
