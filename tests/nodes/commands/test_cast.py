"""The list of a rehearsal has everybody's columns and nobody's address."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars import load
from nodes.central.contacts import read_contacts
from nodes.commands.cast import cast
from nodes.commands.central import BadList
from protocols.wire.campaigns import Plan

HELLO = load(Path("grammars/scripts/hello.yaml").read_text())
APPOINTMENT = load(Path("grammars/scripts/appointment_reminder.yaml").read_text())
LIST = b"""Number;Name;Consent;TimeZone
+49 30 123456;Ada;paper;
sip:busy-9@example.net;Ben;;Europe/London
"sips:carl@example.net;transport=tcp";Carl;;
"""


def test_columns_zones_and_manners_stay_and_addresses_go() -> None:
    assert cast("l.csv", LIST, Plan(), HELLO).decode().splitlines() == [
        "number,timezone,consent,name",
        "sip:cooperative-1@callees,Europe/Berlin,paper,Ada",
        "sip:busy-2@callees,Europe/London,,Ben",
        "sip:cooperative-3@callees,,,Carl",
    ]


@given(
    st.lists(
        st.integers(1_000_000, 9_999_999).map("+4930{}".format)
        | st.sampled_from(["sip:a", "sip:busy-1", "sips:x-2"]).flatmap(
            lambda user: st.integers(1, 99).map(lambda n: f"{user}@10.0.0.{n}:5060")
        ),
        min_size=1, max_size=20, unique=True,
    )
)  # fmt: skip
def test_no_address_of_the_list_is_ever_in_it(numbers: list[str]) -> None:
    made = cast("l.csv", ("number\n" + "\n".join(numbers)).encode(), Plan(), HELLO)
    targets = [contact.target for contact in read_contacts("cast", made, key=bytes(32))]
    assert len(targets) == len(numbers)
    assert all(target.startswith("sip:") and target.endswith("@callees") for target in targets)


def test_what_is_wrong_with_the_list_is_told_by_its_own_lines() -> None:
    text = b"number,clinic,date,time\n\n12,Elm,2026-03-05,15:30\nsip:a@b,Elm,soon,15:30\n"
    with pytest.raises(BadList) as wrong:
        cast("l.csv", text, Plan(), APPOINTMENT)
    assert [problem.line for problem in wrong.value.problems] == [3, 4]
