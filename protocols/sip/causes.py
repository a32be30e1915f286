"""Why a call ended, as the dialer counts it: status codes and Q.850 causes to dispositions, as tables.

A gateway that says why in a Reason header (RFC 3326, Q.850) knows better than the SIP code that it had to choose: a
vacant number and an engaged line both come as 480 from some of them. So the Q.850 cause is looked up first.
"""

from enum import StrEnum
from typing import Final

from protocols.sip.message import Message


class Disposition(StrEnum):
    """How an attempt ended."""

    HUMAN = "human"
    MACHINE = "machine"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    INVALID = "invalid"
    REJECTED = "rejected"
    FAILED = "failed"
    ABANDONED = "abandoned"
    TRANSFERRED = "transferred"
    COMPLETED = "completed"
    OPTED_OUT = "opted_out"


BY_Q850: Final = {
    1: Disposition.INVALID,  # unallocated number
    2: Disposition.FAILED,  # no route to the transit network
    3: Disposition.INVALID,  # no route to the destination
    17: Disposition.BUSY,
    18: Disposition.NO_ANSWER,  # no user responding
    19: Disposition.NO_ANSWER,  # alerted, not answered
    20: Disposition.NO_ANSWER,  # subscriber absent
    21: Disposition.REJECTED,
    22: Disposition.INVALID,  # number changed
    27: Disposition.FAILED,  # destination out of order
    28: Disposition.INVALID,  # number not complete
    34: Disposition.FAILED,  # no circuit: the carrier's congestion, worth a retry
    38: Disposition.FAILED,
    41: Disposition.FAILED,
    42: Disposition.FAILED,
    102: Disposition.NO_ANSWER,  # recovery on timer expiry: what a gateway's own ring limit becomes
}
"""ITU-T Q.850. Causes that say nothing about the callee (16 and 31, normal clearing) are left to the status code."""

BY_STATUS: Final = {
    403: Disposition.REJECTED,
    404: Disposition.INVALID,
    408: Disposition.NO_ANSWER,
    410: Disposition.INVALID,
    480: Disposition.NO_ANSWER,
    484: Disposition.INVALID,
    485: Disposition.INVALID,
    486: Disposition.BUSY,
    487: Disposition.NO_ANSWER,
    600: Disposition.BUSY,
    603: Disposition.REJECTED,
    604: Disposition.INVALID,
    607: Disposition.REJECTED,  # unwanted (RFC 8197): the callee says what an opt-out says, about this call
    608: Disposition.REJECTED,  # rejected by an intermediary (RFC 8688)
}
"""RFC 3261 s.21. What is not named: 3xx is a rejection (we do not follow redirections), anything else a failure."""


def disposition(code: int, q850: int = 0) -> Disposition:
    """Return how an attempt counts that was refused with this status code, and this Q.850 cause if there was one.

    >>> disposition(480, q850=1), disposition(486), disposition(302), disposition(503)
    (<Disposition.INVALID: 'invalid'>, <Disposition.BUSY: 'busy'>, <Disposition.REJECTED: 'rejected'>, \
<Disposition.FAILED: 'failed'>)
    """
    if q850 in BY_Q850:
        return BY_Q850[q850]
    return BY_STATUS.get(code, Disposition.REJECTED if 300 <= code < 400 else Disposition.FAILED)


def q850(message: Message) -> int:
    """Return the Q.850 cause in a message's Reason header, or 0 (RFC 3326 s.2). A Reason we cannot read is none."""
    for value in message.values("reason"):
        protocol, _, params = value.partition(";")
        cause = dict(part.partition("=")[::2] for part in params.replace(" ", "").split(";")).get("cause", "")
        if protocol.strip().upper() == "Q.850" and cause.isdecimal() and len(cause) <= 3:
            return int(cause)
    return 0


__all__ = ["BY_Q850", "BY_STATUS", "Disposition", "disposition", "q850"]
