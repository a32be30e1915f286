"""An import is decided whole: entries that fit the bus, or every problem with its place."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grammars import load
from nodes.central.campaign import Campaigns
from nodes.central.contacts import BadContactList
from nodes.central.imports import entry_of, keeping_problems, listing, plan_problems, recording_problems
from nodes.central.roll import Roll
from nodes.config import parse
from protocols.wire.campaigns import BeginImport, Plan, Problem
from protocols.wire.ids import CampaignId
from protocols.wire.journal import Contact, RollRef

SCRIPTS = Path(__file__).parents[3] / "grammars" / "scripts"
NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
LIST = "number,name\n+4930123456,Ada\n"


def drafted(
    text: str = LIST, plan: Plan | None = None, script: str = "hello", name: str = "spring", trunk: str = "carrier"
) -> list[Contact]:
    words, trunks = (SCRIPTS / f"{script}.yaml").read_text(), [trunk] if trunk else []
    request = BeginImport(CampaignId(name), "list.csv", words, plan or Plan())
    made = load(words)
    if problems := [*plan_problems(request, trunks), *recording_problems(request.plan, made)]:
        raise BadContactList(problems)
    stream = io.BytesIO(text.encode())
    return list(listing("list.csv", stream, plan=request.plan, script=made, key=bytes(32), trunks=trunks))


def reasons(**given: object) -> list[tuple[str, int, str]]:
    with pytest.raises(BadContactList) as refused:
        drafted(**given)  # type: ignore[arg-type]  # as a table has it
    return [(problem.file, problem.line, problem.reason) for problem in refused.value.problems]


def test_a_right_list_is_contacts_and_a_right_plan_has_no_problems() -> None:
    (contact,) = drafted()
    assert contact.target == "+4930123456"


def test_a_slot_that_the_script_needs_is_missed_with_its_line() -> None:
    ((file, line, reason),) = reasons(text=LIST, script="appointment_reminder")
    assert (file, line) == ("list.csv", 2)
    assert "clinic" in reason


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (Plan(opens_min=600, closes_min=600), "calling hours open before they close, within one day"),
        (Plan(closes_min=1441), "calling hours open before they close, within one day"),
        (Plan(days=()), "days are weekdays, 0 (Monday) to 6"),
        (Plan(days=(7,)), "days are weekdays, 0 (Monday) to 6"),
        (Plan(zone="Berlin"), "'Berlin' is not an IANA time zone"),
        (Plan(trunk="gone"), "there is no trunk 'gone'"),
        (Plan(concurrency=0), "`per_day` and `concurrency` are at least 1"),
        (Plan(share=float("nan")), "`share` is above 0"),
        (Plan(ring_s=float("inf")), "`ring_s` is at least 15"),
        (Plan(ring_s=14.9), "`ring_s` is at least 15"),
        (Plan(recording="yes"), "`recording` is one of none, notice, asked"),
        (
            Plan(recording="notice"),
            '`recording` is "notice", but the first words of the script give none',
        ),
        (Plan(retention_days=-1), "`retention_days` is 0 to 36500"),
        (Plan(spacing_s=-1), "waiting times are 0 to a year of seconds"),
        (Plan(retries={"busy": (float("nan"),)}), "waiting times are 0 to a year of seconds"),
        (Plan(clock="noon"), "`clock` is an ISO 8601 moment with offset"),
        (Plan(clock="2026-03-03T12:00:00"), "`clock` is an ISO 8601 moment with offset"),
        (Plan(clock="9999-12-31T23:59:59+00:00"), "`clock` is an ISO 8601 moment with offset"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_in_words(plan: Plan, reason: str) -> None:
    assert reasons(plan=plan) == [("plan", 0, reason)]


def test_a_plan_is_held_to_how_nodes_keep_recordings(tmp_path: Path) -> None:
    def wrong(plan: Plan, settings: str) -> list[str]:
        return [one.reason for one in keeping_problems(plan, parse(settings, "test", tmp_path))]

    asks = Plan(owner="acme", retention_days=30)
    assert wrong(Plan(), "") == []
    assert wrong(asks, "") == [
        "`owner` is 'acme', and the node's file has no [owners.acme]",
        "`retention_days` needs nodes that keep recordings: set storage.keeps in their files",
    ]
    assert wrong(asks, "[owners.acme]") == []
    assert wrong(replace(asks, owner=""), "[storage]\nkeeps = true") == []


def test_a_caller_id_that_no_call_could_have_is_refused_with_its_field() -> None:
    """Shared case telephony/cid."""
    assert drafted(plan=Plan(caller_id="+1 202 555 0100"))
    with pytest.raises(BadContactList) as refused:
        drafted(plan=Plan(caller_id="sip:a@b\r\nX-Evil: 1"))
    assert refused.value.problems == (
        Problem("plan", 0, "caller_id", "has a character that cannot be printed, such as a line end"),
    )


@pytest.mark.parametrize("name", ["", "Spring", "a b", "-a", "x" * 65, "a.b"])
def test_a_name_that_cannot_be_part_of_a_subject_is_refused(name: str) -> None:
    assert reasons(name=name) == [("plan", 0, "a campaign's name is 1 to 64 of a-z 0-9 - _")]


def test_numbers_need_a_trunk_and_are_never_dialled_in_a_rehearsal_with_its_own_clock() -> None:
    plan = Plan(clock="2026-03-03T03:00:00+00:00")
    assert reasons(plan=plan, trunk="") == [
        ("list.csv", 2, "a rehearsal with its own clock dials SIP URIs only; "
                        "a telephone number needs a trunk, and none is configured")
    ]  # fmt: skip


def test_the_clock_of_a_rehearsal_runs_from_the_moment_it_names() -> None:
    plan = Plan(clock="2026-07-01T10:00:00+02:00")
    imported = entry_of(BeginImport(CampaignId("spring"), "l.csv", "flow: x", plan), "i", b"", RollRef("r", "", 0), NOW)
    fold = Campaigns()
    fold.rolls["r"] = Roll()
    fold.apply(imported)
    at = fold.campaigns[CampaignId("spring")].at(NOW + timedelta(minutes=5))
    assert at == datetime(2026, 7, 1, 8, 5, tzinfo=UTC)
