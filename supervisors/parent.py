"""The child's side of the launcher: what a process's `main` talks to.

    parent = await Parent.attach()
    ...                                       # bind nothing: the sockets are inherited
    await parent.ready({"identity": identity, "endpoint": endpoint})
    async for order in parent.orders:
        match order:
            case Activate(): ...
            case Told(body): ...
            case Stop(): break

It beats from the event loop, so a blocked loop is found by silence; a watchdog that bites sooner leaves its word on
stderr, for the launcher to keep. When the launcher dies, so does this process: at once by PR_SET_PDEATHSIG, else as a
Stop at the end of the control socket with `_GRACE_S` to obey it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

from supervisors.errors import KernelError
from supervisors.leash import die_with
from supervisors.lines import Lines
from supervisors.program import CHARGE
from supervisors.watchdog import Watchdog

_GRACE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Activate:
    """You were the spare, now you are the active one: read."""


@dataclass(frozen=True, slots=True)
class Told:
    """The launcher tells its processes something, the roster for one."""

    body: dict[str, object]


@dataclass(frozen=True, slots=True)
class Stop:
    """End: SIGTERM, SIGINT, or the launcher's death. The last order there is."""

    launcher_died: bool = False


Order = Activate | Told | Stop


class NoParent(KernelError):
    """This process was not started by a launcher."""


class Parent:
    """The launcher, as its child sees it. `sockets`: inherited, by name, non-blocking.

    `is_spare` holds until Activate is read. So who asks `is_spare` once, when it is ready, and reads `orders` after
    that, becomes the active one exactly once.
    """

    def __init__(self, charge: Mapping[str, object], watchdog: Watchdog | None = None) -> None:
        """Use `attach`."""
        control, sockets, launcher_pid, beat_s = (
            charge.get(key) for key in ("control", "sockets", "launcher_pid", "beat_s")
        )
        assert isinstance(control, int), charge
        assert isinstance(sockets, dict), charge
        assert isinstance(launcher_pid, int), charge
        assert isinstance(beat_s, float | int), charge
        self.sockets: dict[str, socket.socket] = {name: _inherit(fd) for name, fd in sockets.items()}
        self.is_spare = bool(charge.get("is_spare"))
        self._orders: asyncio.Queue[Order] = asyncio.Queue()  # filled by the launcher, whom we trust, and signals
        self.orders: AsyncIterator[Order] = self._each_order()
        self._loop = asyncio.get_running_loop()
        self._beat_s = beat_s
        self._timer: asyncio.TimerHandle | None = None
        self._watchdog = watchdog
        self._control = Lines(self._loop, _inherit(control), self._said, self._launcher_died)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._orders.put_nowait, Stop())
        if not die_with(launcher_pid):
            self._launcher_died()

    @classmethod
    async def attach(cls, watchdog: Watchdog | None = None) -> Self:
        """Take up with the launcher; once per process. Raises NoParent.

        `watchdog` watches while silence would be noticed: not while the process starts, and not when it is to stop.
        """
        charge = os.environ.pop(CHARGE, None)  # not for this process's own children
        if charge is None:
            raise NoParent("this process was not started by a launcher")
        return cls(json.loads(charge), watchdog)

    async def ready(self, info: Mapping[str, object]) -> None:
        """Say that this process can do its work (a spare: could), with what others should know: JSON."""
        self._control.send({"ready": info})
        if self._timer is None:
            self._beat()
            if self._watchdog is not None:
                self._watchdog.start()

    def close(self) -> None:
        """Stop beating and let go of the launcher: the last thing before the process ends."""
        self._unwatch()
        if self._timer is not None:
            self._timer.cancel()
        self._control.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)

    async def _each_order(self) -> AsyncIterator[Order]:
        order: Order | None = None
        while not isinstance(order, Stop):
            order = await self._orders.get()
            if isinstance(order, Stop):
                self._unwatch()
            if isinstance(order, Activate):
                self.is_spare = False
            yield order

    def _unwatch(self) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()

    def _said(self, body: dict[str, object]) -> None:
        told = body.get("told")
        if isinstance(told, dict):
            self._orders.put_nowait(Told(told))
        if "activate" in body:
            self._orders.put_nowait(Activate())

    def _launcher_died(self) -> None:
        self._orders.put_nowait(Stop(launcher_died=True))
        self._loop.call_later(_GRACE_S, os.kill, os.getpid(), signal.SIGKILL)

    def _beat(self) -> None:
        self._control.send({"beat": True})
        self._timer = self._loop.call_later(self._beat_s, self._beat)


def _inherit(fd: int) -> socket.socket:
    """Return the inherited socket, for this process alone."""
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock
