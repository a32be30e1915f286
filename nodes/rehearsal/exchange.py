"""The SIP socket that a rehearsal's callees share: an INVITE makes a callee, the rest goes to its own by Call-ID."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

from grammars.script_model import Script
from nodes.rehearsal.callee import Callee, Report, as_json
from nodes.rehearsal.repertoire import Repertoire
from nodes.telemetry import logs
from protocols.machine import Address, Transmit
from protocols.sip import Local, Request, Responder, Response
from protocols.wire.events import CallEvent
from protocols.wire.ids import ScriptHash

log = logs.get(__name__)
BEAT_S = 0.02


class Exchange:
    """All callees on one socket. `scripts`: by hash, so that a callee knows what can be asked of it."""

    def __init__(
        self,
        sock: socket.socket,
        scripts: Mapping[ScriptHash, Script],
        repertoires: Mapping[ScriptHash, Repertoire],
        seed: int,
        reports: Path,
    ) -> None:
        self._socket, self._scripts, self._repertoires = sock, scripts, repertoires
        self._seed, self._reports = seed, reports
        self._responder = Responder()
        self._callees: dict[str, Callee] = {}
        self._by_call: dict[str, Callee] = {}

    async def run(self) -> None:
        """Take calls until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            loop.add_reader(self._socket, self._readable, tasks)
            try:
                while True:
                    await asyncio.sleep(BEAT_S)
                    for callee in list(self._callees.values()):
                        callee.expired(time.monotonic())
            finally:
                loop.remove_reader(self._socket)
                for callee in self._callees.values():
                    callee.forsaken()

    def event(self, event: CallEvent) -> None:
        """One event of one call, as the bot's node has told it."""
        if callee := self._by_call.get(event.call_id):
            callee.event(event)

    def _readable(self, tasks: asyncio.TaskGroup) -> None:
        try:
            data, source = self._socket.recvfrom(65_535)
        except OSError:
            return
        match self._responder.admit(data, source):
            case Request() | Response() as message:
                self._message(message, source, tasks)
            case Transmit(data=answer, to=to) if to is not None:
                self._send(answer, to)
            case _:
                pass

    def _message(self, message: Request | Response, source: Address, tasks: asyncio.TaskGroup) -> None:
        callee = self._callees.get(message.sip_call_id)
        if callee is None and isinstance(message, Request) and message.is_new_invite:
            callee = self._callees[message.sip_call_id] = self._new(message, tasks)
            self._by_call[message.first("x-ringmaster-call")] = callee
            tasks.create_task(self._until_over(message.sip_call_id, callee))
        if callee:
            callee.received(message, source)
        elif (answer := self._responder.answer(message, source)) and answer.to:
            self._send(answer.data, answer.to)

    def _new(self, invite: Request, tasks: asyncio.TaskGroup) -> Callee:
        host, port = self._socket.getsockname()
        script = self._scripts.get(ScriptHash(invite.first("x-ringmaster-script"))) or next(
            iter(self._scripts.values())
        )
        # The seed and the dialled name decide, not the order in which calls happen to arrive.
        seed = zlib.crc32(f"{self._seed} {invite.to.uri.user}".encode())
        repertoire = self._repertoires[script.hash]
        return Callee(Local(host, port, user="callee"), script, repertoire, seed, self._send, tasks, self._write)

    async def _until_over(self, sip_call_id: str, callee: Callee) -> None:
        await callee.is_over.wait()
        self._callees.pop(sip_call_id, None)
        self._by_call.pop(callee.report.call_id, None)

    def _write(self, report: Report) -> None:
        with self._reports.open("a") as file:
            file.write(json.dumps(as_json(report)) + "\n")

    def _send(self, data: bytes, to: Address) -> None:
        try:
            self._socket.sendto(data, to)
        except OSError as error:
            log.debug("rehearsal.not_sent", reason=str(error))


__all__ = ["Exchange"]
