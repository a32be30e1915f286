"""Values of one kind as words. Each function takes written text and raises `ValueError` when it is not of its kind."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from grammars.lang.zh.numbers import DIGITS, cardinal, spell
from grammars.spoken.written import LONGEST, matched

CURRENCIES: Final = {"¥": "元", "￥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
_HALVES: Final = ((5, "凌晨"), (8, "早上"), (11, "上午"), (12, "中午"), (17, "下午"), (23, "晚上"))
"""The last hour of each part of the day."""
_GROUPS: Final = (r"(1[3-9]\d)(\d{4})(\d{4})", r"([48]00)(\d{3})(\d{4})", r"(01\d|02\d|0\d{3})(\d{3,4})(\d{4})")
"""How people group mobile numbers, those of companies, and those of the fixed network behind their area code."""


def say_number(text: str) -> str:
    """Return a number of at most 12 digits, with any number of decimals.

    >>> say_number("-1,234.50")
    '负一千两百三十四点五零'
    """
    sign, whole, decimals = matched(rf"(-?)(\d{{1,{LONGEST}}})(?:\.(\d+))?", text).groups()
    return ("负" if sign else "") + cardinal(int(whole)) + (f"点{spell(decimals)}" if decimals else "")


def say_ordinal(text: str) -> str:
    """Return `21` or `第21` as 第二十一."""
    number = int(matched(rf"第?(\d{{1,{LONGEST}}})", text)[1])
    if not number:
        raise ValueError(text)
    return f"第{cardinal(number)}"


def say_digits(text: str) -> str:
    """Return digits one by one, with a pause where the text has a gap.

    >>> say_digits("4250")
    '四二五零'
    """
    return spell(matched(r"\d[\d\s.-]*", text)[0])


def say_phone(text: str) -> str:
    """Return a telephone number digit by digit, 1 as 幺, in the groups that people say; +86 is left out.

    >>> say_phone("13800138000"), say_phone("010-65551234")
    ('幺三八，零零幺三，八零零零', '零幺零，六五五五，幺二三四')
    """
    written = matched(r"\+?[\d\s().-]*\d[\d\s().-]*", text)[0]
    digits = re.sub(r"^\+86", "", re.sub(r"[^\d+]", "", written)).removeprefix("+")
    grouped = next((found for pattern in _GROUPS if (found := re.fullmatch(pattern, digits))), None)
    if grouped:
        return spell(" ".join(grouped.groups()), one="幺")
    return spell(re.sub(r"^\+86", "", written.strip()), one="幺")


def say_date(text: str) -> str:
    """Return an ISO 8601 date; the year digit by digit.

    >>> say_date("2026-03-03")
    '二零二六年三月三号'
    """
    day = date.fromisoformat(matched(r"\d{4}-\d\d-\d\d", text)[0])
    return f"{spell(str(day.year))}年{say_day(day.month, day.day)}"


def say_day(month: int, day: int) -> str:
    """Return a day of the year. Raises: `ValueError` for one that no year has."""
    date(2000, month, day)
    return f"{cardinal(month)}月{cardinal(day)}号"


def say_time(text: str) -> str:
    """Return a time of day from 00:00 to 23:59 with its part of the day.

    >>> [say_time("15:30"), say_time("09:05"), say_time("12:00"), say_time("00:00"), say_time("14:15")]
    ['下午三点半', '上午九点零五分', '中午十二点', '零点', '下午两点十五分']
    """
    hour, minute = map(int, matched(r"([01]?\d|2[0-3]):([0-5]\d)", text).groups())
    half = next(name for last, name in _HALVES if hour <= last) if hour else ""
    shown = hour if hour <= 12 else hour - 12
    return f"{half}{'两' if shown == 2 else cardinal(shown)}点{say_minute(minute)}"


def say_minute(minute: int) -> str:
    """Return minutes as they follow an hour; nothing for none.

    >>> say_minute(0), say_minute(5), say_minute(30)
    ('', '零五分', '半')
    """
    if minute in (0, 30):
        return "半" if minute else ""
    return ("零" if minute < 10 else "") + f"{cardinal(minute)}分"


def say_money(text: str) -> str:
    """Return an amount with at most two decimals; without a currency sign it is yuan, with 角 and 分.

    >>> [say_money("42.50"), say_money("3.05"), say_money("0.05"), say_money("2"), say_money("$1.5")]
    ['四十二元五角', '三元零五分', '五分', '两元', '一点五美元']
    """
    signs = re.escape("".join(CURRENCIES))
    sign, whole, decimals = matched(rf"([{signs}]?)\s?(\d{{1,{LONGEST}}})(?:\.(\d\d?))?", text).groups()
    unit, big, little = CURRENCIES[sign or "¥"], int(whole), int((decimals or "0").ljust(2, "0"))
    if unit != "元":
        return say_number(text.replace(sign, "").strip().removesuffix(".00").removesuffix(".0")) + unit
    jiao, fen = divmod(little, 10)
    parts = [f"{counted(big)}元"] if big or not little else []
    parts += [f"{DIGITS[jiao]}角"] if jiao else ["零"] if fen and big else []
    parts += [f"{DIGITS[fen]}分"] if fen else []
    return "".join(parts)


def counted(number: int) -> str:
    """Return a number as it stands before what it counts: two of something are 两.

    >>> counted(2), counted(12)
    ('两', '十二')
    """
    return "两" if number == 2 else cardinal(number)
