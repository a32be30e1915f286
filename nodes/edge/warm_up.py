"""What a node that starts does before it is ready: the scripts of running campaigns are made ready in its engines.

Grammars are compiled and sentences rendered that are the same for everybody; so the first calls of a node that comes
into a running cluster wait for none of it. Which scripts these are the central that leads says. All of it is bounded:
where nobody leads, or a script cannot be made ready, the node goes on without, and calls wait for what they need, as
they always do. Once a node: a successor of the edge finds the engines as they are.
"""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

from nodes.edge.services import EdgeServices
from nodes.links.anywhere import ask_first
from nodes.links.errors import LinkError
from nodes.mesh.mesh import Request
from nodes.telemetry import logs
from protocols.wire.campaigns import GetScript, ListCampaigns
from protocols.wire.ids import CampaignId
from protocols.wire.journal import CampaignPhase

R = TypeVar("R")

LEAD_S: Final = 20.0
"""So long is waited for somebody who leads: a lease that its last holder did not give back runs out after 15 s."""
WARM_S: Final = 120.0
"""For all scripts together: a script takes a second or two an engine, and much more where a voice is slow."""
AGAIN_S: Final = 0.5
ASK_S: Final = 5.0

log = logs.get(__name__)


class WarmUp:
    """One node's. `is_over`: there is nothing to wait for any more."""

    def __init__(self, services: EdgeServices) -> None:
        self._services = services
        self.is_over = True
        self._cold: set[CampaignId] = set()

    def figures(self) -> dict[str, float]:
        """What an operator sees of it: that it goes on, and running campaigns whose scripts are not ready."""
        return {"warming_up": float(not self.is_over), "scripts_cold": float(len(self._cold))}

    def begin(self) -> None:
        """There is something to wait for, from now on until `run` has done it."""
        self.is_over = False

    async def run(self) -> None:
        """Do it; returns also when it could not be done."""
        clock = asyncio.get_running_loop().time
        began_s = clock()
        try:
            async with asyncio.timeout(WARM_S):
                self._cold = set(await self._running(clock() + LEAD_S))
                n_scripts = len(self._cold)
                for name in sorted(self._cold):
                    await self._warm(name)
            log.info("node.warm", scripts=n_scripts, cold=len(self._cold), after_ms=round((clock() - began_s) * 1000))
        except TimeoutError:
            log.warning("node.not_warm", cold=len(self._cold), after_s=WARM_S)
        finally:
            self.is_over = True

    async def _running(self, until_s: float) -> list[CampaignId]:
        """Return which campaigns run; none, when nobody says so in time."""
        while True:
            try:
                told = await self._ask(ListCampaigns())
                return [one.campaign_id for one in told.campaigns if one.phase == CampaignPhase.RUNNING.value]
            except LinkError as error:
                if asyncio.get_running_loop().time() > until_s:
                    log.warning("node.not_warm", reason=str(error), after_s=LEAD_S)
                    return []
            await asyncio.sleep(AGAIN_S)

    async def _warm(self, name: CampaignId) -> None:
        engines = self._services.engines
        try:
            script = (await self._ask(GetScript(name))).script
            if await engines.warm_everywhere(name, script):
                self._cold.discard(name)
        except LinkError as error:
            log.warning("script.not_warm", campaign_id=name, reason=str(error))

    async def _ask(self, message: Request[R]) -> R:
        central = self._services.members.of_role("central")
        return (await ask_first(self._services.mesh, "central", central, message, ASK_S))[1]


__all__ = ["WarmUp"]
