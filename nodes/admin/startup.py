"""The start of this node: when it was ready for the first time, and how long that took.

It is looked at twice a second until it is; then the launcher is told, which keeps it, logs it and prints it, so that a
desk that comes later knows it, too. Whoever began a machine for this node leaves the moment of that in
`<state>/scale_up_began`, in seconds of Unix time: it is read once, at the end of the start, and removed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from nodes.admin.node import Node
from nodes.admin.readiness import Readiness, Trunks, readiness
from nodes.config import Config
from nodes.errors import in_words
from nodes.links.roster import Launcher
from nodes.telemetry import logs

FILE: Final = "scale_up_began"
LOOK_S: Final = 0.5
MOST_BYTES: Final = 64
MOST_S: Final = 86_400.0
"""What began longer ago is another start's."""

log = logs.get(__name__)


class Startup:
    """One start. `connected`: whether this process has NATS. `tell(took)`: tells the launcher."""

    def __init__(
        self,
        node: Node,
        config: Config,
        connected: Callable[[], bool],
        tell: Callable[[dict[str, float]], Awaitable[None]],
    ) -> None:
        self._node, self._connected, self._tell = node, connected, tell
        self._state = config.paths.state
        trunks = config.sip.trunks if "edge" in config.node.roles else ()
        self._trunks = Trunks(len(trunks), sum(trunk.register for trunk in trunks))

    @property
    def _launcher(self) -> Launcher | None:
        return self._node.roster.launcher

    def figures(self) -> tuple[float, float]:
        """Return how long the start took, and that of the machine too; 0: not yet, or not known."""
        launcher = self._launcher
        return (launcher.ready_s, launcher.scale_up_s) if launcher else (0.0, 0.0)

    async def judge(self) -> Readiness:
        """Return whether calls can be placed here."""
        node, launcher = self._node, self._launcher
        starts_s = time.monotonic() - launcher.since_s if launcher and not launcher.ready_s else None
        processes = await node.processes_lately()
        return readiness(processes, self._connected(), node.lent(), node.bar, self._trunks, starts_s)

    async def run(self) -> None:
        """Look until the node is ready, and say so; return at once where it was before."""
        while True:
            await asyncio.sleep(LOOK_S)
            launcher = self._launcher
            if launcher is None:
                continue
            if launcher.ready_s:
                return
            if (await self.judge()).ready:
                after_s = time.monotonic() - launcher.since_s
                took_s = await asyncio.to_thread(scale_up_s, self._state, time.time())
                return await self._tell({"ready_s": after_s, "scale_up_s": took_s})


def scale_up_s(state: Path, now: float) -> float:
    """Return for how long a machine has been on its way, and forget it; 0: nobody has said when it began.

    `now`: Unix time. What cannot be read is told in the log, and forgotten as well.
    """
    file = state / FILE
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:  # nobody waits for what is no file
            text = opened.read(MOST_BYTES)
        file.unlink()
    except FileNotFoundError:
        return 0.0
    except OSError as error:
        log.warning("scale_up.not_known", file=str(file), reason=in_words(error))
        return 0.0
    try:
        took_s = now - float(text)
    except ValueError:
        took_s = -1.0
    if 0 < took_s < MOST_S:
        return took_s
    log.warning("scale_up.not_known", file=str(file), reason="is no moment of the last day, in seconds of Unix time")
    return 0.0


__all__ = ["FILE", "Startup", "scale_up_s"]
