"""What central knows is a fold over its journal: the same entries, the same knowledge."""

import copy
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nodes.central.campaign import Campaigns, next_due
from protocols.errors import RemoteProtocolError
from protocols.wire.campaigns import ContactId, Plan, attempt_id
from protocols.wire.ids import CampaignId
from protocols.wire.journal import (
    Answered,
    Attempted,
    CampaignPhase,
    Contact,
    Ended,
    Entry,
    Imported,
    Refused,
    Returned,
    Steered,
    from_body,
    to_body,
)
from tests.nodes.central import journals
from tests.nodes.central.journals import folded

AT = datetime.fromisoformat("2026-03-03T12:00:00+00:00")
CAMPAIGNS = [CampaignId("spring"), CampaignId("autumn")]
CONTACTS = [ContactId(name) for name in "abc"]
DISPOSITIONS = ["busy", "no_answer", "human", "machine", "failed", "abandoned", "opted_out", "completed"]


def imported(campaign: CampaignId, n_contacts: int = 3) -> Imported:
    contacts = [Contact(name, f"sip:{name}@b", ("UTC",), "form") for name in CONTACTS[:n_contacts]]
    return journals.imported(campaign, contacts, AT)


def attempted(campaign: CampaignId, contact: ContactId, n: int, at: datetime = AT) -> Attempted:
    name, row = attempt_id(campaign, contact, n), CONTACTS.index(contact)
    return Attempted(campaign, contact, name, n, at, "", "form", ("consent",), row=row)


def answered(campaign: CampaignId, contact: ContactId, n: int) -> Answered:
    return Answered(campaign, contact, attempt_id(campaign, contact, n), AT)


def ended(campaign: CampaignId, contact: ContactId, n: int, disposition: str, at: datetime = AT) -> Ended:
    return Ended(campaign, contact, attempt_id(campaign, contact, n), disposition, "", at, row=CONTACTS.index(contact))


def returned(campaign: CampaignId, contact: ContactId, n: int, at: datetime = AT) -> Returned:
    return Returned(campaign, contact, attempt_id(campaign, contact, n), "node_full", at, row=CONTACTS.index(contact))


moments = st.integers(0, 10**6).map(lambda seconds: AT + timedelta(seconds=seconds))
campaigns, contacts, counts = st.sampled_from(CAMPAIGNS), st.sampled_from(CONTACTS), st.integers(1, 4)
entries = st.one_of(
    st.builds(imported, campaigns, st.integers(0, 3)),
    st.builds(Steered, campaigns, st.sampled_from(list(CampaignPhase)[1:]), moments),
    st.builds(attempted, campaigns, contacts, counts, moments),
    st.builds(answered, campaigns, contacts, counts),
    st.builds(ended, campaigns, contacts, counts, st.sampled_from(DISPOSITIONS), moments),
    st.builds(returned, campaigns, contacts, counts, moments),
    st.builds(Refused, campaigns, contacts, st.sampled_from(["consent", "do_not_call"]), moments, st.integers(-1, 3)),
)


@given(st.lists(entries, max_size=40), st.integers(0, 40))
def test_a_replay_of_any_prefix_and_then_the_rest_knows_the_same(told: list[Entry], cut: int) -> None:
    taken_over = copy.deepcopy(folded(told[:cut]))
    for entry in told[cut:]:
        taken_over.apply(entry)
    assert taken_over == folded(told)


@given(st.lists(entries, max_size=40))
def test_what_is_read_back_from_the_stream_is_what_was_written(told: list[Entry]) -> None:
    stored = [msgspec.json.encode(to_body(entry)) for entry in told]
    assert [from_body(msgspec.json.decode(body)) for body in stored] == told


@given(st.lists(entries, max_size=60))
def test_the_counts_of_a_campaign_are_the_counts_of_its_contacts(told: list[Entry]) -> None:
    fold = folded(told)
    for campaign in fold.campaigns.values():
        all_of_them = [campaign.progress(row) for row in range(len(campaign.roll))]
        flying = [progress for progress in all_of_them if progress.attempt]
        done = [progress for progress in all_of_them if not progress.attempt and progress.due is None]
        status = campaign.status()
        assert (status.in_flight, status.done) == (len(flying), len(done))
        assert status.waiting == status.contacts - status.in_flight - status.done


@given(st.lists(entries, max_size=60))
def test_an_entry_that_comes_twice_changes_nothing(told: list[Entry]) -> None:
    once, twice = folded(told), folded(entry for entry in told for _ in range(2))
    once.n_ignored = twice.n_ignored = 0
    assert once == twice


class Dialling(RuleBasedStateMachine):
    """Any order of dials and ends, as a careless writer would write them down."""

    def __init__(self) -> None:
        super().__init__()
        self.fold = folded(map(imported, CAMPAIGNS))
        self.open: dict[ContactId, int] = dict.fromkeys(CONTACTS, 0)

    def tell(self, entry: Entry) -> bool:
        before = self.fold.n_ignored
        self.fold.apply(entry)
        return self.fold.n_ignored == before

    @rule(campaign=campaigns, contact=contacts, n=counts)
    def dial(self, campaign: CampaignId, contact: ContactId, n: int) -> None:
        self.open[contact] += self.tell(attempted(campaign, contact, n))

    @rule(campaign=campaigns, contact=contacts, n=counts)
    def answer(self, campaign: CampaignId, contact: ContactId, n: int) -> None:
        self.tell(answered(campaign, contact, n))

    @precondition(lambda self: any(self.open.values()))
    @rule(campaign=campaigns, contact=contacts, n=counts, disposition=st.sampled_from(DISPOSITIONS))
    def end(self, campaign: CampaignId, contact: ContactId, n: int, disposition: str) -> None:
        self.open[contact] -= self.tell(ended(campaign, contact, n, disposition))

    @precondition(lambda self: any(self.open.values()))
    @rule(campaign=campaigns, contact=contacts, n=counts)
    def take_back(self, campaign: CampaignId, contact: ContactId, n: int) -> None:
        before = len(self.fold.dialled.get(contact, ()))
        has_changed = self.tell(returned(campaign, contact, n))
        self.open[contact] -= has_changed
        assert len(self.fold.dialled.get(contact, ())) == before - has_changed

    @invariant()
    def no_contact_has_two_attempts_in_flight(self) -> None:
        assert all(0 <= n <= 1 for n in self.open.values())
        assert {name for name, n in self.open.items() if n} == set(self.fold.in_flight)
        assert self.fold.talking <= set(self.fold.in_flight)

    @invariant()
    def what_is_counted_as_talking_is_who_talks(self) -> None:
        for name, campaign in self.fold.campaigns.items():
            talk = [one for one in self.fold.talking if self.fold.in_flight[one].campaign_id == name]
            assert campaign.status().talking == len(talk)


