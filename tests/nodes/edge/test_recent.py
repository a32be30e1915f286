"""Events outlive the edge that noted them, as the records that count them do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from nodes.edge.checkpoint import Alive, Opened, frame, read
from nodes.edge.disk import Disk
from nodes.edge.recent import KEPT_S, Noted, Recent, events_of, tellings
from protocols.wire.codec import MAX_BODY, encode
from protocols.wire.events import CallEvent, Kind
from protocols.wire.heirs import KeepEvents
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId


def event(number: int) -> CallEvent:
    return CallEvent(
        f"c1:0:{number}", CallId("c1"), AttemptId("a1"), CampaignId(""), NodeId("n1"), datetime.now(UTC), number,
        Kind.RINGING, {"after_ms": 5},
    )  # fmt: skip


def noted(number: int) -> Noted:
    return Noted.of(event(number))


def numbers(recent: Recent) -> list[int]:
    return [one.seq for one in events_of(recent)]


def test_an_heir_knows_what_was_noted_in_the_last_seconds_and_no_more() -> None:
    recent = Recent()
    recent.add(noted(1), 100.0)
    recent.add(noted(2), 100.0 + KEPT_S + 1)
    assert numbers(recent) == [2]


def test_what_heirs_are_told_is_what_was_noted() -> None:
    events, heir = [event(1), event(2)], Recent()
    for told in tellings(map(Noted.of, events)):
        heir.learn(told, 0.0)
    assert list(events_of(heir)) == events
    assert list(heir) == list(map(Noted.of, events)), "so its own heirs are told the same"


def test_however_much_was_noted_each_message_can_be_sent() -> None:
    many = [noted(number) for number in range(1, 3000)]
    told = list(tellings(many))
    assert len(told) > 1
    assert all(len(encode(one)) <= MAX_BODY for one in told)
    heir = Recent()
    for one in told:
        heir.learn(one, 0.0)
    assert list(heir) == many
    assert list(tellings([])) == []


def test_what_is_told_again_is_there_once_and_grows_no_younger() -> None:
    recent, other = Recent(), Recent()
    for now in (0.0, KEPT_S - 1):
        recent.add(noted(1), now)
        other.add(noted(1), now)
    recent.inherit(other)
    assert len(list(recent)) == 1
    recent.add(noted(2), KEPT_S + 1)
    assert numbers(recent) == [2]


def test_an_event_of_a_newer_edge_is_left_out_and_the_others_are_kept() -> None:
    newer = noted(2).body.replace(b"call.ringing", b"call.sung")
    heir = Recent()
    heir.learn(KeepEvents((b'{"kind": "sung"}', b"garbage", newer, noted(1).body)), 0.0)
    assert numbers(heir) == [1]


async def test_the_disk_has_the_events_of_the_last_seconds_beside_the_records_that_count_them(tmp_path: Path) -> None:
    recent, path = Recent(), tmp_path / "calls" / "checkpoint"
    disk = Disk(path, "launcher", {}, lambda n: [], lambda: recent)
    for number in (1, 2):
        recent.add(noted(number), 0.0)
        disk.noted(noted(number))
    disk.close()
    found = Disk(path, "launcher", {}, lambda n: [], Recent).read()
    assert found
    assert numbers(found.standby.recent) == [1, 2]


def test_a_file_gives_back_only_what_was_noted_shortly_before_its_edge_was_last_alive() -> None:
    told = [
        Opened(1, "l", "b"), *tellings([noted(1)]), Alive(50.0), *tellings([noted(2)]), Alive(50.0 + 3 * KEPT_S),
        *tellings([noted(3)]), Alive(50.0 + 3 * KEPT_S + 1),
    ]  # fmt: skip
    assert numbers(read(b"".join(map(frame, told))).standby.recent) == [3]
