"""The `ringmaster` command: finds the sub-command's module, and turns its errors into one clear line.

`--debug` shows tracebacks and the command's own log; without it an error is one line that names the file, key or
process.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from types import ModuleType
from typing import Never

EXITS = """\
exit status:
  0    done
  1    the command ran, and its answer is no: a check failed, a call was lost or not answered
  2    it could not run: one line on standard error says why (--debug: with a traceback)
  130  ended by Ctrl-C (143 by SIGTERM, 129 by SIGHUP), with everything put away
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status; `argv` defaults to the process's own arguments."""
    try:
        return _main(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # while the first modules are loaded
        return 128 + signal.SIGINT


def _main(given: list[str]) -> int:
    from nodes.commands.terminal import ENDING
    from nodes.errors import in_words

    ENDING.at_signals()
    command = next((word for word in given if not word.startswith("-")), "")
    is_debug = "--debug" in given
    try:
        args = _parser(command).parse_args(given)
        _configure_log(is_debug)
        status = int(_module(args.command).run(args))
        sys.stdout.flush()
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # the shell's prompt begins below the ^C
        return ENDING.status
    except BrokenPipeError:  # the reader (head, less) has seen enough
        ENDING.forget_output()
        return 0
    except Exception as error:  # whatever it is, the operator gets one line
        if is_debug:
            raise
        ENDING.settle_output()
        print(f"ringmaster {command}: {in_words(error)}", file=sys.stderr)
        return 2
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to end
    return status


def _configure_log(is_debug: bool) -> None:
    """Keep what the buses say of themselves off standard output, and to oneself unless somebody wants to know."""
    from nodes.telemetry import logs

    logs.configure("debug" if is_debug else "error", "", "command")


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"nodes.commands.{command}")


class _Parser(argparse.ArgumentParser):
    """One that says what is wrong in one line, as everything here does."""

    def error(self, message: str) -> Never:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser(wanted: str) -> argparse.ArgumentParser:
    """Every command's name and purpose; the options of the one that is wanted, so that the others are not imported."""
    from nodes.commands import COMMANDS

    form = argparse.RawDescriptionHelpFormatter
    purpose = "Outbound-calling robots on your own machines."
    parser = _Parser(prog="ringmaster", description=purpose, epilog=EXITS, formatter_class=form)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        one = commands.add_parser(name, help=purpose, description=purpose, epilog=EXITS, formatter_class=form)
        one.add_argument("--config", metavar="FILE", help="TOML configuration; default: $RINGMASTER_CONFIG, or none")
        one.add_argument("--debug", action="store_true", help="tracebacks instead of one line, and a log")
        if name == wanted:
            _module(name).describe(one)
            _also_behind(one)
    return parser


def _also_behind(command: argparse.ArgumentParser) -> None:
    """Have a command's second word take the options that all commands have, too: people put them last."""
    for action in command._actions:
        for one in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
            # Without a default what stands before the word stays said; they are shown there only.
            one.add_argument("--config", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
            one.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> Never:
        from importlib.metadata import version

        print(f"ringmaster {version('ringmaster')}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
