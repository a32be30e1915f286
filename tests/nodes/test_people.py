"""Whom people name is whom lists and orders name, or it is said that it is nobody."""

import pytest

from nodes.central.contacts import BadContactList, read_contacts
from nodes.config import Sip, Trunk
from nodes.edge.orders import objection, with_uri
from nodes.people import NotAPerson, person
from protocols.wire.campaigns import contact_id
from protocols.wire.ids import AttemptId, CallId
from protocols.wire.messages import PlaceCall

KEY = bytes(32)
SIP = Sip(trunks=(Trunk("t", "carrier.example"),))


@pytest.mark.parametrize("text", [
    "+12025550100", "+1 (202) 555-0100", "sip:+12025550100@carrier.example",
    "sip:+12025550100@elsewhere.example;user=phone",
    "sip:+1-202-555-0100@192.0.2.9:5070", "SIP:%2B12025550100@carrier.example", "sip:12025550100@carrier.example",
    "sip:0012025550100@carrier.example", "sip:Ann@PBX.example:5060",
])  # fmt: skip
def test_the_list_a_campaign_and_an_order_mean_the_same_person_by_the_same_text(text: str) -> None:
    """Else `dnc add` with one spelling blocks nobody who is dialled by another."""
    expected = contact_id("sip:ann@pbx.example" if "PBX" in text else "+12025550100", KEY)
    (row,) = read_contacts("l.csv", f"number\n{text}\n".encode(), key=KEY)
    order = with_uri(PlaceCall(AttemptId("a"), CallId("c"), text, b""), SIP)
    assert {contact_id(person(text), KEY), row.contact_id, contact_id(order.target, KEY)} == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "2025550100",
        "+1",
        "+44 (0)20 7946 0000",
        "+١٢٠٢٥٥٥٠١٠٠",
        "+1202555010\uff10",
        "sip:",
        "",
        "ann",
        "sip:+44(0)2079460000@t",
        "sip:%2B44%280%292079460000@t",
    ],
)
def test_what_is_nobody_for_sure_is_nobody(text: str) -> None:
    """A person who is put on the list under a name that no dial ever has would be called on."""
    with pytest.raises(NotAPerson):
        person(text)
    order = PlaceCall(AttemptId("a"), CallId("c"), text, b"")
    assert with_uri(order, SIP) == order or text == "+1"


def test_a_number_with_its_countrys_own_zero_is_neither_listed_nor_dialled() -> None:
    """Carriers may understand it, and then it is another spelling of somebody who may be on the do-not-call list."""
    order = PlaceCall(AttemptId("a"), CallId("c"), "sip:+44(0)2079460000@carrier.example", b"")
    assert objection(with_uri(order, SIP), SIP).startswith("bad_target: has a (0)")
    with pytest.raises(BadContactList, match=r"has a \(0\)"):
        read_contacts("l.csv", f"number\n{order.target}\n".encode(), key=KEY)


def test_a_number_and_its_uri_are_one_contact_of_a_list() -> None:
    """Two contacts have a cap and a spacing each."""
    with pytest.raises(BadContactList, match="the same as on line 2"):
        read_contacts("l.csv", b"number\n+12025550100\nsip:+12025550100@carrier.example\n", key=KEY)
