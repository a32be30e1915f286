"""What becomes of the attempts: from the events of calls, and from the silence of those that were lost.

An event is about an attempt if the fold has it in flight; of the others (calls without a campaign, ends that were
written before) nothing is written. Pure: events in, entries of the journal out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from nodes.central.campaign import Campaigns
from protocols.wire.campaigns import contact_of
from protocols.wire.events import CallEvent, Kind
from protocols.wire.journal import Answered, Attempted, Ended

UNANSWERED_GRACE_S = 60.0
"""After the ringing time is over: for setting up, for the events' way, for an edge's takeover."""
ANSWERED_LIMIT_S = 3600.0
"""An answered call of which nothing is heard for so long is taken for lost. A longer one is only miscounted: a lost
call ends as `abandoned`, whose retry rule does not call anybody again within the day."""


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
            return ended(attempt, str(event.fields["disposition"]), str(event.fields["cause"]), at, now)
        case _:
            return None


def ended(attempt: Attempted, disposition: str, cause: str, at: datetime, now: float) -> Ended:
    """Return the entry that ends an attempt."""
    return Ended(attempt.campaign_id, attempt.contact_id, attempt.attempt_id, disposition, cause, at, now)


def lost(fold: Campaigns, wall: datetime, now: float) -> Iterator[Ended]:
    """Yield the ends of attempts that should have ended by now, and of which nobody has said so.

    Their edge died with its node, or central died between writing the attempt down and telling an edge. Ask only
    when all events that there are have been read.
    """
    for attempt in fold.in_flight.values():
        campaign = fold.campaigns[attempt.campaign_id]
        at, age_s = campaign.at(wall), now - attempt.journal_s
        if attempt.contact_id in fold.talking:
            if age_s > ANSWERED_LIMIT_S:
                yield ended(attempt, "abandoned", "node_lost", at, now)
        elif age_s > UNANSWERED_GRACE_S + campaign.plan.ring_s:
            yield ended(attempt, "failed", "node_lost", at, now)


__all__ = ["ended", "entry_of", "lost"]
