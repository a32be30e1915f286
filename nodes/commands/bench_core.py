"""`ringmaster bench core`: what supervision costs beside what one writes by hand, and whether that is as promised."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich import box
from rich.table import Table

from nodes.bench.core import OURS, PEERS, ROWS, Verdict, judged, measure, missed
from nodes.commands.terminal import ENDING, console, emit


def core(as_json: bool, with_peers: bool) -> int:
    """Measure and print; return 1 when a must is not met. Raises: BenchFailed."""
    versions = {name: peer.version() for name, peer in PEERS.items()} if with_peers else {}
    rounds, theirs = ENDING.run(measure(peers={name: PEERS[name] for name, there in versions.items() if there}))
    verdicts = [judged(row, rounds, theirs) for row in ROWS]
    return show(verdicts, len(rounds), versions, as_json)


def show(verdicts: Sequence[Verdict], n_rounds: int, versions: Mapping[str, str | None], as_json: bool) -> int:
    """Print what came of it; return the exit status. `versions`: of the peers that were asked for."""
    (_emit if as_json else _print)(verdicts, n_rounds, versions)
    return 1 if missed(verdicts) else 0


def _emit(verdicts: Sequence[Verdict], n_rounds: int, versions: Mapping[str, str | None]) -> None:
    told: dict[str, object] = {"bench": "core", "rows": [asdict(verdict) for verdict in verdicts]}
    told |= {"missed": missed(verdicts), "rounds": n_rounds, "python": platform.python_version()}
    emit(told | {"load": round(os.getloadavg()[0], 2), "peers": versions})


def _print(verdicts: Sequence[Verdict], n_rounds: int, versions: Mapping[str, str | None]) -> None:
    """With peers, their ratios stand where the figures would."""
    table = Table("", *(versions or (OURS, "beside")), "ratio", "must", "stretch", "met", box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for verdict in verdicts:
        in_us = " us" if verdict.unit == "ratio" else ""
        figures = [f"{_short(figure)}{in_us}" for figure in (verdict.measured, verdict.base)]
        others = [_short(verdict.peers.get(name)) for name in versions]
        held = verdict.ratio if verdict.unit == "ratio" else verdict.measured
        limits = [_short(held), _short(verdict.must), _short(verdict.stretch), _word(verdict)]
        table.add_row(verdict.name, *(others if versions else figures), *limits)
    to = console()
    to.print(table)
    to.print(
        f"{OURS} beside asyncio by hand: processor time, medians of {n_rounds} rounds, load {os.getloadavg()[0]:.1f}"
    )
    if versions:
        to.print(
            "others, as ratios to the same floor (Erlang in elapsed time): "
            + ", ".join(_peer(*peer) for peer in versions.items())
        )
    late = missed(verdicts)
    to.print(f"missed: {'; '.join(late)}" if late else "every must is met", soft_wrap=True)


def _peer(name: str, version: str | None) -> str:
    return f"{name} {'is not installed' if version is None else version}"


def _short(figure: float | None) -> str:
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if figure >= 100 or figure == int(figure) else f"{figure:.3g}"


def _word(verdict: Verdict) -> str:
    if verdict.meets_must is False:
        return "missed"
    return "stretch" if verdict.meets_stretch else "must" if verdict.meets_must else ""


__all__ = ["core", "show"]
