"""Telling the edges how much work there is: one message twice a second, from whoever carries calls for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from nodes.links.roster import NOBODY, Roster
from nodes.mesh.mesh import Mesh

TELL_S: Final = 0.5
"""Two words lost in a row are noticed within two seconds; an overload grows over several."""


class LoadTeller:
    """Tells the active edges. `roster`: the launcher's last word, kept up to date by the owner."""

    def __init__(self, mesh: Mesh, measure: Callable[[float], object]) -> None:
        """`measure(late_s)`: returns the message of the stretch that ends now; the event loop is `late_s` late."""
        self._mesh, self._measure = mesh, measure
        self.roster: Roster = NOBODY

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            due_s = time.monotonic() + TELL_S
            await asyncio.sleep(TELL_S)
            told = self._measure(max(0.0, time.monotonic() - due_s))
            for edge in self.roster.active("edge"):
                self._mesh.tell(edge.identity, told)


__all__ = ["TELL_S", "LoadTeller"]
