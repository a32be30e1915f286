"""Log lines: one JSON object each, with an event's name and the same five keys everywhere.

    {"event": "call.answered", "level": "info", "wall": "2026-03-02T09:30:00.123456Z",
     "node_id": "n1", "call_id": "...", "leg_id": "...", "campaign_id": "...", "trace": "...", "process": "edge-0", ...}

`node_id` and `process` are set once for the process; `call_id`, `leg_id` and `campaign_id` are bound by who works for a
call (`bound`) or given with the event; `trace` follows a message from process to process by itself. Keys without
a value are left out. Every event and every field stands in a table (`log_table`), and what may be in none of them, a
telephone number, a secret or a caller's words, is taken out of the line, whoever has put it there (`redaction`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from nodes.telemetry.redaction import redact

KEYS: Final = ("node_id", "call_id", "leg_id", "campaign_id", "trace")
"""The keys that every line may carry, whatever wrote it."""
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

TRACE: Final[ContextVar[str]] = ContextVar("trace", default="")
"""The trace of the work at hand (W3C traceparent, or any word); the mesh sends and restores it."""


def configure(level: str, node_id: str, process: str, out: TextIO | None = None) -> None:
    """Set up this process's log: lines from `level` up go to `out` (None: standard error, as it is now) as JSON.

    Called once, first thing in a process.
    """

    def identify(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        return {"node_id": node_id, "process": process, **line}

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _with_trace,
            structlog.processors.format_exc_info,
            redact,
            identify,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="wall"),
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=out or sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> FilteringBoundLogger:
    """Return the logger of a module: `log = logs.get(__name__)`, then `log.info("call.answered", after_ms=812)`."""
    logger: FilteringBoundLogger = structlog.get_logger(module=name)
    return logger


@contextmanager
def bound(call_id: str = "", leg_id: str = "", campaign_id: str = "") -> Iterator[None]:
    """Add these keys to every line of the block, and of the tasks started in it."""
    given = {"call_id": call_id, "leg_id": leg_id, "campaign_id": campaign_id}
    with structlog.contextvars.bound_contextvars(**{key: value for key, value in given.items() if value}):
        yield


@contextmanager
def traced(trace: str) -> Iterator[None]:
    """Work at this place of a trace in the block, and in the tasks started in it; empty: at none."""
    token = TRACE.set(trace)
    try:
        yield
    finally:
        TRACE.reset(token)


def _with_trace(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    if trace := TRACE.get():
        line.setdefault("trace", trace)
    return line


__all__ = ["KEYS", "LEVELS", "TRACE", "bound", "configure", "get", "traced"]
