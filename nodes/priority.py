"""Who goes first when the machine is busy: what a caller would hear waits for nothing that they would not.

When an edge or a media process dies, the silence lasts until the launcher has seen it, the successor has woken up and
the edge has told it what to do: three processes, each of which would wait its turn behind recogniser and synthesiser.
A media process goes further, see `nodes.media.realtime`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

NICE: Final[Mapping[str, int]] = {"launcher": -10, "edge": -10, "media": -10, "hearing": -5, "callees": -10}
"""By role, once it is up: their work is short then. All others are 0, and so is whoever is still starting, whatever
their parent is: imports take a core for a second or two, in which others are to be heard.

`hearing` is what a speech process does for callers who wait for an answer; it does not speak or compile with it.
`callees` are those of a measurement, whose telephones would have processors of their own."""


def claim(role: str) -> bool:
    """Set the calling thread's nice value and that of threads it starts; say whether it was allowed (`LimitNICE`)."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE.get(role, 0))
    except PermissionError:
        return False
    return True


__all__ = ["NICE", "claim"]
