"""A roll gives back the contacts it was made of, from any pieces of its stream, and forgets whom it must."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.central.roll import BATCH, BadRoll, Roll, read
from protocols.wire.campaigns import ContactId, contact_id
from protocols.wire.journal import Contact

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
columns = st.dictionaries(st.sampled_from(["name", "company", "day"]), words, max_size=3)
contacts = st.builds(
    Contact, st.integers(0, 2**64).map(lambda n: contact_id(str(n), bytes(32))), words,
    st.lists(st.sampled_from(["UTC", "Europe/Berlin"]), max_size=2).map(tuple), words, columns,
)  # fmt: skip
lists = st.lists(contacts, max_size=20, unique_by=lambda contact: contact.contact_id)


def many(n: int) -> list[Contact]:
    return [
        Contact(contact_id(str(i), bytes(32)), f"sip:callee-{i}@198.51.100.7:5060", ("Europe/London",), "web form",
                {"name": f"Alex {i}", "company": "Acme"})
        for i in range(n)
    ]  # fmt: skip


@given(lists, st.integers(1, 50))
def test_the_stream_of_a_roll_cut_anywhere_is_the_roll(listed: list[Contact], size: int) -> None:
    roll = Roll.of(listed)
    assert list(roll) == listed
    data = b"".join(roll.items())
    assert read(data[at : at + size] for at in range(0, len(data), size)) == roll


@given(lists)
def test_every_contact_is_found_by_name_and_nobody_else(listed: list[Contact]) -> None:
    roll = Roll.of(listed)
    assert [roll.find(contact.contact_id) for contact in listed] == list(range(len(listed)))
    assert roll.find(contact_id("stranger", bytes(32))) is None
    assert roll.find(ContactId("")) is None


@pytest.mark.parametrize("row", [0, BATCH - 1, BATCH, 2 * BATCH + 6])
def test_who_is_forgotten_leaves_their_place_and_nothing_else(row: int) -> None:
    roll = Roll.of(listed := many(2 * BATCH + 7))
    without = roll.without(row)
    assert without.contact(row) == Contact(ContactId(""), "")
    assert without.find(listed[row].contact_id) is None
    assert [*without][:row] + [*without][row + 1 :] == listed[:row] + listed[row + 1 :]
    assert list(roll) == listed
    assert listed[row].target.encode() not in b"".join(without.items())
    assert read(without.items()) == without


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda items: items[:-1],
        lambda items: items[1:],
        lambda items: [*items[:1], *items[2:]],
        lambda items: [*items, items[1]],
        lambda items: [b"\xc1", *items],
        lambda items: [b"\x81\xa4roll\x63", *items[1:]],
        lambda items: [],
    ],
)
def test_what_is_not_whole_is_refused(spoilt) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadRoll):
        read(spoilt(list(Roll.of(many(BATCH + 1)).items())))


def test_a_hundred_thousand_contacts_take_20_mb_at_the_most() -> None:
    items = list(Roll.of(many(100_000)).items())
    assert sum(map(len, items)) < 20_000_000
    assert len(read(items)) == 100_000
