"""The process that a node's others are forked from: it loads what they load, and is none of them.

A process of a node computes for a second until it is ready, and imports are nearly all of that: so after a fault, or on
a machine that begins anew, a node was the longer away the more of it had to be started. What is loaded here is loaded
once a node; what a process has alone and others may not have with it (engines, DuckDB) it loads itself, after the fork.

What it does not: it opens nothing, starts no thread and no event loop, and reads no configuration; it has no secret.
"""

from __future__ import annotations

import os
import sys
from typing import Final, Never

from nodes import child, priority
from nodes.sink import Dropping
from supervisors.forking import serve

NAME: Final = "zygote"


def main() -> Never:
    """Load, and fork whom the launcher asks for."""
    child.show(NAME)
    sys.stderr = Dropping(2, NAME)
    priority.claim("starting", waits=True)
    load()
    priority.claim(NAME, waits=True)
    serve(child.main)


def load() -> None:
    """Load what the processes of a node have in common, and those that callers wait for."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is loaded: it would begin a thread a core, just by that
    from nodes.central import process as central  # noqa: F401
    from nodes.desk import process as desk  # noqa: F401
    from nodes.edge import process as edge  # noqa: F401
    from nodes.media import process as media  # noqa: F401


__all__ = ["NAME", "load", "main"]

if __name__ == "__main__":
    main()
