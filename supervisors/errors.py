"""What the kernel raises.

    KernelError
      AskFailed             an ask that brought no answer
        Gone                  the actor ended, or had ended; `reason` says how
        AskTimeout            no answer within the deadline (a TimeoutError too)
        Overloaded            its mailbox was full
        AskedItself           an actor asked itself, or in a circle, which could only time out
      Refused               the actor lives and says no; raise it in a handler to refuse that one request
        AlreadyStarted AlreadyPresent ChildRunning ChildRestarting NoSuchChild TooManyChildren
        StartFailed             a child did not come up; the cause is chained
        NameTaken             the registry has another owner for this name
      TreeDown              the root supervisor ended by itself
      BadSpec               a description that cannot be run (a ValueError too); our bug, found at construction
    Interrupted             a BaseException: raised by the watchdog in code that blocks the event loop

Only `Refused` is for use by actors. Everything else a handler raises is its crash.
"""

from __future__ import annotations

import asyncio
from typing import Final

from supervisors.exits import Crash, Exit, text_of


class KernelError(Exception):
    """Anything the kernel raises."""


class AskFailed(KernelError):
    """An ask brought no answer."""


class Gone(AskFailed):
    """The actor at `path` is gone, for `reason`. A crash is the `__cause__`."""

    def __init__(self, path: str, reason: Exit) -> None:
        super().__init__(f"{path}: {_text(reason)}")
        self.path = path
        self.reason = reason
        if isinstance(reason, Crash):
            self.__cause__ = reason.error


class AskTimeout(AskFailed, TimeoutError):
    """No answer within `seconds`. The request is skipped if it has not begun."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds} s")
        self.seconds = seconds


class Overloaded(AskFailed):
    """The mailbox at `path` holds its `limit` of messages."""

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(f"{path}: mailbox full at {limit}")
        self.path = path
        self.limit = limit


class AskedItself(AskFailed):
    """The actor at `path` asked itself: directly, or `through` others, each waiting for an answer of the next one."""

    def __init__(self, path: str, through: tuple[str, ...] = ()) -> None:
        super().__init__(f"{path} asked itself" + (f", through {', '.join(through)}" if through else ""))
        self.path = path
        self.through = through


class Refused(KernelError):
    """The actor refuses this request and lives on. `reason` is a word the asker can branch on."""

    def __init__(self, reason: str = "refused") -> None:
        super().__init__(reason)
        self.reason = reason


class _AboutChild(Refused):
    """A refusal about the child `child`."""

    def __init__(self, child: str) -> None:
        super().__init__(f"{type(self).__name__}: {child}")
        self.child = child


class AlreadyStarted(_AboutChild):
    """A child of this id runs (OTP: already_started)."""


class AlreadyPresent(_AboutChild):
    """A child of this id is known and stopped: restart or delete it (OTP: already_present)."""


class ChildRunning(_AboutChild):
    """The child runs (OTP: running)."""


class ChildRestarting(_AboutChild):
    """The supervisor is about to bring the child back (OTP: restarting)."""


class NoSuchChild(_AboutChild):
    """No child of this id or path (OTP: not_found)."""


class NameTaken(_AboutChild):
    """Another living actor has registered this name."""


class TooManyChildren(Refused):
    """The dynamic supervisor holds its `limit` of children; those coming back count."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"max_children is {limit}")
        self.limit = limit


class StartFailed(Refused):
    """The child at `path` did not come up: its life ended as `exit` says."""

    def __init__(self, path: str, reason: Exit) -> None:
        super().__init__(f"{path}: {_text(reason)}")
        self.path = path
        self.exit = reason
        if isinstance(reason, Crash):
            self.__cause__ = reason.error


class TreeDown(KernelError):
    """The root supervisor ended by itself, for `reason`."""

    def __init__(self, reason: Exit) -> None:
        super().__init__(_text(reason))
        self.reason = reason


class BadSpec(KernelError, ValueError):
    """A child, supervisor or state machine that cannot be run as described."""


class Interrupted(BaseException):
    """The code of the actor at `path` has held the event loop for `seconds`.

    No Exception: what holds a loop is often a loop around `except Exception`.
    """

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__(f"{path} has held the event loop for {seconds:.1f} s")
        self.path = path
        self.seconds = seconds


CRASHES: Final = (Exception, asyncio.CancelledError, Interrupted)
"""What is an actor's crash when its code raises it. KeyboardInterrupt and SystemExit go through untouched."""


def _text(reason: Exit) -> str:
    return text_of(reason.error) if isinstance(reason, Crash) else str(reason)
