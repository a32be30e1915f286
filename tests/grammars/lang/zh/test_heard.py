"""What Mandarin hears: a table of cases for each rule, beside this file, and every value there is, in other words.

`phrases.tsv` is one table for all rules that are lists of phrases: each understands its own and none of the others'.
"""

from datetime import date
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars.lang.pack import HEARD
from grammars.rules import INTENTS, Completeness, Rule, RuleSpec
from grammars.rules.compile import compile_rule
from grammars.spoken import normalise, verbalise

WEDNESDAY = date(2026, 3, 4)
PHRASES = ("yes_no", *INTENTS)
PHONE = r"1[3-9][0-9]{9}|0([12][0-9]|[3-9][0-9]{2})[2-8][0-9]{6,7}|[48]00[0-9]{7}"
ROUND = settings(max_examples=200, deadline=None)


@cache
def rule(name: str, **params: object) -> Rule:
    """A rule of Mandarin, heard on a fixed Wednesday."""
    return compile_rule(RuleSpec(name, params, "zh"), WEDNESDAY)


def rows(name: str) -> list[list[str]]:
    """The cases of a table."""
    text = (Path(__file__).parent / f"{name}.tsv").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def value_of(name: str, heard: str) -> str | None:
    """What a rule makes of words."""
    meaning = rule(name).parse(heard)
    return meaning.slots.get("value", meaning.intent) if meaning else None


@pytest.mark.parametrize("name", HEARD)
def test_what_is_heard_has_the_value_in_the_table(name: str) -> None:
    wrong = {heard: found for heard, value in rows(name) if (found := value_of(name, heard) or "-") != value}
    assert wrong == {}


@pytest.mark.parametrize("name", PHRASES)
def test_each_rule_understands_its_own_phrases_and_none_of_the_others(name: str) -> None:
    wrong = {}
    for heard, meant in rows("phrases"):
        owner, _, value = meant.partition(" ")
        wanted = (value or owner) if owner == name else None
        if (found := value_of(name, heard)) != wanted:
            wrong[heard] = found
    assert wrong == {}


@pytest.mark.parametrize("name", HEARD)
def test_every_value_in_the_table_can_be_said_so_that_the_rule_understands_it(name: str) -> None:
    values = {value for _, value in rows(name)} - {"-"}
    assert {value for value in values if not rule(name).say(value)} == set()


# ---- every value ---------------------------------------------------------------------------------------------------


@ROUND
@given(number=st.integers(0, 999_999_999) | st.integers(0, 20_000))
def test_every_number_is_understood_as_itself(number: int) -> None:
    said = verbalise(str(number), "number", "zh")
    assert value_of("number", said) == str(number)
    assert value_of("number", said.replace("两", "二")) == str(number)
    if number:
        assert value_of("ordinal", verbalise(str(number), "ordinal", "zh")) == str(number)


@ROUND
@given(thousands=st.integers(1, 9), hundreds=st.integers(1, 9))
def test_what_is_left_out_at_the_end_of_a_number_is_a_scale(thousands: int, hundreds: int) -> None:
    upper, lower = (verbalise(str(each), "number", "zh") for each in (thousands, hundreds))
    assert value_of("number", f"{upper}千{lower}") == str(thousands * 1000 + hundreds * 100)
    assert value_of("number", f"{upper}百{lower}") == str(thousands * 100 + hundreds * 10)
    assert value_of("number", f"{upper}万{lower}") == str(thousands * 10_000 + hundreds * 1000)
    assert value_of("number", f"{upper}十{lower}") == str(thousands * 10 + hundreds)


@ROUND
@given(day=st.dates(date(1900, 1, 1), date(2099, 12, 31)))
def test_every_date_is_understood_as_itself(day: date) -> None:
    heard = rule("date", first_year=1900).parse(verbalise(day.isoformat(), "date", "zh"))
    assert heard
    assert heard.slots["value"] == day.isoformat()


def test_every_minute_of_the_day_is_understood_as_itself() -> None:
    times = [f"{hour:02}:{minute:02}" for hour in range(24) for minute in range(60)]
    assert [value_of("time", verbalise(time, "time", "zh")) for time in times] == times


@ROUND
@given(cents=st.integers(0, 99_999_999) | st.integers(0, 20_000))
def test_every_amount_is_understood_as_itself(cents: int) -> None:
    amount = f"{cents // 100}.{cents % 100:02}"
    said = verbalise(amount, "money", "zh")
    assert value_of("money", said) == amount
    assert value_of("money", said.replace("元", "块").replace("角", "毛")) == amount


@ROUND
@given(digits=st.from_regex(r"[0-9]{1,10}", fullmatch=True))
def test_all_digits_are_understood_as_themselves(digits: str) -> None:
    said = verbalise(digits, "digits", "zh")
    assert value_of("digits", said) == value_of("digits", said.replace("一", "幺")) == digits


@ROUND
@given(number=st.from_regex(PHONE, fullmatch=True))
def test_every_telephone_number_is_understood_as_itself(number: str) -> None:
    assert value_of("phone", verbalise(number, "phone", "zh")) == number


@pytest.mark.parametrize(
    ("name", "heard", "expected"),
    [
        ("time", "下午三", Completeness.PREFIX),
        ("time", "下午三点", Completeness.EXTENDABLE),
        ("time", "下午三点半", Completeness.COMPLETE),
        ("date", "下周", Completeness.PREFIX),
        ("date", "下周三", Completeness.COMPLETE),
        ("date", "十月三", Completeness.EXTENDABLE),
        ("money", "五十块", Completeness.EXTENDABLE),
        ("number", "一百二", Completeness.EXTENDABLE),
        ("stop", "不要再", Completeness.PREFIX),
        ("yes_no", "苹果", Completeness.NO),
    ],
)
def test_how_far_an_answer_has_come_is_known_character_by_character(
    name: str, heard: str, expected: Completeness
) -> None:
    assert rule(name).completeness(heard) is expected


def test_what_a_script_gives_to_choose_from_is_heard_in_either_script() -> None:
    options = {"options": {"move": ["[我要](改|换)时间", "改期"], "vip": ["VIP[客服]"]}}
    choices = compile_rule(RuleSpec("choices", options, "zh"), WEDNESDAY)
    said = {
        "我要换时间": "move",
        "我想改时间": "move",
        "改期吧": "move",
        "換時間": "move",
        "vip": "vip",
        "VIP客服": "vip",
    }
    assert {words: meaning.intent for words in said if (meaning := choices.parse(words))} == said
    assert normalise(choices.say("move") or "", "zh") == "我要改时间"
