"""`ringmaster cluster status`: who is in the cluster, as this node's spokesman sees it, and who is not let in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from nodes.commands.client import connected
from nodes.commands.terminal import emit
from nodes.config import Config, ConfigError
from protocols.wire.cluster import ClusterSeen, NodeSeen, NodeState, NodeWord


@dataclass(frozen=True, slots=True)
class Row:
    """One node as people see it. `state`: alive, draining, silent, gone or waiting; `note`: what there is to say of it.

    `without_heir`: of its calls, those that no other node could go on with now; None: it does not say. `heard_s`: how
    long ago it was last heard; `ahead_s`: how far its clock is before this machine's; `settings`: the version by which
    it goes (`ringmaster config`).
    """

    node: str
    state: str
    zone: str = ""
    roles: tuple[str, ...] = ()
    version: str = ""
    calls: int = 0
    without_heir: int | None = None
    load: float = 0.0
    heard_s: float = 0.0
    ahead_s: float = 0.0
    note: str = ""
    settings: int = 0


async def show(config: Config, is_json: bool) -> int:
    """Print a line for each node; 1 when this one is not in its cluster. Raises: NotUp, ConfigError."""
    if not config.cluster.is_joined:
        raise ConfigError("configuration", "cluster.bind", "is not set, so this node is alone")
    async with connected(config) as client:
        seen = await client.cluster()
    table = list(rows(seen))
    if is_json:
        for row in table:
            emit(asdict(row))
    else:
        for line in lines(table):
            print(line)
    return 1 if seen.bar else 0


def rows(seen: ClusterSeen) -> Iterator[Row]:
    """Return all nodes, ours first, and then who waits to be let in."""
    yield _row(seen.us, "not in" if seen.bar else "alive", note=seen.bar)
    for one in sorted(seen.nodes, key=lambda one: one.member.word.node):
        yield _row(one.member.word, _state(one), one.heard_s, one.ahead_s)
    for node, why in sorted(seen.waiting.items()):
        yield Row(node, "waiting", note=why)


def _state(one: NodeSeen) -> str:
    match one.member.state:
        case NodeState.ALIVE:
            return "alive"
        case NodeState.SILENT:
            return "silent"
        case NodeState.DEAD:
            return "gone"


def _row(word: NodeWord, state: str, heard_s: float = 0.0, ahead_s: float = 0.0, note: str = "") -> Row:
    state = "draining" if word.is_draining and state == "alive" else state
    return Row(
        word.node, state, word.zone, word.roles, word.version, word.calls, word.without_heir,
        round(word.load, 3), round(heard_s, 1),
        round(ahead_s, 3), note or _refused(word) or _lacks(word), word.settings,
    )  # fmt: skip


def _refused(word: NodeWord) -> str:
    return f"could not take version {word.refused} of the settings (its log says why)" if word.refused else ""


def _lacks(word: NodeWord) -> str:
    n_there = sum(one.role == "edge" and one.is_active for one in word.processes)
    return f"{n_there} of its {word.n_edges} edges are up" if n_there < word.n_edges > 1 else ""


def lines(table: list[Row]) -> list[str]:
    """Return the table for a terminal.

    >>> print("\\n".join(lines([Row("n1", "alive", roles=("nats", "edge"), version="1.0", calls=3, without_heir=1)])))
    node  state  zone  version  settings  calls  no heir  load  clock    roles
    n1    alive        1.0             0      3        1    0%  +0.00 s  nats edge
    """
    head = ("node", "state", "zone", "version", "settings", "calls", "no heir", "load", "clock", "roles")
    cells = [head, *(_cells(row) for row in table)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    told = []
    for row in cells:
        aligned = [
            cell.rjust(w) if n in (4, 5, 6, 7) else cell.ljust(w)
            for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        told.append("  ".join(aligned).rstrip())
    return [*told, *(f"{row.node}: {row.note}" for row in table if row.note)]


def _cells(row: Row) -> tuple[str, ...]:
    state = f"{row.state} {row.heard_s:.1f} s" if row.state == "silent" else row.state
    if row.state == "waiting":
        return (row.node, state, *[""] * 8)
    every = " ".join(row.roles)
    return (
        row.node,
        state,
        row.zone,
        row.version,
        str(row.settings),
        str(row.calls),
        "" if row.without_heir is None else str(row.without_heir),
        f"{row.load:.0%}",
        f"{round(row.ahead_s, 2) + 0.0:+.2f} s",
        every,
    )


__all__ = ["Row", "lines", "rows", "show"]
