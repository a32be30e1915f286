"""What becomes of the attempts: from the events of calls, and of those that are lost (`search`).

An event is about an attempt if the fold has it in flight; of the others (calls without a campaign, ends that were
written before) nothing is written. Pure: events in, entries of the journal out.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from nodes.central.campaign import Campaigns
from nodes.central.spend import cost
from protocols.wire.campaigns import contact_of
from protocols.wire.events import CallEvent, Kind
from protocols.wire.journal import Answered, Attempted, Ended, Returned


def entry_of(event: CallEvent, fold: Campaigns, now: float) -> Answered | Ended | None:
    """Return what an event says about the attempt in flight that it belongs to; None when it says nothing new.

    `now`: seconds of the journal, when it is read.
    """
    contact = contact_of(event.attempt_id)
    attempt = fold.in_flight.get(contact)
    if attempt is None or attempt.attempt_id != event.attempt_id:
        return None
    at = fold.campaigns[attempt.campaign_id].at(event.wall)
    match event.kind:
        case Kind.ANSWERED if contact not in fold.talking:
            return Answered(attempt.campaign_id, contact, attempt.attempt_id, at)
        case Kind.ENDED:
            talked_s = msgspec.convert(event.fields["duration_s"], float)
            return ended(attempt, str(event.fields["disposition"]), str(event.fields["cause"]), at, now, talked_s)
        case _:
            return None


def trunk_works(event: CallEvent) -> bool | None:
    """Return how a trunk has taken a dial, by the end of the call; None: it says nothing of the trunk.

    Against it speak its refusals, other than of the callee (5xx and what else counts as failed), and its silence.
    What has failed here, a crash or an engine, does not. Busy and no answer speak of the callee, and for the trunk.
    """
    fields = event.fields
    if fields["duration_s"]:
        return True
    if fields["disposition"] == "failed":
        return False if fields["by"] == "them" or fields["cause"] == "timeout" else None
    return True if fields["by"] == "them" or fields["disposition"] in ("busy", "no_answer") else None


def ended(attempt: Attempted, disposition: str, cause: str, at: datetime, now: float, talked_s: float) -> Ended:
    """Return the entry that ends an attempt. `talked_s`: since the answer, which is what is paid for."""
    paid = cost(attempt.price, talked_s)
    name = attempt.attempt_id
    return Ended(attempt.campaign_id, attempt.contact_id, name, disposition, cause, at, now, attempt.row, paid)


def returned(attempt: Attempted, reason: str, at: datetime, now: float) -> Returned:
    """Return the entry that takes an attempt back."""
    return Returned(attempt.campaign_id, attempt.contact_id, attempt.attempt_id, reason, at, now, attempt.row)


def lost(attempt: Attempted, fold: Campaigns, at: datetime, now: float) -> Ended:
    """Return the entry that ends an attempt which nobody has any more: a person who had answered was abandoned."""
    if attempt.contact_id not in fold.talking:
        return ended(attempt, "failed", "node_lost", at, now, 0.0)
    return ended(attempt, "abandoned", "node_lost", at, now, now - attempt.journal_s)


__all__ = ["ended", "entry_of", "lost", "returned", "trunk_works"]
