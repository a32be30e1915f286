"""What commands write with, and how they end when nobody reads it or a signal comes.

Results go to standard output: tables that fit the terminal, JSON objects of one line each. Everything else goes to
standard error. SIGTERM and SIGHUP end a command as Ctrl-C does, with everything put away; so does a reader that has
seen enough (`| head`), quietly and with status 0.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from types import FrameType
from typing import TypeVar

from rich.console import Console
from rich.text import Text

T = TypeVar("T")

PAPER = 100
"""Columns of what is written to a file or a pipe."""


class Ending:
    """Why this command ends before it is done: `status` is what it then returns."""

    def __init__(self) -> None:
        self.status = 128 + signal.SIGINT  # as shells count it
        self._is_read = True
        self._is_cancelled = False

    def at_signals(self) -> None:
        """Let SIGTERM and SIGHUP do what Ctrl-C does, if they do anything (nohup)."""
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a script has it ignored
        for number in _meant():
            signal.signal(number, self._interrupt)

    def run(self, main: Coroutine[object, object, T]) -> T:
        """Run a command's main coroutine; the first signal cancels it.

        Later ones are not heard: what is put away in the meantime takes seconds. Raises: KeyboardInterrupt.
        """

        async def body() -> T:
            task, loop = asyncio.current_task(), asyncio.get_running_loop()
            assert task is not None
            for number in (signal.SIGINT, *_meant()):
                loop.add_signal_handler(number, self._cancel, number, task)
            return await main

        try:
            return asyncio.run(body())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    def nobody_reads(self) -> None:
        """End as soon as possible: what is still written to standard output goes nowhere."""
        self._is_read = False
        self.forget_output()
        self._note(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    def settle_output(self) -> None:
        """Write what is still to be written, if that can be done."""
        try:
            sys.stdout.flush()
        except OSError:
            self.forget_output()

    def forget_output(self) -> None:
        """Have the interpreter's last flush succeed."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _note(self, number: int) -> None:
        self.status = 128 + number if self._is_read else 0

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        self._note(number)
        signal.raise_signal(signal.SIGINT)

    def _cancel(self, number: int, task: asyncio.Task[object]) -> None:
        if not self._is_cancelled:
            self._is_cancelled = True
            self._note(number)
            task.cancel()


def _meant() -> list[signal.Signals]:
    return [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]


ENDING = Ending()
"""This process's own."""


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        """Instead of rich's SystemExit, which would be lost in a callback of the event loop."""
        ENDING.nobody_reads()


def console(*, stderr: bool = False) -> Console:
    """Return the console on standard output or standard error, as it is now. A file gets `PAPER` columns."""
    file = sys.stderr if stderr else sys.stdout
    return _Terminal(file=file, highlight=False, width=None if file.isatty() else PAPER)


def hang(to: Console, head: Text, body: Text) -> None:
    """Print `head` and `body` on a line; in a terminal, what does not fit goes on below the body."""
    room = max(to.width - head.cell_len, 20)
    for line in body.wrap(to, room) if to.is_terminal else [body]:
        line.rstrip()
        to.print(head + line, soft_wrap=True)
        head = Text(" " * head.cell_len)


def emit(row: object) -> None:
    """Write one JSON object on one line of standard output, at once."""
    print(json.dumps(row), flush=True)


__all__ = ["ENDING", "PAPER", "Ending", "console", "emit", "hang"]
