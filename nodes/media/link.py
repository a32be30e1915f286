"""One audio link and the seat at its far end: the other kind of line, over the mesh instead of a socket.

What it does: gives the seat's frames out in time, and sends ours, 20 ms of mu-law each; all links of a slot leave in
one message. What it does not: keys, reports, or noticing that nobody is there: the desk holds the connection and says.

A browser sends when its audio thread pleases, so what comes from it waits longer than a telephone's (60 ms), and what
is more than 200 ms behind is cut (measured with Chromium: gaps of 20 to 28 ms at p99, 45 at most).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from nodes.audio.g711 import FRAME_BYTES
from protocols.rtp import Frame, Gap, JitterBuffer, Reception
from protocols.rtp.dtmf import Press
from protocols.rtp.numbers import FRAME_SAMPLES, frames_since
from protocols.wire import messages as wire
from protocols.wire.desk import LinkFrame
from protocols.wire.ids import Identity

DEPTH_MS: Final = 60
LIMIT_MS: Final = 200

Send = Callable[[Identity, LinkFrame], None]


class Link:
    """`send` takes a frame for a desk; it leaves with the slot's others. `counts` is shared by the process."""

    is_open = True

    def __init__(self, wanted: wire.Channel, send: Send, counts: Counter[str]) -> None:
        self._wanted, self._send, self._counts = wanted, send, counts
        self._buffer = JitterBuffer(DEPTH_MS, LIMIT_MS)
        self.reception = Reception()
        self.sent = 0

    @property
    def position(self) -> int | None:
        """The seat's media time that is heard next, in samples; None before it was heard."""
        return self._buffer.cursor

    @property
    def late(self) -> int:
        """Frames that came after their time."""
        return self._buffer.late

    def set(self, wanted: wire.Channel) -> None:
        """Speak as `wanted` says from the next frame on."""
        self._wanted = wanted

    def tell_again(self) -> None:
        """Tell nothing: whether somebody is at a seat is the desk's to say."""

    def put(self, frame: LinkFrame, now: float) -> None:
        """Take a frame of the seat's; what is no frame is counted and dropped."""
        if len(frame.payload) != FRAME_BYTES:
            self._counts["bad_frame"] += 1
            return
        self.reception.received += 1
        self._buffer.put(frame.n * FRAME_SAMPLES & 0xFFFFFFFF, frame.payload, now)

    def playout(self, at: float) -> Frame | Gap:
        """Return the seat's next 20 ms, or the gap."""
        return self._buffer.playout(at)

    def send(self, at: float, ulaw: bytes, press: Press | None = None) -> bool:
        """Send the 20 ms that are due at `at`; False when nothing was to be sent. Keys are not for seats."""
        if not self._wanted.sends:
            return False
        self.sent += 1
        self._send(self._wanted.link, LinkFrame(self._wanted.channel_id, frames_since(self._wanted.born_s, at), ulaw))
        return True


__all__ = ["DEPTH_MS", "LIMIT_MS", "Link"]
