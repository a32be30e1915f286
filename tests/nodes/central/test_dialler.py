"""The next dial follows from the fold, the moment and the limits; every rule that refuses keeps the phone silent."""

import math
from collections import Counter
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from nodes.central.admission import Admission, base_of
from nodes.central.agenda import LOOK_AGAIN_S, Agenda
from nodes.central.campaign import Campaigns, Progress
from nodes.central.dialler import Dialler, Moment
from protocols.wire.campaigns import ContactId, Plan, attempt_id
from protocols.wire.ids import CampaignId
from protocols.wire.journal import Attempted, CampaignPhase, Contact, Ended, Entry, Refused, Steered
from tests.nodes.central.journals import folded, imported

NOON = datetime.fromisoformat("2026-03-03T12:00:00+00:00")
ALWAYS = Plan(opens_min=0, closes_min=1440, concurrency=1000, spacing_s=0)


def contact(name: str, target: str = "", zone: str = "Europe/London", consent: str = "form") -> Contact:
    return Contact(ContactId(name), target or f"sip:{name}@b", (zone,), consent)


def running(name: str, contacts: list[Contact], plan: Plan = ALWAYS, shift_s: float = 0.0) -> list[Entry]:
    campaign = CampaignId(name)
    at = NOON + timedelta(seconds=shift_s)
    return [
        imported(campaign, contacts, at, plan, shift_s),
        Steered(campaign, CampaignPhase.RUNNING, at),
    ]


