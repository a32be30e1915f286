"""A callee's RTP: speaks 20 ms at a time, and notes when the bot's voice comes, goes and has gaps.

The stamps are what a person at the phone would notice: the first loud sample after one's own last one is the answer,
and a hole in the stream is a hole, whatever the far side believes to have sent, and from whichever machine it goes on.
They are the kernel's, of each packet's arrival: how long this process then takes to read it, with all callees of a
rehearsal in it, is nobody's gap.

So it reads when it sends, every 20 ms, and costs a hundred callees a sixth of a core: what is left of the machine is
the node's that they call.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field

from nodes.audio import g711
from nodes.rehearsal.returning import Returning
from protocols.errors import RemoteProtocolError
from protocols.rtp.dtmf import Press, press
from protocols.rtp.packet import Packet, header

FRAME_S = 0.02
FRAME = 160
QUIET = b"\xff" * FRAME
"""Mu-law for nothing."""
STAMPED = 35
"""SO_TIMESTAMPNS, as option and as ancillary message (asm-generic/socket.h); Python has no name for it."""
STAMP = struct.Struct("=qq")
"""Seconds and nanoseconds of the wall clock."""
_ANCILLARY = socket.CMSG_SPACE(STAMP.size)
PRESS_MS = 120
"""How long a key is held."""
LOUD = 400
"""Peak of a frame in which somebody speaks; the bot's comfort noise stays below it, its voice is ten times above."""
GAP_MS = 60.0
"""Between two packets of one stream; more is noted with its moment. Ordinary is 20."""
MOST_GAPS = 200
"""Noted for one call; the oldest go."""
MOST_SECONDS = 1200
"""Of a call, for each of which its longest gap is kept; the oldest go."""
AT_ONCE_S = 0.2
"""Two sources are heard at once when so little time is between their packets; ten frames."""
_LOUD_CODES = bytes(abs(int(sample)) > LOUD for sample in g711.ULAW_TO_PCM)
"""Mu-law code to 1 when it is loud."""

Source = tuple[str, int]


@dataclass(slots=True)
class Heard:
    """What has come out of the earpiece so far; times are monotonic seconds, 0.0 for never."""

    packets: int = 0
    first_packet_s: float = 0.0
    last_packet_s: float = 0.0
    worst_gap_ms: float = 0.0
    voice_s: float = 0.0
    """Seconds of the bot's voice."""
    last_voice_s: float = 0.0
    answers_ms: list[float] = field(default_factory=list)
    """From our last spoken sample to the bot's next voice."""
    answered_s: list[float] = field(default_factory=list)
    """When each of those answers began."""
    gaps: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST_GAPS))
    """When a gap was over, and how many ms it had."""
    longest: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST_SECONDS))
    """The same of the longest gap in each second, however short it was."""
    at_once_s: float = 0.0
    """The longest time in which two sources were heard at once: two who took the call for theirs."""
    _sources: dict[Source, float] = field(default_factory=dict)
    _at_once_since_s: float = 0.0

    def packet(self, source: Source, now: float) -> None:
        """Note that a packet has come from somewhere.

        >>> heard = Heard()
        >>> for n in range(100):
        ...     heard.packet(("10.0.0.1", 4000), n * 0.02)
        ...     if 20 <= n < 70:
        ...         heard.packet(("10.0.0.2", 4000), n * 0.02 + 0.01)
        >>> round(heard.at_once_s, 2), round(heard.worst_gap_ms), len(heard.longest)
        (1.17, 20, 2)
        """
        self.packets += 1
        if self.last_packet_s:
            self._gap(now, (now - self.last_packet_s) * 1000)
        self.first_packet_s, self.last_packet_s = self.first_packet_s or now, now
        self._sources = {one: at for one, at in self._sources.items() if now - at <= AT_ONCE_S} | {source: now}
        if len(self._sources) < 2:
            self._at_once_since_s = 0.0
        else:
            self._at_once_since_s = self._at_once_since_s or now
            self.at_once_s = max(self.at_once_s, now - self._at_once_since_s)

    def _gap(self, now: float, gap_ms: float) -> None:
        self.worst_gap_ms = max(self.worst_gap_ms, gap_ms)
        if gap_ms > GAP_MS:
            self.gaps.append((now, gap_ms))
        if not self.longest or int(self.longest[-1][0]) != int(now):
            self.longest.append((now, gap_ms))
        elif gap_ms > self.longest[-1][1]:
            self.longest[-1] = (now, gap_ms)


