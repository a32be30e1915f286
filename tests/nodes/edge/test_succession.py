"""With which record a call starts at a successor, from what was written and where it starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.call.record import CallPhase, CallRecord
from nodes.edge.checkpoint import LAYOUT, Checkpoint, Opened
from nodes.edge.succession import OUTAGE_S, Here, epoch_after, taken_up
from protocols.sip import Disposition, HangUp, LegPhase
from tests.nodes.edge.records import leg, record

HERE = Here("launcher", "boot", 5060, now=1000.0)


def found(alive_s: float = 999.0, launcher: str = "another", boot: str = "boot") -> Checkpoint:
    return Checkpoint(Opened(LAYOUT, launcher, boot), alive_s)


RINGS = record(phase=CallPhase.RINGING, answered_s=0.0, leg=leg(LegPhase.INVITING))


def test_from_memory_or_under_the_same_launcher_a_call_goes_on_as_it_was() -> None:
    assert taken_up(record(), None, HERE) == record()
    assert taken_up(record(), found(alive_s=10.0, launcher="launcher"), HERE) == record()


def test_after_a_short_outage_it_goes_on_and_the_far_end_is_asked() -> None:
    silent = record(silent_since_s=980.0)
    assert taken_up(silent, found(HERE.now - OUTAGE_S), HERE) == replace(silent, is_doubtful=True, silent_since_s=0.0)


@pytest.mark.parametrize(
    ("left", "here"),
    [
        (found(HERE.now - OUTAGE_S - 0.1), HERE),
        (found(boot="another"), HERE),
        (found(), replace(HERE, sip_port=5070)),
    ],
    ids=["too long", "another boot", "another SIP port"],
)
@pytest.mark.parametrize(
    ("before", "disposition"), [(record(), Disposition.ABANDONED), (RINGS, Disposition.FAILED)], ids=["talks", "rings"]
)
def test_else_it_is_ended_and_who_had_answered_was_abandoned(
    left: Checkpoint, here: Here, before: CallRecord, disposition: Disposition
) -> None:
    after = taken_up(before, left, here)
    assert (after.phase, after.ending) == (CallPhase.ENDING, HangUp(disposition, "node_lost"))
    assert after.leg
    assert before.leg
    assert (after.leg.session_at_s, after.leg.ring_until_s) == (None, None), "no timer of before ends it otherwise"
    assert after.leg.dialog == before.leg.dialog


def test_a_call_without_a_script_can_only_be_ended() -> None:
    without = record()
    without = replace(without, order=replace(without.order, script=b""))
    for left in (None, found(), found(launcher="launcher")):
        assert taken_up(without, left, HERE).ending == HangUp(Disposition.ABANDONED, "node_lost")


def test_a_call_that_ended_already_ends_as_it_was_to() -> None:
    ending = HangUp(Disposition.COMPLETED, "script")
    before = record(phase=CallPhase.ENDING, ending=ending)
    assert taken_up(before, found(0.0), HERE) == before
    assert taken_up(before, found(boot="another"), HERE).ending == ending


def test_after_another_boot_the_call_has_lasted_as_long_as_it_had() -> None:
    after = taken_up(record(answered_s=40.0), found(alive_s=55.0, boot="another"), HERE)
    assert HERE.now - after.answered_s == 15.0


def test_a_successor_begins_lives_after_all_that_it_knows_of_also_when_the_wall_clock_was_set_back() -> None:
    assert epoch_after([], wall_s=5.0) == 5000
    assert epoch_after([record(epoch=3)], wall_s=5.0) == 5000
    assert epoch_after([record(epoch=3), record(epoch=9000)], wall_s=5.0) == 9001
