"""Who may say and hear what on NATS: one table, a row for each role, from which every server is configured.

A role is a kind of process, or of person at a command line. A user is a role on a node (`n1-edge`), and its replies
come to an inbox of its own, `_INBOX.<node>.<role>`: nobody reads another's. What is not in a row is refused by the
server; `tests/nodes/bus/test_roles.py` asks a real one.

Two rows are narrow on purpose. Only central writes the journal; only edges tell what became of calls. An edge, the
process that strangers talk to, may put somebody on the do-not-call list and never take them off (`subjects.dnc_*`). A
viewer sees that there are calls, agents and nodes, and no word, number or key of a contact. Central may read and delete
what became of calls, for it forgets people; it reads headers, and of whom it forgets the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocols.wire.ids import NodeId
from protocols.wire.subjects import (
    ALL_AGENT_BEATS,
    ALL_CAMPAIGNS,
    ALL_EVENTS,
    ALL_NODE_BEATS,
    ALL_NODE_WORDS,
    EVENT_STREAMS,
    OBJECT_STREAM,
    OBJECTS,
    Bucket,
    Stream,
    events_of,
    part,
)

_NODE: Final = "{node}"
"""In a row: the user's own node."""


class Role(StrEnum):
    """Who connects. Processes that never do (launcher, media, speech) have none."""

    CENTRAL = "central"
    EDGE = "edge"
    DESK = "desk"
    RECORDER = "recorder"
    COMMAND = "command"
    """A command that follows calls, and a rehearsal's callees: hear events, say nothing."""
    OPERATOR = "operator"
    """The NATS CLI in the hands of who runs the cluster: all but writing history."""
    VIEWER = "viewer"
    """The NATS CLI, or a wall display, in the hands of who may look."""


PEOPLE: Final = (Role.OPERATOR, Role.VIEWER)
PROCESSES: Final = tuple(role for role in Role if role not in PEOPLE)
"""What a node logs in as."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects, with NATS's wildcards. `never` is refused of what `publish` allows; `answers`: replies to requests."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    answers: bool = False


def inbox(node: NodeId, role: Role) -> str:
    """Return the prefix of a user's inboxes.

    >>> inbox(NodeId("n1"), Role.EDGE)
    '_INBOX.n1.edge'
    """
    return f"_INBOX.{part(node)}.{role}"


def user_of(node: NodeId, role: Role) -> str:
    """Return a user's name."""
    return f"{part(node)}-{role}"


def rights(node: NodeId, role: Role) -> Rights:
    """Return what a user may do: the role's row, for this node."""
    row = _TABLE[role]

    def own(subjects: Iterable[str]) -> tuple[str, ...]:
        return tuple(subject.replace(_NODE, part(node)) for subject in subjects)

    return Rights(own(row.publish), (f"{inbox(node, role)}.>", *own(row.subscribe)), own(row.never), row.answers)


def users(nodes: Iterable[NodeId], proof: Callable[[NodeId, Role], Mapping[str, str]]) -> list[dict[str, object]]:
    """Return a server's `authorization.users`, every role of every node, as its configuration has them.

    `proof`: how a user proves who it is, `{"nkey": public}` or `{"user": name, "password": secret}`.
    """
    return [user(node, role, proof(node, role)) for node in nodes for role in Role]


def user(node: NodeId, role: Role, proof: Mapping[str, str]) -> dict[str, object]:
    """Return one of them. A person is a node of which there are people's roles only."""
    return {**proof, "permissions": _permissions(rights(node, role))}


def _permissions(granted: Rights) -> dict[str, object]:
    never = list(granted.never) if granted.publish else [">"]  # an empty list of what is allowed would allow everything
    publish = ({"allow": list(granted.publish)} if granted.publish else {}) | ({"deny": never} if never else {})
    answers = {"allow_responses": {"max": 1, "expires": "10s"}} if granted.answers else {}
    return {"publish": publish, "subscribe": {"allow": list(granted.subscribe)}, **answers}


