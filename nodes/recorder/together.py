"""The recorders of a node as one: each has the events of one stream, and whichever is asked asks the others.

A call's events are all in one stream, and what the journal says of an attempt is kept by the recorder that has its
events; so each recorder counts whole attempts, and what they say is added. Without one of them there is no report.

Where there were more streams than there are, those of their recorders that have a database here go on: they read what
is left, and answer for what they have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from nodes.links.errors import LinkError, Refused
from nodes.links.roster import Roster
from nodes.mesh.mesh import Mesh, Request
from nodes.recorder.figures import report, summed
from protocols.wire import reports as wire
from protocols.wire.ids import Identity

T = TypeVar("T")

AWAY = "recorder_away"


class Part(Protocol):
    """One recorder, with what it alone has."""

    roster: Roster

    async def figures(self, asked: wire.GetFigures, sender: Identity) -> wire.Figures:
        """Answer with the figures of a campaign and a time."""

    async def page(self, asked: wire.GetPage, sender: Identity) -> wire.Ledger:
        """Answer with the first rows behind another one."""

    async def export(self, asked: wire.ExportPart, sender: Identity) -> wire.Exported:
        """Write all tables as Parquet."""

    async def parts(self, asked: wire.GetPartsOf, sender: Identity) -> wire.PartsTold:
        """Answer with the parts of a call's recording."""


class Together:
    """All of them, from one. `n_recorders`: how many there are."""

    def __init__(self, part: Part, mesh: Mesh, n_recorders: int) -> None:
        self._part, self._mesh, self._n_recorders = part, mesh, n_recorders
        mesh.serve(wire.GetFigures, part.figures)
        mesh.serve(wire.GetPage, part.page)
        mesh.serve(wire.ExportPart, part.export)
        mesh.serve(wire.GetPartsOf, part.parts)
        mesh.serve(wire.GetReport, self.report)
        mesh.serve(wire.GetLedger, self.ledger)
        mesh.serve(wire.Export, self.export)
        mesh.serve(wire.GetParts, self.parts)

    async def report(self, asked: wire.GetReport, sender: Identity) -> wire.Report:
        """Answer with the report of all."""
        asked_each = wire.GetFigures(asked.campaign_id, asked.since, asked.until)
        return report(summed(await self._every(self._part.figures, asked_each)))

    async def ledger(self, asked: wire.GetLedger, sender: Identity) -> wire.Ledger:
        """Answer with a page of the ledger: of the first rows of each, the first."""
        pages = await self._every(self._part.page, wire.GetPage(asked.campaign_id, asked.after))
        rows = sorted((row for page in pages for row in page.rows), key=wire.place_of)
        return wire.Ledger(sum(page.total for page in pages), tuple(rows[: wire.LEDGER_PAGE]))

    async def export(self, asked: wire.Export, sender: Identity) -> wire.Exported:
        """Answer with where our own part is; the others' are beside it."""
        parts = await self._every(self._part.export, wire.ExportPart(asked.name))
        rows = {table: sum(part.rows[table] for part in parts) for table in parts[0].rows}
        return wire.Exported(parts[0].directory, rows)

    async def parts(self, asked: wire.GetParts, sender: Identity) -> wire.PartsTold:
        """Answer with the parts of a call's recording, of which one of the recorders has been told."""
        told = await self._every(self._part.parts, wire.GetPartsOf(asked.call_id))
        return wire.PartsTold({part: node for one in told for part, node in one.parts.items()})

    async def _every(self, own: Callable[[Any, Identity], Coroutine[Any, Any, T]], asked: Request[T]) -> list[T]:
        """Return what each recorder answers, our own first. Raises: Refused."""
        peers = [peer.identity for peer in self._part.roster.active("recorder") if peer.identity != self._mesh.identity]
        if len(peers) < self._n_recorders - 1:
            raise Refused(AWAY)
        try:
            theirs = (self._mesh.ask(peer, asked) for peer in peers[: self._n_recorders - 1])
            return [*await asyncio.gather(own(asked, self._mesh.identity), *theirs)]
        except Refused:
            raise
        except LinkError as error:
            raise Refused(AWAY) from error


__all__ = ["AWAY", "Part", "Together"]
