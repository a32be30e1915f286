"""The `ringmaster` command: finds the sub-command's module, and turns its errors into one clear line.

Exit status: 0 done; 1 the command ran and its answer is no (a failed check, a lost call); 2 it could not run.
`--debug` shows tracebacks; without it an error is one line that names the file, key or process.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from importlib.metadata import version
from types import ModuleType

from nodes.commands import COMMANDS
from nodes.errors import NodeError


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status; `argv` defaults to the process's own arguments."""
    given = sys.argv[1:] if argv is None else argv
    command = next((word for word in given if not word.startswith("-")), "")
    args = _parser(command).parse_args(given)
    try:
        return int(_module(args.command).run(args))
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells count it
    except BrokenPipeError:
        return 0  # the reader (head, less) has seen enough
    except (NodeError, OSError) as error:
        if args.debug:
            raise
        print(f"ringmaster {args.command}: {error}", file=sys.stderr)
        return 2


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"nodes.commands.{command}")


def _parser(wanted: str) -> argparse.ArgumentParser:
    """Every command's name and purpose; the options of the one that is wanted, so that the others are not imported."""
    parser = argparse.ArgumentParser(prog="ringmaster", description="Outbound-calling robots on your own machines.")
    parser.add_argument("--version", action="version", version=f"ringmaster {version('ringmaster')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        one = commands.add_parser(name, help=purpose, description=purpose)
        one.add_argument("--config", metavar="FILE", help="TOML configuration; default: $RINGMASTER_CONFIG, or none")
        one.add_argument("--debug", action="store_true", help="tracebacks instead of one line")
        if name == wanted:
            _module(name).describe(one)
    return parser


if __name__ == "__main__":
    sys.exit(main())
