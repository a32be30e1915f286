"""Records of calls for tests of who keeps them, small and large."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nodes.call.record import CallPhase, CallRecord
from protocols.sip import LegPhase, LegRecord, Local
from protocols.sip.dialog import Dialog
from protocols.sip.sdp import LocalMedia
from protocols.wire.ids import AttemptId, CallId
from protocols.wire.messages import PlaceCall

SCRIPT = b"flow: hello"


def leg(phase: LegPhase = LegPhase.CONFIRMED, port: int = 5060) -> LegRecord:
    """A leg whose INVITE went out from this port."""
    local = Local("127.0.0.1", port)
    dialog = Dialog(
        sip_call_id="x@y", local="<sip:us@127.0.0.1>", remote="<sip:ann@127.0.0.1>", local_tag="t", remote_tag="u"
    )
    return LegRecord("uac", phase, local, ("127.0.0.1", 5062), "", dialog, LocalMedia(1, 1, "127.0.0.1", 40000),
                     session_at_s=50.0, ring_until_s=60.0)  # fmt: skip


def record(name: str = "c1", revision: int = 1, epoch: int = 0, **fields: Any) -> CallRecord:
    """A call as it may be; answered and talked with, unless `fields` say something else."""
    order = PlaceCall(AttemptId(name), CallId(name), "sip:ann@127.0.0.1", SCRIPT, {"name": "Ann"})
    made = CallRecord(order, CallPhase.CONVERSING, revision, epoch, leg=leg(), placed_s=30.0, answered_s=40.0)
    return replace(made, **fields)


__all__ = ["SCRIPT", "leg", "record"]
