"""Ten thousand telephones on one socket: each answers at once, and is there until somebody hangs up.

What it does: answers each request by itself, without timers, so that a repetition gets the same answer; counts who was
hung up on. A real network's losses are not its subject.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from nodes.config import Config
from nodes.files import write_private
from protocols.errors import RemoteProtocolError
from protocols.machine import Address
from protocols.sip.build import answers_to, response
from protocols.sip.message import Request, parse
from protocols.sip.scope import ALLOW, SDP
from protocols.wire.ids import Identity
from supervisors.parent import Parent

REPORT: Final = "phones.json"
"""In the state directory: `{"rung": n, "rung_twice": n, "hung_up": n, "up": n}`."""
WRITE_S: Final = 1.0
BUFFER: Final = 8 * 1024 * 1024
DRAIN: Final = 64
_BODY: Final = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
)


class Phones:
    """`calls`: SIP Call-ID -> whether it is up."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        host, port = sock.getsockname()
        self._contact = f"<sip:phone@{host}:{port}>"
        self._body = _BODY.format(host=host).encode()
        self.calls: dict[str, bool] = {}
        self._called: dict[str, str] = {}
        self.n_twice = 0

    def readable(self) -> None:
        """Answer what has come."""
        with suppress(BlockingIOError):
            for _ in range(DRAIN):
                self.take_one()

    def take_one(self) -> None:
        """Read one datagram, and answer it. Raises: `BlockingIOError` when there is none."""
        data, source = self._socket.recvfrom(65_535)
        with suppress(RemoteProtocolError):
            message = parse(data)
            if isinstance(message, Request) and message.method != "ACK":
                self._answer(message, source)

    def _answer(self, request: Request, source: Address) -> None:
        name, code = request.sip_call_id, 200
        is_call = request.method in ("INVITE", "UPDATE")
        if request.method == "BYE":
            code = 200 if self.calls.get(name) else 481
            self.calls[name] = False
        elif request.is_new_invite and name not in self.calls:
            self.calls[name] = True
            whom = request.to.uri.user
            self.n_twice += self._called.setdefault(whom, name) != name
        elif is_call and not self.calls.get(name):
            code = 481
        about = (("contact", self._contact), ALLOW, ("content-type", SDP)) if is_call and code == 200 else ()
        body = self._body if about and request.body else b""
        answer = response(request, source, code, *about, to_tag=f"t{name[:12]}", body=body)
        with suppress(OSError):  # it is asked again
            self._socket.sendto(bytes(answer), answers_to(request, source))

    def report(self) -> dict[str, int]:
        """Return what has become of everybody."""
        n_up = sum(self.calls.values())
        rung = len(self.calls)
        return {"rung": rung, "rung_twice": self.n_twice, "hung_up": rung - n_up, "up": n_up}


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Be all telephones, on the inherited socket `sip`, until the parent says stop."""
    sock = parent.sockets["sip"]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    phones, path = Phones(sock), config.paths.state / REPORT
    asyncio.get_running_loop().add_reader(sock, phones.readable)
    writing = asyncio.create_task(_write(phones, path))
    await parent.ready({"identity": identity})
    async for _ in parent.orders:
        pass
    writing.cancel()
    _put(phones, path)


async def _write(phones: Phones, path: Path) -> None:
    while True:
        await asyncio.sleep(WRITE_S)
        _put(phones, path)


def _put(phones: Phones, path: Path) -> None:
    write_private(path, json.dumps({**phones.report(), "at_s": time.monotonic()}).encode(), lasts=False)


__all__ = ["REPORT", "Phones", "run"]
