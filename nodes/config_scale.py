"""`[scale]`: how many machines with an edge there should be at the least and at the most, and when many are needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nodes.tables import within

Day: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = get_args(Day)
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_MIDNIGHT: Final = "24:00"
_A_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Peak:
    """Hours in which so many machines are needed, whatever they have to do. `begins`, `ends`: `08:00`, up to `24:00`.

    What goes on beyond midnight is two peaks.
    """

    begins: str
    ends: str
    nodes: int = within(1, 1, 1000)
    days: tuple[Day, ...] = DAYS

    def __post_init__(self) -> None:
        for name, text in (("begins", self.begins), ("ends", self.ends)):
            if not (_CLOCK.fullmatch(text) or (name, text) == ("ends", _MIDNIGHT)):
                raise ValueError(f"{name}: {text!r} is no time of day such as 08:00")
        if self.begins >= self.ends:
            raise ValueError(f"ends: {self.ends} is not after {self.begins}; beyond midnight it is another peak")
        if not self.days or len(set(self.days)) < len(self.days):
            raise ValueError("days: at least one, and each once")

    def wants(self, at: datetime, zone: ZoneInfo, before: timedelta) -> bool:
        """Say whether it is on at a moment, or begins within `before` of it. `at`: aware."""
        return any(self._is_near(at, day, zone, before) for day in (at, at + before))

    def _is_near(self, at: datetime, day: datetime, zone: ZoneInfo, before: timedelta) -> bool:
        local = day.astimezone(zone)
        if DAYS[local.weekday()] not in self.days:
            return False
        begins, ends = (_on(local, text, zone) for text in (self.begins, self.ends))
        return begins - before.total_seconds() <= at.timestamp() < ends


def _on(day: datetime, text: str, zone: ZoneInfo) -> float:
    """Return a time of a day as seconds of the epoch: clocks may be changed on that day."""
    if text == _MIDNIGHT:
        return _on(day + _A_DAY, "00:00", zone)
    return datetime.combine(day.date(), time.fromisoformat(text), zone).timestamp()


@dataclass(frozen=True, slots=True)
class Scale:
    """What the advice on the number of machines goes by (`/api/scale`). The same on all nodes with central."""

    least: int = within(1, 1, 1000)
    """Machines that there are at the least: with two, calls outlive the death of one."""
    most: int = within(0, 0, 1000)
    """More are not advised, but for calls that are up already; 0: no bound."""
    hold_min: float = within(10.0, 1, 1440)
    """Fewer are advised when for so many minutes nothing has asked for more."""
    ready_min: float = within(10.0, 0, 1440)
    """Minutes until a further machine takes calls: peaks are prepared for so long before, and a queue that is empty
    by then asks for none."""
    zone: str = "UTC"
    """IANA zone of the peaks' times of day."""
    peaks: tuple[Peak, ...] = ()

    def __post_init__(self) -> None:
        if self.most and self.most < self.least:
            raise ValueError(f"most: {self.most} is less than least, {self.least}")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"zone: {self.zone!r} is no zone such as Europe/Berlin") from error
        for peak in self.peaks:
            if self.most and peak.nodes > self.most:
                raise ValueError(f"peaks: {peak.nodes} nodes are wanted, and at most {self.most} (most)")

    def peak(self, at: datetime) -> Peak | None:
        """Return the peak for which most machines are needed at a moment; None: there is none."""
        zone, before = ZoneInfo(self.zone), timedelta(minutes=self.ready_min)
        wanted = (peak for peak in self.peaks if peak.wants(at, zone, before))
        return max(wanted, key=lambda peak: peak.nodes, default=None)


__all__ = ["DAYS", "Day", "Peak", "Scale"]
