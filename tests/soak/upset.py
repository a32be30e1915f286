"""What is done to a node from outside: its processes killed and paused, its launcher killed; and when that was."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nodes.commands.client import Client, NotUp
from nodes.links.roster import Roster
from nodes.rehearsal import victims
from nodes.rehearsal.victims import ANY, choose

KINDS: Final = tuple(os.environ.get("RINGMASTER_SOAK_KINDS", ",".join(victims.KINDS)).split(","))
"""Who is killed; when it is not everybody, the node is not paused and its launcher lives."""
KILL_EVERY_S: Final = 2.0
PAUSE_EVERY_S: Final = 60.0
PAUSE_S: Final = 4.0
LOOK_S: Final = 0.1
UP_S: Final = 60.0
"""A launcher that was killed is up again well within this."""
NEEDED: Final = {"recorder": 1, "speech": 1, "media": 1, "edge": 1, "central": 1, "desk": 1}


@dataclass(frozen=True, slots=True)
class Kill:
    """Who was killed, and when: monotonic seconds."""

    kind: str
    at_s: float


@dataclass(slots=True)
class Upset:
    """Kills by kind in a random order in which none is forgotten; pauses; and the launcher's deaths."""

    client: Client
    dice: random.Random
    say: Callable[[str], None]
    kills: list[Kill] = field(default_factory=list)
    pauses: list[tuple[float, float]] = field(default_factory=list)
    """From SIGSTOP to SIGCONT of the whole node."""
    deaths: list[tuple[float, float]] = field(default_factory=list)
    """From the launcher's SIGKILL until the node was up again."""
    _bag: list[str] = field(default_factory=list)

    async def run(self, until_s: float, deaths_s: list[float]) -> None:
        """Go on until `until_s`; kill the launcher at each of `deaths_s`."""
        next_pause_s = time.monotonic() + PAUSE_EVERY_S if KINDS == victims.KINDS else until_s
        waiting = list(deaths_s) if KINDS == victims.KINDS else []
        while (now := time.monotonic()) < until_s:
            if waiting and now >= waiting[0]:
                waiting.pop(0)
                await self._kill_launcher()
            elif now >= next_pause_s:
                next_pause_s += PAUSE_EVERY_S
                await self._pause()
            else:
                self._kill_one()
            await asyncio.sleep(KILL_EVERY_S)

    def _kill_one(self) -> None:
        if not self._bag:
            self._bag = self.dice.sample(KINDS, len(KINDS))
        for kind in list(self._bag):
            if pid := self._victim(kind):
                self._bag.remove(kind)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills.append(Kill(kind, time.monotonic()))
                return

    def _victim(self, kind: str) -> int | None:
        roster = self.client.roster()
        found = choose(kind, {"": roster}, self.dice.randrange(ANY), lambda _: _server(roster))
        return found.pid if found else None

    async def _pause(self) -> None:
        """Stop the whole node as a paused virtual machine is: everybody at once, nobody dead."""
        pids = list(_tree(_launcher(self.client.roster())))
        began_s = time.monotonic()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(PAUSE_S)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.pauses.append((began_s, time.monotonic()))
        self.say("        paused")

    async def _kill_launcher(self) -> None:
        pid, began_s = _launcher(self.client.roster()), time.monotonic()
        os.kill(pid, signal.SIGKILL)
        while not self._is_up_again(pid):
            assert time.monotonic() < began_s + UP_S, "the node does not come up again"
            await asyncio.sleep(LOOK_S)
        self.deaths.append((began_s, time.monotonic()))
        self.say(f"        launcher killed, up again after {time.monotonic() - began_s:.1f} s")

    def _is_up_again(self, old_pid: int) -> bool:
        try:
            roster = self.client.roster()
        except NotUp:
            return False
        return _launcher(roster) != old_pid and all(len(roster.active(role)) >= n for role, n in NEEDED.items())


def _server(roster: Roster) -> int:
    return next((pid for pid in _tree(_launcher(roster)) if _command(pid).startswith("nats-server")), 0)


def _launcher(roster: Roster) -> int:
    assert roster.launcher is not None
    return roster.launcher.pid


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and all below it, parents first."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                yield from _tree(int(child))


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text()
    return ""


__all__ = ["KINDS", "NEEDED", "Kill", "Upset"]
