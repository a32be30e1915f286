"""Events become outcomes of the attempts they belong to, and so does a loss."""

from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest

from nodes.central.campaign import Campaigns
from nodes.central.outcomes import entry_of, lost, trunk_works
from nodes.central.spend import of_day
from protocols.wire.campaigns import ContactId, attempt_id
from protocols.wire.events import CallEvent, Kind, Value, from_body, to_body
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId
from protocols.wire.journal import Answered, Attempted, Contact, Ended
from tests.nodes.central.journals import folded, imported

NOON = datetime.fromisoformat("2026-03-03T12:00:00+00:00")
SPRING, ADA = CampaignId("spring"), ContactId("ada")
ATTEMPT = attempt_id(SPRING, ADA, 1)


def event(kind: Kind, attempt: AttemptId = ATTEMPT, **fields: Value) -> CallEvent:
    return CallEvent("e", CallId("c"), attempt, SPRING, NodeId("n1"), NOON, 1, kind, fields)


def ended() -> CallEvent:
    return event(Kind.ENDED, disposition="busy", cause="486", duration_s=0.0, by="them")


@pytest.fixture
def fold() -> Campaigns:
    contact = Contact(ADA, "sip:a@b", ("UTC",), "form")
    return folded(
        [
            imported(SPRING, [contact], NOON, shift_s=3600.0),
            Attempted(SPRING, ADA, ATTEMPT, 1, NOON + timedelta(hours=1), "", "form", (), row=0),
        ]
    )


def test_the_end_of_a_call_is_the_outcome_of_its_attempt_in_campaign_time(fold: Campaigns) -> None:
    assert entry_of(ended(), fold, 7.0) == Ended(SPRING, ADA, ATTEMPT, "busy", "486", NOON + timedelta(hours=1), 7.0, 0)


def test_a_call_that_ended_has_cost_what_its_trunk_takes_for_the_time_since_the_answer(fold: Campaigns) -> None:
    fold.in_flight[ADA] = replace(fold.in_flight[ADA], price=0.5, trunk="carrier")
    talked = event(Kind.ENDED, disposition="completed", cause="script", duration_s=61.0, by="us")
    told = from_body(msgspec.json.decode(msgspec.json.encode(to_body(talked))))
    over = entry_of(told, fold, 7.0)
    assert isinstance(over, Ended)
    assert over.cost == 1.0
    fold.apply(over)
    assert of_day(fold.spent, "carrier", (), 7.0) == 1.0


def test_an_answer_is_written_down_once(fold: Campaigns) -> None:
    answered = entry_of(event(Kind.ANSWERED, after_ms=1), fold, 7.0)
    assert answered == Answered(SPRING, ADA, ATTEMPT, NOON + timedelta(hours=1))
    fold.apply(answered)
    assert entry_of(event(Kind.ANSWERED, after_ms=1), fold, 7.0) is None


def test_events_of_other_calls_and_of_attempts_that_are_over_say_nothing(fold: Campaigns) -> None:
    assert entry_of(event(Kind.RINGING, after_ms=1), fold, 7.0) is None
    assert entry_of(event(Kind.ANSWERED, AttemptId(""), after_ms=1), fold, 7.0) is None
    assert entry_of(event(Kind.ANSWERED, attempt_id(SPRING, ADA, 2), after_ms=1), fold, 7.0) is None
    over = entry_of(ended(), fold, 7.0)
    assert over
    fold.apply(over)
    assert entry_of(ended(), fold, 7.0) is None


def test_a_lost_attempt_may_be_retried_and_a_person_who_had_answered_was_abandoned(fold: Campaigns) -> None:
    attempt = fold.in_flight[ADA]
    given_up = lost(attempt, fold, NOON, 91.0)
    assert (given_up.disposition, given_up.cause) == ("failed", "node_lost")
    fold.apply(Answered(SPRING, ADA, ATTEMPT, NOON))
    given_up = lost(attempt, fold, NOON, 91.0)
    assert (given_up.disposition, given_up.cause) == ("abandoned", "node_lost")
    fold.apply(given_up)
    assert fold.campaigns[SPRING].progress(0).due == 91.0 + 72 * 3600.0, "nobody is called again within the day"


@pytest.mark.parametrize(
    ("disposition", "by", "cause", "talked_s", "works"),
    [
        ("failed", "them", "503", 0.0, False),
        ("failed", "nobody", "timeout", 0.0, False),
        ("failed", "us", "no_engine", 0.0, None),
        ("failed", "us", "crashed", 0.0, None),
        ("failed", "nobody", "node_lost", 0.0, None),
        ("failed", "nobody", "no_audio", 9.0, True),
        ("completed", "us", "script", 9.0, True),
        ("busy", "them", "486", 0.0, True),
        ("no_answer", "us", "ring_timeout", 0.0, True),
        ("rejected", "us", "do_not_call", 0.0, None),
    ],
)
def test_of_a_trunk_speak_its_refusals_and_its_silence_and_nothing_that_failed_here(
    disposition: str, by: str, cause: str, talked_s: float, works: bool | None
) -> None:
    told = event(Kind.ENDED, disposition=disposition, cause=cause, duration_s=talked_s, by=by)
    assert trunk_works(told) is works
