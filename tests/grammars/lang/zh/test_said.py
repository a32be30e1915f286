"""What the Mandarin voice is given: values of each kind, and free text."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars.lang.zh.numbers import cardinal
from grammars.lang.zh.words import HAN
from grammars.spoken import normalise, unspeakable, verbalise, words_of

CASES = [
    line.split("\t")
    for line in (Path(__file__).parent / "free_text.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("# written")
]
WRITTEN = st.lists(
    st.sampled_from(
        "0 1 2 12 30 99 2026 年 月 日 号 点 分 半 元 块 个 第 周 二 十 A Li ， 。 . : / - % ¥ $ + # é さ".split()
    )
    | st.just(" ")
).map("".join)


@pytest.mark.parametrize(("written", "spoken"), CASES)
def test_written_text_becomes_characters(written: str, spoken: str) -> None:
    assert normalise(written, "zh") == spoken


@given(text=st.text() | WRITTEN)
def test_any_text_becomes_characters_and_pauses(text: str) -> None:
    spoken = normalise(text, "zh")
    assert re.fullmatch(rf"[{HAN}A-Za-z'，。？！；：、 ]*", spoken)
    assert not re.search(rf"\s\s|\s[{HAN}，。？！；：、]|[，。？！；：、][，。？！；：、]|^[，。？！；：、]", spoken)
    assert spoken == spoken.strip()


@pytest.mark.parametrize(
    ("written", "kind", "spoken"),
    [
        ("2026-10-03", "date", "二零二六年十月三号"),
        ("1905-01-22", "date", "一九零五年一月二十二号"),
        ("15:30", "time", "下午三点半"),
        ("02:15", "time", "凌晨两点十五分"),
        ("12:00", "time", "中午十二点"),
        ("00:00", "time", "零点"),
        ("20:45", "time", "晚上八点四十五分"),
        ("50", "money", "五十元"),
        ("2", "money", "两元"),
        ("42.50", "money", "四十二元五角"),
        ("42.55", "money", "四十二元五角五分"),
        ("0.5", "money", "五角"),
        ("3.05", "money", "三元零五分"),
        ("0", "money", "零元"),
        ("$20", "money", "二十美元"),
        ("123", "number", "一百二十三"),
        ("3005", "number", "三千零五"),
        ("-3.05", "number", "负三点零五"),
        ("21", "ordinal", "第二十一"),
        ("2", "ordinal", "第二"),
        ("4250", "digits", "四二五零"),
        ("12-34", "digits", "一二，三四"),
        ("13800138000", "phone", "幺三八，零零幺三，八零零零"),
        ("+8613800138000", "phone", "幺三八，零零幺三，八零零零"),
        ("12125550199", "phone", "幺二幺二五五五零幺九九"),
        ("下周三", "date", "下周三"),
    ],
)
def test_a_value_is_said_as_its_kind(written: str, kind: str, spoken: str) -> None:
    assert verbalise(written, kind, "zh") == spoken


@given(text=st.text(), kind=st.sampled_from(["", "date", "time", "money", "number", "ordinal", "digits", "phone", "x"]))
def test_no_text_raises(text: str, kind: str) -> None:
    verbalise(text, kind, "zh")
    unspeakable(text, "zh")
    words_of(text, "zh")


@given(number=st.integers(0, 10**12 - 1), other=st.integers(0, 10**12 - 1))
def test_different_numbers_are_said_differently(number: int, other: int) -> None:
    assert (cardinal(number) == cardinal(other)) == (number == other)


def test_letters_of_no_alphabet_that_the_voice_has_are_found() -> None:
    assert unspeakable("王芳，José，VIP，３号〇", "zh") == ""
    assert unspeakable("Иван さくら 김 囖𠀀", "zh") == "Иванさくら김囖𠀀"


def test_traditional_characters_are_the_same_words() -> None:
    assert words_of("請轉人工", "zh") == words_of("请转人工", "zh") == list("请转人工")
