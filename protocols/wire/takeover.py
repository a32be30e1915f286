"""What the edges of two machines say to each other about who has a call, and what an edge has media do in doubt.

The records themselves travel as to a spare of the same machine (`heirs`); who may say what, and what it means, is
`protocols.takeover`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from protocols.wire.ids import CallId, ChannelId, PromptHash
from protocols.wire.messages import Done

MAX_ASKED: Final = 500
"""Calls in one question."""


@dataclass(frozen=True, slots=True)
class Had:
    """Of the calls that were asked about: those that the heir has taken, and those that it has closed as unanswered.

    `kept`: those of which it still has a copy; a version that does not say has given up all.
    """

    taken: tuple[CallId, ...] = ()
    closed: tuple[CallId, ...] = ()
    kept: tuple[CallId, ...] = ()


@dataclass(frozen=True, slots=True)
class WhoHas:
    """I live; and which of these calls of mine have you? The numbers are the order of my records (`protocols.heir`).

    `yours`: of which you are still the heir; None: an older version, which tells all of them anew. Whoever answers has
    given up its copies of the others. Refused: `not_active`, `unsettled`.
    """

    Reply: ClassVar[type[Had]] = Had
    calls: dict[CallId, tuple[int, int, int]]
    yours: tuple[CallId, ...] | None = None


@dataclass(frozen=True, slots=True)
class Beware:
    """These channels may be another machine's meanwhile: while their far ends are not heard, send them nothing.

    `is_wary` false: they are this machine's, for certain.
    """

    channels: tuple[ChannelId, ...]
    is_wary: bool


@dataclass(frozen=True, slots=True)
class PromptsOf:
    """Your calls of mine play these: fetch what you have not (`pieces`)."""

    prompts: tuple[PromptHash, ...]


@dataclass(frozen=True, slots=True)
class MoveCall:
    """Have this call go on with you: ask its far end. It is mine until you say `CallArrived` and I `CallLeft`.

    `record`: packed, its moments those of my clock. Refused: `not_active`, `draining`, `node_full`, `here_already`,
    `no_prompt` (what it plays has not come yet), `bad_record`, `not_reached`.
    """

    Reply: ClassVar[type[Done]] = Done
    call_id: CallId
    record: bytes


@dataclass(frozen=True, slots=True)
class CallArrived:
    """The far end has agreed to be here: leave the call, and say how."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class CallLeft:
    """This is the call as I have left it; without a record it is over, and there is nothing to go on with."""

    call_id: CallId
    record: bytes


@dataclass(frozen=True, slots=True)
class CallCameBack:
    """The call does not come here. `code`: what the far end has said; 0: nothing."""

    call_id: CallId
    code: int


TAKEOVER_MESSAGES: Final[tuple[type, ...]] = (
    Had, WhoHas, Beware, PromptsOf, MoveCall, CallArrived, CallLeft, CallCameBack,
)  # fmt: skip
"""The kinds of this page that an envelope may carry."""

__all__ = [
    "MAX_ASKED", "TAKEOVER_MESSAGES", "Beware", "CallArrived", "CallCameBack", "CallLeft", "Had",
    "MoveCall", "PromptsOf", "WhoHas",
]  # fmt: skip
