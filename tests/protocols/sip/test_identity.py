"""Caller ids and targets as people write them: made right or refused, and what is accepted lives in an INVITE."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import RemoteProtocolError
from protocols.sip import Dial, Ended, Listening, Local, Request, Uac
from protocols.sip.build import Local as Ours
from protocols.sip.causes import Disposition
from protocols.sip.identity import ANONYMOUS, caller_id, target
from protocols.sip.message import parse

HERE = Local("10.0.0.1", 5060)
RIGHT = {
    "": ("", "sip:ringmaster@10.0.0.1"),
    "+12025550100": ("", "sip:+12025550100@10.0.0.1"),
    "12025550100": ("", "sip:12025550100@10.0.0.1"),
    "+1 (202) 555-0100": ("", "sip:+12025550100@10.0.0.1"),
    "tel:+12025550100": ("", "sip:+12025550100@10.0.0.1"),
    "sip:+12025550100@carrier.example": ("", "sip:+12025550100@carrier.example"),
    '"Acme" <sip:+12025550100@carrier.example>': ("Acme", "sip:+12025550100@carrier.example"),
    '"Acme, \\"Inc.\\"" <+12025550100>': ('Acme, "Inc."', "sip:+12025550100@10.0.0.1"),
    "Acme <+12025550100>": ("Acme", "sip:+12025550100@10.0.0.1"),
    "Zoë & Söhne <tel:+12025550100>": ("Zoë & Söhne", "sip:+12025550100@10.0.0.1"),
    "anonymous": ("Anonymous", ANONYMOUS),
    "Anonymous": ("Anonymous", ANONYMOUS),
}
"""Shared case telephony/cid: to the name and the URI of the From."""
WRONG = [
    "sip:a@b\r\nX-Evil: 1", "+1202\n", "Acme", "<>", "Acme <>", "<sip:a@b>;tag=1", '"Acme <sip:a@b>', "sip:", "sip:a@",
    "sips:a@b", "sip:a@b?X-Evil=1", "sip:a:secret@b", "mailto:a@b", "+12", "+1234567890123456", "++1202555", "a@b",
    "Acme\u2028<sip:a@b>", "\ud800 <sip:a@b>", "sip:a b@c", "Acme <sip:a@b> <sip:c@d>", "x" * 300, "+1202x5550100",
    "\u0661\u0662\u0663\u0664", "sip:jürgen@b", "sip:%zz@b",
]  # fmt: skip


def invited(given: str) -> Request | Ended:
    """Dial with this caller id; return the INVITE as it is read from the wire, or how the call ended."""
    caller = caller_id(given)
    dial = Dial("sip:x@10.0.0.2", caller.uri_at(HERE.host, HERE.user), Listening("10.0.0.1", 4000), ("10.0.0.2", 5060),
                caller_name=caller.name, headers=caller.headers)  # fmt: skip
    first = Uac(HERE, random.Random(1).randbytes).step(dial, 0.0)[0]
    if not hasattr(first, "data"):
        return first.event  # type: ignore[return-value]
    message = parse(first.data)
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize("given", RIGHT)
def test_a_caller_id_as_people_write_it_is_made_right(given: str) -> None:
    sender = invited(given).sender
    assert (sender.name, sender.uri.text) == RIGHT[given]


@pytest.mark.parametrize("given", WRONG)
def test_a_caller_id_that_no_message_can_carry_is_refused_in_words(given: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^bad_caller_id: (has|is) ") as refused:
        caller_id(given)
    assert refused.value.what == "bad_caller_id"


def test_an_anonymous_caller_asks_for_privacy() -> None:
    """RFC 3323 s.4.2."""
    assert invited("anonymous").first("privacy") == "id"
    assert invited("+12025550100").first("privacy") == ""


TEXT = st.text(st.sampled_from('+0123456789 <>"\\@:;,?=%\r\n\tsiptel.Aéß\u2028\ud800-()'), max_size=40)
SHAPED = st.builds(
    lambda name, around, scheme, user, host, tail: f"{name}{around[0]}{scheme}{user}@{host}{tail}{around[1]}",
    TEXT, st.sampled_from([("<", ">"), ("", ""), (" <", ">")]), st.sampled_from(["sip:", "sips:", "tel:", ""]),
    TEXT, st.sampled_from(["carrier.example", "10.0.0.1:5070", "[::1]", ""]), TEXT,
)  # fmt: skip
QUOTED = st.text(max_size=30).map(
    lambda name: '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '" <+12025550100>'
)


@given(st.one_of(st.text(max_size=60), TEXT, SHAPED, QUOTED))
def test_whatever_is_accepted_is_read_back_by_our_own_strict_parser(given: str) -> None:
    try:
        caller = caller_id(given)
    except RemoteProtocolError:
        return
    invite = invited(given)
    assert isinstance(invite, Request)
    assert (invite.sender.name, invite.sender.uri.text) == (caller.name, caller.uri_at(HERE.host, HERE.user))
    assert not invite.first("x-evil")


@given(st.one_of(st.text(max_size=60), SHAPED))
def test_whatever_target_is_accepted_can_be_dialled(given: str) -> None:
    try:
        wanted = target(given)
    except RemoteProtocolError:
        return
    dial = Dial(wanted, "sip:us@10.0.0.1", Listening("10.0.0.1", 4000), ("10.0.0.2", 5060))
    invite = parse(Uac(HERE, random.Random(1).randbytes).step(dial, 0.0)[0].data)
    assert isinstance(invite, Request)
    assert invite.uri == invite.to.uri.text == wanted


@pytest.mark.parametrize(
    "given",
    [
        "", "ann", "+12025550100", "sip:ann@h?Route=%3Csip:evil%3E", "sip:a:pw@h", "sip:a@h\r\nX: 1", "tel:+1202",
        "sip:ann@a..b", "sip:ann@.b", f"sip:ann@{'x' * 64}.example",
    ],
)  # fmt: skip
def test_a_target_that_cannot_be_dialled_is_refused_in_words(given: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^bad_target: (has|is) "):
        target(given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"caller": "sip:a@b\r\nX-Evil: 1"},
        {"caller": "+12025550100"},
        {"caller_name": "a\r\nX-Evil: 1"},
        {"caller_name": "\ud800"},
        {"headers": (("x-one", "1\r\nX-Evil: 1"),)},
        {"headers": (("x one", "1"),)},
        {"headers": (("from", "<sip:two@b>"),)},
        {"target": "sip:a@b?X-Evil=1"},
        {"target": "sip:a@b\r\n"},
    ],
)
def test_a_leg_that_could_not_live_ends_as_invalid_and_sends_nothing(wrong: dict[str, object]) -> None:
    """Whatever came past those who should have looked: an INVITE that we could not read ourselves is not sent."""
    order = {"target": "sip:x@10.0.0.2", "caller": "sip:us@10.0.0.1", "listening": Listening("10.0.0.1", 4000),
             "next_hop": ("10.0.0.2", 5060)} | wrong  # fmt: skip
    effects = Uac(Ours("10.0.0.1", 5060), random.Random(1).randbytes).step(Dial(**order), 0.0)  # type: ignore[arg-type]
    ended, finished = (one.event for one in effects)  # type: ignore[union-attr]
    assert isinstance(ended, Ended)
    assert ended.disposition is Disposition.INVALID
    assert type(finished).__name__ == "Finished"
