"""Control groups of the node: one for each class of its processes, below the group in which the launcher was started.

    groups = divided(config.groups, log)
    groups.seen(report, "media")            # of a process that begins: it is put into <ours>/media

Source: Documentation/admin-guide/cgroup-v2.rst. A group that shares something out among groups below it has no
processes itself, so the launcher goes into a leaf, `launcher`, first. Only a group that is the node's alone is divided:
one in which systemd has started it with `Delegate=`, or the whole container. Where somebody else is in it, a shell for
one, it is theirs; where there is none of version 2, or it may not be written, the node runs without.

Spares are in the group of their role, so a takeover moves nobody. What a process starts is in its group, too. One that
the kernel kills because of its group's limit ends alone (memory.oom.group is 0), as by any other signal 9: whoever
supervises it starts it again. A part of the launcher: the standard library.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from nodes.config_groups import Groups
from nodes.errors import NodeError, in_words
from nodes.machine import cores
from supervisors.process import ProcessReport, Standing

CLASSES: Final = ("media", "speech", "desk", "recorder")
"""Roles that have a group of their own."""
REST: Final = "rest"
LAUNCHER: Final = "launcher"
"""Its leaf, with the weight of `rest`. It has no limit, for its death is the node's."""
CONTROLLERS: Final = ("cpu", "io", "memory")
PERIOD_US: Final = 100_000
"""Of a quota: the kernel's own."""
NO_LIMIT: Final = "max"
OUT_OF_MEMORY: Final = "killed by the kernel: its control group was out of memory (groups.memory)"
_PROCS: Final = "cgroup.procs"


class NoGroups(NodeError):
    """There are no groups to be had here; the text is the reason."""


Log = Callable[..., object]
"""Writes a line: its level, its event's name, and its fields by keyword."""


def _nobody(*words: object, **fields: object) -> None:
    """Write no line."""


def own(process: Path = Path("/proc/self")) -> Path:
    """Return the directory of a process's group of version 2. Raises: NoGroups, OSError.

    `process`: its directory in proc(5). The one hierarchy of version 2 may be mounted beside those of version 1.
    """
    named = [line[3:] for line in (process / "cgroup").read_text().splitlines() if line.startswith("0::")]
    for point, root in _mounts(process):
        for name in named:
            if name.startswith("/..") or not Path(name).is_relative_to(root):
                raise NoGroups(f"the group {name} is outside of {point}")
            return point / Path(name).relative_to(root)
    raise NoGroups("no control groups of version 2 are mounted")


def offered(process: Path = Path("/proc/self")) -> tuple[str, ...]:
    """Return which of `CONTROLLERS` can be given to groups on this machine. Raises: NoGroups, OSError."""
    for point, _ in _mounts(process):
        there = (point / "cgroup.controllers").read_text().split()
        return tuple(one for one in CONTROLLERS if one in there)
    raise NoGroups("no control groups of version 2 are mounted")


def _mounts(process: Path) -> list[tuple[Path, str]]:
    """Return where version 2 is mounted, and which group that shows. Source: proc_pid_mountinfo(5)."""
    mounts = [
        (line.split(), line.partition(" - ")[2].split()) for line in (process / "mountinfo").read_text().splitlines()
    ]
    return [(Path(fields[4]), fields[3]) for fields, kind in mounts if kind[:1] == ["cgroup2"]]


