"""Recordings stay on the machine that made them; whoever wants one asks there (`pieces`).

A call that was moved has a part on each machine that had it, by number: `<call_id>.wav`, `<call_id>.1.wav`, ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from protocols.wire.ids import CallId


def name_of(call_id: CallId, part: int) -> str:
    """Return what a part's file is called, without its suffix.

    >>> name_of(CallId("c1"), 0), name_of(CallId("c1"), 2)
    ('c1', 'c1.2')
    """
    return f"{call_id}.{part}" if part else call_id


@dataclass(frozen=True, slots=True)
class RecordingFound:
    """Which parts are here: number -> bytes of the file."""

    parts: dict[int, int]


@dataclass(frozen=True, slots=True)
class FindRecording:
    """Say which parts of a call's recording are on your machine; none is an answer, too."""

    Reply: ClassVar[type[RecordingFound]] = RecordingFound
    call_id: CallId


RECORDING_MESSAGES: Final = (RecordingFound, FindRecording)

__all__ = ["RECORDING_MESSAGES", "FindRecording", "RecordingFound", "name_of"]
