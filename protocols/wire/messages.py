"""Every message between processes: one frozen dataclass each, with the type of its reply.

What it does: says what may be asked and told over the mesh. What it does not: bytes (`codec`), routing (`envelope`).
A class that names a `Reply` is asked; one without is told. Fields are plain data and other dataclasses of this
package, so that one codec validates them all; there are no unions, because a wire field has one meaning.

A `Moment` is seconds on CLOCK_MONOTONIC, which all processes of one machine share; one that goes to another machine is
moved to its clock there (`protocols/moments.py`). Wall time is an ISO 8601 string with offset, in a field named `wall`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from protocols.machine import Address
from protocols.moments import Moment
from protocols.wire.done import Done as Done
from protocols.wire.ids import AttemptId, CallId, CampaignId, ChannelId, Identity, PromptHash

from protocols.wire.speech import (  # isort: skip
    Audio as Audio,
    AudioFrame as AudioFrame,
    Deafen as Deafen,
    Hear as Hear,
    Heard as Heard,
    Meaning as Meaning,
    Part as Part,
    Partial as Partial,
    Prompt as Prompt,
    Render as Render,
    ScriptWarmed as ScriptWarmed,
    WarmScript as WarmScript,
)

# ---- to an edge: place and end calls ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallAccepted:
    """The edge owns the call from now on; what becomes of it comes as events."""

    call_id: CallId
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class PlaceCall:
    """Dial `target` and run the script. Known by `call_id`: whoever sends it again has not dialled twice."""

    Reply: ClassVar[type[CallAccepted]] = CallAccepted
    attempt_id: AttemptId
    call_id: CallId
    target: str  # a SIP URI; a telephone number has become one before it gets here
    script: bytes
    """The checked script, packed (`grammars.script_pack`); the call is pinned to it by its hash."""
    slots: dict[str, str] = field(default_factory=dict)
    campaign_id: CampaignId = CampaignId("")
    caller_id: str = ""
    ring_s: float = 30.0
    is_recorded: bool = False
    owner: str = ""  # whose campaign it is: their recordings lie apart (`[owners]`); empty: nobody's in particular
    token: int = 0  # of central's lease, when it ordered: who led before is refused; 0: it is no campaign's call


@dataclass(frozen=True, slots=True)
class EndCall:
    """Hang up, whatever the call is doing. Unknown calls are done already."""

    Reply: ClassVar[type[Done]] = Done
    call_id: CallId
    disposition: str = "completed"


# ---- to a media process: the wanted state of one channel ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Playing:
    """What the callee hears: prompts one after the other, as if started at `at_s`. A new process plays on from now."""

    play_id: int
    prompts: tuple[PromptHash, ...]
    at_s: Moment
    skip_s: float = 0.0  # begins with the prompt in which this second of the whole lies: the rest of what was stopped


@dataclass(frozen=True, slots=True)
class Channel:
    """The whole wanted state of one channel. Sending it again changes nothing; sending it to a successor resumes it.

    The RTP numbers follow from the clock: packet n leaves at `born_s + n * 0.02` with sequence `seq0 + n` and
    timestamp `ts0 + 160 * n` (RFC 3550 s.5.1), so that a successor needs no stream of numbers from its predecessor.
    """

    channel_id: ChannelId
    owner: Identity
    """The edge that hears of this channel's events."""
    port: int
    """The local RTP port, as `ChannelOpened` gave it."""
    ssrc: int
    seq0: int
    ts0: int
    born_s: Moment
    remote_host: str = ""  # empty until the far end said where it listens: nothing is sent before
    remote_port: int = 0
    payload_type: int = 0
    """0 PCMU or 8 PCMA (RFC 3551)."""
    dtmf_type: int = -1  # the payload type of telephone-event; -1 when it was not agreed
    sends: bool = True  # False while the far end holds us (RFC 3264 s.8.4)
    playing: Playing | None = None
    engine: Identity = Identity("")
    """The speech process that hears this channel's utterances; empty: none."""
    recording: str = ""
    """Base path of the two-channel recording, without suffix; empty: none."""
    bridge: ChannelId = ChannelId("")
    """The channel whose caller is heard here instead of prompts, in the same media process; empty: none."""
    link: Identity = Identity("")
    """The desk whose seat is the far end, over the mesh (`desk.LinkAudio`); such a channel has no port (0)."""
    epoch: int = 0
    """Rises when the owner begins another life: it is then told again what its last one may not have heard."""
    agreed_s: Moment = 0.0
    """When the far end last said where it listens: only soon after is it believed to be elsewhere, if not `strict`."""
    strict: bool = False
    source: Address | None = None
    """Where the far end does send from (`AudioArrived`): a successor needs no proof of it."""
    revision: int = 0
    """Rises with every change: who was told an older one has missed something."""


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """The RTP port that is now this channel's own."""

    port: int


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """Reserve an RTP socket, so that an offer can name its port. Refused (`no_port_free`) when all are taken."""

    Reply: ClassVar[type[ChannelOpened]] = ChannelOpened
    channel_id: ChannelId
    owner: Identity


