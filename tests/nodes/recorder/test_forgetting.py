"""Who is forgotten is in no table, no file of a day and no export; who is killed meanwhile does it in the next life."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nodes.bus.bus import Bus
from nodes.recorder import forgetting
from nodes.recorder.reports import export
from nodes.recorder.store import TABLES, Row, Store, StoreUnwritable
from protocols.wire.campaigns import ContactId, attempt_id
from protocols.wire.events import CallEvent, Kind, to_body
from protocols.wire.forgetting import GetRemoved, Person
from protocols.wire.ids import AttemptId, CallId, CampaignId, Identity, NodeId
from protocols.wire.subjects import Bucket, call_event
from tests.conftest import NatsServer
from tests.nodes.recorder.test_recorder import recording

NOON = datetime.fromisoformat("2026-03-03T12:00:00+00:00")
NOTHING: dict[str, list[dict[str, object]]] = {table: [] for table in TABLES}
HERS, HIS = ContactId("a" * 32), ContactId("b" * 32)
SPRING = CampaignId("spring")
FORGET = """
import sys
from datetime import datetime
from pathlib import Path
from nodes.recorder import forgetting
from nodes.recorder.store import Store
from protocols.wire.forgetting import Person

at = sys.argv[2]
real = {"delete": Store._delete, "rewrite": forgetting.rewrite, "without": forgetting.without}

def stop(name):
    def told(*given):
        done = real[name](*given)
        print("there", flush=True)
        sys.stdin.readline()
        return done
    return told

if at == "delete":
    Store._delete = stop(at)
else:
    setattr(forgetting, at, stop(at))
