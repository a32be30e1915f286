"""What an edge tells its heirs: the records of its calls, and the scripts that they are pinned to.

A record is written many times in a call and a script never changes, so the script travels once, by itself, and is kept
for as long as a call has it: there may be as many scripts as calls. The spares are told over the mesh, and so is the
edge of another machine, of the calls that name its node; the disk, which is an heir too, keeps the same in a file.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.wire.ids import CallId, ScriptHash


@dataclass(frozen=True, slots=True)
class KeepScript:
    """Keep this script; records that come later name it by its hash."""

    script: ScriptHash
    packed: bytes


@dataclass(frozen=True, slots=True)
class ForgetScript:
    """No call of this edge has this script any more: forget it, unless a record that you keep names it."""

    script: ScriptHash


@dataclass(frozen=True, slots=True)
class KeepRecord:
    """Keep this call's last record, packed; an empty body means the call is over: forget it.

    Of two records of one call the one of a later machine is the later (`n_moves`), of one machine that with the higher
    epoch, and in one epoch that with the higher revision: a successor has begun a new epoch, whatever it knew.
    """

    call_id: CallId
    revision: int
    script: ScriptHash
    body: bytes
    epoch: int = 0
    is_up: bool = False
    """The callee has answered: only such a call can go on at another machine."""
    n_moves: int = 0
    """How often it has gone on at another machine."""

    @property
    def order(self) -> tuple[int, int, int]:
        """Which of the call's records this is: the highest is the latest (`protocols.heir.Order`)."""
        return self.n_moves, self.epoch, self.revision


@dataclass(frozen=True, slots=True)
class ForgetRecord:
    """This call goes on at another machine: keep nothing of it. It is not over."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class KeepOnly:
    """These are all calls that this edge has, and their records have been told: what else you kept is another's.

    An heir that has a record of another call gives it back to the sender: its predecessor has told that heir alone.
    Then it says `KeptOnly`. Where they are too many for a message, `is_last` is that of the last one.
    """

    calls: tuple[CallId, ...]
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class KeptOnly:
    """An heir has given back what was not its owner's: as far as it knows, its owner has every call."""


@dataclass(frozen=True, slots=True)
class AskKept:
    """How many messages of this page have come from me so far? Asked often, so that one answer speaks for many."""

    number: int


@dataclass(frozen=True, slots=True)
class Kept:
    """So many had come when this question was read: scripts, records and events alike, questions not counted.

    If that is as many as were told before the question, all of them are kept; if not, some were lost on the way.
    """

    number: int
    n_told: int


@dataclass(frozen=True, slots=True)
class KeepEvents:
    """These have been noted just now, as JSON (`protocols.wire.events.to_body`); the stream may not have them yet."""

    bodies: tuple[bytes, ...]


HEIR_MESSAGES: tuple[type, ...] = (
    KeepScript, ForgetScript, KeepRecord, ForgetRecord, KeepOnly, KeptOnly, AskKept, Kept, KeepEvents,
)  # fmt: skip
"""The kinds of this page that an envelope may carry."""

__all__ = [
    "HEIR_MESSAGES",
    "AskKept",
    "ForgetRecord",
    "ForgetScript",
    "KeepEvents",
    "KeepOnly",
    "KeepRecord",
    "KeepScript",
    "Kept",
    "KeptOnly",
]
