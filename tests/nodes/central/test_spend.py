"""A trunk spends no more in a day than its limit, whoever leads: counted from the journal alone."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nodes.central import spend
from nodes.central.dialler import Dialler
from nodes.central.outcomes import ended, lost
from nodes.central.spend import Fares, Spent, add, of_day
from nodes.config import Trunk
from protocols.wire.journal import Attempted, Ended, Refused, from_body, to_body
from tests.nodes.central.journals import folded
from tests.nodes.central.test_dialler import NOON, Desk, contact, running

HOUR_S = 3600.0
TRUNK = Trunk("carrier", "sip.example.net", prices={"+1": 0.5, "+1809": 5.0}, spend_per_day=2.0)
PEOPLE = [contact(f"c{n}", f"+1202555{n:04}") for n in range(20)]


class Paying(Desk):
    """A leader without a network whose trunk has prices and a limit."""

    def __init__(self, trunk: Trunk = TRUNK) -> None:
        super().__init__(running("spring", PEOPLE))
        self.dialler = Dialler(self.fold, self.admission, ["carrier"], fares=Fares({"carrier": trunk}))

    def talk(self, attempt: Attempted, seconds: float) -> Ended:
        self.wait(seconds)
        entry = ended(attempt, "human", "hung_up", NOON, self.now, seconds)
        self.fold.apply(entry)
        self.dialler.ended(entry)
        return entry


def test_no_call_begins_beyond_the_limit_and_the_campaign_says_why() -> None:
    desk = Paying()
    begun = desk.all()
    assert len(begun) == 4, "each may cost a minute"
    assert set(desk.dialler.held.values()) == {"spend"}
    for attempt in begun:
        assert not isinstance(attempt, Refused)
        assert attempt.price == 0.5
        desk.end(attempt, "busy")
    assert len(desk.all()) == 4, "who did not answer has cost nothing"


def test_a_minute_that_has_begun_is_paid_and_forgotten_after_a_day() -> None:
    desk = Paying()
    first = desk.next()
    assert isinstance(first, Attempted)
    assert desk.talk(first, 61.0).cost == 1.0
    assert len(desk.all()) == 2
    desk.wait(26 * HOUR_S)
    assert of_day(desk.fold.spent, "carrier", (), desk.now) == 0.0


def test_a_call_that_is_up_is_counted_as_long_as_it_lasts() -> None:
    desk = Paying()
    assert isinstance(desk.next(), Attempted)
    desk.wait(150.0)
    assert of_day(desk.fold.spent, "carrier", desk.fold.in_flight.values(), desk.now) == 1.5


def test_a_call_that_was_lost_after_its_answer_is_counted_by_its_age() -> None:
    desk = Paying()
    attempt = desk.next()
    assert isinstance(attempt, Attempted)
    desk.fold.talking.add(attempt.contact_id)
    assert lost(attempt, desk.fold, NOON, 130.0).cost == 1.5
    desk.fold.talking.clear()
    assert lost(attempt, desk.fold, NOON, 130.0).cost == 0.0


def test_without_a_limit_or_a_price_nothing_is_held() -> None:
    assert len(Paying(Trunk("carrier", "h", prices={"+1": 0.5})).all()) == 20
    assert len(Paying(Trunk("carrier", "h", spend_per_day=1.0)).all()) == 20


def test_whoever_reads_the_journal_knows_what_was_spent() -> None:
    desk, journal = Paying(), running("spring", PEOPLE)
    attempt = desk.next()
    assert isinstance(attempt, Attempted)
    journal += [attempt, desk.talk(attempt, 59.0)]
    again = folded(from_body(msgspec.json.decode(msgspec.json.encode(to_body(entry)))) for entry in journal)
    assert again.spent == desk.fold.spent == {"carrier": {0: 0.5}}


@given(st.lists(st.tuples(st.floats(0, 40 * HOUR_S), st.floats(0.01, 9.0)), max_size=30))
def test_the_sum_of_a_day_is_never_less_than_what_the_last_24_hours_have_cost(calls: list[tuple[float, float]]) -> None:
    spent: Spent = {}
    calls.sort()
    for at, amount in calls:
        add(spent, "carrier", amount, at)
        recent = sum(cost for when, cost in calls if at - 24 * HOUR_S <= when <= at)
        before = [cost for when, cost in calls if when == at]
        assert of_day(spent, "carrier", (), at) >= recent - sum(before) - 1e-6
        assert len(spent["carrier"]) <= spend.DAY_H + 1
