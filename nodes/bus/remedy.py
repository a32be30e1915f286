"""What is done about a nats-server that takes nothing any more: the embedded one is ended, and its launcher starts it.

Every process that writes judges for itself, so it does not matter which stream has failed. The server is named by its
pid file, and ended only if that process is the one of our configuration. Not while the disk is still full: it would
come up as it was. Nor for time in which it found no processor: on a machine with too much to do it is late, and a new
one would be later. Somebody else's server is not ours to end: then the log says so, and `/readyz`.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from nodes.bus.server import pid_of
from nodes.bus.writes import Writes
from nodes.telemetry import logs
from supervisors import Backoff
from supervisors.starvation import ProcessStarvation

FREE_BYTES: Final = 64 * 1024 * 1024
"""On the store's disk: with less, a new server would stand still as soon as the old one did."""
SAY_S: Final = 60.0
PAUSES: Final = Backoff(first_s=10.0, top_s=300.0, reset_after_s=600.0)
"""Between two ends of a server that did not help."""

log = logs.get(__name__)


class Remedy:
    """One process's. `settings`: the embedded server's configuration; None when the server is somebody else's."""

    def __init__(self, settings: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._not_before = self._say_again = float("-inf")
        self._n_ended = 0
        self._starvation: ProcessStarvation | None = None
        """Of the server that has not answered."""

    def excuse(self, writes: Writes) -> None:
        """Have the time not count in which the server waited for a processor. To be called again and again."""
        pid = pid_of(self._settings) if self._settings and writes.is_waiting else None
        if self._starvation is not None and self._starvation.pid == pid:
            writes.excuse(self._starvation.since())
            return
        if self._starvation is not None:
            self._starvation.close()
        self._starvation = ProcessStarvation(pid) if pid else None

    def apply(self, stuck: Mapping[str, float]) -> bool:
        """Do what can be done about streams that take nothing (name -> seconds); True when the server was ended."""
        now = self._clock()
        names, seconds = sorted(stuck), round(max(stuck.values()))
        if self._settings is None:
            self._say("nats.stuck", streams=names, seconds=seconds, do="start the nats-server that nats.url names anew")
        elif (free := shutil.disk_usage(self._settings.parent).free) < FREE_BYTES:
            self._say("nats.disk_full", streams=names, seconds=seconds, free_bytes=free)
        elif now >= self._not_before and (pid := pid_of(self._settings)):
            self._n_ended += 1
            self._not_before = now + PAUSES.delay(self._n_ended, 0.5)
            log.error("nats.ended", pid=pid, streams=names, seconds=seconds)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return True
        return False

    def _say(self, event: str, **fields: object) -> None:
        if self._clock() >= self._say_again:
            self._say_again = self._clock() + SAY_S
            log.error(event, **fields)


__all__ = ["Remedy"]
