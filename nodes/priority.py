"""Who goes first when the machine is busy: what a caller would hear waits for nothing that they would not.

When an edge or a media process dies, the silence lasts until the launcher has seen it, the successor has woken up and
the edge has told it what to do: three processes, each of which would wait its turn behind recogniser and synthesiser.
A media process goes further, see `nodes.media.realtime`.

Where the kernel groups processes by their sessions (autogroup), it shares processors out among the groups first, and a
nice value counts inside its group only. Each process of ours leads a session, so its group gets the same value. Source:
sched(7), proc(5).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

NICE: Final[Mapping[str, int]] = {
    "launcher": -10, "zygote": -10, "edge": -10, "successor": -20, "media": -10, "hearing": -5, "callees": -10,
    "storage": 10,
}  # fmt: skip
"""By role, once it is up: their work is short then. All others are 0, and so is whoever is still starting, whatever
their parent is: imports take a core for a second or two, in which others are to be heard.

`successor` is a spare in the moment in which it becomes the edge: until then all calls of that edge have nobody.
`zygote` is what successors are forked from, in a millisecond.
`hearing` is what a speech process does for callers who wait for an answer; it does not speak or compile with it.
`callees` are those of a measurement, whose telephones would have processors of their own.
`storage` encrypts and sends recordings of calls that are over: nobody waits for that."""
_GROUP: Final = Path("/proc/self/autogroup")
"""`/autogroup-25 nice 0`; what is written is the value alone."""
_AGAIN_S: Final = 0.15
_TRIES: Final = 100
"""The kernel takes one in 0.1 s from all who are not privileged, and the processes of a node start together."""


def claim(role: str, *, waits: bool = False) -> bool:
    """Set the calling thread's nice value and that of threads it starts; say whether it was allowed (`LimitNICE`).

    So is the value of its session's group, where there are such, and unless others are in the session. `waits`: until
    the kernel takes that here, and not in a thread.
    """
    nice = NICE.get(role, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except PermissionError:
        return False
    if os.getsid(0) == os.getpid():
        try:
            _weigh(nice)
        except BlockingIOError:
            if waits:
                _weigh_at_last()
                return True
            threading.Thread(target=_weigh_at_last, name="autogroup", daemon=True).start()
    return True


@contextmanager
def first(role: str, then: str) -> Iterator[None]:
    """Go before all others as long as this lasts, as `role`; as `then` afterwards."""
    claim(role)
    try:
        yield
    finally:
        claim(then)


def _weigh_at_last() -> None:
    """Give the group, as soon as that may be, the value that we have then: another one may have been claimed."""
    for _ in range(_TRIES):
        time.sleep(_AGAIN_S)
        with suppress(BlockingIOError):
            return _weigh(os.getpriority(os.PRIO_PROCESS, os.getpid()))


def _weigh(nice: int) -> None:
    """Give our session's group this value, where there are groups and we may. Raises: BlockingIOError: not now."""
    try:
        if int(_GROUP.read_text().rpartition(" ")[2]) != nice:
            _GROUP.write_text(str(nice))
    except BlockingIOError:
        raise
    except (OSError, ValueError):
        pass


__all__ = ["NICE", "claim", "first"]