test_no_contact_has_two_attempts_in_flight = Dialling.TestCase


@given(st.integers(0, 5))
def test_attempts_that_no_edge_took_count_neither_as_dials_nor_as_tries(n_returned: int) -> None:
    """Only the names are used up."""
    ada, spring = CONTACTS[0], CAMPAIGNS[0]
    fold = folded([imported(spring, 1)])
    for n in range(1, n_returned + 1):
        assert fold.apply(attempted(spring, ada, n))
        assert fold.apply(returned(spring, ada, n))
        assert not fold.apply(returned(spring, ada, n)), "once"
    assert not fold.in_flight
    assert ada not in fold.dialled
    status = fold.campaigns[spring].status()
    assert (status.waiting, status.in_flight, status.dispositions) == (1, 0, {})
    last = n_returned + 1
    fold.apply(attempted(spring, ada, last))
    fold.apply(ended(spring, ada, last, "busy"))
    assert fold.campaigns[spring].progress(0).due == next_due(Plan(), "busy", 1, 0.0)


def test_somebody_who_talks_is_not_taken_back() -> None:
    fold = folded([imported(CAMPAIGNS[0])])
    for entry in (attempted(CAMPAIGNS[0], CONTACTS[0], 1), answered(CAMPAIGNS[0], CONTACTS[0], 1)):
        fold.apply(entry)
    assert not fold.apply(returned(CAMPAIGNS[0], CONTACTS[0], 1))


@pytest.mark.parametrize("row", [-1, 1, 3])
def test_an_entry_about_a_row_that_is_not_its_contacts_changes_nothing(row: int) -> None:
    fold = folded([imported(CAMPAIGNS[0])])
    assert not fold.apply(replace(attempted(CAMPAIGNS[0], CONTACTS[0], 1), row=row))
    assert not fold.apply(Refused(CAMPAIGNS[0], CONTACTS[0], "consent", AT, row))


def test_a_campaign_is_imported_once() -> None:
    fold = folded([imported(CAMPAIGNS[0]), imported(CAMPAIGNS[0], 1)])
    assert len(fold.campaigns[CAMPAIGNS[0]].roll) == 3
    assert fold.n_ignored == 1


def test_a_stopped_campaign_stays_stopped() -> None:
    fold = folded(
        [
            imported(CAMPAIGNS[0]),
            Steered(CAMPAIGNS[0], CampaignPhase.STOPPED, AT),
            Steered(CAMPAIGNS[0], CampaignPhase.RUNNING, AT),
        ]
    )
    assert fold.campaigns[CAMPAIGNS[0]].phase is CampaignPhase.STOPPED


def test_a_busy_contact_is_due_again_by_the_retry_rules_and_an_answered_one_is_done() -> None:
    spring = CAMPAIGNS[0]
    fold = folded([imported(spring)])
    for contact, disposition in zip(CONTACTS, ["busy", "human", "no_answer"], strict=True):
        fold.apply(attempted(spring, contact, 1))
        fold.apply(ended(spring, contact, 1, disposition))
    due = [fold.campaigns[spring].progress(row).due for row in range(3)]
    assert due == [300.0, None, 3600.0]
    assert fold.campaigns[spring].dispositions == {"busy": 1, "human": 1, "no_answer": 1}


@pytest.mark.parametrize(
    ("disposition", "n", "wait_s"),
    [
        ("busy", 1, 300),
        ("busy", 3, 3600),
        ("busy", 4, None),
        ("no_answer", 2, 14400),
        ("machine", 2, None),
        ("human", 1, None),
    ],
)
def test_the_nth_wait_is_the_nth_of_the_row(disposition: str, n: int, wait_s: float | None) -> None:
    assert next_due(Plan(), disposition, n, 100.0) == (100.0 + wait_s if wait_s is not None else None)


def test_a_dial_in_one_campaign_is_known_to_may_call_in_all() -> None:
    fold: Campaigns = folded([imported(CAMPAIGNS[0])])
    fold.apply(attempted(CAMPAIGNS[0], CONTACTS[0], 1))
    callee = fold.callee(fold.campaigns[CAMPAIGNS[0]].roll.contact(0), do_not_call=False, now=7.0)
    assert callee.in_flight
    assert callee.dialled == (AT,)
    assert callee.since_s == 7.0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "dinner"},
        {"kind": "steered", "campaign_id": "x", "phase": "asleep", "at": "2026-03-03T12:00:00Z"},
        {"kind": "steered", "campaign_id": "x", "phase": "paused", "at": "2026-03-03T12:00:00"},
        {"kind": "attempt", "campaign_id": 7},
    ],
)
def test_what_is_no_entry_is_refused_by_name(body: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        from_body(body)
