"""Free prompt text into characters and pauses that the voice reads rightly.

An ordered list of rewritings, most specific first, as in the other languages; each turns what it knows into words. What
is left at the end is characters, Latin words and full-width punctuation: what else there was is dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from grammars.lang.zh.numbers import cardinal, spell
from grammars.lang.zh.values import (
    CURRENCIES,
    counted,
    say_date,
    say_day,
    say_minute,
    say_money,
    say_number,
    say_phone,
    say_time,
)
from grammars.lang.zh.words import HAN
from grammars.spoken.written import LONGEST
from grammars.tables import table

_SIGNS: Final = "".join(CURRENCIES)
_MUTE: Final = frozenset("".join(row[0] for row in table("grammars.lang.zh", "mute")))
_COUNTED: Final = "[个位次天点周家条张件份块元毛角台套部间人名年岁盒瓶杯碗句项笔种路页]|小时|分钟|星期|礼拜|个月"
"""What is counted, and so with 两 when there are two of it; a floor, a month, a day of the month are numbered."""
_IS_PLAIN: Final = re.compile(rf"(?:(?!二)[{HAN}]| )*")
"""What no rewriting knows anything about: the phrases of most rules."""
_PAUSES: Final = str.maketrans(",.?!;:", "，。？！；：")
_PLAIN: Final = str.maketrans("，。？！；：", ",.?!;:")


def normalise(text: str) -> str:
    """Return prompt text as characters with `，。？！；：、` for the voice, without digits and symbols. Never raises.

    >>> normalise("您2026年10月3日15:30有2个预约，费用¥50.5，优惠30%。")
    '您二零二六年十月三日下午三点半有两个预约，费用五十元五角，优惠百分之三十。'
    >>> normalise("请拨打 400-810-1234，或 13800138000 。")
    '请拨打四零零，八幺零，幺二三四，或幺三八，零零幺三，八零零零。'
    """
    if _IS_PLAIN.fullmatch(text):
        return text.replace(" ", "")
    text = _folded(text)
    for pattern, words in _REWRITINGS:
        text = pattern.sub(words, text)
    return _tidy(text)


def unspeakable(text: str) -> str:
    """Return the letters and digits of a text that have no sound here: other alphabets, and very rare characters.

    >>> unspeakable("王芳 José"), unspeakable("Олег さん 囖")
    ('', 'Олегさん囖')
    """
    letters = unicodedata.normalize("NFC", "" if text.isascii() else _folded(text))
    return "".join(c for c in letters if c.isalnum() and not _is_speakable(c))


def _is_speakable(character: str) -> bool:
    return character.isascii() or (re.match(f"[{HAN}]", character) is not None and character not in _MUTE)


def _folded(text: str) -> str:
    """Full-width forms as plain ones, Latin letters without accents."""
    text = text.replace("…", "。").replace("—", "，").replace("、", "\ue000")
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text)).replace("⁄", "/")
    return "".join(c for c in folded if not unicodedata.combining(c)).replace("。", ".").replace("\ue000", "、")


def _tidy(text: str) -> str:
    """Drop what no rewriting knew; one pause per place, spaces between Latin words only."""
    text = text.translate(_PLAIN)
    text = re.sub(rf"[^{HAN}A-Za-z'.,?!;:、 ]", " ", text)
    text = re.sub(r"(?<![A-Za-z])'|'(?![A-Za-z])", " ", text)
    text = re.sub(r"\s*([.,?!;:、])[\s.,?!;:、]*", lambda run: "?" if "?" in run[0] else run[1], text)
    text = re.sub(r"(?<![A-Za-z])\s+|\s+(?![A-Za-z])", "", text)
    return re.sub(r"\s+", " ", text).lstrip(".,?!;:、").translate(_PAUSES)


def _or_as_it_was(say: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
    def rewrite(found: re.Match[str]) -> str:
        try:
            return say(found[0])
        except ValueError:
            return found[0]

    return rewrite


def _dated(found: re.Match[str]) -> str:
    """`2026年10月3日`, `10月3号`, `10月`."""
    year, month, day, word = found[1], int(found[2]), found[3], found[4] or ""
    try:
        said = say_day(month, int(day)).removesuffix("号") + word if day else f"{cardinal(month)}月"
    except ValueError:
        return found[0]
    return (f"{spell(year)}年" if year else "") + said


def _clock(found: re.Match[str]) -> str:
    """`3点30分`, `15点`; the part of the day is said where it is written."""
    hour, minute = int(found[1]), found[2]
    return f"{'两' if hour == 2 else cardinal(hour)}点" + (say_minute(int(minute)) if minute else "")


def _after_half(found: re.Match[str]) -> str:
    """`下午3:30`: the part of the day is said once."""
    half, hour, minute = found[1], int(found[2]), int(found[3])
    shown = hour - 12 if hour > 12 else hour
    return f"{half}{'两' if shown == 2 else cardinal(shown)}点{say_minute(minute)}"


def _amount(found: re.Match[str]) -> str:
    """`50.5元`, `2块`."""
    whole, decimals, unit = found[1].replace(",", ""), found[2], found[3]
    if len(whole) > LONGEST:
        return found[0]
    return (say_number(f"{whole}.{decimals}") if decimals else counted(int(whole))) + unit


def _share(found: re.Match[str]) -> str:
    return f"百分之{say_number(found[1])}"


def _fraction(found: re.Match[str]) -> str:
    whole, upper, lower = found.groups()
    return (f"{say_number(whole)}又" if whole else "") + f"{cardinal(int(lower))}分之{cardinal(int(upper))}"


def _any_number(text: str) -> str:
    """A number, or its digits where nobody would read it as one: an account, a code with a leading zero."""
    digits = re.sub(r"\D", "", text)
    is_name = "." not in text and "," not in text and (len(digits) > 6 or re.match(r"0\d", digits))
    return spell(digits) if is_name or len(digits) > LONGEST else say_number(text)


_REWRITINGS: Final[list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]] = [
    (re.compile(rf"(?<=[{HAN}]) +(?=[{HAN}\d])|(?<=\d) +(?=[{HAN}])"), ""),
    (re.compile(r"° ?C|℃"), "摄氏度"),
    (re.compile(r"°"), "度"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), _or_as_it_was(say_date)),
    (re.compile(r"(?:(?<!\d)(\d{4})年)?(?<!\d)(\d{1,2})月(?:(\d{1,2})([日号]))?"), _dated),
    (re.compile(r"(?<!\d)(\d{4})(?=年)"), lambda found: spell(found[1])),
    (re.compile(r"(凌晨|早上|早晨|上午|中午|下午|傍晚|晚上)(\d{1,2}):([0-5]\d)(?!\d)"), _after_half),
    (re.compile(r"(?<![\d:])\d{1,2}:[0-5]\d(?![\d:])"), _or_as_it_was(say_time)),
    (re.compile(r"(?<!\d)(\d{1,2})点(?:(\d{1,2})分)?"), _clock),
    (re.compile(rf"(?<=[年月日号点分半]) ?[-~] ?(?=[{HAN}])"), "到"),
    (re.compile(rf"[{_SIGNS}] ?\d[\d,]*(?:\.\d\d?)?(?!\d)"), _or_as_it_was(say_money)),
    (re.compile(r"(?<![\d.])(\d[\d,]*)(?:\.(\d+))?(元|块|美元|欧元|英镑)"), _amount),
    (re.compile(r"(?<![\d.])(\d+(?:\.\d+)?) ?%"), _share),
    (re.compile(r"\+86[ -]?1\d{2}[ -]?\d{4}[ -]?\d{4}(?!\d)|(?<![\d.-])1[3-9]\d{9}(?!\d)"), _or_as_it_was(say_phone)),
    (re.compile(r"(?<![\d-])(?:[48]00-?\d{3}-?\d{4}|0\d{2,3}-\d{7,8})(?![\d-])"), _or_as_it_was(say_phone)),
    (re.compile(r"(?<![\d/])(?:(\d{1,3}) )?([1-9])/([1-9]\d?)(?![\d/])"), _fraction),
    (re.compile(r"(?<![\d-])(\d{1,4}) ?[-~] ?(\d{1,4})(?![\d-])"), r"\1到\2"),
    (re.compile(rf"(?<![\d.,第周期拜])2(?=(?:{_COUNTED}))"), "两"),
    (re.compile(rf"(?<![零一幺二三四五六七八九十百千万亿点第周期拜])二(?=(?:{_COUNTED}))(?!二年级)"), "两"),
    (re.compile(r"(?:(?<![\w])-)?\d+(?:,\d{3})*(?:\.\d+)?"), _or_as_it_was(_any_number)),
    (re.compile(r"#"), "号"),
    (re.compile(r"&"), "和"),
    (re.compile(r"\+"), "加"),
]
