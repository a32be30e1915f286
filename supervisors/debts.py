"""Answers still to come: a handler has returned a future, and somebody waits for its result.

The actor goes on meanwhile (OTP: noreply, then reply). When its life ends, what is owed fails with Gone, unless the
answer is there already.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from supervisors.errors import Gone, Refused
from supervisors.exits import Crash, Killed
from supervisors.ladder import consume

Reply: TypeAlias = "asyncio.Future[object] | None"
"""Where an answer goes; None: told, nobody waits."""
Debt: TypeAlias = tuple["asyncio.Future[object]", Reply]
"""The answer to come, and where it goes."""


def pay(path: str, debt: Debt) -> None:
    """Pass on an answer that is there. A future's exception is an answer; a task's is the crash of the actor."""
    later, reply = debt
    if reply is None or reply.done():
        consume(later)
    elif later.cancelled():
        reply.set_exception(Gone(path, Killed()))
    elif (error := later.exception()) is None:
        reply.set_result(later.result())
    elif isinstance(later, asyncio.Task) and not isinstance(error, Refused):
        reply.set_exception(Gone(path, Crash(error)))
    else:
        reply.set_exception(error)
