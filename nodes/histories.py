"""What has become of the launcher's processes: how often one ended, when, and what the last that failed had to say.

A name (`edge-0`) is borne by one process after another, some by two at a time; a history is a name's. The launcher
tells all of them with the roster, as plain data: moments are seconds on the monotonic clock, which one machine has one
of. `nodes.links.roster` reads them. A part of the launcher: the kernel and the standard library.
"""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from typing import Final

from supervisors.process import ProcessExit, ProcessReport, Standing

FAILED: Final = "process.failed"
"""The event that a process logs last when it cannot do its work; its field `error` says why, `traceback` where."""
N_LINES: Final = 5
LINE_CHARS: Final = 500
"""Of what a process said last: enough for an exception and where it was raised, and small in every roster."""
N_ENDS: Final = 32
"""The last ends that are told: more than the launcher's pauses between restarts allow in a minute."""


class History:
    """One name's history. `kind`: the actor that has its processes."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self._state = "starting"
        self._active_pid = 0
        self._since_s: float | None = None
        self._n_ended = 0
        self._ended_s: deque[float] = deque(maxlen=N_ENDS)
        self._failure: dict[str, object] | None = None

    def take(self, report: ProcessReport, now: float) -> None:
        """Note what one of its processes has become at `now`."""
        match report.standing:
            case Standing.ACTIVE if report.pid != self._active_pid:  # else it has only said more of itself
                self._state, self._active_pid, self._since_s = "running", report.pid, now
            case Standing.STARTING if not self._active_pid:
                self._state = "starting"
            case Standing.GONE:
                self._end(report, now)
            case _:
                pass  # a spare is not what the name is known for

    def row(self) -> dict[str, object]:
        """Return it as `nodes.links.roster.History` reads it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self._state,
            "since_s": self._since_s,
            "n_ended": self._n_ended,
            "ended_s": list(self._ended_s),
            "failure": self._failure,
        }

    def _end(self, report: ProcessReport, now: float) -> None:
        self._n_ended += 1
        self._ended_s.append(now)
        if report.pid == self._active_pid or not self._active_pid:
            self._state, self._active_pid, self._since_s = "restarting", 0, None
        if report.exit is not None and report.exit.code != 0:
            reason, lines = _last_line(report.exit) or ("", list(report.exit.stderr))
            lines = [line[:LINE_CHARS] for line in lines[-N_LINES:]]
            self._failure = {"error": reason or how(report.exit), "lines": lines}


def how(exit: ProcessExit) -> str:
    """Return how a process has ended: what it logged as its failure, else why it was killed, its signal or its code.

    >>> how(ProcessExit(None, 9, "silent for 3.0 s", ())), how(ProcessExit(None, 11, "", ("...",)))
    ('silent for 3.0 s', 'ended with signal 11')
    """
    ended = f"ended with code {exit.code}" if exit.signal is None else f"ended with signal {exit.signal}"
    said = _last_line(exit)
    return said[0] if said else exit.why or ended


def last_words(exit: ProcessExit) -> str:
    """Return why a process has ended, in one line: how, and its last line unless it has said itself why.

    >>> last_words(ProcessExit(1, None, "", ("bind: address already in use",)))
    'ended with code 1: bind: address already in use'
    """
    return how(exit) if _last_line(exit) else ": ".join([how(exit), *exit.stderr[-1:]])


def _last_line(exit: ProcessExit) -> tuple[str, list[str]] | None:
    """Return what the process logged as its failure, why and where; None when it did not, or not as our log does."""
    for line in exit.stderr:
        if f'"{FAILED}"' in line:
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                said = json.loads(line)
                return str(said["error"]), [str(place) for place in said.get("traceback", [])]
    return None


__all__ = ["FAILED", "History", "how", "last_words"]
