"""Every name on NATS, in one place: subjects, streams, buckets and keys.

    rm.node.<node>.beat            a node lives                         core
    rm.node.<node>.word            who a node is, for other nodes       core
    rm.node.<node>.cmd.<verb>      ask a node something (`nats req`)    core, request and reply
    rm.agent.<agent>.beat          a seat lives                         core
    rm.state.<kind>.<id>           something has changed, with `rev`    core; the bucket is the copy for newcomers
    rm.ev.<stream>.<kind>          what became of calls                 stream RM_EVENTS (0), RM_EVENTS_1 to _7;
                                                                        which call: header `Rm-Call`
    rm.campaign.<campaign>         what central has decided             stream RM_CAMPAIGN
    $O.rm_journal.>                contact lists, and snapshots         bucket of objects; central's alone

Names are public: whoever may list keys reads them. So no part of a name is a telephone number or a person's name; a
contact is named by `campaigns.contact_id`, a keyed hash. A part has only letters, digits, `-`, `_` and `=`.

A server keeps 230 bytes of memory for each subject of a stream as long as it has a message of it. So a call is no
subject: its events have the number of their stream, and their kind, which has a dot of its own (`call.ended`).

In which of several streams a call's events are stands in the call's name, `_s3` at its end (`numbered`), or they are in
the first. So how many streams there are may change while calls are up: each call stays in its own, whoever tells of it.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from protocols.errors import LocalProtocolError
from protocols.wire.ids import CallId, CampaignId, NodeId

_PART: Final = re.compile(r"[-_=a-zA-Z0-9]{1,128}")
_NUMBERED: Final = re.compile(r"_s([1-7])\Z")


class Stream(StrEnum):
    """The durable streams."""

    EVENTS = "RM_EVENTS"
    CAMPAIGN = "RM_CAMPAIGN"
    EVENTS_1 = "RM_EVENTS_1"
    EVENTS_2 = "RM_EVENTS_2"
    EVENTS_3 = "RM_EVENTS_3"
    EVENTS_4 = "RM_EVENTS_4"
    EVENTS_5 = "RM_EVENTS_5"
    EVENTS_6 = "RM_EVENTS_6"
    EVENTS_7 = "RM_EVENTS_7"


EVENT_STREAMS: Final = tuple(stream for stream in Stream if stream is not Stream.CAMPAIGN)
"""Where events may be: new calls' in the first of them, or the first so many."""
STREAM_COUNTS: Final = (1, 2, 4, 8)
"""How many there may be."""


class Bucket(StrEnum):
    """The key-value buckets. A key is one part: the id of a node, agent, call or contact, or the name of a lease.

    `rm_dnc` has keys of two parts, too, which fewer roles may write (`dnc_removal`, `DNC_MADE`).
    """

    NODES = "rm_nodes"
    AGENTS = "rm_agents"
    CALLS = "rm_calls"
    DNC = "rm_dnc"
    LEASES = "rm_leases"
    CONFIG = "rm_config"
    FORGOTTEN = "rm_forgotten"


OBJECTS: Final = "rm_journal"
"""The bucket of objects: what central knows, where it is too long for a message."""
OBJECT_STREAM: Final = f"OBJ_{OBJECTS}"
ALL_EVENTS: Final = "rm.ev.>"
CALL_HEADER: Final = "Rm-Call"
"""Of an event: which call it is of, for those who look at headers before they read a body."""
EVERY_CAMPAIGN: Final = CampaignId("_every")
"""In the place of a campaign's name, for what is said of all of them; no campaign has it."""
ALL_CAMPAIGNS: Final = "rm.campaign.>"
ALL_NODE_BEATS: Final = "rm.node.*.beat"
ALL_NODE_WORDS: Final = "rm.node.*.word"
ALL_AGENT_BEATS: Final = "rm.agent.*.beat"
DNC_MADE: Final = "list.made"
"""The key that says that the do-not-call list in its bucket is whole: one that was just made anew is not."""


def node_beat(node: NodeId) -> str:
    """Return the subject of a node's heartbeat.

    >>> node_beat(NodeId("n1"))
    'rm.node.n1.beat'
    """
    return f"rm.node.{part(node)}.beat"


def node_word(node: NodeId) -> str:
    """Return the subject of what a node says of itself to the others of its cluster (`protocols.wire.cluster`)."""
    return f"rm.node.{part(node)}.word"


def node_command(node: NodeId, verb: str) -> str:
    """Return the subject on which a node answers `status`, `calls` or `drain`."""
    return f"rm.node.{part(node)}.cmd.{part(verb)}"


def agent_beat(agent_id: str) -> str:
    """Return the subject of a seat's heartbeat."""
    return f"rm.agent.{part(agent_id)}.beat"