class Desk:
    """A leader without a network: writes down at once what the dialler decides."""

    def __init__(self, *entries: list[Entry], base: float = 1000.0, per_edge: int = 1000, cps: float = 1000.0) -> None:
        self.fold: Campaigns = folded(entry for group in entries for entry in group)
        self.admission = Admission({"carrier": cps}, 0.0, base, per_edge)
        self.dialler = Dialler(self.fold, self.admission, ["carrier"])
        self.wall, self.now, self.n_edges = NOON, 0.0, 1
        self.room = math.inf
        self.do_not_call: set[ContactId] = set()

    def next(self) -> Attempted | Refused | None:
        entry = self.dialler.next(Moment(self.wall, self.now, self.n_edges, self.do_not_call, self.room))
        if entry:
            self.fold.apply(entry)
        return entry

    def all(self) -> list[Attempted | Refused]:
        return list(iter(self.next, None))

    def wait(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.now += seconds

    def end(self, attempt: Attempted, disposition: str) -> None:
        ended = Ended(
            attempt.campaign_id,
            attempt.contact_id,
            attempt.attempt_id,
            disposition,
            "",
            attempt.at,
            self.now,
            attempt.row,
        )
        self.fold.apply(ended)
        self.dialler.ended(ended)
        self.admission.told(attempt.trunk, disposition != "failed", self.now)


def test_the_queue_is_who_is_due_and_the_calls_that_campaigns_would_begin_if_machines_took_them() -> None:
    plan = Plan(opens_min=0, closes_min=1440, concurrency=4, spacing_s=0, retries={"busy": (60.0,)})
    desk = Desk(running("spring", [contact(name) for name in "abcdefgh"], plan))
    assert desk.dialler.queue(desk.now) == (4, 8)
    desk.room = 0.0
    assert desk.next() is None
    assert desk.dialler.queue(desk.now) == (4, 8), "edges_full: more machines would do"
    desk.room = math.inf
    dialled = [one for one in desk.all() if isinstance(one, Attempted)]
    assert desk.dialler.queue(desk.now) == (0, 4), "as many calls as the plan wants"
    desk.end(dialled[0], "busy")
    assert desk.dialler.queue(desk.now) == (1, 4), "who was busy is not due"
    desk.wait(61)
    assert desk.dialler.queue(desk.now) == (1, 5)


def test_whom_nobody_may_call_now_is_in_no_queue() -> None:
    desk = Desk(running("night", [contact(name) for name in "abc"], Plan(opens_min=0, closes_min=1, concurrency=9)))
    assert desk.all() == []
    assert desk.dialler.queue(desk.now) == (0, 0)
    stopped = Desk([imported(CampaignId("new"), [contact("a")], NOON, ALWAYS, 0.0)])
    assert stopped.dialler.queue(0.0) == (0, 0), "it was not started"


@given(st.lists(st.floats(0, 100), max_size=30), st.floats(0, 100), st.integers(0, 40))
def test_those_who_are_due_again_are_counted_up_to_a_bound(dues: list[float], now: float, most: int) -> None:
    desk = Desk(running("spring", [contact(str(n)) for n in range(len(dues))]))
    campaign = desk.fold.campaigns[CampaignId("spring")]
    campaign.touched |= {row: Progress(due) for row, due in enumerate(dues)}
    assert Agenda(campaign).n_due(now, most) == min(most, sum(due <= now for due in dues))


def test_contacts_are_dialled_in_the_order_of_their_list_each_with_the_rules_they_passed() -> None:
    desk = Desk(running("spring", [contact(name) for name in "abc"]))
    dialled = desk.all()
    assert [entry.contact_id for entry in dialled] == list("abc")
    first = dialled[0]
    assert isinstance(first, Attempted)
    assert first.attempt_id == attempt_id(CampaignId("spring"), ContactId("a"), 1)
    assert first.passed[0] == "consent"
    assert first.consent == "form"


def test_only_a_running_campaign_dials() -> None:
    spring = CampaignId("spring")
    for phase in (CampaignPhase.PAUSED, CampaignPhase.STOPPED):
        assert Desk([*running("spring", [contact("a")]), Steered(spring, phase, NOON)]).all() == []


def test_a_busy_contact_is_dialled_again_when_the_retry_rule_says_and_not_before() -> None:
    desk = Desk(running("spring", [contact("a")]))
    (attempt,) = desk.all()
    assert isinstance(attempt, Attempted)
    desk.end(attempt, "busy")
    desk.wait(299)
    assert desk.all() == []
    desk.wait(1)
    (again,) = desk.all()
    assert isinstance(again, Attempted)
    assert again.n == 2


def test_a_contact_outside_the_hours_is_held_back_and_looked_at_again_each_minute() -> None:
    desk = Desk(running("spring", [contact("a", zone="Asia/Tokyo")], Plan()))  # 21:00 there
    assert desk.all() == []
    assert desk.dialler.held == {"spring": "calling_hours"}
    desk.wait(10 * 3600)  # 7:00
    assert desk.all() == []
    desk.wait(3600)
    assert [entry.contact_id for entry in desk.all()] == ["a"]


def test_what_is_refused_for_good_is_written_down_and_never_asked_again() -> None:
    desk = Desk(running("spring", [contact("a", consent=""), contact("b"), contact("c")]))
    desk.do_not_call = {ContactId("b")}
    entries = desk.all()
    assert [type(entry) for entry in entries] == [Refused, Refused, Attempted]
    assert desk.fold.campaigns[CampaignId("spring")].refused == {"consent": 1, "do_not_call": 1}
    desk.wait(86400)
    assert desk.all() == []


def test_one_person_on_two_lists_has_one_call_at_a_time() -> None:
    desk = Desk(running("spring", [contact("a")]), running("autumn", [contact("a")]))
    (attempt,) = desk.all()
    assert isinstance(attempt, Attempted)
    assert "one_at_a_time" in desk.dialler.held.values()
    desk.end(attempt, "human")
    desk.wait(LOOK_AGAIN_S)
    (other,) = desk.all()
    assert other.campaign_id != attempt.campaign_id


def test_a_campaign_has_no_more_calls_at_a_time_than_its_plan_says() -> None:
    desk = Desk(
        running("spring", [contact(str(n)) for n in range(9)], Plan(opens_min=0, closes_min=1440, concurrency=4))
    )
    dialled = desk.all()
    assert len(dialled) == 4
    assert desk.dialler.held == {"spring": "concurrency"}
    assert isinstance(dialled[0], Attempted)
    desk.end(dialled[0], "human")
    assert len(desk.all()) == 1


def test_without_an_edge_nobody_is_dialled_and_full_edges_take_nobody_more() -> None:
    desk = Desk(running("spring", [contact(str(n)) for n in range(9)]), per_edge=3)
    desk.n_edges = 0
    assert desk.all() == []
    assert desk.dialler.held == {"spring": "no_edge"}
    desk.n_edges = 2
    assert len(desk.all()) == 6
    assert desk.dialler.held == {"spring": "edges_full"}


def test_calls_begin_as_fast_as_the_bucket_fills_after_a_burst() -> None:
    desk = Desk(running("spring", [contact(str(n)) for n in range(99)]), base=base_of(2))
    assert len(desk.all()) == 12
    assert desk.dialler.held == {"spring": "tokens"}
    for _ in range(10):
        desk.wait(1)
    assert len(desk.all()) == 8


def test_a_trunk_gets_no_more_calls_a_second_than_its_carrier_takes_and_sip_uris_do_not_wait_for_it() -> None:
    numbers = [contact(f"n{n}", f"+49301234{n:02}") for n in range(9)]
    uris = [contact(f"u{n}") for n in range(9)]
    desk = Desk(running("numbers", numbers), running("uris", uris), cps=2.0)
    first = Counter(entry.campaign_id for entry in desk.all())
    assert first == {"numbers": 2, "uris": 9}
    assert desk.dialler.held[CampaignId("numbers")] == "trunk_rate"
    desk.wait(1)
    assert len(desk.all()) == 2


def test_a_trunk_that_fails_more_than_half_is_left_alone_and_then_tried_with_one_call() -> None:
    desk = Desk(running("spring", [contact(f"n{n}", f"+49301234{n:02}") for n in range(40)]))
    for _ in range(10):
        attempt = desk.next()
        assert isinstance(attempt, Attempted)
        desk.end(attempt, "failed")
    assert desk.all() == []
    assert desk.dialler.held == {"spring": "trunk_failing"}
    assert desk.admission.breakers.failing == {"carrier"}
    desk.wait(30)
    (trial,) = desk.all()
    assert isinstance(trial, Attempted)
    desk.end(trial, "busy")
    assert len(desk.all()) == 29
    assert desk.admission.breakers.figures() == {"trunk_breakers_open": 0.0, "trunk_breakers_opened": 1.0}


def test_a_campaign_whose_trunk_is_no_longer_configured_says_so() -> None:
    plan = Plan(opens_min=0, closes_min=1440, trunk="gone")
    desk = Desk(running("spring", [contact("a", "+4930123456")], plan))
    assert desk.all() == []
    assert desk.dialler.held == {"spring": "no_trunk"}


@given(st.integers(1, 4), st.integers(1, 4))
def test_campaigns_share_the_cluster_in_proportion(a: int, b: int) -> None:
    plans = [Plan(opens_min=0, closes_min=1440, concurrency=1000, share=share) for share in (a, b)]
    lists = [[contact(f"{name}{n}") for n in range(100)] for name in "ab"]
    desk = Desk(running("a", lists[0], plans[0]), running("b", lists[1], plans[1]), per_edge=5 * (a + b))
    turns = Counter(entry.campaign_id for entry in desk.all())
    assert turns == {"a": 5 * a, "b": 5 * b}


def test_a_rehearsal_dials_by_its_own_clock() -> None:
    night = timedelta(hours=12).total_seconds()
    desk = Desk(running("real", [contact("a")], Plan()), running("night", [contact("b")], Plan(), shift_s=night))
    assert [entry.contact_id for entry in desk.all()] == ["a"]
    desk.wait(8 * 3600)  # 20:00, and 8:00 in the rehearsal
    (attempt,) = desk.all()
    assert attempt.contact_id == "b"
    assert attempt.at == desk.wall + timedelta(hours=12)


def test_a_successor_dials_who_is_left_and_nobody_twice() -> None:
    first = Desk(running("spring", [contact(name) for name in "abcd"]))
    assert [first.next(), first.next()]
    successor = Desk()
    successor.fold = first.fold
    successor.dialler = Dialler(first.fold, successor.admission, [])
    assert [entry.contact_id for entry in successor.all()] == ["c", "d"]


def test_an_agenda_forgets_what_was_overtaken() -> None:
    desk = Desk(running("spring", [contact("a")]))
    campaign = desk.fold.campaigns[CampaignId("spring")]
    agenda = Agenda(campaign)
    agenda.put(0, 0.0)
    assert isinstance(desk.next(), Attempted)
    assert agenda.take(0.0) is None


def test_edges_without_room_hold_everybody() -> None:
    desk = Desk(running("spring", [contact("a")]))
    desk.room = 0
    assert desk.next() is None
    assert desk.dialler.held[CampaignId("spring")] == "edges_full"
    desk.room = 1
    assert desk.next() is not None


def test_how_fast_calls_begin_follows_the_cores_of_the_whole_cluster() -> None:
    desk = Desk(running("spring", [contact(str(n)) for n in range(999)]), base=0.0, per_edge=0)
    assert len(desk.all()) == 6, "as for one core, while nobody has said anything"
    desk.admission.follow(20.0, desk.now)
    assert desk.all() == [], "a machine that joins brings room, and no burst: the bucket is as full as it was"
    desk.wait(1.0)
    assert len(desk.all()) == 8
    desk.wait(1000.0)
    assert len(desk.all()) == 120
    desk.admission.follow(2.0, desk.now)
    desk.wait(1000.0)
    assert len(desk.all()) == 12


def test_without_a_number_of_the_operators_the_edges_say_how_many_calls_there_may_be() -> None:
    desk = Desk(running("spring", [contact(str(n)) for n in range(200)]), per_edge=0)
    assert len(desk.all()) == 200
    desk = Desk(running("autumn", [contact(str(n)) for n in range(200)]), per_edge=7)
    assert len(desk.all()) == 7
    desk.n_edges = 3
    assert len(desk.all()) == 14
