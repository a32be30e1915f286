"""`ringmaster up`: become the launcher, in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from nodes.config import ENVIRONMENT, ConfigError, load
from nodes.errors import DEBUG
from nodes.launcher import ENDS, GREETS
from nodes.service_manager import ServiceManager


def describe(parser: argparse.ArgumentParser) -> None:
    """No options of its own: what a node is stands in its configuration."""


def run(args: argparse.Namespace) -> int:
    """Check the configuration, then turn this process into the launcher. Raises: ConfigError."""
    file = Path(args.config).resolve() if args.config else None
    try:
        config = load(file)
    except ConfigError as error:
        ServiceManager.of({**os.environ}).status(str(error))
        raise
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # a Ctrl-C from now on waits for the launcher to hear it
    print(f"node {config.node.id} starts; its log is on standard error", flush=True)
    environment = {**os.environ, GREETS: "1", **({ENVIRONMENT: str(file)} if file else {})}
    environment |= {DEBUG: "1"} if args.debug else {}
    os.execve(sys.executable, [sys.executable, "-m", "nodes.launcher"], environment)


__all__ = ["describe", "run"]