class Earpiece:
    """One callee's media. `start` begins to send and to hear; `close` ends both."""

    def __init__(self, host: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, STAMPED, 1)
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]
        self.heard = Heard()
        self._frames: deque[bytes] = deque()
        self._presses: deque[Press | None] = deque()
        self._key_type = -1
        self._spoke_until_s = 0.0
        self._awaits_answer = False
        self._remote: tuple[str, int] | None = None
        self._ssrc = int.from_bytes(os.urandom(4))
        self._began_s, self._number = 0.0, 0
        self._timer: asyncio.TimerHandle | None = None
        self._line: Returning | None = None

    def returns(self, level_db: float, delay_ms: float) -> None:
        """Let the line send back what it hears, so loud against what came, and so late."""
        self._line = Returning(level_db, delay_ms)

    def start(self, remote: tuple[str, int], key_type: int = -1) -> None:
        """Send to `remote` and listen from now on: silence, until there is something to say.

        `key_type`: the payload type of keys; -1: none was agreed.
        """
        self._remote, self._key_type = remote, key_type
        if self._timer is None:
            self._began_s = time.monotonic()
            self._beat()

    def press(self, key: str) -> None:
        """Press a key: in place of words, after those that are left to say. Nothing where none were agreed."""
        if self._key_type >= 0:
            self._presses.extend(press(key, PRESS_MS))

    def say(self, ulaw: bytes) -> float:
        """Queue words; return how many seconds they take."""
        self._frames.extend(ulaw[at : at + FRAME].ljust(FRAME, b"\xff") for at in range(0, len(ulaw), FRAME))
        return len(ulaw) / 8000

    @property
    def is_speaking(self) -> bool:
        """Say whether there is something left to say."""
        return bool(self._frames or self._presses)

    @property
    def quiet_s(self) -> float:
        """Return for how long nothing was said here, in seconds; since the clock's zero, when nothing ever was."""
        return 0.0 if self._frames else time.monotonic() - self._spoke_until_s

    @property
    def n_unsaid(self) -> int:
        """Return how many frames are left to say."""
        return len(self._frames)

    def close(self) -> None:
        """Hang up the earpiece."""
        if self._timer:
            self._timer.cancel()
        self._socket.close()

    def _beat(self) -> None:
        """Take what has arrived, and send the frame that is due."""
        self._number += 1
        self._timer = asyncio.get_running_loop().call_at(self._began_s + self._number * FRAME_S, self._beat)
        self._read()
        if self._presses and not self._frames:
            return self._send_key(self._presses.popleft())
        frame = self._frames.popleft() if self._frames else QUIET
        if frame is not QUIET and _is_loud(frame):
            self._spoke_until_s, self._awaits_answer = time.monotonic() + FRAME_S, True
        if self._line:
            frame = self._line.joined(frame)
        self._send(0, self._number == 1, self._number * FRAME, frame)

    def _send_key(self, tick: Press | None) -> None:
        """Send one tick of a key: under the timestamp of its beginning, the first one marked (RFC 4733 s.2.2.1)."""
        if self._line:
            self._line.joined(QUIET)  # what comes back meanwhile is not heard
        if tick:
            self._spoke_until_s, self._awaits_answer = time.monotonic() + FRAME_S, True
            self._send(self._key_type, tick.is_first, (self._number - tick.age) * FRAME, tick.event.build())
        else:
            self._send(0, False, self._number * FRAME, QUIET)

    def _send(self, payload_type: int, marker: bool, timestamp: int, payload: bytes) -> None:
        try:
            self._socket.sendto(
                header(payload_type, marker, self._number, timestamp, self._ssrc) + payload, self._remote or ("", 0)
            )
        except OSError:
            pass  # the bot's socket is between two lives

    def _read(self) -> None:
        while True:
            try:
                data, ancillary, _, source = self._socket.recvmsg(2048, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                continue  # the answer to something that we have sent to nobody
            try:
                packet = Packet.parse(data)
            except RemoteProtocolError:
                continue
            if packet.payload_type == 0:
                self._hear(packet, source, _arrived(ancillary))

    def _hear(self, packet: Packet, source: Source, now: float) -> None:
        heard, payload = self.heard, packet.payload
        heard.packet(source, now)
        if self._line:
            self._line.heard(packet.timestamp, payload)
        if not _is_loud(payload):
            return
        if self._awaits_answer and now > self._spoke_until_s and not self._frames:
            heard.answers_ms.append((now - self._spoke_until_s) * 1000)
            heard.answered_s.append(now)
            self._awaits_answer = False
        heard.voice_s += len(payload) / 8000
        heard.last_voice_s = now


def _arrived(ancillary: list[tuple[int, int, bytes]]) -> float:
    """Return when the kernel got the packet, on the monotonic clock; now, where it does not say."""
    now = time.monotonic()
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, STAMPED) and len(data) == STAMP.size:
            seconds, nanoseconds = STAMP.unpack(data)
            ago_s: float = time.time() - seconds - nanoseconds / 1e9
            return now - ago_s
    return now


def _is_loud(payload: bytes) -> bool:
    return 1 in payload.translate(_LOUD_CODES)


__all__ = ["Earpiece", "FRAME_S", "Heard"]
