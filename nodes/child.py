"""What the launcher starts: reads which process it is, and becomes it.

Imports of a role happen here, before the process says that it is ready, so that a spare's are done when it is needed;
where the process has been forked, its `zygote` has done most of them.

A process that fails ends at once, with the reason as its last line: whatever its body or one of its tasks did not catch
(`nodes.links.tasks`). Nothing is stopped in order before that. Its successor and its peers are made for a death, and
an edge that said goodbye would hang up on its callers.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import importlib
import os
import sys
import time
import traceback
from typing import Any, Final, Never

from nodes import collector, priority, watch
from nodes.config import PINNED, load
from nodes.errors import DEBUG, NodeError, in_words
from nodes.launcher import PROCESS
from nodes.links import tasks
from nodes.links.roster import make_identity
from nodes.sink import Dropping
from nodes.telemetry import logs, profiles, spans
from supervisors import eventloop
from supervisors.parent import Parent

log = logs.get(__name__)
OPERATORS: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EADDRINUSE))
"""What the system refuses because of how it is set up or how full it is: nobody needs to know in which line."""
STAND_INS: Final = "RINGMASTER_STAND_INS"
"""The environment variable that names other modules for roles, `media=nodes.rehearsal.scripted.media ...`: what stands
in for them in a rehearsal."""
_PR_SET_NAME: Final = 15  # linux/prctl.h
N_LINES: Final = 30
LINE_CHARS: Final = 200
"""Of a traceback. The launcher keeps lines of 16 kB (`supervisors.leash`)."""


async def become(name: str, role: str) -> None:
    """Run the role's process until the launcher says stop: `nodes.<role>.process.run(parent, config, identity)`."""
    config = load()
    os.environ.pop(PINNED, None)  # it has the trunks' passwords, and what this process starts reads strangers' bytes
    logs.configure(config.telemetry.level, config.node.id, name)
    identity = make_identity(config.node.id, name, f"{time.time_ns():x}")
    spans.configure(config.telemetry, identity, role)
    profiles.configure(config.telemetry, identity, role)
    asyncio.get_running_loop().set_exception_handler(_told)
    parent = await Parent.attach(watch.over_process(log.warning))
    try:
        module = importlib.import_module(_module_of(role))
        priority.claim(role)
        collector.settle()
        await module.run(parent, config, identity)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the end
        fail(error)
    finally:
        spans.close()
        profiles.close()
        parent.close()


def _module_of(role: str) -> str:
    stand_ins = dict(pair.split("=", 1) for pair in os.environ.get(STAND_INS, "").split())
    return stand_ins.get(role, f"nodes.{role}.process")


def main() -> Never:
    """Be the process that the environment names, and end without the interpreter's own clean-up.

    Everything has been closed by then; what that would add is a wait for sockets, and DuckDB's binding, which reports
    its types as leaks on standard error.
    """
    name, _, role = os.environ[PROCESS].partition(" ")
    show(name)
    sys.stderr = Dropping(2, name)
    logs.configure("info", "", name)
    priority.claim("starting")
    try:
        eventloop.run(become(name, role))
    except Exception as error:  # noqa: BLE001  before there was a launcher to speak with
        fail(error)
    sys.stderr.flush()
    os._exit(0)


def show(name: str) -> None:
    """Have ps(1) and top(1) call this process so: its first 15 letters."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())


def fail(error: BaseException) -> Never:
    """End the process, with the reason as its last line: in words, and where it was unless an operator can mend it.

    Of several errors, the first. Without the interpreter's own clean-up: open sockets are there, for which ZeroMQ would
    wait.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    is_operators = isinstance(error, NodeError) or (isinstance(error, OSError) and error.errno in OPERATORS)
    place = {} if is_operators and not os.environ.get(DEBUG) else {"traceback": _lines(error)}
    log.error("process.failed", error=in_words(error), **place)
    sys.stderr.flush()
    os._exit(2 if isinstance(error, NodeError | OSError) else 1)


def _told(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Hear of an exception that nobody has caught: the loop's handler."""
    error = context.get("exception")
    if error is not None and context["message"] == tasks.FAILED:
        fail(error)
    where = {"traceback": _lines(error)} if error is not None else {}
    log.error("loop.exception", message=context["message"], error=in_words(error) if error else "", **where)


def _lines(error: BaseException) -> list[str]:
    """Return the last lines of its traceback: few and short enough for one line of the log."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return [line[:LINE_CHARS] for line in lines[-N_LINES:]]


if __name__ == "__main__":
    main()
