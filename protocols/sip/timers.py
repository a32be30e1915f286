"""Session timers (RFC 4028): how either end finds out that the other has gone without a BYE.

Both ends agree on an interval. One of them, the refresher, sends an UPDATE or a re-INVITE at half of it; the other
hangs up when none has come shortly before its end. We offer support and no interval of our own: whether the callee is
still there we hear in the audio.
"""

import re
from dataclasses import dataclass
from typing import Final

from protocols.sip.message import Message, Request, Response

MIN_SE_S: Final = 90
"""The shortest interval that anyone may ask for (s.4)."""
SUPPORTED: Final = ("supported", "timer")

_refresher = re.compile(r";\s*refresher\s*=\s*(uac|uas)\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """What was agreed: refreshed every `interval_s` seconds at the latest, by us or by them."""

    interval_s: int
    we_refresh: bool

    @property
    def wait_s(self) -> float:
        """Seconds from a refresh to what is next: half for our own (s.7.2), else the moment to give up (s.10)."""
        return self.interval_s / 2 if self.we_refresh else self.interval_s - min(32, self.interval_s / 3)


def of_answer(response: Response) -> SessionTimer | None:
    """Return what the 2xx to our request has decided (s.7.2); None: this session has no timer."""
    interval_s, refresher = _read(response)
    if interval_s < MIN_SE_S:
        return None
    return SessionTimer(interval_s, we_refresh=refresher != "uas")


def of_request(request: Request) -> SessionTimer | None:
    """Return what we decide for an INVITE or UPDATE of theirs (s.9): as they ask, and they refresh if they can."""
    interval_s, refresher = _read(request)
    if interval_s < MIN_SE_S:
        return None
    they_can = "timer" in request.tokens("supported")
    return SessionTimer(interval_s, we_refresh=refresher == "uas" or not they_can)


def is_too_short(request: Request) -> bool:
    """Say whether a request wants an interval below the least: the answer is 422 with Min-SE (s.9)."""
    return 0 < _read(request)[0] < MIN_SE_S


def answer_fields(timer: SessionTimer | None) -> tuple[tuple[str, str], ...]:
    """Return the header fields of our 2xx that say what we decided (s.9)."""
    if timer is None:
        return (SUPPORTED,)
    value = f"{timer.interval_s};refresher={'uas' if timer.we_refresh else 'uac'}"
    return (SUPPORTED, ("session-expires", value), ("require", "" if timer.we_refresh else "timer"))


def refresh_fields(timer: SessionTimer | None) -> tuple[tuple[str, str], ...]:
    """Return the header fields of a request of ours in a session with this timer (s.7.1, s.7.4)."""
    if timer is None:
        return (SUPPORTED,)
    return (SUPPORTED, ("session-expires", f"{timer.interval_s};refresher={'uac' if timer.we_refresh else 'uas'}"))


def _read(message: Message) -> tuple[int, str]:
    value = message.first("session-expires")
    seconds = value.partition(";")[0].strip()
    refresher = _refresher.search(value)
    known = seconds.isascii() and seconds.isdecimal() and len(seconds) < 10
    return (int(seconds) if known else 0, refresher[1].lower() if refresher else "")


__all__ = [
    "MIN_SE_S",
    "SUPPORTED",
    "SessionTimer",
    "answer_fields",
    "is_too_short",
    "of_answer",
    "of_request",
    "refresh_fields",
]
