"""The calendar of peaks: when more machines are wanted, by the clock of a zone, and ready when they begin."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.config import parse
from nodes.config_scale import DAYS, Peak, Scale
from nodes.tables import ConfigError

FILE = """
[scale]
least = 2
zone = "Europe/Berlin"
ready_min = 10
[[scale.peaks]]
days = ["mon", "tue"]
begins = "09:00"
ends = "12:00"
nodes = 4
[[scale.peaks]]
begins = "11:00"
ends = "24:00"
nodes = 6
"""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("when", "nodes"),
    [
        ("2026-03-02T08:49:59+01:00", 0),  # a Monday
        ("2026-03-02T08:50:00+01:00", 4),  # a machine takes ten minutes
        ("2026-03-02T10:49:59+01:00", 4),
        ("2026-03-02T10:50:00+01:00", 6),  # of two the larger
        ("2026-03-02T23:59:59+01:00", 6),
        ("2026-03-03T00:00:00+01:00", 0),
        ("2026-03-04T09:30:00+01:00", 0),  # Wednesday
        ("2026-03-30T09:30:00+02:00", 4),  # the day after clocks were put forward
    ],
)
def test_a_peak_is_prepared_before_it_begins_and_over_when_it_ends(when: str, nodes: int) -> None:
    peak = parse(FILE, "test", Path("/")).scale.peak(at(when))
    assert (peak.nodes if peak else 0) == nodes


def test_a_peak_just_after_midnight_is_prepared_on_the_day_before() -> None:
    scale = Scale(peaks=(Peak("00:05", "01:00", 3, days=("tue",)),))
    assert scale.peak(at("2026-03-02T23:56:00+00:00")) is not None
    assert scale.peak(at("2026-03-02T00:10:00+00:00")) is None


@given(st.integers(0, 365 * 86_400))
def test_a_peak_of_every_day_is_one_of_some_day(second: int) -> None:
    when = at("2026-01-01T00:00:00+00:00") + timedelta(seconds=second)
    each = [Scale(zone="America/New_York", peaks=(Peak("07:00", "19:00", 2, days=(one,)),)) for one in DAYS]
    every = Scale(zone="America/New_York", peaks=(Peak("07:00", "19:00", 2),))
    assert (every.peak(when) is not None) is any(one.peak(when) is not None for one in each)


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("[scale]\nleast = 0", "scale.least", "0 is not between 1 and 1000"),
        ("[scale]\nleast = 3\nmost = 2", "scale", "most: 2 is less than least, 3"),
        ("[scale]\nzone = 'Berlin'", "scale", "zone: 'Berlin' is no zone such as Europe/Berlin"),
        ("[scale]\nzone = '../x'", "scale", "zone: '../x' is no zone such as Europe/Berlin"),
        ("[[scale.peaks]]\nbegins = '8:00'\nends = '9:00'", "scale.peaks[0]", "begins: '8:00' is no time of day"),
        ("[[scale.peaks]]\nbegins = '24:00'\nends = '24:00'", "scale.peaks[0]", "begins: '24:00' is no time of day"),
        ("[[scale.peaks]]\nbegins = '22:00'\nends = '02:00'", "scale.peaks[0]", "02:00 is not after 22:00"),
        ("[[scale.peaks]]\nbegins = '08:00'\nends = '09:00'\ndays = ['mo']", "scale.peaks[0].days[0]", "'mo', not one"),
        ("[[scale.peaks]]\nbegins = '08:00'\nends = '09:00'\ndays = []", "scale.peaks[0]", "days: at least one"),
        ("[[scale.peaks]]\nends = '09:00'", "scale.peaks[0].begins", "is missing"),
        ("[scale]\nmost = 3\n[[scale.peaks]]\nbegins = '08:00'\nends = '09:00'\nnodes = 4", "scale", "at most 3"),
    ],
)
def test_what_is_no_calendar_is_refused_with_its_place(text: str, key: str, reason: str) -> None:
    with pytest.raises(ConfigError) as found:
        parse(text, "test", Path("/"))
    assert found.value.key == key
    assert reason in found.value.reason
