"""What an edge tells its heirs: the records of its calls, and the scripts that they are pinned to.

A record is written many times in a call and a script never changes, so the script travels once, by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.wire.ids import CallId, ScriptHash


@dataclass(frozen=True, slots=True)
class KeepScript:
    """Keep this script's text; records that come later name it by its hash."""

    script: ScriptHash
    text: str


@dataclass(frozen=True, slots=True)
class KeepRecord:
    """Keep this call's last record, packed; an empty body means the call is over: forget it."""

    call_id: CallId
    revision: int
    script: ScriptHash
    body: bytes


HEIR_MESSAGES: tuple[type, ...] = (KeepScript, KeepRecord)
"""The kinds of this page that an envelope may carry."""

__all__ = ["HEIR_MESSAGES", "KeepRecord", "KeepScript"]
