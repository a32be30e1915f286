"""What speech processes are asked, and what they tell the owner of a channel: prompts, utterances, meanings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from protocols.moments import Moment
from protocols.pauses import COMPLETE_S, INCOMPLETE_S
from protocols.wire.done import Done
from protocols.wire.ids import ChannelId, Identity, PromptHash, ScriptHash

# ---- to a speech process ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a prompt: words of the script, or a slot's value to be said as `kind` (text, date, money, ...)."""

    text: str
    kind: str = ""
    language: str = ""
    """That of its script; empty: English, as of nodes that know no other."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One rendered prompt: a file `<state>/prompts/<hash>.ulaw`, 8 kHz mu-law, complete before its name is told."""

    prompt: PromptHash
    ms: int
    spoken: str
    """The words as they are said, for captions and transcripts."""


@dataclass(frozen=True, slots=True)
class Render:
    """Have one prompt on disk. Rendering the same twice costs a look-up."""

    Reply: ClassVar[type[Prompt]] = Prompt
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ScriptWarmed:
    """The script's grammars are compiled and its prompts without slots are rendered."""

    script: ScriptHash
    ms: int


@dataclass(frozen=True, slots=True)
class WarmScript:
    """Make the engine ready for a script, so that no caller waits for it. Warming twice costs nothing."""

    Reply: ClassVar[type[ScriptWarmed]] = ScriptWarmed
    script: bytes  # packed, as in `PlaceCall`


@dataclass(frozen=True, slots=True)
class Hear:
    """From the next utterance on, hear this channel with these rules of the script, and tell `owner`.

    Asked of another when the caller's engine has died, or when another recogniser is wanted: the utterance in progress
    is replayed by the media process. What was said until `after_s` has been answered, and is not heard again.
    """

    Reply: ClassVar[type[Done]] = Done
    channel_id: ChannelId
    owner: Identity
    script: ScriptHash
    rules: tuple[str, ...]
    """Rule ids of the script (`Script.rules`), in order of preference; the first is the state's own."""
    turn: int  # echoed in partials and results, so that a late one is known
    complete_s: float = COMPLETE_S
    incomplete_s: float = INCOMPLETE_S
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Deafen:
    """Stop hearing this channel and forget its utterance."""

    channel_id: ChannelId


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """20 ms of the caller, only while they speak: from 300 ms before speech to the detector's tail after it."""

    channel_id: ChannelId
    utterance: int
    index: int
    """0, 1, 2, ... within the utterance."""
    voiced: bool
    payload: bytes
    """160 bytes of G.711 mu-law, whatever the leg carries."""
    at_s: Moment
    last: bool = False
    over_prompt: bool = True  # something was played meanwhile, which these words may interrupt


@dataclass(frozen=True, slots=True)
class Audio:
    """What an engine is to hear since the last one; a frame that completes a pause waits for no others."""

    frames: tuple[AudioFrame, ...]


# ---- from a speech process to the owner of a channel --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Partial:
    """What is perhaps said over a prompt; `in_grammar` says that these words can begin or be a phrase of the rules."""

    channel_id: ChannelId
    turn: int
    utterance: int
    words: str
    in_grammar: bool


@dataclass(frozen=True, slots=True)
class Meaning:
    """What was meant: the rule that matched, its intent, and slots as written text (`2026-03-03`, `4250`, `yes`)."""

    rule: str
    intent: str
    slots: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """One utterance, recognised. `meaning` is None when it was not understood.

    `confidence`: 0 to 1 from the filler margin. `speech_ended_s`: last voiced frame. `decided_s`: of this decision.
    """

    channel_id: ChannelId
    turn: int
    utterance: int
    words: str
    confidence: float
    speech_ended_s: Moment
    decided_s: Moment
    meaning: Meaning | None = None
