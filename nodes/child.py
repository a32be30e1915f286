"""What the launcher starts: reads which process it is, and becomes it.

Imports of a role happen here, before the process says that it is ready, so that a spare's are done when it is needed.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from typing import Never

from nodes import collector, priority, watch
from nodes.config import load
from nodes.errors import DEBUG, NodeError, in_words
from nodes.histories import FAILED
from nodes.launcher import PROCESS
from nodes.links.roster import make_identity
from nodes.telemetry import logs
from supervisors import eventloop
from supervisors.parent import Parent

log = logs.get(__name__)


async def become(name: str, role: str) -> None:
    """Run the role's process until the launcher says stop: `nodes.<role>.process.run(parent, config, identity)`."""
    config = load()
    logs.configure(config.telemetry.level, config.node.id, name)
    identity = make_identity(config.node.id, name, f"{time.time_ns():x}")
    parent = await Parent.attach(watch.over_process(log.warning))
    try:
        module = importlib.import_module(f"nodes.{role}.process")
        priority.claim(role)
        collector.settle()
        await module.run(parent, config, identity)
    finally:
        parent.close()


def main() -> int:
    """Be the process that the environment names. What an operator can mend is told in one line, and no traceback."""
    name, _, role = os.environ[PROCESS].partition(" ")
    priority.claim("starting")
    try:
        eventloop.run(become(name, role))
    except (NodeError, OSError) as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        log.error(FAILED, error=in_words(error))
        _at_once(2)
    except Exception:  # noqa: BLE001  a bug: the launcher sees the end, and whoever reads the log, where it was
        traceback.print_exc()
        _at_once(1)
    return 0


def _at_once(status: int) -> Never:
    """End without the interpreter's own clean-up: a failed process has sockets open, for which ZeroMQ would wait."""
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
