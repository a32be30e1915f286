"""What the launcher starts: reads which process it is, and becomes it.

Imports of a role happen here, before the process says that it is ready, so that a spare's are done when it is needed.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import time

from nodes.config import load
from nodes.launcher import PROCESS
from nodes.links.roster import make_identity
from nodes.telemetry import logs
from supervisors.parent import Parent


async def become(name: str, role: str) -> None:
    """Run the role's process until the launcher says stop: `nodes.<role>.process.run(parent, config, identity)`."""
    config = load()
    logs.configure(config.telemetry.level, config.node.id, name)
    identity = make_identity(config.node.id, name, f"{time.time_ns():x}")
    parent = await Parent.attach()
    try:
        await importlib.import_module(f"nodes.{role}.process").run(parent, config, identity)
    finally:
        parent.close()


def main() -> int:
    """Be the process that the environment names."""
    name, _, role = os.environ[PROCESS].partition(" ")
    asyncio.run(become(name, role))
    return 0


if __name__ == "__main__":
    sys.exit(main())
