"""A node that is back with its disk: all others are asked first whether they have one of the calls that it finds there.

All, and not only the heirs that the records name: what was named last may not have been on the disk yet. And those
heirs also if they are not known yet: whoever comes back knows the others one after the other. What it does: waits
until the cluster is known, asks, and says what the others have answered. What it does not: go on with a call, or end
one (`elsewhere`).

Where somebody still listens, who cannot be asked in time is gone, or has never taken it. Where nobody does, there is
time: all are asked until all have answered, also a machine that stands still meanwhile, and then once more, because one
that had nothing when it was asked may have taken a call from the next before that answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from nodes.call.record import CallRecord
from nodes.edge.other_edges import active_edges, who_has
from nodes.edge.ownership import order_of
from nodes.edge.services import EdgeServices
from nodes.links.errors import LinkError
from nodes.links.members import NOT_TOLD
from protocols.wire.cluster import NodeState, has_all_edges
from protocols.wire.ids import CallId, NodeId
from protocols.wire.takeover import MAX_ASKED, Had, WhoHas

JOINS_S: Final = 12.0
"""So long is waited until this node knows who else there is; a callee listens to nothing for 20 s (`succession`)."""
LATE_S: Final = 120.0
"""And so long where nobody listens any more: then there is nothing to lose by waiting, and to say that a call is lost
which another machine has gone on with ends it in all reports."""
ANSWERS_S: Final = 3.0
"""So long are the others waited for from then on, each time that they are asked."""
WHOLE: Final = 2
"""So many times in a row all have answered, where there is time."""
LOOK_S: Final = 0.05


@dataclass(slots=True)
class Answers:
    """What others have said: the calls that have gone on with them, those that they have closed, and of the rest those
    whose heirs are there and have not answered."""

    taken: set[CallId] = field(default_factory=set)
    closed: set[CallId] = field(default_factory=set)
    unknown: set[CallId] = field(default_factory=set)


async def ask_all(services: EdgeServices, records: Sequence[CallRecord], *, is_late: bool = False) -> Answers:
    """Ask about these calls everybody who is there, for a while. `is_late`: none of them can be gone on with here."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + (LATE_S if is_late else JOINS_S)
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until_s):
            await _joined(services)
    answers, n_whole = Answers(), 0
    while True:
        answers.unknown.clear()
        left = [one for one in records if one.order.call_id not in answers.taken | answers.closed]
        is_whole = await _ask_each(services, left, answers, is_late)
        n_whole = n_whole + 1 if is_whole else 0
        if not is_late or n_whole == WHOLE or loop.time() >= until_s:
            return answers


async def _ask_each(services: EdgeServices, records: Sequence[CallRecord], answers: Answers, is_late: bool) -> bool:
    """Say whether everybody has answered who may."""
    dead = {
        member.word.node
        for member in services.members.nodes
        if member.state is NodeState.DEAD and (member.is_proven or not is_late)
    }
    named = {record.heir for record in records if record.heir}
    others = {member.word.node for member in services.members.nodes} | named
    return all(await asyncio.gather(*(_ask(services, node, records, answers) for node in others - dead)))


async def _joined(services: EdgeServices) -> None:
    """Return when this node is in the cluster, and knows who else is."""
    while True:
        told = services.members.told
        if told is not NOT_TOLD and not told.bar:
            return
        await asyncio.sleep(LOOK_S)


async def _ask(services: EdgeServices, node: NodeId, records: Sequence[CallRecord], answers: Answers) -> bool:
    orders = {one.order.call_id: order_of(one) for one in records}
    left = list(orders)
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWERS_S):
            while left:
                had = await _answer(services, node, WhoHas({call_id: orders[call_id] for call_id in left[:MAX_ASKED]}))
                answers.taken |= {*had.taken}
                answers.closed |= {*had.closed}
                del left[:MAX_ASKED]
    answers.unknown |= {*left} & {one.order.call_id for one in records if one.heir == node}
    return not left


async def _answer(services: EdgeServices, node: NodeId, asked: WhoHas) -> Had:
    """Ask until it is answered."""
    while True:
        member = services.members.node(node)
        if member and member.state is NodeState.ALIVE and has_all_edges(member.word):
            try:
                return await who_has(services.mesh, active_edges(member.word), asked, timeout_s=1.0)
            except LinkError:
                pass  # it is between two edges, or has just gone
        await asyncio.sleep(LOOK_S)


__all__ = ["ANSWERS_S", "JOINS_S", "LATE_S", "Answers", "ask_all"]
