"""Keeps what this version writes, for later ones: `KEEP=2 pytest tests/nodes/versions/keep.py` before 2 is released.

Everything that outlives a process, or comes from a machine of another version: messages, events, the journal, snapshots
and lists of campaigns, the checkpoint and the spool. (Records of calls are in `tests/nodes/call/records`.) Each has a
value in every field, none of which is the field's default. What was kept is never written anew.
"""

from __future__ import annotations

import json
import os
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

import msgspec

from nodes.bus.spool import Record, Spool
from nodes.central import roll, snapshot
from nodes.edge.checkpoint import LAYOUT, Alive, Opened, frame
from nodes.edge.heirs import bequest
from protocols.wire import codec, events, journal
from protocols.wire.campaigns import ContactId
from protocols.wire.heirs import KeepEvents
from protocols.wire.journal import CampaignPhase, Contact, Forgotten, Refused, RollRef, Steered
from tests.nodes.central.journals import folded
from tests.nodes.central.test_campaign import AT, CAMPAIGNS, CONTACTS, answered, attempted, ended, imported
from tests.nodes.edge.records import record

HERE = Path(__file__).parent
MARK = snapshot.Mark(7, snapshot.Stamp(12.5, "boot", 99.0), 3, "2026-03-03", (CAMPAIGNS[1],))
COLUMNS = ("name", "city")
LISTED = [
    Contact(ContactId(f"{n:032x}"), f"+1202555010{n}", ("America/New_York",), "form", {"name": f"N{n}", "city": "Bonn"})
    for n in range(3)
]
SPOOLED = [Record(f"e{n}", "rm.ev.03.call.ended", b'{"n":%d}' % n, f"c{n}") for n in range(2)]
PLAIN: dict[object, object] = {
    str: "s",
    int: 7,
    float: 2.5,
    bool: True,
    bytes: b"b",
    datetime: AT,
    object: "any",
    Any: "any",
}


def sample(hint: Any) -> Any:
    """Return a value of a type, as full as can be."""
    if isinstance(hint, NewType):
        return sample(hint.__supertype__)
    if hint in PLAIN:
        return PLAIN[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return sample(args[0])
    if origin in (Union, types.UnionType):
        return sample(next(one for one in args if one is not type(None)))
    if origin is Literal:
        return args[-1]
    if origin is tuple and args[-1] is not Ellipsis:
        return tuple(map(sample, args))
    if origin in (tuple, list, set, frozenset) or origin in Iterator.__mro__:
        return origin((sample(args[0]),))
    if origin in (dict, Mapping):
        return {sample(args[0]): sample(args[1])}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return list(hint)[-1]
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{one.name: sample(hints[one.name]) for one in fields(hint)})
    raise TypeError(f"no sample of {hint}")


def messages() -> dict[str, bytes]:
    """Return one message of each kind, packed."""
    kinds = sorted(codec.KINDS, key=lambda kind: kind.__name__)
    return {kind.__name__: bytes(codec.encode(sample(kind))) for kind in kinds}


def told() -> list[dict[str, Any]]:
    """Return one event of each kind."""
    values = {str: "s", int: 7, float: 2.5, bool: True, dict: {"a": "b"}, list: ["p"]}
    bodies = []
    for n, (kind, (needed, allowed)) in enumerate(events.FIELDS.items(), 1):
        given = {name: values[wanted] for name, wanted in (needed | allowed).items()}
        bodies.append(events.to_body(events.CallEvent(f"e{n}", "c1", "a1", "spring", "n1", AT, n, kind, given)))  # type: ignore[arg-type]
    return bodies


def fold() -> list[journal.Entry]:
    """Return entries after which every kind of thing is known."""
    spring, autumn = CAMPAIGNS
    a, b, c = CONTACTS
    return [
        imported(spring), imported(autumn), Steered(spring, CampaignPhase.RUNNING, AT), attempted(spring, a, 1),
        answered(spring, a, 1), ended(spring, a, 1, "completed"), attempted(spring, b, 1), answered(spring, b, 1),
        attempted(autumn, a, 1), ended(autumn, a, 1, "busy"), Refused(autumn, c, "consent", AT, row=2),
        Forgotten(c, AT),
    ]  # fmt: skip


def campaigns() -> Any:
    """Return that fold, its lists stored."""
    made = folded(fold())
    for name, campaign in made.campaigns.items():
        campaign.stored = RollRef(f"roll.{name}", "SHA-256=x", len(campaign.roll))
    return made


def checkpoint() -> bytes:
    """Return a file of two calls, one of them over, with an event."""
    calls = [record("c1"), record("c2", revision=5)]
    noted = KeepEvents(tuple(json.dumps(one).encode() for one in told()[:1]))
    written = [Opened(LAYOUT, "launcher", "boot"), *(one for call in calls for one in bequest(call, lambda _: False))]
    return b"".join(map(frame, [*written, noted, Alive(7.0)]))


def spooled() -> bytes:
    """Return a spool's file."""
    with TemporaryDirectory() as directory:
        spool = Spool(Path(directory), "edge-0")
        for one in SPOOLED:
            spool.add(one)
        spool.save(spool.unsaved())
        return (Path(directory) / f"edge-0.{os.getpid()}.jsonl").read_bytes()


def everything() -> dict[str, bytes]:
    """Return what is kept: file -> bytes."""
    lines = [journal.to_body(sample(entry)) for entry in journal.ENTRIES.values()]
    listed = [roll.heading(COLUMNS), roll.item(*roll.packed(LISTED, COLUMNS)), roll.ending(len(LISTED))]
    return {
        "messages.msgpack": msgspec.msgpack.encode(messages()),
        "events.jsonl": b"\n".join(map(msgspec.json.encode, told())) + b"\n",
        "journal.jsonl": b"\n".join(map(msgspec.json.encode, lines)) + b"\n",
        "snapshot.msgpack": b"".join(snapshot.Taken(campaigns(), MARK).items()),
        "roll.msgpack": b"".join(listed),
        "checkpoint": checkpoint(),
        "spool.jsonl": spooled(),
    }


def test_what_this_version_writes_is_kept() -> None:
    to = HERE / os.environ["KEEP"]
    to.mkdir()  # what was kept is never written anew
    for name, data in everything().items():
        (to / name).write_bytes(data)
