"""Why a life ended: the closed set of exit reasons.

A reason is a value, never raised; the errors an asker sees are in `errors.py`. Restart rules read reasons through
`is_abnormal` alone: a `transient` child comes back after an abnormal end only (OTP supervisor, transient_* cases).
"""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True, eq=False)
class Crash:
    """It raised `error`. Two crashes are equal only when they are the same one."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class NoProc:
    """There was nobody: it had ended before, or had not begun."""


Exit = Normal | Shutdown | Killed | Crash | NoProc


def is_abnormal(reason: Exit) -> bool:
    """Return whether a transient child comes back after `reason`.

    >>> is_abnormal(Shutdown()), is_abnormal(Crash(ValueError()))
    (False, True)
    """
    return not isinstance(reason, Normal | Shutdown)
