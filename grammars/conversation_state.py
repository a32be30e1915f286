"""What a conversation is told, what it wants done, and what it is: plain data for the call actor and its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from grammars.doubt import Meant
from grammars.script_model import Script
from grammars.template import Prompt
from protocols.amd import MessageMayStart
from protocols.floor import Bargein, Listen, NotUnderstood, Pressed, PromptEnded, Silence, Understood
from protocols.handover import HandoverDone, HandoverFailed
from protocols.wire.ids import ScriptHash

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class TalkPhase(StrEnum):
    """What the conversation waits for."""

    NEW = "new"
    """A person (`Begin`) or a machine (`MessageMayStart`)."""
    IDENTIFYING = "identifying"
    """The end of the identification, which nobody can interrupt."""
    SPEAKING = "speaking"
    """The end of a prompt, before listening or hanging up."""
    LISTENING = "listening"
    """An answer; the question may still be playing."""
    FETCHING = "fetching"
    """A business API, and the end of what is said meanwhile."""
    HANDING_OVER = "handing_over"
    WITH_AGENT = "with_agent"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker's share. `intent` of a callee's turn that was no answer: `nomatch` or `noinput`."""

    speaker: str
    """`bot` or `callee`."""
    text: str
    rule: str = ""
    intent: str = ""


@dataclass(frozen=True, slots=True)
class ConversationState:
    """Everything a conversation is, besides its script. Made of plain data, to be packed into the call's record."""

    script: ScriptHash
    state: str = ""
    """The script's state; while identifying, the one that comes next."""
    phase: TalkPhase = TalkPhase.NEW
    playing: bool = False
    event: str = ""
    """`fetched` or `failed`, when the answer came before the prompt was over."""
    slots: dict[str, str] = field(default_factory=dict)
    silences: int = 0
    misses: int = 0
    n_turns: int = 0
    """Turns of the callee so far, and the number of the one that is open."""
    prompt: tuple[Prompt, ...] = ()
    """What was said last."""
    turns: tuple[Turn, ...] = ()
    tags: tuple[str, ...] = ()
    disposition: str = ""
    """How the call will have ended if it ends now; empty: a person answered, nothing more."""
    doubt: Meant | None = None
    """What the callee has perhaps said, and is being asked about in place of the state's question."""
    is_patient: bool = False
    """They have asked us to wait: what they say to somebody else meanwhile is no answer."""

    @classmethod
    def new(cls, script: Script, contact: Mapping[str, str]) -> ConversationState:
        """Return the state before the first word, with the contact's columns as slots."""
        return cls(script=script.hash, slots=script.initial_slots(contact))


# ---- inputs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """A person has answered."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The business API's reply, parsed."""

    body: Json


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """There is no reply: time-out, refusal, an open breaker."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class HungUp:
    """The callee has hung up."""


_Outside: TypeAlias = Begin | MessageMayStart | HungUp | Fetched | FetchFailed | HandoverDone | HandoverFailed
Input: TypeAlias = _Outside | PromptEnded | Understood | NotUnderstood | Silence | Pressed

# ---- effects ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    """Play these sentences one after the other, instead of whatever is playing; `PromptEnded` is wanted after it."""

    prompts: tuple[Prompt, ...]
    bargein: Bargein = Bargein.OFF


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask a business API within `timeout_s`; a body makes it a POST of JSON.

    `state` and `turn` are where the conversation asks: the same for one who goes on with it. `repeats`: it may be asked
    twice although it is a POST. `example`: a reply as the script imagines it, for rehearsals.
    """

    method: str
    url: str
    body: dict[str, str] | None
    timeout_s: float
    state: str = ""
    turn: int = 0
    repeats: bool = False
    example: Json = None


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Hand the callee over; what has been said so far is in the state."""

    skill: str
    reason: str
    urgency: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """The last word has been said: end the call."""

    disposition: str


@dataclass(frozen=True, slots=True)
class OptOut:
    """The callee wants no more calls: put them on the do-not-call list now, the goodbye comes after."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A word for the reports. `callback`: we have promised to call again."""

    tag: str


@dataclass(frozen=True, slots=True)
class Entered:
    """The script's state has changed."""

    state: str


@dataclass(frozen=True, slots=True)
class Filled:
    """A slot has a value."""

    slot: str
    value: str


Effect: TypeAlias = Say | Listen | Fetch | Enqueue | HangUp | OptOut | Tag | Entered | Filled
