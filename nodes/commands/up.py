"""`ringmaster up`: become the launcher, in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from nodes.config import ENVIRONMENT, load


def describe(parser: argparse.ArgumentParser) -> None:
    """No options of its own: what a node is stands in its configuration."""


def run(args: argparse.Namespace) -> int:
    """Check the configuration, then turn this process into the launcher. Raises: ConfigError."""
    file = Path(args.config).resolve() if args.config else None
    config = load(file)
    print(f"node {config.node.id}: SIP {config.sip.bind}:{config.sip.port}, state in {config.paths.state}", flush=True)
    environment = {**os.environ, **({ENVIRONMENT: str(file)} if file else {})}
    os.execve(sys.executable, [sys.executable, "-m", "nodes.launcher"], environment)


__all__ = ["describe", "run"]
