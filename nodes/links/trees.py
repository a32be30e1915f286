"""Supervision trees on the mesh: this process's for whoever asks, everybody's for whoever looks.

Rates are measured where the messages are: an ask gives a time, and the process counts at its beginning and at its end.
Nobody who looks has anything to compare. The launcher is not on the mesh; its tree, a row for each name that its
processes bear, is made from the histories in the roster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from nodes.links.errors import LinkError
from nodes.links.roster import History, Launcher, Peer, Roster
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import Identity
from protocols.wire.inspection import Failure, GetTree, Tree, TreeRow
from supervisors import Census

OVER_S: Final = 1.0
"""Seconds over which people have rates measured."""
_ANSWER_S: Final = 2.0
"""What an answer may take beyond that."""

Rows = tuple[TreeRow, ...]


def serve(mesh: Mesh, census: Callable[[], Census]) -> None:
    """Let everybody look at the tree that `census` returns."""

    async def tree(asked: GetTree, sender: Identity) -> Tree:
        before: dict[str, int] = {}
        if asked.over_s > 0:
            before = {child.path: child.handled for child in _walk(census())}
            await asyncio.sleep(asked.over_s)
        return Tree(tuple(_rows(census(), 0, before, asked.over_s)))

    mesh.serve(GetTree, tree)


async def look(mesh: Mesh, roster: Roster, over_s: float = 0.0) -> list[tuple[Peer, Rows]]:
    """Ask every process at once. A process without actors has no rows, nor one that does not answer. Takes `over_s`."""
    peers = roster.processes
    return list(zip(peers, await asyncio.gather(*(_ask(mesh, peer, over_s) for peer in peers)), strict=True))


def of_launcher(launcher: Launcher, now: float) -> Rows:
    """Return the launcher's tree as it is at `now` (seconds, monotonic)."""
    top = TreeRow(0, "/", "Supervisor", "running", 0, 0, 0, 0, 0.0, round(now - launcher.since_s, 1), "")
    return (top, *(_row(history, now, launcher.period_s) for history in launcher.histories))


def _row(history: History, now: float, period_s: float) -> TreeRow:
    return TreeRow(
        depth=1,
        id=history.name,
        kind=history.kind,
        state=history.state,
        restarts=history.n_ended,
        restarts_in_window=sum(now - ended_s <= period_s for ended_s in history.ended_s),
        waiting=0,
        handled=0,
        handled_per_s=0.0,
        uptime_s=0.0 if history.since_s is None else round(now - history.since_s, 1),
        last=history.failure.error if history.failure else "",
        failure=history.failure,
    )


async def _ask(mesh: Mesh, peer: Peer, over_s: float) -> Rows:
    try:
        return (await mesh.ask(peer.identity, GetTree(over_s), over_s + _ANSWER_S)).rows
    except LinkError:
        return ()  # most processes have no actors of their own


def _rows(child: Census, depth: int, before: dict[str, int], over_s: float) -> Iterator[TreeRow]:
    yield TreeRow(
        depth=depth,
        id=child.path.rpartition("/")[2] or "/",
        kind=child.kind,
        state=child.state,
        restarts=child.restarts,
        restarts_in_window=child.restarts_in_window,
        waiting=child.n_waiting,
        handled=child.handled,
        handled_per_s=round((child.handled - before.get(child.path, 0)) / over_s, 1) if over_s > 0 else 0.0,
        uptime_s=round(child.uptime_s, 1),
        last=child.last,
        failure=None if child.failure is None else Failure(child.failure.error, child.failure.during),
    )
    for one in child.children:
        yield from _rows(one, depth + 1, before, over_s)


def _walk(child: Census) -> Iterator[Census]:
    yield child
    for one in child.children:
        yield from _walk(one)


__all__ = ["OVER_S", "Rows", "look", "of_launcher", "serve"]
