"""Who keeps a record: each change is a revision, and is told once."""

from __future__ import annotations

from dataclasses import replace

from nodes.call.record import CallPhase
from nodes.edge.record_store import RecordStore
from tests.nodes.edge.records import record


def test_a_step_that_has_changed_something_is_one_revision_and_one_that_has_not_is_none() -> None:
    told: list[int] = []
    store = RecordStore(record(revision=4), lambda store: told.append(store.record.revision))
    store.put(store.record)
    assert told == []
    store.put(replace(store.record, phase=CallPhase.ENDING, n_events=9))
    store.write(browser="ended")
    assert told == [5, 6]
    assert (store.record.phase, store.record.browser) == (CallPhase.ENDING, "ended")
