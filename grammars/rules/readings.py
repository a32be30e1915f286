"""What a rule's reading is as written text: the last step of hearing, apart from how the rule is compiled.

A transducer writes a reading while it hears words (`m03d03`, `-15h09p`, `0042`); some depend on the day they are
heard. Of a day: `y m d` year, month, day; `Y M` years and months from this one; `w` the coming Friday (`w4`; Monday is
0), `t n f` that of this calendar week, the next, the one after; `+ -` days from today. Of a time: `h` the hour, `+ -`
minutes from it, `a p n` the half of the day (`n`: night).
Pure, and free of the compiler: a compiled rule travels to where it listens, and takes only this along.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, timedelta

FORGET = "\b"
"""In a reading: what was written before it is taken back, for the caller has corrected themselves."""
_FIRST_MORNING_HOUR = 7
_FIRST_EVENING_HOUR = 6


def written(rule: str, reading: str, today: date) -> str:
    """Return the value that a reading of this rule means, said on `today`.

    >>> written("number", "0042", date.min), written("digits", f"0017{FORGET}0042", date.min)
    ('42', '0042')
    """
    reading = reading.rpartition(FORGET)[2]
    match rule:
        case "date":
            return _date(reading, today)
        case "time":
            return _time(reading)
        case "money":
            units, hundredths = reading.split(".")
            return f"{int(units)}.{hundredths}"
        case "number" | "ordinal":
            return str(int(reading))
        case _:
            return reading


def _date(reading: str, today: date) -> str:
    """Return the day as ISO 8601; nothing for one that there is not.

    >>> [_date(reading, date(2026, 3, 4)) for reading in ("m03d03", "d31", "w2", "n2", "+1", "d29m02")]
    ['2027-03-03', '2026-03-31', '2026-03-11', '2026-03-11', '2026-03-05', '2028-02-29']
    """
    fields = {name: int(number) for name, number in re.findall(r"([-+wtnfmdyMY])(\d+)", reading)}
    try:
        return _day(fields, today).isoformat()
    except (ValueError, OverflowError):
        return ""


def _day(fields: dict[str, int], today: date) -> date:
    if "y" in fields:
        return date(fields["y"], fields["m"], fields["d"])
    if "Y" in fields:
        return date(today.year + fields["Y"], fields["m"], fields["d"])
    if "M" in fields:
        years, month = divmod(today.month - 1 + fields["M"], 12)
        return date(today.year + years, month + 1, fields["d"])
    for week, name in enumerate("tnf"):
        if name in fields:
            return today + timedelta(days=7 * week - today.weekday() + fields[name])
    if "+" in fields or "-" in fields:
        return today + timedelta(days=fields.get("+", 0) - fields.get("-", 0))
    if "w" in fields:  # said on a Friday, "friday" is not today
        return today + timedelta(days=(fields["w"] - today.weekday() - 1) % 7 + 1)
    return _coming(fields["d"], fields.get("m"), today)


def _coming(day: int, month: int | None, today: date) -> date:
    """The nearest such day from today on; a February 29 is never more than eight years away."""
    years = range(today.year, today.year + 9)
    months = ((year, m) for year in years for m in range(1, 13) if month in (m, None))
    days = (date(year, m, day) for year, m in months if day <= monthrange(year, m)[1])
    return next(found for found in days if found >= today)


def _time(reading: str) -> str:
    """Return `HH:MM`.

    >>> _time("-15h09p")
    '20:45'
    """
    fields = dict(re.findall(r"([-+hapn])(\d*)", reading))
    hour = _on_the_day(int(fields["h"]), next((half for half in "apn" if half in fields), ""))
    minutes = (hour * 60 + int(fields.get("+", 0)) - int(fields.get("-", 0))) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _on_the_day(hour: int, half: str) -> int:
    """The hour of the day, 0 to 23, that an hour of the clock is in this half of the day."""
    if hour > 12:
        return hour
    if not half:
        half = "a" if _FIRST_MORNING_HOUR <= hour < 12 else "p"
    if half == "n":
        half = "p" if _FIRST_EVENING_HOUR <= hour < 12 else "a"
    return hour % 12 + (12 if half == "p" else 0)


__all__ = ["FORGET", "written"]
