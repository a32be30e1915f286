"""`ringmaster bench takeover`: how long callees hear nothing when what has their call is ended, and who is lost.

Two nodes on test hosts of their own, with the callees and NATS on a third (`nodes/rehearsal/hosts.py`). What is
measured is the longest time between two packets of the robot's stream, at the callee, around each death.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.table import Table

from nodes.commands.client import connected
from nodes.commands.stage import emptied
from nodes.commands.takeover import Side, Trial, figures, gaps, lost
from nodes.commands.terminal import ENDING, console, emit
from nodes.config import load
from nodes.errors import NodeError
from nodes.rehearsal import hosted
from nodes.rehearsal.hosted_cluster import cluster
from nodes.rehearsal.hosts import hosts

FAR: Final = "far"
NODES: Final = ("n1", "n2")
NEEDED: Final = {"recorder": 1, "speech": 1, "media": 1, "edge": 1, "central": 1, "desk": 1}
SCRIPT: Final = Path(__file__).with_suffix(".yaml")
PHRASES: Final = 3
CALLS: Final = 4
"""Up at once, where one fault after another is measured: so many gaps for each."""
FAULTS: Final = 5
"""Of each kind: twenty gaps."""
MASS: Final = 100
MASSES: Final = frozenset(("mass", "upgrade_mass"))
"""Kinds with many calls at once, of callees who are silent."""
PROMISES_MS: Final = {
    "edge_process_ms": 100.0,
    "media_process_ms": 100.0,
    "edge_node_ms": 250.0,
    "edge_silent_ms": 3250.0,
    "mass": 500.0,
    "upgrade_ms": 100.0,
    "upgrade_mass": 100.0,
}
"""DESIGN 10: the longest gap of each kind of death, in the order in which they are measured; and of an upgrade."""
READY_S: Final = 120.0


class NoSuchKind(NodeError):
    """`--kinds` names what is not measured."""


def takeover(named: str, state: Path, as_json: bool) -> int:
    """Measure kinds (`edge_node,mass`; empty: all) and print; 1 when a promise is broken. Raises: NodeError."""
    kinds = tuple(named.split(",")) if named else tuple(PROMISES_MS)
    if unknown := set(kinds) - PROMISES_MS.keys():
        raise NoSuchKind(f"--kinds {', '.join(sorted(unknown))}: there are {', '.join(PROMISES_MS)}")
    found = ENDING.run(_measured(kinds, state, console(stderr=True).print))
    broken = broken_promises(found)
    if as_json:
        emit({"bench": "takeover", "promises_ms": PROMISES_MS, "broken": broken, **found})
    else:
        _print(found, broken)
    return 1 if broken else 0


def broken_promises(found: dict[str, Any]) -> list[str]:
    """Return which promises a measurement breaks; kinds that were not measured break none.

    >>> broken_promises({"edge_process_ms": {"p50": 20.0, "max": 101.0, "n": 20}, "mass": {"max_ms": 480.0}, "lost": 1})
    ['edge_process_ms', 'lost']
    """
    worst = {kind: found[kind].get("max_ms", found[kind].get("max")) for kind in PROMISES_MS if kind in found}
    late = [kind for kind, ms in worst.items() if ms is None or ms > PROMISES_MS[kind]]
    return [*late, *(["lost"] if found["lost"] else [])]


@asynccontextmanager
async def trial(state: Path, channels: int, say: Callable[[str], None]) -> AsyncIterator[Trial]:
    """Have a cluster with callees, whole. Raises: NodeError."""
    script = SCRIPT.read_text(encoding="utf-8")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        emptied(state)
        made = await enter(hosts((FAR, *NODES), state))
        settings: hosted.Settings = {"speech": {"processes": 1}, "edge": {"capacity": 2 * MASS}}
        joined = await enter(cluster([made[name] for name in NODES], [made[FAR]], made[FAR], settings, channels))
        callees = await enter(
            hosted.callees(made[FAR], joined.nats_url, {SCRIPT.stem: script}, n_phrases=PHRASES)
        )  # fmt: skip
        sides = {}
        for name, node in joined.nodes.items():
            await node.ready(NEEDED, READY_S)
            await node.takes_calls()
            sides[name] = Side(node, await enter(connected(load(node.host.path(node.file)))))
        here = Trial(made, sides, callees, script, say)
        await here.whole()
        yield here


async def _measured(kinds: Sequence[str], state: Path, say: Callable[[str], None]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with trial(state, MASS + hosted.CHANNELS, say) as here:
        for kind in kinds:
            await measure(here, kind)
        await here.leave()
        reports = await asyncio.to_thread(here.callees.lived)
    for kind in kinds:
        found[kind] = figures(gaps(reports, here.hits, kind))
    for kind in found.keys() & MASSES:
        found[kind] = {"max_ms": found[kind]["max"], "n": found[kind]["n"]}
    return {
        **found,
        "faults": len(here.hits),
        "calls": len(here.placed),
        "two_speakers_ms": max((report["at_once_ms"] for report in reports), default=0.0),
        "lost": len(lost(reports, here.hits, here.placed, here.left_s)),
    }


async def measure(here: Trial, kind: str) -> None:
    """Do what one kind of figure wants. Raises: NodeError."""
    if kind in MASSES:
        await here.want(MASS, await here.owner(), kind, persona="silent")
        await here.whole()
        await (here.end_node(kind) if kind == "mass" else here.upgrade(kind))
        return
    for _ in range(FAULTS):
        await here.want(CALLS, await here.owner(), kind)
        await here.whole()
        match kind:
            case "edge_process_ms" | "media_process_ms":
                await here.end_process(kind.partition("_")[0], kind)
            case "edge_node_ms":
                await here.end_node(kind)
            case "upgrade_ms":
                await here.upgrade(kind)
            case _:
                await here.silence_node(kind)


def _print(found: dict[str, Any], broken: Sequence[str]) -> None:
    table = Table("what ends", "gap p50 ms", "max", "promise", "n", box=box.SIMPLE)
    for kind, promise in PROMISES_MS.items():
        if row := found.get(kind):
            worst = row.get("max_ms", row.get("max"))
            table.add_row(
                kind.removesuffix("_ms").replace("_", " "),
                f"{row.get('p50', '')}",
                f"{worst}",
                f"{promise:g}",
                f"{row['n']}",
            )
    to = console()
    to.print(table)
    to.print(f"{found['calls']} calls, {found['faults']} faults, {found['lost']} lost")
    to.print(f"nobody heard two machines for longer than {found['two_speakers_ms']:.0f} ms")
    to.print(f"broken: {', '.join(broken)}" if broken else "every promise is kept")


__all__ = ["CALLS", "FAULTS", "MASS", "PROMISES_MS", "broken_promises", "measure", "takeover", "trial"]
