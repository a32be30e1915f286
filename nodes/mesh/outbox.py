"""Envelopes to one peer: in order, many to a frame, and never more than `MAX_WAITING` of them.

They leave at the end of the loop turn, or earlier when `BATCH` or `BATCH_BYTES` have come together (32 to a frame carry
6 to 7 times the messages of one to a frame). When the socket is full they wait here, and `put` refuses
the one that is too many: nothing that was accepted is dropped while the peer lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

import zmq

from nodes.mesh.line import PeerLine
from protocols.wire.envelope import Envelope

BATCH: Final = 32
BATCH_BYTES: Final = 64 * 1024
"""With one body more (`codec.MAX_BODY`) and its envelopes, a frame stays below `codec.MAX_FRAME`."""
MAX_WAITING: Final = 1000
RETRY_S: Final = 0.01
"""A full socket belongs to a peer that has not read 1,000 frames: there is no hurry any more."""


class Outbox:
    """`head` is the routing id when the line is a ROUTER; `pack` puts envelopes into a frame for this peer.

    `unreachable()` is called when a ROUTER says that nobody with this routing id is connected.
    """

    def __init__(
        self,
        line: PeerLine,
        head: list[bytes],
        pack: Callable[[tuple[Envelope, ...]], bytes],
        unreachable: Callable[[], None],
    ) -> None:
        self._line, self._head, self._pack, self._unreachable = line, head, pack, unreachable
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Envelope] = []
        self._bytes = 0
        self._timer: asyncio.Handle | None = None
        self._is_full = False

    def put(self, envelope: Envelope) -> bool:
        """Take an envelope for sending; False (`refuse`) when too many wait already."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(envelope)
        self._bytes += len(envelope.body)
        if not self._is_full and (len(self._waiting) >= BATCH or self._bytes >= BATCH_BYTES):
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_soon(self.flush)
        return True

    def flush(self) -> None:
        """Send what waits; what the socket does not take now is tried again in `RETRY_S`."""
        self.stop()
        self._is_full = False
        while self._waiting:
            batch = _first_frame(self._waiting)
            try:
                self._line.send([*self._head, self._pack(batch)])
            except zmq.Again:
                self._is_full = True
                self._timer = self._loop.call_later(RETRY_S, self.flush)
                return
            except zmq.ZMQError:  # EHOSTUNREACH
                self._waiting.clear()
                self._unreachable()
                return
            del self._waiting[: len(batch)]
        self._bytes = 0

    def stop(self) -> None:
        """Send nothing more by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _first_frame(waiting: Sequence[Envelope]) -> tuple[Envelope, ...]:
    """Return the envelopes that go into the next frame: at least one, and no more than a frame may hold."""
    size = 0
    for count, envelope in enumerate(islice(waiting, BATCH)):
        size += len(envelope.body)
        if size >= BATCH_BYTES:
            return tuple(waiting[: count + 1])
    return tuple(waiting[:BATCH])


__all__ = ["BATCH", "BATCH_BYTES", "MAX_WAITING", "Outbox"]
