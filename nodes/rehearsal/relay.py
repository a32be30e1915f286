"""A bad network between test hosts: what is routed into a TUN device comes out of it later, or never.

    python -m nodes.rehearsal.relay NAME DELAY_S JITTER_S LOSS SEED

Runs where the router is (`hosts.py`), and says `ready` when the device is there. Whatever protocol: packets are bytes.
Delay without jitter keeps their order. Standard library only.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time
from itertools import count
from typing import Final, Never

TUNSETIFF: Final = 0x400454CA
IFF_TUN_NO_PI: Final = 0x0001 | 0x1000
"""linux/if_tun.h: IP packets, with nothing before them."""
PACKET: Final = 65_535
MOST_WAITING: Final = 10_000
"""Packets on their way; beyond that a new one is lost, as in any queue."""
READY: Final = "ready"
COMMAND: Final = (sys.executable, "-m", "nodes.rehearsal.relay")


def device(name: str) -> int:
    """Return the descriptor of a TUN device that is made now, and goes with it. Raises: OSError."""
    number = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(number, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    return number


def relay(number: int, delay_s: float, jitter_s: float, loss: float, dice: random.Random) -> Never:
    """Hand on what comes, after `delay_s` and up to `jitter_s` more, but for a share of `loss`."""
    waiting: list[tuple[float, int, bytes]] = []
    order = count()
    while True:
        due_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([number], [], [], due_s)[0]:
            packet, now = os.read(number, PACKET), time.monotonic()
            if dice.random() >= loss and len(waiting) < MOST_WAITING:
                heapq.heappush(waiting, (now + delay_s + dice.random() * jitter_s, next(order), packet))
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(number, heapq.heappop(waiting)[2])


def main() -> Never:
    """Be a relay until killed."""
    name, *numbers = sys.argv[1:]
    delay_s, jitter_s, loss, seed = map(float, numbers)
    number = device(name)
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    relay(number, delay_s, jitter_s, loss, random.Random(seed))


if __name__ == "__main__":
    main()
