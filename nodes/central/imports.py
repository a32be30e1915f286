"""An import, decided: what is wrong with a plan, and the contacts of a list as script and plan want them.

The script has been checked (in a process of its own); each contact is held against it, because a slot that is missing
is found here with its line and not in the middle of a call.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import BinaryIO

from grammars.errors import ScriptError
from grammars.script_law import announces_recording
from grammars.script_model import Script
from nodes.central.contacts import Listing, is_zone
from nodes.config import Config
from nodes.config_storage import MOST_DAYS
from nodes.dial_plan import Barred, nothing_barred
from protocols.errors import RemoteProtocolError
from protocols.sip import identity
from protocols.wire.campaigns import LEAST_RING_S, RECORDING, BeginImport, Plan, Problem
from protocols.wire.journal import Contact, Imported, RollRef

CAMPAIGN_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def listing(
    file: str,
    stream: BinaryIO,
    *,
    plan: Plan,
    script: Script,
    key: bytes,
    trunks: Collection[str],
    barred: Barred = nothing_barred,
) -> Listing:
    """Return the contacts of a list as they come.

    `key`: hides numbers in names. `trunks`: those there are; `barred`: what they do not dial. Raises, also while it is
    read: BadContactList.
    """

    def faults(contact: Contact) -> Sequence[str]:
        return (*_dial_faults(contact, plan, trunks, barred), *script.problems(dict(contact.slots)))

    return Listing(file, stream, key=key, region=plan.region, zone=plan.zone, faults=faults)


def entry_of(request: BeginImport, import_id: str, packed: bytes, roll: RollRef, wall: datetime) -> Imported:
    """Return what to write down so that the campaign exists. `packed`: the script, checked. `wall`: now, aware."""
    plan = request.plan
    at = datetime.fromisoformat(plan.clock) if plan.clock else wall
    shift_s = (at - wall).total_seconds()
    return Imported(request.campaign_id, import_id, plan, request.script, at, roll, shift_s, packed)


def script_problems(error: ScriptError) -> tuple[Problem, ...]:
    """Return why a script is refused, in the words of an import."""
    return tuple(Problem("script", reason.line, "", reason.reason) for reason in error.reasons)


def plan_problems(request: BeginImport, trunks: Collection[str]) -> list[Problem]:
    """Return what is wrong with name and plan: they come from a command line, or from anybody's program."""
    plan = request.plan
    waits = (plan.spacing_s, *(wait for row in plan.retries.values() for wait in row))
    checks = {
        "a campaign's name is 1 to 64 of a-z 0-9 - _": CAMPAIGN_ID.fullmatch(request.campaign_id),
        "calling hours open before they close, within one day": 0 <= plan.opens_min < plan.closes_min <= 24 * 60,
        "days are weekdays, 0 (Monday) to 6": plan.days and set(plan.days) <= set(range(7)),
        f"{plan.zone!r} is not an IANA time zone": not plan.zone or is_zone(plan.zone),
        f"there is no trunk {plan.trunk!r}": not plan.trunk or plan.trunk in trunks,
        "`per_day` and `concurrency` are at least 1": min(plan.per_day, plan.concurrency) >= 1,
        "`share` is above 0": 0 < plan.share < math.inf,
        f"`ring_s` is at least {LEAST_RING_S:g}": LEAST_RING_S <= plan.ring_s < math.inf,
        f"`recording` is one of {', '.join(RECORDING)}": plan.recording in RECORDING,
        f"`retention_days` is 0 to {MOST_DAYS}": 0 <= plan.retention_days <= MOST_DAYS,
        "waiting times are 0 to a year of seconds": all(0 <= wait <= 366 * 86400 for wait in waits),
        "`clock` is an ISO 8601 moment with offset": not plan.clock or _is_moment(plan.clock),
    }
    problems = [Problem("plan", 0, "", reason) for reason, is_right in checks.items() if not is_right]
    try:
        identity.caller_id(plan.caller_id)
    except RemoteProtocolError as error:
        problems.append(Problem("plan", 0, "caller_id", error.detail))
    return problems


def recording_problems(plan: Plan, script: Script) -> Iterator[Problem]:
    """Yield what is wrong with the basis on which calls are recorded."""
    if plan.recording == "notice" and not announces_recording(script):
        yield Problem("plan", 0, "", '`recording` is "notice", but the first words of the script give none')


def keeping_problems(plan: Plan, config: Config) -> Iterator[Problem]:
    """Yield what is wrong with how recordings are to be kept, where nodes are set up as this one."""
    if plan.owner and plan.owner not in config.owners:
        yield Problem("plan", 0, "", f"`owner` is {plan.owner!r}, and the node's file has no [owners.{plan.owner}]")
    if plan.retention_days and not (config.storage.is_wanted or config.owners):
        yield Problem(
            "plan", 0, "", "`retention_days` needs nodes that keep recordings: set storage.keeps in their files"
        )


def _is_moment(text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.tzinfo is not None and 2000 <= moment.year < 2200  # far from where dates end


def _dial_faults(contact: Contact, plan: Plan, trunks: Collection[str], barred: Barred) -> Iterator[str]:
    if reason := barred(contact.target, plan.trunk or next(iter(trunks), "")):
        yield reason
    if not contact.target.startswith("+"):
        return
    if plan.clock:
        yield "a rehearsal with its own clock dials SIP URIs only"
    if not trunks:
        yield "a telephone number needs a trunk, and none is configured"


__all__ = ["entry_of", "keeping_problems", "listing", "plan_problems", "recording_problems", "script_problems"]
