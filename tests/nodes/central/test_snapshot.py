"""A snapshot and the rest of the journal are the journal, wherever it is cut; and what is no snapshot is refused."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.central.campaign import Campaigns, Progress
from nodes.central.clock import Stamp
from nodes.central.roll import Roll
from nodes.central.snapshot import BadSnapshot, Mark, Reading, Taken
from protocols.wire.campaigns import contact_id
from protocols.wire.journal import Entry, Forgotten, Imported, RollRef
from tests.nodes.central.journals import ROLLS, folded
from tests.nodes.central.test_campaign import AT, CAMPAIGNS, CONTACTS, contacts, entries
from tests.nodes.central.test_campaign import imported as imported_into

MARK = Mark(7, Stamp(12.5, "boot", 99.0), 3)


def stored(fold: Campaigns) -> Campaigns:
    """What a leader does before it takes a snapshot."""
    for name, campaign in fold.campaigns.items():
        campaign.stored = RollRef(f"roll.{name}", "SHA-256=x", len(campaign.roll))
    return fold


def read_back(fold: Campaigns, size: int = 1000) -> Campaigns:
    data = b"".join(Taken(stored(fold), MARK).items())
    reading = Reading()
    for at in range(0, len(data), size):
        reading.feed(data[at : at + size])
    again, mark = reading.whole()
    assert mark == MARK
    for name, campaign in again.campaigns.items():
        campaign.roll = copy.deepcopy(fold.campaigns[name].roll)
    return again


def read(items: Iterable[bytes]) -> tuple[Campaigns, Mark]:
    reading = Reading()
    for item in items:
        reading.feed(item)
    return reading.whole()


every = st.one_of(entries, st.builds(Forgotten, contacts, st.just(AT)))


@given(st.lists(every, max_size=50), st.integers(0, 50), st.integers(1, 300))
def test_a_snapshot_and_the_rest_are_the_whole_wherever_the_journal_is_cut(
    told: list[Entry], cut: int, size: int
) -> None:
    fold = folded(told[:cut])
    successor = read_back(copy.deepcopy(fold), size)
    successor.rolls = dict(ROLLS)
    for entry in told[cut:]:
        successor.apply(entry)
    assert successor == folded(told)


def test_a_snapshot_is_of_its_moment_whatever_is_applied_while_it_is_written() -> None:
    fold = stored(folded([imported()]))
    before = copy.deepcopy(fold)
    items = Taken(fold, MARK).items()
    written = [next(items)]
    fold.apply(Forgotten(CONTACTS[0], AT))
    again, _ = read([*written, *items])
    assert again.campaigns[CAMPAIGNS[0]].touched == before.campaigns[CAMPAIGNS[0]].touched


def test_what_was_spent_is_carried_over() -> None:
    fold = Campaigns(spent={"carrier": {3: 1.25, 4: 0.5}, "other": {4: 9.0}})
    assert read_back(fold).spent == fold.spent


def imported() -> Imported:
    return imported_into(CAMPAIGNS[0])


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda items: items[:-1],
        lambda items: items[1:],
        lambda items: [*items[:2], *items[3:]],
        lambda items: [*items, items[1]],
        lambda items: [msgspec.msgpack.encode({"snapshot": 99}), *items[1:]],
        lambda items: [items[0], msgspec.msgpack.encode(["touched", "nobody", []]), *items[1:]],
        lambda items: [items[0], b"\xc1", *items[1:]],
        lambda items: [items[0], msgspec.msgpack.encode(["weather", "x"]), *items[1:]],
        lambda items: [b"hello"],
        lambda items: [],
    ],
)
def test_what_is_no_whole_snapshot_is_refused(spoilt) -> None:  # type: ignore[no-untyped-def]
    items = list(Taken(stored(folded([imported()])), MARK).items())
    with pytest.raises(BadSnapshot):
        read(spoilt(items))


def test_who_is_forgotten_is_in_no_snapshot_and_is_never_due() -> None:
    fold = folded([imported()])
    assert fold.apply(Forgotten(CONTACTS[1], AT))
    campaign = fold.campaigns[CAMPAIGNS[0]]
    assert campaign.progress(1) == Progress(due=None)
    assert (campaign.status().done, campaign.status().refused) == (1, {"forgotten": 1})
    assert not fold.apply(Forgotten(CONTACTS[1], AT))
    assert f"sip:{CONTACTS[1]}@b".encode() not in b"".join(campaign.roll.items())


def test_a_hundred_thousand_dialled_contacts_are_loaded_as_they_were() -> None:
    fold = stored(folded([imported()]))
    campaign = fold.campaigns[CAMPAIGNS[0]]
    campaign.roll = Roll()
    for n in range(100_000):
        campaign.touched[n] = Progress(float(n), 1) if n % 3 else Progress(None)
        fold.dialled[contact_id(str(n), bytes(32))] = ((float(n), AT + timedelta(seconds=n)),)
    items = list(Taken(fold, MARK).items())
    again, _ = read(items)
    assert again.dialled == fold.dialled
    assert again.campaigns[CAMPAIGNS[0]].touched == campaign.touched
