"""Who keeps a record: each change is a revision, and is told once."""

from __future__ import annotations

from dataclasses import replace

from nodes.call.record import CallPhase
from nodes.edge.keeper import Keeper
from tests.nodes.edge.records import record


def test_a_step_that_has_changed_something_is_one_revision_and_one_that_has_not_is_none() -> None:
    told: list[int] = []
    keeper = Keeper(record(revision=4), lambda keeper: told.append(keeper.record.revision))
    keeper.put(keeper.record)
    assert told == []
    keeper.put(replace(keeper.record, phase=CallPhase.ENDING, n_events=9))
    keeper.write(browser="ended")
    assert told == [5, 6]
    assert (keeper.record.phase, keeper.record.browser) == (CallPhase.ENDING, "ended")
