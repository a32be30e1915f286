"""What the figures of a report mean, on events written down by hand."""

import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import repeat
from pathlib import Path

import msgspec
import pytest

from nodes.recorder.figures import report as reported
from nodes.recorder.reports import BadTime, NotExported, export, figures, open_calls, page, parts
from nodes.recorder.rows import row_of
from nodes.recorder.store import Row, Store
from protocols.wire import events, journal
from protocols.wire.campaigns import ContactId, attempt_id
from protocols.wire.events import CallEvent, Kind, Value
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId
from protocols.wire.reports import LEDGER_PAGE, GetFigures, GetPage, GetPartsOf, Report, place_of
from protocols.wire.subjects import Stream

AT = datetime.fromisoformat("2026-03-03T12:00:00+00:00")
SPRING = CampaignId("spring")


class Book:
    """Writes what streams would bring."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rows: list[Row] = []

    def call(
        self, name: str, *told: tuple[str, dict[str, Value]], campaign: str = "spring", at: datetime = AT
    ) -> AttemptId:
        attempt = attempt_id(CampaignId(campaign), ContactId(name), 1)
        placing: tuple[str, dict[str, Value]] = ("call.placing", {"script": "s"})
        for seq, (kind, fields) in enumerate([placing, *told], 1):
            moment = at + timedelta(seconds=seq)
            call_id, node = CallId(attempt), NodeId("n1")
            event_id = f"{attempt}:{seq}"
            event = CallEvent(event_id, call_id, attempt, CampaignId(campaign), node, moment, seq, Kind(kind), fields)
            self._add(Stream.EVENTS, events.to_body(event))
        return attempt

    def entry(self, entry: journal.Entry) -> None:
        self._add(Stream.CAMPAIGN, journal.to_body(entry))

    def dial(self, name: str) -> None:
        contact = ContactId(name)
        passed = ("consent", "spacing")
        self.entry(journal.Attempted(SPRING, contact, attempt_id(SPRING, contact, 1), 1, AT, "", "f", passed))

    def end(self, name: str, disposition: str, cause: str) -> None:
        contact = ContactId(name)
        self.entry(journal.Ended(SPRING, contact, attempt_id(SPRING, contact, 1), disposition, cause, AT))

    def write(self) -> None:
        self.store.write(self.rows)
        self.rows = []

    def _add(self, stream: Stream, body: dict[str, object]) -> None:
        row = row_of(stream, len(self.rows), msgspec.json.encode(body))
        assert row is not None
        assert row.table != "dead_letters", row
        self.rows.append(row)


def report(store: Store, asked: GetFigures, gone: Collection[CallId] = ()) -> Report:
    return reported(figures(store, asked, gone))


def answered() -> tuple[str, dict[str, Value]]:
    return "call.answered", {"after_ms": 3000}


def answer(n: int) -> tuple[str, dict[str, Value]]:
    return "prompt.started", {"play_id": n, "spoken": "hello", "answer_ms": 100 * n}


def over(disposition: str, by: str, cause: str, duration_s: float = 0.0) -> tuple[str, dict[str, Value]]:
    return "call.ended", {"disposition": disposition, "cause": cause, "by": by, "duration_s": duration_s}


CROWDED_DAYS = """
INSERT INTO shard0.events
SELECT format('c{}-{}:{}', day, call, n), format('c{}-{}', day, call), format('c{}-{}', day, call), 'spring', 'n1',
       CAST($first AS TIMESTAMPTZ) + to_days(CAST(day AS INT)) + to_seconds(80.0 * call + n), n + 1,
       ['call.placing', 'call.answered', 'prompt.started', 'prompt.started', 'call.ended'][n + 1],
       format('{{"answer_ms": {}, "disposition": "completed", "by": "us", "cause": "script", "duration_s": 9}}', n)
