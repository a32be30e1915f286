"""`ringmaster bench hearing`, its part on echoes: prompts that nobody interrupts but their echo, and callees who do.

Measured by `over_prompts.py` in a process of its own, with the canceller and without, on lines of several levels and
delays; a line without an echo stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from nodes.commands.judge import percentile

LEVELS_DB: Final = (-10, -20, -30)
DELAYS_MS: Final = (20, 110, 200)
PROMPTS: Final = (
    "May I ask you five short questions about your delivery?",
    "What are the four digits of your order?",
    "How satisfied are you, from one to ten?",
    "Would you like to talk to a colleague about it?",
    "Hello, this is Anna, an automatic assistant of Acme. This call may be recorded. To stop these calls, say stop.",
    "Your balance of forty two dollars and fifty cents was due on Friday. Can you pay all of it this month?",
    "I have noted your payment on Friday the third of March. Is that correct?",
    "Thank you, and have a good day. Goodbye.",
)
EACH_ANSWER: Final = 3
"""One answer of so many of the list is said over a prompt."""
HEARD_MS: Final = 500.0
"""p95 from the first sound of who speaks over a prompt until somebody knows."""


def wanted(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what `over_prompts` is to measure."""
    return {
        "levels_db": LEVELS_DB,
        "delays_ms": DELAYS_MS,
        "prompts": PROMPTS,
        "answers": [one for one in answers[::EACH_ANSWER] if one["rule"] not in ("wait", "unsure")],
    }


def judged(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of rows (`over_prompts.Row`), and whether the promises hold on all lines together.

    >>> row = {"level_db": -10, "delay_ms": 20, "prompts": 8, "interrupted": 0, "answers": 2, "understood": 2}
    >>> judged([row | {"cancels": True, "heard_ms": [240.0, 260.0]}])["held"]
    True
    """
    ours = [row for row in rows if row["cancels"]]
    heard_ms = [ms for row in ours for ms in row["heard_ms"]]
    p95 = percentile(heard_ms, 95)
    interrupted = sum(row["interrupted"] for row in ours)
    return {
        "prompts": sum(row["prompts"] for row in ours),
        "interrupted": interrupted,
        "answers": sum(row["answers"] for row in ours),
        "heard": len(heard_ms),
        "heard_p50_ms": percentile(heard_ms, 50),
        "heard_p95_ms": p95,
        "understood": sum(row["understood"] for row in ours),
        "lines": [_line(row) for row in rows],
        "held": not interrupted and p95 is not None and p95 <= HEARD_MS,
    }


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    heard = {"heard": len(row["heard_ms"])} | {f"p{n}_ms": percentile(row["heard_ms"], n) for n in (50, 95)}
    return {name: value for name, value in row.items() if name != "heard_ms"} | heard


def show(found: Mapping[str, Any], to: Console) -> None:
    """Print a table of the lines, each as it is, and without a canceller."""
    table = Table("echo", "canceller", "prompts", "interrupted", "spoken over", "heard", "p50 ms", "p95", "understood")
    for one in found["lines"]:
        echo = f"{one['level_db']:g} dB, {one['delay_ms']:g} ms" if one["level_db"] > min(LEVELS_DB) - 1 else "none"
        figures = ("prompts", "interrupted", "answers", "heard", "p50_ms", "p95_ms", "understood")
        table.add_row(echo, "on" if one["cancels"] else "off", *(f"{one[name]}" for name in figures))
    to.print(table)
    to.print(
        f"{found['prompts']} prompts, {found['interrupted']} interrupted by themselves (at most 0); "
        f"{found['heard']} of {found['answers']} heard who spoke over them, p95 {found['heard_p95_ms']} ms "
        f"(at most {HEARD_MS:g}): {'held' if found['held'] else 'broken'}"
    )


__all__ = ["HEARD_MS", "judged", "show", "wanted"]
