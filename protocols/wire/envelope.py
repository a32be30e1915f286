"""What goes around a message on the mesh: an envelope each, and a frame around the envelopes of one loop turn.

On the wire a frame is one MessagePack array `[version, sender, to, sent_s, [envelope, ...]]` and an envelope is
`[act, number, kind, within_s, trace, body]`; fields appended by a later version are ignored. Bodies are maps from
field name to value, written out in `messages.py`. Any MessagePack reader can take a whole frame apart.

    act       number          kind                  body
    tell      0               class of the message  the message
    ask       the asker's     class of the message  the message
    reply     that of the ask class of the reply    the reply
    refusal   that of the ask "Refusal"             Refusal
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import msgspec

from protocols.wire.ids import Identity

VERSION = 1


class Act(IntEnum):
    """What an envelope does."""

    TELL = 0
    ASK = 1
    REPLY = 2
    REFUSAL = 3


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reply of one who will not: `reason` is one word of the message's own (`no_port_free`) or of the mesh."""

    reason: str


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message on its way; `body` stays packed until somebody wants it."""

    act: Act
    number: int
    """Counts the asks of one process; a reply carries its ask's."""
    kind: str
    within_s: float
    """Seconds from the frame's `sent_s` in which an answer is of use; 0 where none is awaited."""
    trace: str
    body: msgspec.Raw


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one process has for another at the end of a loop turn, in the order it was said."""

    version: int
    sender: Identity
    to: Identity
    """The incarnation that is meant: a successor on the same endpoint drops the frame."""
    sent_s: float
    """The sender's monotonic clock; only differences between frames of one sender mean something elsewhere."""
    envelopes: tuple[Envelope, ...]


__all__ = ["Act", "Envelope", "Frame", "Refusal", "VERSION"]
