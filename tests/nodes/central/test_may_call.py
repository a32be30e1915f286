"""Nobody is called outside the rules, whatever their zone and the time of the year."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import phonenumbers.tzdata
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.central.may_call import RULES, Callee, Pass, Refused, may_call
from protocols.wire.campaigns import ContactId, Plan
from protocols.wire.journal import Contact

ZONES = sorted({zone for zones in phonenumbers.tzdata.TIMEZONE_DATA.values() for zone in zones})
NOON = datetime.fromisoformat("2026-03-03T12:00:00+00:00")


def callee(*zones: str, consent: str = "form-7", **known: object) -> Callee:
    contact = Contact(ContactId("c1"), "+4930123456", zones or ("Europe/London",), consent)
    return Callee(contact, **known)  # type: ignore[arg-type]


moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  hypothesis adds the zone
zones = st.lists(st.sampled_from(ZONES), min_size=1, max_size=4).map(tuple)
plans = st.builds(
    Plan,
    opens_min=st.integers(0, 1000),
    closes_min=st.integers(1001, 1440),
    days=st.sets(st.integers(0, 6), min_size=1).map(tuple),
    per_day=st.integers(1, 4),
    spacing_s=st.floats(0, 90000),
    needs_consent=st.booleans(),
)


@given(zones, plans, moments)
@example(
    ("America/New_York",), Plan(), datetime(2026, 3, 8, 12, 30, tzinfo=UTC)
)  # 7:30 standard, 8:30 summer: the day clocks change
@example(("America/New_York",), Plan(), datetime(2026, 11, 1, 12, 30, tzinfo=UTC))
@example(("Australia/Lord_Howe",), Plan(), datetime(2026, 4, 4, 21, 15, tzinfo=UTC))  # changes by half an hour
@example(("Asia/Kathmandu",), Plan(), datetime(2026, 4, 4, 2, 14, 59, tzinfo=UTC))  # 7:59:59 at +05:45
def test_nobody_is_called_outside_the_hours_of_any_zone_they_may_live_in(
    zones: tuple[str, ...], plan: Plan, at: datetime
) -> None:
    verdict = may_call(callee(*zones), plan, at)
    readings = [datetime.fromtimestamp(at.timestamp(), ZoneInfo(zone)) for zone in zones]
    outside = [
        local.strftime("%H:%M") < f"{plan.opens_min // 60:02}:{plan.opens_min % 60:02}"
        or local.strftime("%H:%M") >= f"{plan.closes_min // 60:02}:{plan.closes_min % 60:02}"
        or local.isoweekday() - 1 not in plan.days
        for local in readings
    ]
    assert isinstance(verdict, Refused) == any(outside)
    assert verdict == (Refused("calling_hours") if any(outside) else Pass(tuple(rule.rule_id for rule in RULES)))


@given(
    zones,
    plans,
    moments,
    st.lists(st.floats(0, 90), max_size=8),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "x"]),
)
def test_a_pass_has_passed_every_rule_and_a_refusal_names_the_first_that_objects(
    zones: tuple[str, ...], plan: Plan, at: datetime, hours_ago: list[float], dnc: bool, flying: bool, consent: str
) -> None:
    dialled = tuple(at - timedelta(hours=hours) for hours in hours_ago)
    asked = callee(*zones, consent=consent, do_not_call=dnc, in_flight=flying, dialled=dialled)
    objections = [rule.rule_id for rule in RULES if not rule.holds(asked, plan, at)]
    match may_call(asked, plan, at):
        case Pass(rules):
            assert not objections
            assert rules == tuple(rule.rule_id for rule in RULES)
        case Refused(rule_id):
            assert rule_id == objections[0]


@pytest.mark.parametrize(
    ("asked", "plan", "rule_id", "for_good"),
    [
        (callee(consent=""), Plan(), "consent", True),
        (callee(do_not_call=True), Plan(), "do_not_call", True),
        (Callee(Contact(ContactId("c1"), "sip:a@b", (), "form-7")), Plan(), "zone_known", True),
        (callee("Asia/Tokyo"), Plan(), "calling_hours", False),
        (callee(), Plan(days=(0,)), "calling_hours", False),
        (callee(in_flight=True), Plan(), "one_at_a_time", False),
        (callee(dialled=(NOON - timedelta(hours=11),)), Plan(per_day=1), "daily_cap", False),
        (callee(dialled=(NOON,), since_s=299.9), Plan(), "spacing", False),
    ],
)
def test_each_rule_refuses_under_its_own_name(asked: Callee, plan: Plan, rule_id: str, for_good: bool) -> None:
    assert may_call(asked, plan, NOON) == Refused(rule_id, for_good)


def test_without_the_need_for_consent_its_absence_is_no_objection() -> None:
    assert isinstance(may_call(callee(consent=""), Plan(needs_consent=False), NOON), Pass)


def test_the_daily_cap_counts_the_callees_own_day() -> None:
    yesterday_in_london = NOON - timedelta(hours=13)
    assert isinstance(may_call(callee(dialled=(yesterday_in_london,)), Plan(per_day=1), NOON), Pass)


@given(zones, moments, st.lists(st.integers(0, 60 * 24 * 4), max_size=12), st.integers(1, 4))
def test_no_day_of_a_callee_sees_more_dials_than_the_cap(
    zones: tuple[str, ...], start: datetime, steps_min: list[int], cap: int
) -> None:
    plan = Plan(per_day=cap, spacing_s=0, opens_min=0, closes_min=1440)
    at = start
    dialled: tuple[datetime, ...] = ()
    for step in steps_min:
        at += timedelta(minutes=step)
        if isinstance(may_call(callee(*zones, dialled=dialled), plan, at), Pass):
            dialled = (*dialled, at)
    for zone in zones:
        days = [moment.astimezone(ZoneInfo(zone)).date() for moment in dialled]
        assert max((days.count(day) for day in days), default=0) <= cap


@given(moments, st.floats(0, 4000), st.floats(0.001, 4000))
def test_the_spacing_is_kept_whatever_the_wall_clock_says(at: datetime, since_s: float, spacing_s: float) -> None:
    plan = Plan(per_day=99, spacing_s=spacing_s, opens_min=0, closes_min=1440)
    for dialled in (at - timedelta(hours=9), at, at + timedelta(hours=9)):
        asked = callee(dialled=(dialled,), since_s=since_s)
        assert isinstance(may_call(asked, plan, at), Pass) == (since_s >= spacing_s)


def test_every_zone_that_a_number_may_tell_is_known_here() -> None:
    assert all(ZoneInfo(zone) for zone in ZONES)
