"""Telephone events: keys pressed, as packets beside the audio (RFC 4733 s.2).

What it does: tells each key once however often its packets are repeated, lost or out of order; makes the packets of our
own keys. What it does not: listen for tones in the audio. One press is one timestamp (s.2.2.2): that is its name here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from struct import Struct

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.rtp.numbers import FRAME_S, FRAME_SAMPLES, unwrap

KEYS = "0123456789*#ABCD"
"""Event codes 0 to 15 (RFC 4733 s.3.2, table 3); flash (16) and the modem tones above are no keys."""

_EVENT = Struct("!BBH")
_END = 0x80
_VOLUME_DBM0 = 10
_REPEATS = 2
"""The end of an event is sent three times in all (s.2.5.1.4)."""
_LAPSE_S = 0.2
"""A press whose end never came is over when nothing came for this long; senders repeat every 20 to 50 ms."""


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """One packet's payload. `duration` is in samples since the press began, at most 65535."""

    code: int
    is_end: bool
    duration: int
    volume: int = _VOLUME_DBM0

    def build(self) -> bytes:
        """Return the four bytes.

        >>> TelephoneEvent(code=5, is_end=True, duration=800).build().hex()
        '058a0320'
        """
        return _EVENT.pack(self.code, (_END if self.is_end else 0) | self.volume, self.duration)

    @staticmethod
    def parse(payload: bytes) -> TelephoneEvent:
        """Return the event in a payload; a packet of several (s.2.5.1.5) yields its first.

        Raises: RemoteProtocolError (`truncated`).
        """
        if len(payload) < _EVENT.size:
            raise RemoteProtocolError("truncated", f"event of {len(payload)} bytes")
        code, flags, duration = _EVENT.unpack_from(payload)
        return TelephoneEvent(code, flags >= _END, duration, flags & 0x3F)


class KeyReceiver:
    """Tells each press once: at its first end packet, or when it is clear that the end was lost."""

    __slots__ = ("_heard_at", "_key", "_press")

    def __init__(self) -> None:
        self._press: int | None = None  # unwrapped timestamp of the newest press
        self._key = ""  # of that press, while it has not been told
        self._heard_at = 0.0

    @property
    def deadline(self) -> float | None:
        """When to call `lapse`: the press in progress is over then, whether its end comes or not."""
        return self._heard_at + _LAPSE_S if self._key else None

    def hear(self, event: TelephoneEvent, timestamp: int, now: float) -> str:
        """Take one packet; return the keys whose press is now known to be over, oldest first: none, one or two.

        Raises: nothing. Events that are no keys are nothing.
        """
        if event.code >= len(KEYS):
            return ""
        press = timestamp if self._press is None else unwrap(timestamp, self._press, bits=32)
        done = ""
        if self._press is None or press > self._press:
            done, self._press, self._key = self._key, press, KEYS[event.code]
        elif press < self._press:
            return ""  # a straggler of a press that has been told
        self._heard_at = now
        return done + self._finish() if event.is_end else done

    def lapse(self, now: float) -> str:
        """Return the key whose end was lost, once nothing was heard of it for 200 ms; else nothing."""
        return self._finish() if self._key and now >= self._heard_at + _LAPSE_S else ""

    def _finish(self) -> str:
        key, self._key = self._key, ""
        return key


@dataclass(frozen=True, slots=True)
class Press:
    """What to send in one 20 ms tick: `age` ticks after the press began, under the timestamp of its beginning."""

    event: TelephoneEvent
    age: int

    @property
    def is_first(self) -> bool:
        """The first packet of a press carries the marker bit (RFC 4733 s.2.2.1)."""
        return self.age == 0


def press(keys: str, ms: int) -> Iterator[Press | None]:
    """Yield what to send, tick by tick, for each key `ms` long and a pause as long; None is a tick of pause.

    Raises: LocalProtocolError (`no_such_key`) before the first tick. Source: RFC 4733 s.2.5.1.

    >>> [(p.age, p.event.is_end, p.event.duration) if p else None for p in press("5", ms=60)]
    [(0, False, 160), (1, False, 320), (2, True, 480), (3, True, 480), (4, True, 480), None, None]
    """
    unknown = set(keys) - set(KEYS)
    if unknown:
        raise LocalProtocolError("no_such_key", "".join(sorted(unknown)))
    ticks = max(2, round(ms / 1000 / FRAME_S))
    return (tick for key in keys for tick in _one(KEYS.index(key), ticks))


def _one(code: int, ticks: int) -> Iterator[Press | None]:
    for age in range(ticks + _REPEATS):
        yield Press(TelephoneEvent(code, age >= ticks - 1, FRAME_SAMPLES * min(age + 1, ticks)), age)
    yield from repeat(None, max(2, ticks - _REPEATS))


__all__ = ["KEYS", "KeyReceiver", "Press", "TelephoneEvent", "press"]
