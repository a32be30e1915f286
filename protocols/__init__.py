"""What is said on every wire: SIP, RTP and our own messages, as machines without I/O.

Nothing here opens a socket, reads a clock or rolls a dice: bytes, time and entropy come in as parameters, effects go
out as values, and a test or a process decides what becomes of them. The shape is in `machine`, the errors in `errors`.
"""

from protocols.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from protocols.machine import Address, Effect, Expired, Machine, Notify, Transmit, earliest

__all__ = [
    "Machine", "Transmit", "Notify", "Effect", "Expired", "Address", "earliest",
    "ProtocolError", "LocalProtocolError", "RemoteProtocolError",
]  # fmt: skip