def state(kind: str, name: str) -> str:
    """Return the subject of one thing's changes; `kind` is the plural that its bucket has (`calls`, `agents`)."""
    return f"rm.state.{part(kind)}.{part(name)}"


def states(kind: str) -> str:
    """Return the subject of the changes of all things of a kind."""
    return f"rm.state.{part(kind)}.*"


def numbered(name: str, n_streams: int) -> str:
    """Return the name of a new call, or attempt, with the one of so many streams that its events shall have.

    The same for the same `name`, on all nodes. Source: BLAKE2b, RFC 7693.

    >>> numbered("spring-a4ee2b-2", 1), numbered("spring-a4ee2b-2", 4)
    ('spring-a4ee2b-2', 'spring-a4ee2b-2_s2')
    """
    number = blake2b(name.encode(), digest_size=1).digest()[0] % n_streams
    return f"{name}_s{number}" if number else name


def stream_of(name: str) -> int:
    """Return in which stream a call's events are, by its place in `EVENT_STREAMS`; what has no number is in the first.

    >>> stream_of("spring-a4ee2b-2_s3"), stream_of("spring-a4ee2b-2"), stream_of("a_s9")
    (3, 0, 0)
    """
    found = _NUMBERED.search(name)
    return int(found[1]) if found else 0


def call_event(call: CallId, kind: str) -> str:
    """Return the subject of a call's event of one kind.

    >>> call_event(CallId("c1"), "call.ended"), call_event(CallId("c2_s2"), "call.ended")
    ('rm.ev.0.call.ended', 'rm.ev.2.call.ended')
    """
    return f"rm.ev.{stream_of(part(call))}.{'.'.join(map(part, kind.split('.')))}"


def call_events(call: CallId) -> str:
    """Return the subject of all events of one call, and of the other calls of its stream."""
    return f"rm.ev.{stream_of(part(call))}.>"


def events_of(kinds: str, number: int = 0, n_streams: int = 1) -> str:
    """Return the subject of all events of one kind (`call.ended`), or of one family (`handover.*`), in a stream.

    >>> events_of("call.*"), events_of("call.*", 2, 4)
    ('rm.ev.*.call.*', 'rm.ev.2.call.*')
    """
    return f"rm.ev.{'*' if n_streams == 1 else number}.{kinds}"


def stream_subject(number: int, n_streams: int) -> str:
    """Return the subject of one of so many streams of events."""
    return ALL_EVENTS if n_streams == 1 else f"rm.ev.{number}.>"


def campaign_events(campaign: CampaignId) -> str:
    """Return the subject of one campaign's journal, in `Stream.CAMPAIGN`."""
    return f"rm.campaign.{part(campaign)}"


def dnc_removal(contact: str) -> str:
    """Return the key of the word that a contact is off the do-not-call list again; the key of its opposite is theirs.

    Two parts, so that a role may be allowed to write the one and not the other.
    """
    return f"{part(contact)}.removed"


def object_chunks(nuid: str) -> str:
    """Return the subject of the chunks of one object, by the name of its writing; of all for `>`. Source: ADR-20."""
    return f"$O.{OBJECTS}.C.{nuid}"


def object_meta(name: str = "") -> str:
    """Return the subject of an object's last message; of all of them without a name. Source: ADR-20 of NATS.

    >>> object_meta("snapshot")
    '$O.rm_journal.M.c25hcHNob3Q='
    """
    return f"$O.{OBJECTS}.M.{urlsafe_b64encode(name.encode()).decode() or '>'}"


def part(text: str) -> str:
    """Return `text` if it may be a part of a subject or a key. Raises: `LocalProtocolError`.

    >>> part("+4930123456")
    Traceback (most recent call last):
    protocols.errors.LocalProtocolError: not_a_name: '+4930123456'
    """
    if not _PART.fullmatch(text):
        raise LocalProtocolError("not_a_name", repr(text[:40]))
    return text


__all__ = [
    "Stream", "Bucket", "part",
    "node_beat", "node_word", "node_command", "agent_beat", "state", "states", "call_event", "call_events", "events_of",
    "numbered", "stream_of", "stream_subject", "EVENT_STREAMS", "STREAM_COUNTS",
    "campaign_events", "CALL_HEADER", "object_chunks", "object_meta", "OBJECTS", "OBJECT_STREAM",
    "dnc_removal", "DNC_MADE",
    "ALL_EVENTS", "ALL_CAMPAIGNS", "EVERY_CAMPAIGN", "ALL_NODE_BEATS", "ALL_NODE_WORDS",
    "ALL_AGENT_BEATS",
]  # fmt: skip
