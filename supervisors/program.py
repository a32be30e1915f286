"""What an operating-system process is to its launcher: data.

How one is run is in `leash.py`, how it is supervised in `process.py`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from supervisors.errors import BadSpec, KernelError
from supervisors.lines import Lines

CHARGE: Final = "SUPERVISORS_CHARGE"
"""The environment variable that tells a child its control socket, its inherited sockets and its launcher, as JSON."""

Forked = Callable[[int, Lines | None], bool]
"""Told once: a process, and the socket by which it is spoken with, or 0 and None; returns whether it is wanted."""


class Unborn(Protocol):
    """A process that was asked for."""

    def give_up(self) -> None:
        """Nobody waits for it any more: tell nobody."""


class Forks(Protocol):
    """Who forks processes (`zygote`)."""

    def fork(self, program: Program, is_spare: bool, stderr: int, tell: Forked) -> Unborn | None:
        """Ask for a process of `program`, and have `tell` called when it is there. None: it cannot be asked now."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run: `argv`, what it adds to the environment, the sockets it inherits by name.

    It has `ready_s` to say it is ready, says that it is alive every `beat_s`, is dead after `silence_s` without, and
    has `stop_s` between SIGTERM and SIGKILL. A program that does not speak this protocol (`speaks=False`) is ready when
    it is spawned and alive while it runs. Where `zygote` can fork it, it is forked, and `argv` is only what it is
    called; else `argv` is run. Raises BadSpec.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    sockets: Mapping[str, socket.socket] = field(default_factory=dict)
    cwd: str | None = None
    ready_s: float = 30.0
    stop_s: float = 5.0
    beat_s: float = 1.0
    silence_s: float = 3.0
    speaks: bool = True
    zygote: Forks | None = None

    def __post_init__(self) -> None:
        if not self.argv:
            raise BadSpec("a program needs an argv")
        if not (self.ready_s > 0 and self.stop_s > 0 and 0 < self.beat_s < self.silence_s):
            raise BadSpec(f"times must be above 0, and beat_s below silence_s: {self}")
        if self.zygote is not None and not self.speaks:
            raise BadSpec("a program that is forked speaks with its launcher")

    def charge(self, *, is_spare: bool) -> dict[str, object]:
        """Return what a process of it finds in CHARGE, but for the numbers of its control and inherited sockets."""
        return {"is_spare": is_spare, "beat_s": self.beat_s, "launcher_pid": os.getpid()}


class Standing(Enum):
    """What a process is good for."""

    STARTING = "starting"
    SPARE = "spare"
    ACTIVE = "active"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How a process ended: exit `code` or `signal` (the other is None), why we killed it, its last lines on stderr."""

    code: int | None
    signal: int | None
    why: str
    stderr: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """One process now. `id`: of the child it belongs to. `info`: what it said when it was ready. `exit`: when GONE."""

    id: str
    pid: int
    standing: Standing
    info: Mapping[str, object]
    exit: ProcessExit | None = None


OnChange = Callable[[ProcessReport], None]


class ProcessDied(KernelError):
    """A process ended, as `exit` says: the crash of the actor that had it."""

    def __init__(self, pid: int, exit: ProcessExit) -> None:
        how = f"code {exit.code}" if exit.signal is None else f"signal {exit.signal}"
        super().__init__(f"process {pid} ended with {how}{exit.why and f' ({exit.why})'}")
        self.pid = pid
        self.exit = exit
