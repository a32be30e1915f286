"""Recordings: who has which part of a call's, and who is to have none of it any more.

Each lies on the machine that made it, until it is in the store where there is one. Whoever wants one asks there
(`pieces`). A call that was moved has a part from each machine that had it, by number: `<call_id>.wav`,
`<call_id>.1.wav`, ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from protocols.wire.ids import CallId, NodeId


def name_of(call_id: CallId, part: int) -> str:
    """Return what a part's file is called, without its suffix.

    >>> name_of(CallId("c1"), 0), name_of(CallId("c1"), 2)
    ('c1', 'c1.2')
    """
    return f"{call_id}.{part}" if part else call_id


def part_of(name: str, call_id: CallId) -> int | None:
    """Return which part of a call's recording a file of this name is; None: it is another call's.

    >>> [part_of(name, CallId("c1")) for name in ("c1", "c1.2", "c1.02", "c10", "c1.x", "c1.2.3")]
    [0, 2, None, None, None, None]
    """
    if name == call_id:
        return 0
    number = name.removeprefix(f"{call_id}.")
    is_part = number.isascii() and number.isdecimal() and name == name_of(call_id, int(number))
    return int(number) if is_part else None


@dataclass(frozen=True, slots=True)
class RecordingFound:
    """Which parts are here: number -> bytes of the file."""

    parts: dict[int, int]


@dataclass(frozen=True, slots=True)
class FindRecording:
    """Say which parts of a call's recording are on your machine; none is an answer, too."""

    Reply: ClassVar[type[RecordingFound]] = RecordingFound
    call_id: CallId


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that is in the store: who made it, and the bytes of what was recorded."""

    part: int
    node: NodeId
    n_bytes: int


@dataclass(frozen=True, slots=True)
class RecordingStored:
    """Which parts are in the store."""

    parts: tuple[StoredPart, ...]


@dataclass(frozen=True, slots=True)
class FindStored:
    """Say which parts of a call's recording are in the store: whoever keeps recordings knows. Refused: `store_away`."""

    Reply: ClassVar[type[RecordingStored]] = RecordingStored
    call_id: CallId


@dataclass(frozen=True, slots=True)
class OwnersFull:
    """To a node's edges: whose recordings have no room now (`[owners] quota_mb`)."""

    owners: tuple[str, ...]


MOST_ERASED: Final = 200
"""Calls in one message."""


@dataclass(frozen=True, slots=True)
class Held:
    """One file or object that holds a part of a call's recording."""

    call_id: CallId
    name: str
    """The file's name, or the object's key."""
    place: str
    """`disk` or `store`."""
    n_bytes: int
    why: str = ""
    """Of what is still there: why, in one word; `recording`: the call goes on, ask again when it is over."""


@dataclass(frozen=True, slots=True)
class RecordingsErased:
    """What was deleted, and what is there now: looked for after the deletion. Nothing left is the proof."""

    deleted: tuple[Held, ...] = ()
    left: tuple[Held, ...] = ()
    unseen: tuple[str, ...] = ()
    """Where could not be looked just now, so that there may be more: `store`."""


@dataclass(frozen=True, slots=True)
class EraseRecordings:
    """Have nothing left of the recordings of these calls on your machine, nor in the store where you have one.

    `only_look`: delete nothing, and say what there is. Refused: `too_many`: more than `MOST_ERASED`.
    """

    Reply: ClassVar[type[RecordingsErased]] = RecordingsErased
    call_ids: tuple[CallId, ...]
    only_look: bool = False


RECORDING_MESSAGES: Final = (
    RecordingFound, FindRecording, StoredPart, RecordingStored, FindStored, OwnersFull, RecordingsErased,
    EraseRecordings,
)  # fmt: skip

__all__ = [
    "MOST_ERASED", "RECORDING_MESSAGES", "EraseRecordings", "FindRecording", "FindStored", "Held", "OwnersFull",
    "RecordingFound", "RecordingStored", "RecordingsErased", "StoredPart", "name_of", "part_of",
]  # fmt: skip
