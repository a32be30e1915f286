"""Hostile bytes: nothing a network can bring makes a front door, a leg or a reader of descriptions raise."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.errors import RemoteProtocolError
from protocols.machine import Transmit
from protocols.sip import Accept, Listening, Local, Received, Request, Responder, Response, Ring, Uac, Uas, sdp, syntax
from protocols.sip.build import response
from protocols.sip.message import read

SOURCE = ("192.0.2.9", 5060)
HARSH = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

WORDS = st.sampled_from([
    b"INVITE", b"SIP/2.0", b" 200 OK", b"Via: SIP/2.0/UDP a;branch=z9hG4bKx", b"From: <sip:a@b>;tag=1", b"sip:a@b",
    b"To: <sip:c@d>", b"Call-ID: x", b"CSeq: 1 INVITE", b"\r\n", b"\r\n\r\n", b"\r\n ", b":", b";", b'"', b"<", b"%",
    b"Contact: <sip:a@b>, <sip:c@d>", b"Content-Length: 99999999999", b"Session-Expires: 1;refresher=uac", b",", b"=",
    b"Require: x", b"Route: <sip:a;lr>", b"v=0\r\nm=audio 1 RTP/AVP 0\r\n", b'WWW-Authenticate: Digest a="b"', b"\x00",
    b"c=IN IP4 1.2.3.4\r\n", b"a=rtpmap:", b"m=audio 9 RTP/AVP 8 ", b"\xff", b"*",
])  # fmt: skip
SOUP = st.lists(st.one_of(WORDS, st.binary(max_size=6)), max_size=40).map(b"".join)


def front_door(data: bytes) -> Request | Response | None:
    """What gets past the front door; whatever does not is answered with something that is a message."""
    front = Responder()
    admitted = front.admit(data, SOURCE)
    if isinstance(admitted, Transmit):
        assert admitted.data.startswith(b"SIP/2.0 ")
        return None
    if admitted is not None:
        answer = front.answer(admitted, SOURCE)
        assert answer is None or read(answer.data).is_response
    return admitted


def mutilated(message: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, patch in cuts:
        at %= len(message) + 1
        message = message[:at] + patch + message[at + length :]
    return message


CUTS = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 20), st.one_of(WORDS, st.binary(max_size=8))), max_size=4
)


@HARSH
@given(SOUP)
def test_soup_at_the_front_door(data: bytes) -> None:
    front_door(data)


@HARSH
@given(SOUP)
def test_soup_as_a_description(body: bytes) -> None:
    ours = sdp.offer(sdp.LocalMedia(1, 1, "10.0.0.1", 4000), Listening("10.0.0.1", 4000))
    with suppress(RemoteProtocolError):
        said, media = sdp.answer(ours, body)
        assert len(sdp.read(said.body())) == len(sdp.read(body))
        assert media.payload_type in (0, 8)


@HARSH
@given(cuts=CUTS, which=st.sampled_from([100, 180, 183, 200, 401, 407, 486]), then=CUTS)
def test_mutilated_answers_at_a_leg_that_rings(dialled, invite, cuts, which: int, then) -> None:
    leg, body = dialled.leg, b"v=0\r\nc=IN IP4 10.0.0.2\r\nm=audio 30000 RTP/AVP 0\r\n"
    for patches in (cuts, then):
        whole = bytes(
            response(invite, ("10.0.0.1", 5060), which, ("contact", "<sip:x@10.0.0.2>"), to_tag="t", body=body)
        )
        message = front_door(mutilated(whole, patches))
        if message:
            leg.step(Received(message, SOURCE), 0.0)
    assert leg.record


@HARSH
@given(cuts=CUTS, method=st.sampled_from(["INVITE", "BYE", "UPDATE", "OPTIONS", "ACK", "CANCEL"]), body=SOUP)
def test_mutilated_requests_at_a_leg_that_talks(talking, cuts, method: str, body: bytes) -> None:
    dialog = talking.leg.dialog
    headers = (
        ("via", "SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKq"),
        ("from", f"{dialog.remote};tag={dialog.remote_tag}"),
        ("to", f"{dialog.local};tag={dialog.local_tag}"),
        ("call-id", dialog.sip_call_id),
        ("cseq", f"9 {method}"),
        ("contact", "<sip:x@10.0.0.3;x=y>"),
    )
    whole = bytes(Request(method=method, uri="sip:us@10.0.0.1", headers=headers, body=body))
    message = front_door(mutilated(whole, cuts))
    if message:
        talking.leg.step(Received(message, SOURCE), 0.0)
    assert talking.leg.record


@HARSH
@given(cuts=CUTS)
def test_mutilated_invites_at_a_callee(invite: Request, cuts) -> None:
    message = front_door(mutilated(bytes(invite), cuts))
    if isinstance(message, Request) and message.is_new_invite:
        leg = Uas(Local("10.0.0.2", 5060), random.Random(1).randbytes)
        leg.step(Received(message, SOURCE), 0.0)
        for command in (Ring(), Ring(Listening("10.0.0.2", 3000)), Accept(Listening("10.0.0.2", 3000))):
            if leg.phase == "inviting":
                leg.step(command, 0.0)
        assert leg.record


@HARSH
@given(cuts=CUTS, data=st.data())
def test_mutilated_torture(corpus: Path, cuts, data) -> None:
    path = data.draw(st.sampled_from(sorted(corpus.glob("*.dat"))))
    message = front_door(mutilated(path.read_bytes(), cuts))
    if message:
        Uac(Local("10.0.0.1", 5060), random.Random(1).randbytes).step(Received(message, SOURCE), 0.0)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("read", "text"),
    [
        (syntax.auth_params, "Digest " + ",".join(['a="x"'] * 5000) + " !"),
        (syntax.auth_params, "Digest " + "a" * 30000),
        (syntax.name_addr, '"a"' * 10000 + "<sip:a"),
        (syntax.name_addr, "sip:a@b" + ";x=" * 10000),
        (syntax.name_addr, "<" * 30000),
        (syntax.name_addr, "a " * 15000 + "!"),
        (syntax.name_addr, "<sip:a@b>" + ';x="y"' * 5000 + "!"),
        (syntax.via, "SIP/2.0/UDP " + "a." * 15000 + "!"),
        (syntax.via, "SIP/2.0/UDP a" + " ;b = c" * 5000 + " !"),
        (syntax.via, "SIP" + " " * 30000),
        (syntax.uri, "sip:" + ":" * 30000),
        (syntax.uri, "sip:" + "a:" * 15000 + "@"),
        (syntax.items, "<sip:a@b>," * 5000 + '"'),
        (syntax.items, '"' * 29999),
        (syntax.cseq, "1" * 30000),
    ],
)
def test_a_long_value_costs_no_more_than_its_length(read: Callable[[str], object], text: str) -> None:
    """No expression goes back over what it has read: 30 kB in milliseconds, not in centuries."""
    with suppress(RemoteProtocolError):
        read(text)
