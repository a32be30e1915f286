"""Which attempts in flight nobody has: the edges are asked, again and again, and what none of them has is lost.

An attempt ends when its edge says so, as an event. One that was written down and reached no edge, or whose edge died
with all its records, has nobody to say so. It is lost when every active edge has said `N_LOOKS` times, `LOOK_S` apart,
that it does not have it: looks are counted and not seconds, so a pause of ours is no evidence. Whoever had an attempt
at the last look is asked first, and all others only about what is not there: each edge is asked about its own, mostly.

While an edge is missing from the roster, or does not answer, nothing is found out, and nothing is lost: nobody is
dialled again before that. So it is while a node is silent. Each question has the lease's token, so that what was not
found cannot be ordered later by who led before.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from nodes.central.campaign import Campaigns
from nodes.central.places import Places
from nodes.links.errors import LinkError
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import CallId, Identity
from protocols.wire.journal import Attempted
from protocols.wire.reconcile import MAX_ASKED, CallsFound, FindCalls

LOOK_S: Final = 2.0
N_LOOKS: Final = 5
"""10 s: longer than an order can be on its way (its ask waits for 5 s) and than a spare takes to become active."""
N_OVER: Final = 30
"""An edge says that the call is over, and its last event does not come: after a minute it is not waited for."""


class Missing:
    """How often in a row each attempt was found nowhere, and how often only its end was known. Pure."""

    def __init__(self) -> None:
        self._nowhere: Counter[CallId] = Counter()
        self._over: Counter[CallId] = Counter()

    def look(self, asked: Collection[CallId], answers: Iterable[CallsFound | None]) -> None:
        """Take the edges' answers about the attempts that are in flight; None: one has not answered."""
        given = list(answers)
        held = {call_id for found in given if found for call_id in found.held}
        over = {call_id for found in given if found for call_id in found.over} - held
        for counts in (self._nowhere, self._over):
            for call_id in counts.keys() - (asked if counts is self._nowhere else over):
                del counts[call_id]
        for call_id in held | over:
            del self._nowhere[call_id]
        self._over.update(over)
        if given and None not in given:
            self._nowhere.update(set(asked) - held - over)

    def found(self, call_id: CallId) -> None:
        """Somebody has it whom we cannot ask."""
        del self._nowhere[call_id]

    def lost(self) -> set[CallId]:
        """Return those of which nothing is to be hoped any more."""
        nowhere = {call_id for call_id, n in self._nowhere.items() if n >= N_LOOKS}
        return nowhere | {call_id for call_id, n in self._over.items() if n >= N_OVER}


class Search:
    """Asks for one term."""

    def __init__(self, mesh: Mesh, places: Places, fold: Campaigns, token: Callable[[], int | None]) -> None:
        """`token`: of the lease; None once it is lost."""
        self._mesh, self._places, self._fold, self._token = mesh, places, fold, token
        self._missing = Missing()
        self._holders: dict[CallId, Identity] = {}
        """Who had each attempt at the last look."""

    async def watch(self) -> None:
        """Ask, until cancelled."""
        while True:
            asked = [CallId(attempt.attempt_id) for attempt in self._fold.in_flight.values()]
            token = self._token()
            if asked and token is not None:
                self._missing.look(asked, await self.look(asked, token))
            else:
                self._missing.look(asked, [])
            await asyncio.sleep(LOOK_S)

    async def look(self, asked: Sequence[CallId], token: int) -> list[CallsFound | None]:
        """Return what the edges say about these; about one that its last holder has not, every edge."""
        theirs: dict[Identity, list[CallId]] = {edge: [] for edge in self._places.all}
        for call_id in asked:
            if (edge := self._holders.get(call_id)) in theirs:
                theirs[edge].append(call_id)
        self._holders = {}
        answers = await self._ask_each({edge: calls for edge, calls in theirs.items() if calls}, token)
        if rest := [call_id for call_id in asked if call_id not in self._holders]:
            answers += await self._ask_each({edge: rest for edge in self._places.all}, token)
        return [*answers, *[None] * len(self._places.silent)]

    def lost(self) -> list[Attempted]:
        """Return the attempts that are lost; ask only when all events that there are have been read."""
        if not (lost := self._missing.lost()):
            return []
        return [attempt for attempt in self._fold.in_flight.values() if CallId(attempt.attempt_id) in lost]

    def found(self, attempt: Attempted) -> None:
        """Somebody has it whom we cannot ask: begin to count anew."""
        self._missing.found(CallId(attempt.attempt_id))

    async def _ask_each(self, calls: Mapping[Identity, Sequence[CallId]], token: int) -> list[CallsFound | None]:
        answers = await asyncio.gather(*(self._ask(edge, theirs, token) for edge, theirs in calls.items()))
        for edge, found in zip(calls, answers, strict=True):
            self._holders |= {call_id: edge for call_id in found.held} if found else {}
        return answers

    async def _ask(self, edge: Identity, calls: Sequence[CallId], token: int) -> CallsFound | None:
        held: list[CallId] = []
        over: list[CallId] = []
        try:
            for at in range(0, len(calls), MAX_ASKED):
                some = FindCalls(tuple(calls[at : at + MAX_ASKED]), token)
                found = await self._mesh.ask(edge, some, timeout_s=LOOK_S)
                held += found.held
                over += found.over
        except LinkError:
            return None
        return CallsFound(tuple(held), tuple(over))


__all__ = ["LOOK_S", "N_LOOKS", "N_OVER", "Missing", "Search"]