def recorder_reads(number: int, node: str = "") -> str:
    """Return the name of a recorder's consumers: of the stream of events with this number, and of the journal.

    `node`: where several nodes have one each.

    >>> recorder_reads(0), recorder_reads(2, "n1")
    ('recorder', 'recorder_2-n1')
    """
    return RECORDER_READS + (f"_{number}" if number else "") + (f"-{node}" if node else "")


def _recorders(number: int) -> tuple[str, str]:
    return recorder_reads(number), recorder_reads(number, _NODE)


# ---- the words of a row: what JetStream's API wants for each thing that is done -----------------------------------


def _api(verbs: Iterable[str], stream: str) -> tuple[str, ...]:
    return tuple(f"$JS.API.{verb.replace('*', stream, 1)}" for verb in verbs)


def _read(*names: str) -> tuple[str, ...]:
    """Read streams from the beginning, with consumers of one's own."""
    verbs = (
        "STREAM.INFO.*", "CONSUMER.CREATE.*", "CONSUMER.CREATE.*.>", "CONSUMER.INFO.*.>", "CONSUMER.DELETE.*.>",
        "CONSUMER.MSG.NEXT.*.>",
    )  # fmt: skip
    return tuple(subject for name in names for subject in (*_api(verbs, name), f"$JS.FC.{name}.>"))


_ONCE: Final = ("CONSUMER.CREATE.*", "CONSUMER.INFO.*.>", "CONSUMER.MSG.NEXT.*.>")
"""Read a stream once, with a consumer that the server names and forgets."""


def _consume(stream: Stream, *durables: str) -> tuple[str, ...]:
    """Be these durable consumers of a stream."""
    verbs = tuple(
        verb
        for name in durables
        for verb in (
            f"CONSUMER.CREATE.*.{name}", f"CONSUMER.CREATE.*.{name}.>", f"CONSUMER.DURABLE.CREATE.*.{name}",
            f"CONSUMER.INFO.*.{name}", f"CONSUMER.MSG.NEXT.*.{name}",
        )
    )  # fmt: skip
    return (*_api(("STREAM.INFO.*", *verbs), stream), *(f"$JS.ACK.{stream}.{name}.>" for name in durables))


def _see(*buckets: Bucket) -> tuple[str, ...]:
    """Get from buckets, and watch them."""
    names = [f"KV_{bucket}" for bucket in buckets]
    verbs = ("DIRECT.GET.*", "DIRECT.GET.*.>", "STREAM.MSG.GET.*")
    return (*_read(*names), *(subject for name in names for subject in _api(verbs, name)))


def _put(*buckets: Bucket, keys: str = "*") -> tuple[str, ...]:
    return tuple(f"$KV.{bucket}.{keys}" for bucket in buckets)


def _lay(*names: str) -> tuple[str, ...]:
    """Make streams, and change their limits."""
    verbs = ("STREAM.INFO.*", "STREAM.CREATE.*", "STREAM.UPDATE.*")
    return tuple(subject for name in names for subject in _api(verbs, name))


_ALL: Final = (*Stream, OBJECT_STREAM, *(f"KV_{bucket}" for bucket in Bucket))
_PUBLIC: Final = (Bucket.NODES, Bucket.AGENTS, Bucket.CALLS)
CALLS: Final = "central-calls"
CENTRAL_READS: Final[Mapping[str, str]] = {CALLS: "call.*", "central-opt-outs": "opt_out"}
"""Central's consumers of events, and of which kinds each is: how calls go, and who asked for no more of them. Nothing
that anybody has said; and one kind or family each, because nats-server 2.9 knows one subject a consumer."""
RECORDER_READS: Final = "recorder"
"""How the recorders' consumers begin (`recorder_reads`)."""
COUNTED: Final = ("call.ended", "prompt.started", "handover.*", "recovered")
"""The kinds of events that the desk counts; none of them has what a callee has said."""
_SERVICES: Final = ("$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>")

_WORD: Final = f"rm.node.{_NODE}.word"
"""What those publish who may speak for their node (`protocols.wire.cluster`); all of them hear the others'."""

