"""What the voice says, the ear understands: `grammars.spoken` and the rules, written apart, agree on every value."""

from collections.abc import Callable
from datetime import date

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grammars.rules import Rule
from grammars.spoken import verbalise

ROUND = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def heard(rule: Rule, value: str) -> str | None:
    meaning = rule.parse(verbalise(value, rule.name))
    return meaning.slots["value"] if meaning else None


@ROUND
@given(number=st.integers(0, 999_999_999) | st.integers(0, 2000))
def test_every_number_is_understood_as_itself(rule_of: Callable[..., Rule], number: int) -> None:
    assert heard(rule_of("number"), str(number)) == str(number)


@ROUND
@given(number=st.integers(1, 999_999_999) | st.integers(1, 2000))
def test_every_ordinal_is_understood_as_itself(rule_of: Callable[..., Rule], number: int) -> None:
    assert heard(rule_of("ordinal"), str(number)) == str(number)


@ROUND
@given(day=st.dates(date(1900, 1, 1), date(2099, 12, 31)))
def test_every_date_is_understood_as_itself(rule_of: Callable[..., Rule], day: date) -> None:
    assert heard(rule_of("date", first_year=1900), day.isoformat()) == day.isoformat()


def test_every_minute_of_the_day_is_understood_as_itself(rule_of: Callable[..., Rule]) -> None:
    times = [f"{hour:02}:{minute:02}" for hour in range(24) for minute in range(60)]
    assert [heard(rule_of("time"), time) for time in times] == times


@ROUND
@given(cents=st.integers(0, 99_999_999) | st.integers(0, 20_000))
def test_every_amount_is_understood_as_itself(rule_of: Callable[..., Rule], cents: int) -> None:
    amount = f"{cents // 100}.{cents % 100:02}"
    assert heard(rule_of("money"), amount) == amount


@ROUND
@given(digits=st.from_regex(r"[0-9]{1,10}", fullmatch=True))
def test_all_digits_are_understood_as_themselves(rule_of: Callable[..., Rule], digits: str) -> None:
    assert heard(rule_of("digits"), digits) == digits


@ROUND
@given(digits=st.from_regex(r"(1?[2-9][0-9]{2})?[2-9][0-9]{6}", fullmatch=True))
def test_every_telephone_number_is_understood_as_itself(rule_of: Callable[..., Rule], digits: str) -> None:
    assert heard(rule_of("phone"), digits) == digits
