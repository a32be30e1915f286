"""Work that goes on beside a process's main line, each piece an actor: what fails alone is restarted alone.

    async with working({"events": partial(consume, Stream.EVENTS), "archive": archive_all}):
        ...

What it does: a piece that raises is logged with its traceback and begun anew after a pause; its own variables are lost,
the objects that it works at stay as they are. A piece that returns is done. What it does not: keep a process alive that
cannot work. Too many failures end the block with TreeDown, and so the process, which its launcher starts again with
nothing in memory. Work that a process cannot do without for a second is for `nodes/links/tasks.py`. A seat is no actor:
its life is its page's connection, which the page begins again (`nodes/desk/seats.py`).
"""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from nodes.links.tasks import AGAIN_S
from nodes.telemetry import logs
from supervisors import Actor, Backoff, Child, Restart, Supervisor, System, running

INTENSITY: Final = 10
PERIOD_S: Final = 300.0
PAUSE: Final = Backoff(first_s=0.5, top_s=30.0, reset_after_s=60.0)
"""Ten failures in a row take these pauses some three minutes: then it is not the moment's fault, but something that
the process has in memory."""

log = logs.get(__name__)

Begin = Callable[[], Coroutine[Any, Any, None]]


class Work(Actor):
    """One piece of work: `begin` is called once in each life."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    def init(self) -> None:
        """Begin."""
        _ = self.task(self._run())

    async def _run(self) -> None:
        try:
            await self._begin()
        except Exception:
            log.error("work.failed", work=self.ref.path, traceback=traceback.format_exc())
            raise
        self.stop()


@asynccontextmanager
async def working(
    works: Mapping[str, Begin], intensity: int = INTENSITY, period_s: float = PERIOD_S, pause: Backoff = PAUSE
) -> AsyncIterator[System]:
    """Have all of `works` go on for the length of the block. Raises TreeDown when one cannot."""
    children = [
        Child(partial(Work, begin), id=name, restart=Restart.TRANSIENT, shutdown=AGAIN_S)
        for name, begin in works.items()
    ]
    async with running(Supervisor(children, intensity=intensity, period_s=period_s, backoff=pause)) as system:
        yield system


__all__ = ["Begin", "Work", "working"]
