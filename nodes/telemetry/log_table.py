"""What may stand in the log, as data: every event (`log_events.tsv` beside) and every field (`log_fields.tsv`).

What it does: reads the two tables. What it does not: write lines (`logs`), or take from them what must not be in them
(`redaction`). A part of the launcher, too: the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

from grammars.tables import table

NONE: Final = "-"
"""Stands in a table where there is nothing."""


class FieldKind(StrEnum):
    """What a field may be, and so what is done to be sure that it is nothing else."""

    ID = "id"
    MEASURE = "measure"
    NAME = "name"
    TEXT = "text"
    TRACEBACK = "traceback"


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One row: an event, at which levels it is told, and what it carries beside the keys of every line."""

    name: str
    levels: tuple[str, ...]
    fields: tuple[str, ...]
    means: str


@dataclass(frozen=True, slots=True)
class LogField:
    """One row: a field, whatever event has it."""

    name: str
    kind: FieldKind
    means: str


@cache
def log_events() -> Mapping[str, LogEvent]:
    """Return all events by their names, in the table's order.

    >>> log_events()["trunk.not_registered"].fields
    ('trunk', 'code', 'reason')
    """
    rows = [
        LogEvent(name, _words(levels), _words(fields), means) for name, levels, fields, means in _rows("log_events")
    ]
    return {row.name: row for row in rows}


@cache
def log_fields() -> Mapping[str, LogField]:
    """Return all fields by their names.

    >>> log_fields()["call_id"].kind, log_fields().get("words")
    (<FieldKind.ID: 'id'>, None)
    """
    return {name: LogField(name, FieldKind(kind), means) for name, kind, means in _rows("log_fields")}


def _rows(name: str) -> tuple[tuple[str, ...], ...]:
    return table(__package__, name)


def _words(cell: str) -> tuple[str, ...]:
    return () if cell == NONE else tuple(cell.split(","))


__all__ = ["NONE", "FieldKind", "LogEvent", "LogField", "log_events", "log_fields"]
