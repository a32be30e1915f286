"""The dialog as a value: routes, targets, and where a request goes (RFC 3261 s.12)."""

import pytest

from protocols.sip import Dialog, Local, Response
from protocols.sip.dialog import is_ipv4

TRUNK = ("192.0.2.1", 5060)
BEGUN = Dialog("x", '"R" <sip:r@a>', "<sip:b@c>", "ours", remote_target="sip:b@c", local_cseq=1)


def answered(contact: str, *routes: str) -> Dialog:
    fields = [("to", "<sip:b@c>;tag=theirs"), ("contact", contact), *(("record-route", route) for route in routes)]
    return BEGUN.answered(Response(code=200, phrase="", headers=tuple(one for one in fields if one[1])))


def test_a_request_outside_any_dialog_goes_to_the_target_without_tag_and_route() -> None:
    request = BEGUN.request("INVITE", 1, Local("10.0.0.1", 5060), "z9hG4bKq")
    assert (request.uri, request.to.tag, request.values("route")) == ("sip:b@c", "", [])
    assert request.first("from") == '"R" <sip:r@a>;tag=ours'


def test_the_route_set_is_reversed_and_kept_byte_for_byte() -> None:
    """RFC 3261 s.12.1.2; escapes and parameters belong to the proxy that wrote them."""
    dialog = answered(
        "<sip:b@10.0.0.2>", "<sip:10.0.0.9;lr=on;did=a.b:c[1]>, <sip:10.0.0.8;LR;x=%3B>", "<sip:10.0.0.7;lr>"
    )
    request = dialog.request("BYE", 2, Local("10.0.0.1", 5060), "z9hG4bKq")
    assert request.values("route") == [
        "<sip:10.0.0.7;lr>",
        "<sip:10.0.0.8;LR;x=%3B>",
        "<sip:10.0.0.9;lr=on;did=a.b:c[1]>",
    ]
    assert request.uri == "sip:b@10.0.0.2"


def test_a_strict_router_becomes_the_request_line() -> None:
    """RFC 3261 s.12.2.1.1."""
    dialog = answered("<sip:b@10.0.0.2>", "<sip:10.0.0.8;lr>", "<sip:10.0.0.9>")
    request = dialog.request("BYE", 2, Local("10.0.0.1", 5060), "z9hG4bKq")
    assert request.uri == "sip:10.0.0.9"
    assert request.values("route") == ["<sip:10.0.0.8;lr>", "<sip:b@10.0.0.2>"]


@pytest.mark.parametrize(
    ("contact", "routes", "hop"),
    [
        ("<sip:b@10.0.0.2:5070>", (), ("10.0.0.2", 5070)),
        ("<sip:b@10.0.0.2>", (), ("10.0.0.2", 5060)),
        ("<sip:b@10.0.0.2>", ("<sip:10.0.0.9:5080;lr>",), ("10.0.0.9", 5080)),
        ("<sip:b@pbx.example.com>", (), TRUNK),
        ("<tel:+31201234567>", (), TRUNK),
        ("", (), TRUNK),
        ("<sip:b@10.0.0.2>", ("<sip:proxy.example.com;lr>",), TRUNK),
    ],
)
def test_a_request_goes_to_the_first_route_or_the_target_or_the_trunk(contact: str, routes, hop) -> None:
    assert answered(contact, *routes).next_hop(TRUNK) == hop


def test_a_refresh_moves_the_target_and_leaves_the_routes() -> None:
    dialog = answered("<sip:b@10.0.0.2>", "<sip:10.0.0.9;lr>")
    moved = dialog.refreshed(Response(code=200, phrase="", headers=(("contact", "<sip:b@10.0.0.3>"),)))
    assert (moved.remote_target, moved.route_set) == ("sip:b@10.0.0.3", dialog.route_set)
    assert dialog.refreshed(Response(code=200, phrase="", headers=())) == dialog


@pytest.mark.parametrize(
    ("host", "is_one"), [("10.0.0.1", True), ("10.0.0.256", False), ("a.b", False), ("[::1]", False)]
)
def test_an_address_in_numbers_needs_no_resolver(host: str, is_one: bool) -> None:
    assert is_ipv4(host) is is_one
