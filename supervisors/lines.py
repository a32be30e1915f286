"""JSON lines over a connected socket, without tasks: callbacks of the event loop on both ends.

What launcher and child say to each other: `{"ready": {...}}` and `{"beat": true}` upwards, `{"activate": true}` and
`{"told": {...}}` downwards. Both ends are ours, so a line that is no JSON object ends the connection.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from typing import Final

LIMIT_BYTES: Final = 4 * 1024 * 1024
"""The longest line read, and the most that waits to be written: a roster of 10,000 processes is 2 MB."""
_READ_BYTES: Final = 65536


class Lines:
    """One end. `on_line` gets each object, `on_end` is called once when the other end is gone or talks rubbish."""

    __slots__ = ("_inbound", "_loop", "_on_end", "_on_line", "_outbound", "_sock")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_line: Callable[[dict[str, object]], None],
        on_end: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._sock: socket.socket | None = sock
        self._on_line = on_line
        self._on_end = on_end
        self._inbound = bytearray()
        self._outbound = bytearray()
        loop.add_reader(sock, self._read)

    def send(self, body: Mapping[str, object]) -> bool:
        """Send one object; False when the other end is gone or does not read. Raises TypeError: not JSON."""
        line = json.dumps(body, separators=(",", ":")).encode() + b"\n"
        if self._sock is None or len(self._outbound) + len(line) > LIMIT_BYTES:
            return False
        if not self._outbound:
            self._loop.add_writer(self._sock, self._writable)
        self._outbound += line
        self._writable()
        return True

    def turn_to(self, on_line: Callable[[dict[str, object]], None], on_end: Callable[[], None]) -> None:
        """Have others hear from now on, also of what has been read and not been told yet."""
        self._on_line, self._on_end = on_line, on_end

    def close(self) -> None:
        """Close the socket; `on_end` is not called."""
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
            self._sock = None

    def read(self) -> None:
        """Hear now what the other end has said already: for who is about to judge it by its silence."""
        for _ in range(LIMIT_BYTES // _READ_BYTES):
            if not self._read():
                return

    def _read(self) -> bool:
        """Read once; False when there was nothing."""
        if self._sock is None:
            return False
        try:
            read = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            read = b""
        self._inbound += read
        *lines, rest = self._inbound.split(b"\n")
        self._inbound = bytearray(rest)
        try:
            for line in lines:
                self._deliver(line)
        except ValueError:
            read = b""
        if not read or len(rest) > LIMIT_BYTES:
            self._end()
        return True

    def _deliver(self, line: bytearray) -> None:
        body = json.loads(line)
        if not isinstance(body, dict):
            raise ValueError("not an object")
        if self._sock is not None:  # the line before may have closed it
            self._on_line(body)

    def _writable(self) -> None:
        assert self._sock is not None
        try:
            sent = self._sock.send(self._outbound)
        except BlockingIOError:
            return
        except OSError:
            self._outbound.clear()  # the reader finds the end, too, and tells
            sent = 0
        del self._outbound[:sent]
        if not self._outbound:
            self._loop.remove_writer(self._sock)

    def _end(self) -> None:
        if self._sock is not None:
            self.close()
            self._on_end()