class ControlGroups:
    """The groups that were made. `lacking`: controller -> why it cannot be set here."""

    def __init__(self, place: Path | None = None, log: Log = _nobody) -> None:
        """`place`: the group above them; None: there are none, and nothing is done. `log`: from any thread."""
        self.place = place
        self.lacking: dict[str, str] = {}
        self._log = log
        self._n_killed: dict[str, int] = {}

    def seen(self, report: ProcessReport, role: str) -> ProcessReport:
        """Hear of a process: one that begins is put into its group soon. Return it, with its group's part in its end.

        Needs a running event loop, which does not wait: it takes the kernel 10 ms, and more on a busy machine.
        """
        if self.place is None:
            return report
        if report.standing is Standing.STARTING:
            move = partial(self.take, report.pid, role)
            asyncio.get_running_loop().run_in_executor(None, move).add_done_callback(partial(self._taken, report))
        exit = report.exit
        if exit and self._has_killed(role) and exit.signal == signal.SIGKILL and not exit.why:
            return replace(report, exit=replace(exit, why=OUT_OF_MEMORY))
        return report

    def take(self, pid: int, role: str) -> None:
        """Move a process, if it still runs, into the group of its role. Raises: OSError."""
        assert self.place is not None
        with suppress(ProcessLookupError):
            _write(self.place / group_of(role) / _PROCS, str(pid))

    def settle_in(self, groups: Groups) -> None:
        """Make the groups, and go into the launcher's. Raises: NoGroups, OSError: there are none to be had."""
        self._make()
        assert self.place is not None
        delegated = (self.place / "cgroup.controllers").read_text().split()
        for controller in CONTROLLERS:
            if controller not in delegated:
                self.lacking[controller] = "not delegated"
                continue
            try:
                self._share_out(controller, groups)
            except OSError as error:
                self.lacking[controller] = f"{Path(str(error.filename)).name}: {error.strerror}"
        for name in (*CLASSES, REST):
            self._has_killed(name)  # before us

    def _taken(self, report: ProcessReport, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()):
            self._log("warning", "group.not_entered", name=report.id, pid=report.pid, error=in_words(error))

    def _has_killed(self, role: str) -> bool:
        """Return whether the kernel has killed a process of this role's group for memory since this was last asked."""
        assert self.place is not None
        name, n_killed = group_of(role), 0
        with suppress(OSError, ValueError, IndexError):
            lines = (self.place / name / "memory.events").read_text().splitlines()
            n_killed = next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
        before, self._n_killed[name] = self._n_killed.get(name, 0), n_killed
        return n_killed > before

    def _make(self) -> None:
        assert self.place is not None
        ours = {os.getpid()} | ({1} & {os.getppid()})  # the first process of a container has nothing to do but us
        there = {int(pid) for pid in (self.place / _PROCS).read_text().split()}
        if there - ours:
            raise NoGroups(f"{self.place} is not the node's alone: {len(there - ours)} other processes are in it")
        for name in (LAUNCHER, REST, *CLASSES):
            (self.place / name).mkdir(exist_ok=True)
        for pid in there:
            _write(self.place / LAUNCHER / _PROCS, str(pid))

    def _share_out(self, controller: str, groups: Groups) -> None:
        """Have the groups share out what this controller controls, as the settings say. Raises: OSError."""
        assert self.place is not None
        _write(self.place / "cgroup.subtree_control", f"+{controller}")
        memory = _memory(self.place) if controller == "memory" else 0
        for name in (LAUNCHER, REST, *CLASSES):
            for file, value in _values(controller, name, groups, memory).items():
                _write(self.place / name / file, value)


NONE: Final = ControlGroups()
"""No groups."""


def divided(groups: Groups, log: Log, place: Path | None = None) -> ControlGroups:
    """Return the groups of the node, and log what there is; NONE where there are none to be had.

    `place`: the group to divide; None: the one in which this process is.
    """
    try:
        made = ControlGroups(place or own(), log)
        made.settle_in(groups)
    except (NoGroups, OSError) as error:
        log("info", "groups.none", why=in_words(error))
        return NONE
    log("info", "groups.made", place=str(made.place), lacking=made.lacking)
    return made


def group_of(role: str) -> str:
    """Return the group of a role.

    >>> group_of("media"), group_of("edge"), group_of("storage")
    ('media', 'rest', 'recorder')
    """
    role = "recorder" if role == "storage" else role  # it seals and sends what is recorded, and can wait as well
    return role if role in CLASSES else REST


def _values(controller: str, name: str, groups: Groups, memory: int) -> Mapping[str, str]:
    """Return file -> value of a group; also what is as it would be anyway, for the files may have been set before."""
    like = REST if name == LAUNCHER else name
    if controller == "io":
        return {"io.weight": f"default {getattr(groups.io_weight, like)}"}
    if controller == "cpu":
        share = getattr(groups.cpu_quota, like, 1.0)
        quota = (
            NO_LIMIT if share >= 1 else str(max(1000, round(share * cores() * PERIOD_US)))
        )  # 1 ms: the least there is
        return {"cpu.weight": str(getattr(groups.cpu_weight, like)), "cpu.max": f"{quota} {PERIOD_US}"}
    share = getattr(groups.memory, like, 1.0)
    return {"memory.max": NO_LIMIT if share >= 1 else str(round(share * memory))}


def _write(file: Path, text: str) -> None:
    """Write to a file of the kernel's. Raises: OSError, which names it."""
    try:
        file.write_text(text)
    except OSError as error:
        error.filename = str(file)
        raise


def _memory(place: Path) -> int:
    """Return the bytes of memory that there are for all: the machine's, or a container's or unit's limit."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # ValueError: it has no limit
        return min(machine, int((place / "memory.max").read_text()))
    return machine


__all__ = [
    "CLASSES", "CONTROLLERS", "LAUNCHER", "NONE", "OUT_OF_MEMORY", "REST", "ControlGroups", "NoGroups", "divided",
    "group_of", "offered", "own",
]  # fmt: skip