FROM range($days) AS days(day), range(1000) AS calls(call), range(5) AS told(n)
"""


def cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    store = Store(tmp_path / "ringmaster.duckdb")
    yield Book(store)
    store.close()


def test_attempts_are_counted_by_how_they_ended(book: Book) -> None:
    book.call("a", over("busy", "them", "486"))
    book.call("b", over("busy", "them", "486"))
    book.call("c", answered(), over("completed", "us", "script", 30.0))
    book.call("d", answered(), over("completed", "them", "", 10.0))
    book.call("e", answered())
    book.write()
    made = report(book.store, GetFigures(SPRING))
    assert (made.attempts, made.answered, made.events) == (5, 3, 12)
    assert made.dispositions == {"busy": 2, "completed": 2, "open": 1}
    assert made.answer_seizure_ratio == 0.5
    assert made.mean_call_duration_s == 20.0


@pytest.mark.parametrize(
    ("by", "cause", "lost"),
    [
        ("them", "", 0), ("us", "script", 0), ("us", "ordered", 0), ("agent", "", 0),
        ("us", "no_engine", 1), ("us", "no_audio", 1), ("nobody", "node_lost", 1),
    ],
)  # fmt: skip
def test_an_answered_call_is_lost_when_neither_callee_nor_agent_nor_script_ended_it(
    book: Book, by: str, cause: str, lost: int
) -> None:
    book.call("a", answered(), over("failed", by, cause, 5.0))
    book.call("b", over("failed", by, cause))
    book.write()
    assert report(book.store, GetFigures()).lost == lost


def test_an_answered_call_of_which_nothing_more_was_heard_is_lost_once_central_gives_it_up(book: Book) -> None:
    book.dial("a")
    book.call("a", answered())
    book.write()
    assert report(book.store, GetFigures(SPRING)).lost == 0
    book.end("a", "failed", "node_lost")
    book.write()
    assert report(book.store, GetFigures(SPRING)).lost == 1


def test_an_attempt_that_never_came_to_an_edge_is_counted_from_the_ledger(book: Book) -> None:
    book.dial("a")
    book.dial("b")
    book.end("b", "failed", "edge_gone")
    book.write()
    assert report(book.store, GetFigures(SPRING)).dispositions == {"open": 1, "failed": 1}


def test_an_attempt_that_no_edge_took_is_in_the_ledger_and_in_no_figure(book: Book) -> None:
    book.dial("a")
    book.entry(journal.Returned(SPRING, ContactId("a"), attempt_id(SPRING, ContactId("a"), 1), "node_full", AT))
    book.write()
    made = report(book.store, GetFigures(SPRING))
    assert (made.attempts, made.dispositions) == (0, {})
    (line,) = page(book.store, GetPage(SPRING)).rows
    assert (line.disposition, line.cause) == ("returned", "node_full")


def test_turns_and_handovers_are_counted_with_their_quantiles(book: Book) -> None:
    book.call(
        "a",
        answered(),
        ("turn.heard", {"turn": 1, "words": "yes", "confidence": 0.9, "rule": "yes_no", "intent": "yes", "slots": {}}),
        ("turn.nomatch", {"turn": 2, "words": "mumble"}),
        ("turn.noinput", {"turn": 3}),
        *map(answer, range(1, 12)),
        ("prompt.started", {"play_id": 99, "spoken": "the greeting answers nobody"}),
        ("handover.done", {"agent_id": "bo", "ms": 20}),
        ("handover.done", {"agent_id": "bo", "ms": 40}),
        ("handover.failed", {"reason": "no_agent", "ms": 500}),
        ("recovered", {"what": "edge"}),
        ("recovered", {"what": "media"}),
    )
    book.write()
    made = report(book.store, GetFigures(SPRING))
    assert (made.turns_understood, made.turns_not_understood, made.turns_silent) == (1, 1, 1)
    assert (made.turn_ms_p50, made.turn_ms_p95) == (600.0, 1050.0)
    assert (made.handovers, made.handovers_failed) == (2, 1)
    assert made.handover_ms_p50 == 30.0
    assert made.handover_ms_p99 == pytest.approx(39.8)
    assert made.recovered == 1


def test_the_first_word_is_timed_from_the_end_of_the_greeting_and_late_ones_have_a_share(book: Book) -> None:
    for n, ms in enumerate((400, 600, 800, 2001)):
        first = ("prompt.started", {"play_id": 1, "spoken": "hello", "first_word_ms": ms})
        book.call(f"c{n}", answered(), first, answer(2))
    book.call("nobody spoke", answered(), answer(1))
    book.write()
    made = report(book.store, GetFigures(SPRING))
    assert (made.first_word_ms_p50, made.first_word_late) == (700.0, 0.25)
    assert made.first_word_ms_p95 == pytest.approx(1820.85)


def test_nothing_is_a_report_of_none(book: Book) -> None:
    made = report(book.store, GetFigures(SPRING))
    assert made.attempts == 0
    assert made.answer_seizure_ratio is made.mean_call_duration_s is made.turn_ms_p50 is None


def test_a_report_is_of_its_campaign_and_its_time(book: Book) -> None:
    book.call("a", campaign="spring")
    book.call("b", campaign="autumn")
    book.call("c", campaign="spring", at=AT + timedelta(days=1))
    book.write()
    assert report(book.store, GetFigures()).attempts == 3
    assert report(book.store, GetFigures(SPRING)).attempts == 2
    assert report(book.store, GetFigures(since="2026-03-04T00:00:00+00:00")).attempts == 1
    assert report(book.store, GetFigures(SPRING, until="2026-03-04T00:00:00+00:00")).attempts == 1


def test_a_call_over_midnight_is_of_the_day_on_which_it_began_with_the_end_it_came_to(book: Book) -> None:
    midnight = datetime.fromisoformat("2026-03-04T00:00:00+00:00")
    book.call("a", answered(), over("completed", "us", "script", 9.0), at=midnight - timedelta(seconds=2.5))
    book.write()
    before = report(book.store, GetFigures(SPRING, until=midnight.isoformat()))
    assert (before.attempts, before.answered, before.dispositions) == (1, 1, {"completed": 1})
    assert report(book.store, GetFigures(SPRING, since=midnight.isoformat())).attempts == 0


def test_the_report_of_a_day_costs_no_more_when_there_are_many_days_before_it(tmp_path: Path) -> None:
    asked, cost = GetFigures(since=AT.isoformat()), dict[int, float]()
    for n_days in (1, 30):
        store = Store(tmp_path / f"{n_days}.duckdb")
        store._writer.execute(CROWDED_DAYS, {"first": AT - timedelta(days=n_days - 1), "days": n_days})
        assert report(store, asked).attempts == 1000
        cost[n_days] = min(map(cpu_s, repeat(partial(report, store, asked), 5)))
        store.close()
    assert cost[30] < 4 * cost[1], "of the days before, the last one is read"


@pytest.mark.parametrize("bound", ["yesterday", "2026-03-04", "2026-03-04T00:00:00"])
def test_a_bound_without_an_offset_is_refused(book: Book, bound: str) -> None:
    with pytest.raises(BadTime):
        report(book.store, GetFigures(since=bound))


def test_every_attempt_has_a_line_in_the_ledger_with_the_rules_it_passed(book: Book) -> None:
    book.dial("a")
    attempt = book.call("a", over("busy", "them", "486"))
    book.entry(journal.Refused(SPRING, ContactId("b"), "do_not_call", AT + timedelta(seconds=1)))
    book.write()
    found = page(book.store, GetPage(SPRING))
    assert found.total == 2
    dialled, refused = found.rows
    assert (dialled.attempt_id, dialled.passed, dialled.consent) == (attempt, ("consent", "spacing"), "f")
    assert (dialled.disposition, dialled.cause, dialled.wall) == ("busy", "486", "2026-03-03T12:00:00.000000Z")
    assert (refused.contact_id, refused.refused, refused.passed) == ("b", "do_not_call", ())
    assert page(book.store, GetPage(CampaignId("autumn"))).total == 0


def test_a_long_ledger_comes_in_pages_without_a_gap(book: Book) -> None:
    for n in range(LEDGER_PAGE + 50):
        book.dial(f"a{n:04}")
    book.write()
    pages = [page(book.store, GetPage(SPRING)).rows]
    for _ in range(2):
        pages.append(page(book.store, GetPage(SPRING, place_of(pages[-1][-1]))).rows)
    assert [len(rows) for rows in pages] == [LEDGER_PAGE, 50, 0]
    assert len({row.contact_id for rows in pages for row in rows}) == LEDGER_PAGE + 50


def test_which_parts_a_recording_has_is_told_by_the_machines_that_the_call_has_been_at(book: Book) -> None:
    stays: tuple[str, dict[str, Value]] = ("recording.left", {"part": 0, "node": "n2"})
    ended = {**over("completed", "us", "script", 9.0)[1], "recording": "/var/c.1.wav", "part": 1}
    moved = book.call("a", answered(), stays, ("call.ended", ended))
    at_once = {**over("completed", "us", "script")[1], "recording": "/var/c.wav"}
    whole = book.call("b", answered(), ("call.ended", at_once))
    bare, lost = book.call("c", answered(), over("completed", "us", "script")), book.call("d", answered(), stays)
    book.write()
    told = [parts(book.store, GetPartsOf(CallId(call))).parts for call in (moved, whole, bare, lost)]
    assert told == [{0: "n2", 1: "n1"}, {0: "n1"}, {}, {0: "n2"}]


def test_an_export_is_parquet_that_anybody_reads_complete_or_not_there(book: Book) -> None:
    book.dial("a")
    book.call("a", answered())
    book.call("b", at=AT + timedelta(days=1))
    book.write()
    directory, rows = export(book.store, "monday")
    assert rows == {"events": 3, "ledger": 1, "outcomes": 0, "refusals": 0, "dead_letters": 0}
    assert sorted(path.name for path in (directory / "events").iterdir()) == ["day=2026-03-03", "day=2026-03-04"]
    read = book.store.records(f"SELECT count(*) AS n FROM read_parquet('{directory}/events/*/*.parquet')")
    assert read == [{"n": 3}]


@pytest.mark.parametrize(("name", "reason"), [("../up", "bad_name"), ("", "bad_name"), ("twice", "exists")])
def test_an_export_never_leaves_its_directory_nor_overwrites(book: Book, name: str, reason: str) -> None:
    export(book.store, "twice")
    with pytest.raises(NotExported) as refused:
        export(book.store, name)
    assert refused.value.reason == reason


def test_a_call_without_an_end_is_open_as_long_as_somebody_has_it_and_then_lost(book: Book) -> None:
    talks = book.call("ada", answered())
    rings = book.call("bob")
    book.call("cyd", answered(), over("completed", "them", "remote_hangup", 10.0))
    book.call("dan", answered(), over("abandoned", "us", "node_lost", 10.0))
    book.dial("eve")
    book.write()
    asked = GetFigures(SPRING)
    assert sorted(open_calls(book.store, asked, NodeId("n1"))) == sorted([talks, rings])
    assert open_calls(book.store, asked, NodeId("n2")) == []
    up = report(book.store, asked)
    assert (up.answered, up.lost) == (3, 1)
    assert up.dispositions == {"open": 3, "completed": 1, "abandoned": 1}
    gone = report(book.store, asked, [CallId(talks), CallId(rings)])
    assert (gone.answered, gone.lost) == (3, 2)
    assert gone.dispositions == {"open": 1, "lost": 1, "failed": 1, "completed": 1, "abandoned": 1}


def test_an_attempt_that_central_has_given_up_is_lost_although_its_call_told_no_end(book: Book) -> None:
    book.dial("ada")
    book.call("ada", answered())
    book.end("ada", "abandoned", "node_lost")
    book.write()
    assert open_calls(book.store, GetFigures(SPRING), NodeId("n1")) == []
    assert report(book.store, GetFigures(SPRING)).lost == 1


def test_a_call_of_which_something_was_told_just_now_is_not_asked_about(book: Book) -> None:
    book.call("ada", answered(), at=datetime.now(UTC))
    book.write()
    assert open_calls(book.store, GetFigures(SPRING), NodeId("n1")) == []
