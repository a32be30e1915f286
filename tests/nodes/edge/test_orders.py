"""An order that cannot become a call is refused before anything is opened for it."""

import math
from dataclasses import replace
from typing import Any

import pytest

from nodes.config import Sip, Trunk
from nodes.edge.orders import objection, with_uri
from protocols.wire.campaigns import contact_id
from protocols.wire.ids import AttemptId, CallId, CampaignId
from protocols.wire.messages import PlaceCall
from protocols.wire.subjects import STREAM_COUNTS, numbered

ORDER = PlaceCall(AttemptId("spring-a4ee2b-2"), CallId("7c1f"), "sip:ann@192.0.2.1", b"")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"caller_id": "+1 202 555 0100"},
        {"target": "browser:n1.desk-0:5f/phone-7"},
        {"campaign_id": CampaignId("s_1")},
    ],
)
def test_a_right_order_is_not_objected_to(changes: dict[str, Any]) -> None:
    assert objection(replace(ORDER, **changes), Sip()) == ""


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"caller_id": "sip:a@b\r\nX-Evil: 1"}, "bad_caller_id"),
        ({"target": "+12025550100"}, "bad_target"),
        ({"target": "sip:ann@192.0.2.1?Route=x"}, "bad_target"),
        ({"call_id": CallId("../../etc/cron.d/x")}, "bad_name"),
        ({"call_id": CallId("a\r\nb: c")}, "bad_name"),
        ({"attempt_id": AttemptId("")}, "bad_name"),
        ({"campaign_id": CampaignId("a.>")}, "bad_name"),
        ({"target": "sip:+881612345678@carrier.example"}, "not_allowed"),
        ({"target": "sip:911@carrier.example"}, "not_allowed"),
        ({"ring_s": 0.0}, "bad_ring"),
        ({"ring_s": math.nan}, "bad_ring"),
        ({"ring_s": 1e9}, "bad_ring"),
    ],
)
def test_what_cannot_become_a_call_is_objected_to_by_word_and_in_a_sentence(changes: dict[str, Any], word: str) -> None:
    assert objection(replace(ORDER, **changes), Sip()).startswith(f"{word}: ")


def test_a_number_is_one_at_the_first_trunk_and_judged_by_its_plan() -> None:
    """What the API's document promises."""
    sip = Sip(trunks=(Trunk("carrier", "carrier.example"), Trunk("other", "192.0.2.9")))
    order = with_uri(replace(ORDER, target="+1 (202) 555-0100"), sip)
    assert order.target == "sip:+12025550100@carrier.example:5060;user=phone"
    assert objection(order, sip) == ""
    assert objection(with_uri(replace(ORDER, target="+19005550100"), sip), sip).startswith("not_allowed: ")
    assert objection(with_uri(replace(ORDER, target="+12025550100"), Sip()), Sip()).startswith("bad_target: ")


@pytest.mark.parametrize(
    "spelling",
    ["+1 202 555 0100", "sip:+12025550100@carrier.example", "sip:+1-202-555-0100@CARRIER.example:5060;transport=udp",
     "sip:%2B12025550100@carrier.example;user=phone", "sip:01112025550100@carrier.example"],
)  # fmt: skip
def test_a_number_is_the_same_contact_however_an_order_spells_it(spelling: str) -> None:
    """Else a spelling would lead past the do-not-call list."""
    order = with_uri(replace(ORDER, target=spelling), Sip(trunks=(Trunk("carrier", "carrier.example"),)))
    assert contact_id(order.target, bytes(32)) == contact_id("+12025550100", bytes(32))


@pytest.mark.parametrize(
    "target",
    [
        "sip:ann@carrier.example",
        "sip:+12025550100@192.0.2.9",
        "sip:+12025550100@carrier.example?A=b",
        "browser:d/p",
        "x",
    ],
)
def test_what_is_no_number_at_a_trunk_stays_as_it_is(target: str) -> None:
    order = replace(ORDER, target=target)
    assert with_uri(order, Sip(trunks=(Trunk("carrier", "carrier.example"),))) == order


@pytest.mark.parametrize("n_streams", STREAM_COUNTS)
def test_a_name_that_says_its_stream_is_a_name(n_streams: int) -> None:
    for n in range(50):
        name = numbered(f"spring-{n:032x}-1", n_streams)
        assert objection(PlaceCall(AttemptId(name), CallId(name), "sip:ann@192.0.2.1", b""), Sip()) == ""