_TABLE: Final[Mapping[Role, Rights]] = {
    Role.CENTRAL: Rights(
        publish=(
            _WORD, ALL_CAMPAIGNS, "rm.state.campaigns.*", "rm.state.load.*",
            "$JS.API.INFO", *_lay(*_ALL), *_read(Stream.CAMPAIGN),
            *(subject for stream in EVENT_STREAMS for subject in _consume(stream, *CENTRAL_READS)),
            "$JS.API.STREAM.PURGE.RM_CAMPAIGN",  # what is forgotten; message by message where bytes must not stay
            *(subject for stream in EVENT_STREAMS for subject in _api(_ONCE, stream)),
            *(f"$JS.API.STREAM.MSG.{verb}.{name}" for name in (*Stream, OBJECT_STREAM) for verb in ("GET", "DELETE")),
            f"$O.{OBJECTS}.>", *_read(OBJECT_STREAM), f"$JS.API.STREAM.PURGE.{OBJECT_STREAM}",
            f"$JS.API.DIRECT.GET.{OBJECT_STREAM}.>", "$JS.API.CONSUMER.LIST.RM_CAMPAIGN",
            *_see(*Bucket), *_put(Bucket.LEASES, Bucket.CONFIG, Bucket.FORGOTTEN), *_put(Bucket.DNC, keys=">"),
        ),
        subscribe=(ALL_NODE_WORDS,),
    ),
    Role.EDGE: Rights(
        publish=(
            _WORD, ALL_EVENTS, "rm.state.calls.*", *(f"$JS.API.STREAM.INFO.{stream}" for stream in EVENT_STREAMS),
            *_see(Bucket.CALLS, Bucket.AGENTS, Bucket.DNC, Bucket.CONFIG, Bucket.FORGOTTEN),
            *_put(Bucket.CALLS), *_put(Bucket.DNC),
        ),
        subscribe=(ALL_NODE_WORDS, "rm.state.agents.*"),
    ),
    Role.DESK: Rights(
        publish=(
            _WORD, f"rm.node.{_NODE}.beat", ALL_AGENT_BEATS, "rm.state.agents.*", "rm.state.nodes.*",
            "$JS.API.INFO", *_api(("STREAM.INFO.*",), "*"),
            *_see(*_PUBLIC), *_put(Bucket.AGENTS, Bucket.NODES),
        ),
        subscribe=(ALL_NODE_WORDS, *map(events_of, COUNTED), "rm.state.>", f"rm.node.{_NODE}.cmd.*", "$SRV.>"),
        answers=True,
    ),
    Role.RECORDER: Rights(
        publish=(
            _WORD, *_see(Bucket.FORGOTTEN),
            *(
                subject
                for number, events in enumerate(EVENT_STREAMS)
                for names in (_recorders(number),)
                for stream in (events, Stream.CAMPAIGN)
                for subject in (
                    *_consume(stream, *names),
                    # a new database reads from the beginning
                    *_api((f"CONSUMER.DELETE.*.{name}" for name in names), stream),
                )
            ),
        ),
        subscribe=(ALL_NODE_WORDS,),
    ),
    Role.COMMAND: Rights(publish=(), subscribe=(ALL_EVENTS,)),
    Role.OPERATOR: Rights(publish=(">",), subscribe=(">",), never=(ALL_CAMPAIGNS, ALL_EVENTS), answers=True),
    Role.VIEWER: Rights(
        publish=(
            *_SERVICES, "rm.node.*.cmd.status", "rm.node.*.cmd.calls",
            "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", *_see(*_PUBLIC),
        ),
        subscribe=(ALL_NODE_BEATS, ALL_AGENT_BEATS, "rm.state.>"),
    ),
}  # fmt: skip


__all__ = [
    "CALLS",
    "CENTRAL_READS",
    "COUNTED",
    "PEOPLE",
    "PROCESSES",
    "RECORDER_READS",
    "recorder_reads",
    "Rights",
    "Role",
    "inbox",
    "rights",
    "user",
    "user_of",
    "users",
]
