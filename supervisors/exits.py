"""Why a life ended: the closed set of exit reasons.

A reason is a value, never raised; the errors an asker sees are in `errors.py`. Restart rules read reasons through
`is_abnormal` alone: a `transient` child comes back after an abnormal end only (OTP supervisor, transient_* cases).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TEXT_CHARS: Final = 500
"""What is told and kept of an error's text: it may quote anything."""


@dataclass(frozen=True, slots=True)
class Normal:
    """It was done: it stopped itself."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """It was told to stop, and did. `detail` says by what, when that is not plain."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Killed:
    """It was stopped without being asked, or did not stop when asked."""


@dataclass(slots=True, eq=False)
class Crash:
    """It raised `error`. Two crashes are equal only when they are the same one.

    A value like the others, but not frozen: that would be a twentieth of a restart.
    """

    error: BaseException

    def __repr__(self) -> str:
        return f"Crash({text_of(self.error)})"


@dataclass(frozen=True, slots=True)
class NoProc:
    """There was nobody: it had ended before, or had not begun."""


@dataclass(frozen=True, slots=True)
class NoConnection:
    """Nobody here can know: its process has gone, or is not heard any more (OTP: noconnection)."""


Exit = Normal | Shutdown | Killed | Crash | NoProc | NoConnection


def text_of(error: BaseException) -> str:
    """Return class and text of any error, even one that cannot be told, in up to `TEXT_CHARS` of text.

    >>> text_of(ValueError("no seat")), text_of(ValueError())
    ('ValueError: no seat', 'ValueError')
    """
    name = type(error).__name__
    try:
        text = str(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - Interrupted too: an end must not fail because its reason cannot be told
        return name
    return f"{name}: {text[:TEXT_CHARS]}" if text else name


def is_abnormal(reason: Exit) -> bool:
    """Return whether a transient child comes back after `reason`.

    >>> is_abnormal(Shutdown()), is_abnormal(Crash(ValueError()))
    (False, True)
    """
    return not isinstance(reason, Normal | Shutdown)
