"""`ringmaster bench bus`: what each row of the layout of NATS costs at so many sessions, measured and computed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict

from rich.table import Table

from nodes.bus.bench import ROWS, Cost, measure
from nodes.commands.terminal import ENDING, console, emit

HEADS = (
    "row", "in", "a session-minute", "sessions", "replicas", "messages a second", "server, cores",
    "client, us a message", "disk, MB a minute", "p99 of an ack, ms",
)  # fmt: skip


def bus(seconds: float, as_json: bool) -> int:
    """Print a line for each row and number of sessions; always 0: a shared machine is no judge of elapsed time."""
    costs = ENDING.run(measure(seconds))
    load = round(os.getloadavg()[0], 1)
    if as_json:
        emit({"bench": "bus", "rows": [asdict(cost) for cost in costs], "load": load})
        return 0
    table = Table(*HEADS)
    for row in cells(costs):
        table.add_row(*row)
    to = console()
    to.print(table)
    to.print(f"load {load}; * is computed from the two before; x of y: the machine did x of y messages a second")
    return 0


def cells(costs: Iterable[Cost]) -> list[tuple[str, ...]]:
    """Return the table, ordered by replicas, row and sessions.

    >>> cells([Cost("journal", 1000, 1, 50.0, 49.9, 0.0021, 151.3, 0.9, (0.8, 2.1))])
    [('journal', 'RM_CAMPAIGN', '3', '1,000', '1', '50', '0.002', '151', '0.9', '2.1')]
    """
    rows = {row.name: row for row in ROWS}
    order = [*rows]

    def key(cost: Cost) -> tuple[int, int, int]:
        return cost.replicas, order.index(cost.row) if cost.row in rows else len(order), cost.sessions

    return [_line(cost, *_place(cost)) for cost in sorted(costs, key=key)]


def _place(cost: Cost) -> tuple[str, float]:
    found = next((row for row in ROWS if row.name == cost.row), None)
    return (str(found.where), found.per_minute) if found else ("", round(sum(row.per_minute for row in ROWS), 2))


def _line(cost: Cost, where: str, per_minute: float) -> tuple[str, ...]:
    came = f"{cost.wanted:,.0f}" if cost.came > 0.97 * cost.wanted else f"{cost.came:,.0f} of {cost.wanted:,.0f}"
    return (
        cost.row, where, f"{per_minute:g}", f"{cost.sessions:,}{' *' if cost.computed else ''}", str(cost.replicas),
        came, f"{cost.server:.3f}", f"{cost.client_us:.0f}", f"{cost.disk_mb_min:.1f}",
        f"{cost.ack_ms[1]:g}" if cost.ack_ms else "",
    )  # fmt: skip


def in_markdown(costs: Iterable[Cost]) -> str:
    """Return the table for the documentation."""
    lines = [f"| {' | '.join(row)} |" for row in cells(costs)]
    return "\n".join((f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|", *lines))


__all__ = ["bus", "cells", "in_markdown"]
