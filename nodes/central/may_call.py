"""Whether a contact may be called now: one pure predicate, every rule a row of `RULES`.

Asked once for every dial, right before it is written down; what it refuses never reaches a trunk. The rows are an
engineering reading of the rules named beside them, not legal advice, and the plan of a campaign can only say how
strict each is, not leave one out.

A zone is where a callee may be: when their list or number leaves several, the rule must hold in all of them. Nobody
could be called if that meant all zones of the earth (they span 26 hours), so a contact without any zone is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

from protocols.wire.campaigns import Plan
from protocols.wire.journal import Contact


@dataclass(frozen=True, slots=True)
class Callee:
    """A contact with everything that has happened to them, in any campaign."""

    contact: Contact
    do_not_call: bool = False
    in_flight: bool = False
    dialled: tuple[datetime, ...] = ()
    """The moments of the last days' dials, aware, the oldest first."""
    since_s: float = math.inf
    """How long ago the last dial was, in seconds that no wall clock has counted."""
    barred: str = ""
    """Why the dial plan has no way to them; empty: it has."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Call. `rules`: the rows that were asked, for the ledger."""

    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not call. `for_good`: asking again later cannot help."""

    rule_id: str
    for_good: bool = False


def may_call(callee: Callee, plan: Plan, at: datetime) -> Pass | Refused:
    """Return whether to dial `callee` under `plan` at the aware moment `at`; the first row that objects is the answer.

    >>> berlin = Callee(Contact(contact_id="c", target="+4930123456", zones=("Europe/Berlin",), consent="form-7"))
    >>> may_call(berlin, Plan(), datetime.fromisoformat("2026-03-03T06:59:00+00:00"))
    Refused(rule_id='calling_hours', for_good=False)
    >>> may_call(berlin, Plan(), datetime.fromisoformat("2026-03-03T07:00:00+00:00")).rules[-1]
    'spacing'
    """
    for rule in RULES:
        if not rule.holds(callee, plan, at):
            return Refused(rule.rule_id, rule.for_good)
    return Pass(PASSED)


def _consent(callee: Callee, plan: Plan, at: datetime) -> bool:
    return bool(callee.contact.consent) or not plan.needs_consent


def _wanted(callee: Callee, plan: Plan, at: datetime) -> bool:
    return not callee.do_not_call


def _dial_plan(callee: Callee, plan: Plan, at: datetime) -> bool:
    return not callee.barred


def _zone_known(callee: Callee, plan: Plan, at: datetime) -> bool:
    return bool(callee.contact.zones)


def _calling_hours(callee: Callee, plan: Plan, at: datetime) -> bool:
    for local in _locals(callee, at):
        minute = local.hour * 60 + local.minute
        if local.weekday() not in plan.days or not plan.opens_min <= minute < plan.closes_min:
            return False
    return True


def _one_at_a_time(callee: Callee, plan: Plan, at: datetime) -> bool:
    return not callee.in_flight


def _daily_cap(callee: Callee, plan: Plan, at: datetime) -> bool:
    recent = [moment for moment in callee.dialled if abs(at - moment) <= timedelta(days=2)]  # a day is < 26 h anywhere
    return all(_n_on(zone, local.date(), recent) < plan.per_day for zone, local in _clocks(callee, at))


def _spacing(callee: Callee, plan: Plan, at: datetime) -> bool:
    return callee.since_s >= plan.spacing_s


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: its name in the ledger, whether its no is final, and the question."""

    rule_id: str
    for_good: bool
    holds: Callable[[Callee, Plan, datetime], bool]


RULES: tuple[Rule, ...] = (
    Rule("consent", True, _consent),  # FCC 24-17: an artificial voice needs prior express consent
    Rule("do_not_call", True, _wanted),  # 47 CFR 64.1200(d): a request is honoured, here at once
    Rule("dial_plan", True, _dial_plan),  # `nodes/dial_plan.py`: premium rates, satellites, private hosts
    Rule("zone_known", True, _zone_known),
    Rule("calling_hours", False, _calling_hours),  # 47 CFR 64.1200(c)(1): at the called party's location
    Rule("one_at_a_time", False, _one_at_a_time),
    Rule("daily_cap", False, _daily_cap),
    Rule("spacing", False, _spacing),
)
PASSED = tuple(rule.rule_id for rule in RULES)

Clock: TypeAlias = tuple[ZoneInfo, datetime]
_zone = lru_cache(maxsize=1024)(ZoneInfo)  # its own cache is weak, and holds eight


def _clocks(callee: Callee, at: datetime) -> list[Clock]:
    return [(zone, at.astimezone(zone)) for zone in map(_zone, callee.contact.zones)]


def _locals(callee: Callee, at: datetime) -> list[datetime]:
    return [local for _, local in _clocks(callee, at)]


def _n_on(zone: ZoneInfo, day: date, moments: list[datetime]) -> int:
    return sum(moment.astimezone(zone).date() == day for moment in moments)


__all__ = ["PASSED", "RULES", "Callee", "Pass", "Refused", "Rule", "may_call"]