Store(Path(sys.argv[1])).forget([Person("a" * 32, datetime.fromisoformat("2026-03-04T00:00:00+00:00"))])
"""


def of(contact: ContactId, day: int = 0) -> Iterator[Row]:
    """All that a call with somebody leaves."""
    attempt, wall = attempt_id(SPRING, contact, 1 + day), (NOON - timedelta(days=day)).isoformat()
    ids = {"attempt_id": attempt, "campaign_id": SPRING, "wall": wall}
    for n in range(3):
        yield Row("events", {**ids, "event_id": f"{attempt}:{n}", "call_id": attempt, "node_id": "n1", "seq": n + 1,
                             "kind": "turn.heard", "fields": {"words": f"words of {contact}"}})  # fmt: skip
    told = {**ids, "contact_id": contact}
    yield Row("ledger", {**told, "n": 1, "trunk": "", "consent": f"form of {contact}", "passed": ["hours"]})
    yield Row("outcomes", {**told, "disposition": "completed", "cause": "script"})
    yield Row("refusals", {"refusal_id": f"spring/{contact}", "campaign_id": SPRING, "contact_id": contact,
                           "rule_id": "daily_cap", "wall": wall})  # fmt: skip
    yield Row("dead_letters", {"letter_id": f"l/{attempt}", "reason": "?", "body": f'{{"call_id":"{attempt}"'})


def person(contact: ContactId = HERS, *calls: str) -> Person:
    return Person(contact, NOON + timedelta(days=1), tuple(map(CallId, calls)))


def rows(store: Store, contact: ContactId | str = "") -> dict[str, list[dict[str, object]]]:
    """Return the rows of each table, or those in which somebody is."""
    every = {table: store.records(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES}
    return {table: [row for row in found if contact in str(row)] for table, found in every.items()}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "recorder" / "ringmaster.duckdb")
    for day in range(3):
        made.write([*of(HERS, day), *of(HIS, day)])
    for day in made.days_over("2026-03-03"):
        made.archive(day, drops=day == "2026-03-01")
    yield made
    made.close()


def test_nothing_of_them_is_left_and_of_others_everything(store: Store) -> None:
    directory, _ = export(store, "spring")
    before = rows(store, HIS)
    counts = store.forget([person()])
    assert rows(store, HERS) == NOTHING
    assert rows(store, HIS) == before == rows(store)
    assert {place: sum(n for name, _, n in counts if name == place) for place, _, _ in counts} == {
        "archive": 6, "exports": 19, "events": 6, "ledger": 3, "outcomes": 3, "refusals": 1, "dead_letters": 3,
    }  # fmt: skip
    assert store.note == ""
    assert not [path for path in directory.parent.rglob("*") if path.is_file() and HERS.encode() in path.read_bytes()]
    assert store.forget([person()]) == []
    assert {name: n for name, _, n in store.find(("a{32}",))} == dict.fromkeys(TABLES, 0)
    assert {name: n for name, _, n in store.find((HIS,))} == {name: len(found) for name, found in before.items()}


def test_a_single_call_is_forgotten_by_its_name(store: Store) -> None:
    values = next(of(HIS)).values
    single = Row("events", {**values, "event_id": "7c1f:1", "call_id": "7c1f", "attempt_id": "7c1f"})
    store.write([single])
    store.forget([person(ContactId("c" * 32), "7c1f")])
    assert rows(store, "7c1f") == NOTHING
    assert len(rows(store)["events"]) == 18


def test_a_new_file_takes_the_place_of_the_old_one_and_goes_on_being_written(store: Store) -> None:
    database, before = store.database, store.database.stat().st_ino
    store.forget([person()])
    assert database.stat().st_ino != before
    store.write([*of(ContactId("d" * 32))])
    store.close()
    again = Store(database)
    assert len(rows(again, "d" * 32)["events"]) == 3
    assert again.forget([person()]) == []
    again.close()


@pytest.mark.parametrize("at", ["without", "delete", "rewrite"])
def test_whoever_is_killed_meanwhile_does_the_rest_in_the_next_life(store: Store, at: str) -> None:
    database, before = store.database, rows(store, HIS)
    export(store, "spring")
    store.close()
    dying = subprocess.Popen(
        [sys.executable, "-c", FORGET, str(database), at], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert dying.stdout
    assert dying.stdout.readline() == b"there\n"
    dying.send_signal(signal.SIGKILL)
    dying.communicate()
    again = Store(database)
    again.forget([person()])
    assert rows(again, HERS) == NOTHING
    assert rows(again, HIS) == before
    assert again.note == ""
    again.close()


def test_a_disk_that_is_full_leaves_the_old_database_and_it_is_done_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(store, HIS)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "_sync", full)
        with pytest.raises(StoreUnwritable):
            store.forget([person()])
    assert rows(store, HIS) == before
    store.forget([person()])
    assert rows(store, HERS) == NOTHING
    assert rows(store, HIS) == before


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    connected = await Bus.connect(nats_server.url, name="edge-0", node_id=NodeId("n1"))
    await connected.ensure_layout()
    yield connected
    await connected.close()


async def test_what_comes_late_of_them_is_not_kept_and_what_comes_of_later_is(
    bus: Bus, nats_server: NatsServer, tmp_path: Path
) -> None:
    at = datetime.now(UTC)

    def told(contact: ContactId, wall: datetime, n: int) -> None:
        call = CallId(attempt_id(SPRING, contact, n))
        ids = CallId(call), AttemptId(call), SPRING, NodeId("n1")
        event = CallEvent(f"{call}:1", *ids, wall, 1, Kind.RINGING, {"after_ms": n})
        assert bus.record(call_event(call, event.kind), event.event_id, to_body(event))

    await bus.kv(Bucket.FORGOTTEN).put(HERS, Person(HERS, at).body())
    await bus.kv(Bucket.FORGOTTEN).put("swept", {"streams": {}})
    await bus.kv(Bucket.FORGOTTEN).put("c" * 32, {"at": "yesterday"})
    async with recording(nats_server.url, tmp_path / "ringmaster.duckdb") as recorder:
        told(HERS, at - timedelta(seconds=1), 1)
        told(HERS, at + timedelta(days=1), 2)  # as a clock that is ahead has it
        told(HIS, at - timedelta(seconds=1), 3)
        async with asyncio.timeout(60):
            while recorder.counts["acknowledged"] < 3:
                await asyncio.sleep(0.05)
        kept = recorder._store.records("SELECT call_id FROM events ORDER BY 1")
        assert [row["call_id"] for row in kept] == [attempt_id(SPRING, HERS, 2), attempt_id(SPRING, HIS, 3)]
        operator = Identity("n1.command:1")
        assert recorder.forgotten.removed(GetRemoved(HERS, at), operator).is_done
        assert not recorder.forgotten.removed(GetRemoved(HERS, at + timedelta(seconds=1)), operator).is_done
        assert not recorder.forgotten.removed(GetRemoved(HIS, at), operator).is_done
