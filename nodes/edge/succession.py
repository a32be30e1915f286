"""With which record a call starts at a successor: as its last owner left it, or so that it ends.

Pure: what was written and where we are in, the record out. While the launcher is the same, sockets and audio have gone
on, and so does the call, however long nobody had it. After a launcher's death they have not: the far end has heard
nothing meanwhile, and what it said is lost. After a short outage the call goes on all the same, and the far end is
asked whether it is still there; after a longer one it is hung up on, and counted as lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from nodes.call.call import Call
from nodes.call.record import CallPhase, CallRecord
from nodes.edge.checkpoint import Checkpoint
from protocols.sip import Disposition, HangUp

OUTAGE_S: Final = 20.0
"""A node is up again within 6 to 15 s, and nobody listens to nothing for longer."""
NODE_LOST: Final = "node_lost"


@dataclass(frozen=True, slots=True)
class Here:
    """Where a call is to go on. `launcher`, `boot`: as in `checkpoint.Opened`; `now`: monotonic seconds."""

    launcher: str
    boot: str
    sip_port: int
    now: float


def taken_up(record: CallRecord, found: Checkpoint | None, here: Here) -> CallRecord:
    """Return what a call that somebody left starts with here. `found`: what the disk had; None: it is from memory."""
    if found is None or found.opened.launcher == here.launcher:
        return record if record.order.script else _ending(record)
    if found.opened.boot != here.boot:
        return _ending(_rebased(record, found.alive_s, here.now))
    is_short = here.now - found.alive_s <= OUTAGE_S
    is_reached = record.leg is None or record.leg.local.port == here.sip_port
    if is_short and is_reached and record.order.script:
        return replace(record, is_doubtful=True, silent_since_s=0.0)
    return _ending(record)


def epoch_after(records: Iterable[CallRecord], wall_s: float) -> int:
    """Return the epoch of the lives that calls begin at a successor: above those of all owners before it.

    Not one more than a record's, which may be older than what its owner did last: two successors of which one had
    heard nothing of the other would be in the same epoch, and an heir of both could not tell whose record is later.
    Whoever goes on has begun later: the wall's milliseconds say so on every machine, and a record if they do not.
    """
    return max(round(wall_s * 1000), *(record.epoch + 1 for record in records), 0)


def _ending(record: CallRecord) -> CallRecord:
    """Return the record of a call that is to be hung up on, or given up while it rings; or that ends already."""
    if record.ending is not None:
        return record
    disposition = Disposition.ABANDONED if record.answered_s else Disposition.FAILED
    leg = record.leg and replace(record.leg, session_at_s=None, ring_until_s=None)
    return replace(record, phase=CallPhase.ENDING, ending=HangUp(disposition, NODE_LOST), leg=leg)


def _rebased(record: CallRecord, alive_s: float, now: float) -> CallRecord:
    """Return the record in times of this boot's clock, as if the call had gone on until now from `alive_s`."""
    leg = record.leg and replace(record.leg, session_at_s=None, ring_until_s=None)
    answered_s = now - max(0.0, alive_s - record.answered_s) if record.answered_s else 0.0
    return replace(record, leg=leg, answered_s=answered_s, placed_s=now, silent_since_s=0.0)


def due_s(record: CallRecord) -> float:
    """Return when a call wants to be stepped next, by itself; calls that wait for others only are the last."""
    due_s = Call(record, None).deadline
    return math.inf if due_s is None else due_s


__all__ = ["NODE_LOST", "OUTAGE_S", "Here", "due_s", "epoch_after", "taken_up"]