@dataclass(frozen=True, slots=True)
class SetChannel:
    """Make the channel be like this, whatever it was; unknown channels are created on the port they name."""

    Reply: ClassVar[type[Done]] = Done
    channel: Channel


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Send telephone events (RFC 4733) for `0-9*#A-D`, each `ms` long with a pause of the same length."""

    Reply: ClassVar[type[Done]] = Done
    channel_id: ChannelId
    digits: str
    ms: int = 160


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """What the channel carried, for the call's last event. Counts are packets; `jitter_ms` per RFC 3550 A.8."""

    sent: int
    received: int
    lost: int
    late: int
    jitter_ms: float
    recording: str = ""
    """The published two-channel wav, or empty."""


@dataclass(frozen=True, slots=True)
class CloseChannel:
    """Give the port back, publish the recording. An unknown channel has carried nothing."""

    Reply: ClassVar[type[ChannelClosed]] = ChannelClosed
    channel_id: ChannelId


# ---- from a media process to the owner of a channel ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AudioArrived:
    """The far end is heard, from here on or again. It listens at `remote`, as it has said, and sends from `source`."""

    channel_id: ChannelId
    at_s: Moment
    source: Address | None = None
    remote: Address | None = None


@dataclass(frozen=True, slots=True)
class AudioLost:
    """No RTP for `silent_s` seconds; told once until audio arrives again."""

    channel_id: ChannelId
    silent_s: float


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """The last sample of the play has been sent."""

    channel_id: ChannelId
    play_id: int
    at_s: Moment


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller has begun to speak; utterances of a channel are numbered from 1."""

    channel_id: ChannelId
    utterance: int
    at_s: Moment


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The caller has been silent for the voice detector's full tail; `at_s` is the last voiced frame."""

    channel_id: ChannelId
    utterance: int
    at_s: Moment


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """One telephone event received whole (RFC 4733), once however often its end was repeated."""

    channel_id: ChannelId
    digit: str
    at_s: Moment


@dataclass(frozen=True, slots=True)
class BeepHeard:
    """A steady tone of 400 to 2500 Hz, 120 ms to 2 s long, has ended: an answering machine asks for its message."""

    channel_id: ChannelId
    at_s: Moment


# ---- everywhere ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Status:
    """A process as an operator sees it: counters by name."""

    role: str
    pid: int
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class GetStatus:
    """Ask any process how it is."""

    Reply: ClassVar[type[Status]] = Status


MESSAGES: tuple[type, ...] = (
    Done, CallAccepted, PlaceCall, EndCall,
    ChannelOpened, OpenChannel, SetChannel, SendDigits, ChannelClosed, CloseChannel,
    AudioArrived, AudioLost, PlayEnded, SpeechStarted, SpeechEnded, DigitPressed, BeepHeard,
    Prompt, Render, ScriptWarmed, WarmScript, Hear, Deafen, Audio, Partial, Heard, Status, GetStatus,
)  # fmt: skip
"""The kinds an envelope may carry, by class name."""
