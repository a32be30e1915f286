"""What the version before has written, this one reads: machines are upgraded one by one, with each other's bytes.

`1/` and on: what a version wrote (`keep.py`), of everything that outlives a process or comes from another machine. What
is of a released version stays as it is. A new field has a default, a field never changes its type or its meaning, and a
kind that is told no more is still read for one version. What is written here is read by the version before, too: it
passes over fields and kinds that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodes.bus.spool import Spool
from nodes.central import roll, snapshot
from nodes.edge import checkpoint
from nodes.unpacking import Items
from protocols.wire import codec, events, journal
from protocols.wire.cluster import NodeWord
from tests.nodes.central.test_campaign import CAMPAIGNS
from tests.nodes.versions import keep

VERSIONS = sorted(path for path in Path(__file__).parent.iterdir() if path.name.isdigit())
LAST_TWO = VERSIONS[-2:]
every = pytest.mark.parametrize("kept", LAST_TWO, ids=lambda path: path.name)
later = {"of_tomorrow": {"any": [1, "thing"]}}


def has(whole: Any, part: Any) -> bool:
    """Say whether everything that has been written is there, whatever else is."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and has(whole[key], part[key]) for key in part)
    if isinstance(part, list | tuple):
        return isinstance(whole, list | tuple) and len(whole) >= len(part) and all(map(has, whole, part))
    return bool(whole == part) and type(whole) is type(part)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def items(data: bytes) -> list[Any]:
    return list(Items().feed(data))


def read_snapshot(data: Iterable[bytes]) -> tuple[Any, snapshot.Mark]:
    reading = snapshot.Reading()
    for chunk in data:
        reading.feed(chunk)
    return reading.whole()


def test_everything_is_kept_that_a_version_writes() -> None:
    assert {path.name for path in VERSIONS[-1].iterdir()} == keep.everything().keys()


@every
def test_a_message_of_each_kind_says_what_it_said(kept: Path) -> None:
    bodies: dict[str, bytes] = msgspec.msgpack.decode((kept / "messages.msgpack").read_bytes())
    for kind, body in bodies.items():
        read = codec.decode(kind, body)
        assert not isinstance(read, codec.Unknown), kind
        assert has(msgspec.msgpack.decode(codec.encode(read)), msgspec.msgpack.decode(body)), kind


@every
def test_a_field_of_tomorrow_is_passed_over_and_a_kind_is_known_to_be_unknown(kept: Path) -> None:
    bodies: dict[str, bytes] = msgspec.msgpack.decode((kept / "messages.msgpack").read_bytes())
    for kind, body in bodies.items():
        grown = msgspec.msgpack.encode(msgspec.msgpack.decode(body) | later)
        assert codec.decode(kind, grown) == codec.decode(kind, body), kind
    assert codec.decode("OfTomorrow", b"\x80") == codec.Unknown("OfTomorrow")


@every
def test_a_nodes_word_is_the_same_over_nats(kept: Path) -> None:
    body = msgspec.msgpack.decode((kept / "messages.msgpack").read_bytes())["NodeWord"]
    word = codec.decode("NodeWord", body)
    assert isinstance(word, NodeWord)
    over = json.loads(json.dumps(msgspec.to_builtins(word)))
    assert msgspec.convert(over | later, NodeWord) == word


@every
def test_events_and_entries_of_the_journal_say_what_they_said(kept: Path) -> None:
    for body in lines(kept / "events.jsonl"):
        assert has(events.to_body(events.from_body(body | later)), body)
    for body in lines(kept / "journal.jsonl"):
        assert has(json.loads(msgspec.json.encode(journal.to_body(journal.from_body(body | later)))), body)


@every
def test_an_entry_says_of_which_version_it_is_and_one_of_before_there_was_one_is_read(kept: Path) -> None:
    for body in lines(kept / "journal.jsonl"):
        assert body["version"] == int(kept.name)
        without = {name: value for name, value in body.items() if name != "version"}
        assert journal.from_body(without) == journal.from_body(body)


@every
def test_a_snapshot_is_what_central_knew(kept: Path) -> None:
    data = (kept / "snapshot.msgpack").read_bytes()
    fold, mark = read_snapshot([data])
    assert mark.sequence == keep.MARK.sequence
    assert [one.campaign_id for one in fold.campaigns.values()] == CAMPAIGNS
    assert has(items(b"".join(snapshot.Taken(fold, mark).items())), items(data))


@every
def test_a_list_has_its_contacts(kept: Path) -> None:
    read = roll.read([(kept / "roll.msgpack").read_bytes()])
    assert [read.contact(row) for row in range(len(read))] == keep.LISTED


@every
def test_a_checkpoint_has_its_calls_and_what_was_noted_of_them(kept: Path) -> None:
    found = checkpoint.read((kept / "checkpoint").read_bytes())
    assert (found.n_torn, found.alive_s) == (0, 7.0)
    assert {one.order.call_id: (one.revision, one.order.script) for one in found.standby.take()} == {
        "c1": (1, b"flow: hello"), "c2": (5, b"flow: hello"),
    }  # fmt: skip
    assert [event.event_id for event in found.standby.recent] == ["e1"]


@every
def test_what_is_in_the_spool_is_brought_to_its_stream(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "edge-0.1.jsonl").write_bytes((kept / "spool.jsonl").read_bytes())
    spool = Spool(tmp_path, "edge-0")
    assert spool.adopt() == keep.SPOOLED
    spool.close()
