"""`ringmaster bench crowd`: how many calls the node takes, what each costs, and whether those that are up notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table

from nodes.commands.crowd import Crowd, Row, row_of
from nodes.commands.demo import NEEDED
from nodes.commands.stage import stage
from nodes.commands.terminal import ENDING, console, emit
from nodes.edge_names import n_for
from nodes.machine import cores

CALLS: Final = (10, 50, 100, 150, 200)
SECONDS: Final = 25.0
"""Of a window: some five turns of each call."""
PHRASES: Final = 4
"""Answers of each meaning that a callee may give, spoken beforehand."""
SPARE_CHANNELS: Final = 20
"""Sockets of media beyond the calls: of those that have just ended."""
TURN_MS: Final = 500.0
"""p95 of a turn in every row, whatever was wanted."""
NOMATCH: Final = 0.1
"""The share of turns not understood may differ so much between rows: phrases differ, and 50 turns are few."""
SCRIPT: Final = Path(__file__).with_suffix(".yaml")


def crowd(calls: Sequence[int], seconds: float, state: Path, as_json: bool) -> int:
    """Measure and print; return 1 when a row has collapsed. Raises: NodeError."""
    rows = ENDING.run(_measured(calls, seconds, state))
    collapsed = [row.calls_wanted for row in rows if has_collapsed(row, rows)]
    if as_json:
        emit({"bench": "crowd", "promise_turn_p95_ms": TURN_MS, "collapsed": collapsed, "rows": [*map(asdict, rows)]})
    else:
        _print(rows, collapsed)
    return 1 if collapsed else 0


def has_collapsed(row: Row, rows: Sequence[Row]) -> bool:
    """Say whether those who were up have noticed that more were wanted: late answers, or words not understood."""
    best = min(each.nomatch_share for each in rows)
    return row.turn_p95_ms is None or row.turn_p95_ms > TURN_MS or row.nomatch_share > best + NOMATCH


async def _measured(calls: Sequence[int], seconds: float, state: Path) -> list[Row]:
    channels, n_edges = max(calls) + SPARE_CHANNELS, n_for(cores())
    settings = f"[media]\nchannels = {channels}\n"
    script = SCRIPT.read_text(encoding="utf-8")
    async with stage(
        state, {SCRIPT.stem: script}, 1, NEEDED | {"edge": n_edges}, settings, channels=channels, n_phrases=PHRASES,
        n_edges=n_edges,
    ) as here:  # fmt: skip
        people = Crowd(here, script)
        await here.client.events(people.take)
        windows = []
        for n in calls:
            await people.want(n)
            windows.append(await people.window(seconds))
        await people.leave()
        return [row_of(window, people.events, here.lived()) for window in windows]


def _print(rows: Sequence[Row], collapsed: Sequence[int]) -> None:
    titles = ("wanted", "up", "refused", "CPU s a call-minute", "turns", "turn p50 ms", "p95", "gap max ms", "nomatch")
    table = Table(*titles, box=box.SIMPLE)
    for row in rows:
        table.add_row(
            str(row.calls_wanted), f"{row.calls_up:g}", str(row.refused), f"{row.cpu_s_per_call_min:.2f}",
            str(row.turns), f"{row.turn_p50_ms}", f"{row.turn_p95_ms}", f"{row.gap_max_ms:.0f}",
            f"{row.nomatch_share:.1%}",
        )  # fmt: skip
    to = console()
    to.print(table)
    to.print(_costs(rows))
    to.print(f"load {rows[-1].load:.1f}, media under {rows[-1].scheduler}")
    failed = f"collapsed: {', '.join(map(str, collapsed))}" if collapsed else "no row collapses"
    to.print(f"promise: turn p95 <= {TURN_MS:g} ms and words understood, whatever is wanted: {failed}")


def _costs(rows: Sequence[Row]) -> Table:
    """Who takes how much: processor seconds a call-minute, a column for each row."""
    table = Table("CPU s a call-minute", *(f"{row.calls_up:g} up" for row in rows), box=box.SIMPLE)
    for name in sorted({name for row in rows for name in row.by_process}):
        table.add_row(name, *(f"{row.by_process.get(name, 0.0):.3f}" for row in rows))
    return table


__all__ = ["CALLS", "SECONDS", "crowd", "has_collapsed"]
