"""The far end of a measurement: sends every datagram back, each call's at a phase of its own, as telephones do.

One call in three has its own voice back at once, 14 dB quieter: an echo. The others have it back later than any echo
comes, and as loud as it was: somebody else who talks.

`python -m nodes.media.reflector` prints its port, then serves until it is terminated. Without the phases all answers
would come in one burst behind our own beat, and reading them would cost a fraction of what it costs in the field.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque
from typing import Final

import numpy as np

from nodes.audio.g711 import ULAW_TO_PCM, encode
from protocols.rtp.packet import HEADER_BYTES

_BUFFER_BYTES: Final = 8 * 1024 * 1024
_LATER_S: Final = 0.7
_QUIETER: Final = encode((ULAW_TO_PCM // 5).astype(np.int16))
"""Mu-law, 14 dB down."""
_PHASES: Final = 20
"""One for each millisecond of a frame; a call's is given by its port."""


def reflect(sock: socket.socket) -> None:
    """Send back what comes, 0 to 19 ms later, and two calls of three 0.7 s more, for ever."""
    waiting: list[deque[tuple[float, bytes, tuple[str, int]]]] = [deque() for _ in range(2 * _PHASES)]
    while True:
        if select.select([sock], [], [], 0.0005)[0]:
            data, source = sock.recvfrom(2048)
            phase = source[1] * 7 % _PHASES
            is_echo = source[1] % 3 == 0
            due_s = time.monotonic() + phase / 1000 + (0.0 if is_echo else _LATER_S)
            if is_echo:
                data = data[:HEADER_BYTES] + data[HEADER_BYTES:].translate(_QUIETER)
            waiting[phase if is_echo else phase + _PHASES].append((due_s, data, source))
        now = time.monotonic()
        for queue in waiting:
            while queue and queue[0][0] <= now:
                _, data, source = queue.popleft()
                sock.sendto(data, source)


def main() -> None:
    """Bind any port of the loopback, say which, and serve."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        sock.bind(("127.0.0.1", 0))
        sys.stdout.write(f"{sock.getsockname()[1]}\n")
        sys.stdout.flush()
        reflect(sock)


if __name__ == "__main__":
    main()
