"""The front door: what it lets in, what it answers itself, what it drops and counts."""

import pytest

from protocols.machine import Transmit
from protocols.sip import Request, Responder, Response
from protocols.sip.message import parse

SOURCE = ("192.0.2.9", 40000)


def request(
    method: str, to: str = "<sip:bob@10.0.0.1>", via: str = "SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx", more: str = ""
) -> bytes:
    return (
        f"{method} sip:bob@10.0.0.1 SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@b>;tag=1\r\nTo: {to}\r\n"
        f"Call-ID: x\r\nCSeq: 1 {method}\r\n{more}\r\n"
    ).encode()


def answer_to(data: bytes) -> tuple[Response, tuple[str, int]] | None:
    front = Responder()
    admitted = front.admit(data, SOURCE)
    assert isinstance(admitted, Request)
    answer = front.answer(admitted, SOURCE)
    if answer is None:
        return None
    read = parse(answer.data)
    assert isinstance(read, Response)
    assert answer.to
    return read, answer.to


@pytest.mark.parametrize(
    ("method", "to", "code"),
    [
        ("OPTIONS", "<sip:bob@10.0.0.1>", 200),
        ("OPTIONS", "<sip:bob@10.0.0.1>;tag=gone", 481),
        ("BYE", "<sip:bob@10.0.0.1>;tag=gone", 481),
        ("INVITE", "<sip:bob@10.0.0.1>;tag=gone", 481),
        ("INVITE", "<sip:bob@10.0.0.1>", 404),
        ("CANCEL", "<sip:bob@10.0.0.1>", 481),
        ("REGISTER", "<sip:bob@10.0.0.1>", 405),
        ("NONSENSE", "<sip:bob@10.0.0.1>", 501),
    ],
)
def test_a_request_for_nobody_is_answered(method: str, to: str, code: int) -> None:
    answered = answer_to(request(method, to))
    assert answered
    assert answered[0].code == code
    assert answered[0].to.tag


def test_a_repetition_gets_the_same_tag_without_memory() -> None:
    """RFC 3261 s.8.2.7."""
    assert answer_to(request("OPTIONS")) == answer_to(request("OPTIONS"))
    other = answer_to(request("OPTIONS", via="SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKy"))
    assert other
    assert other[0].to.tag != answer_to(request("OPTIONS"))[0].to.tag


def test_an_ack_and_a_response_for_nobody_are_dropped_and_counted() -> None:
    front = Responder()
    for data in (request("ACK"), request("OPTIONS").replace(b"OPTIONS sip:bob@10.0.0.1 SIP/2.0", b"SIP/2.0 200 OK")):
        admitted = front.admit(data, SOURCE)
        assert isinstance(admitted, Request | Response)
        assert front.answer(admitted, SOURCE) is None
    assert front.counters == {"stray_ack": 1, "stray_response": 1}


@pytest.mark.parametrize(
    ("via", "to", "stamped"),
    [
        ("SIP/2.0/UDP 10.9.9.9:5071;branch=z9hG4bKx", ("192.0.2.9", 5071), {"received": "192.0.2.9"}),
        ("SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx", ("192.0.2.9", 5060), {"received": "192.0.2.9"}),
        ("SIP/2.0/UDP 10.9.9.9;rport;branch=z9hG4bKx", SOURCE, {"received": "192.0.2.9", "rport": "40000"}),
    ],
)
def test_the_answer_goes_back_as_rport_and_received_say(via: str, to, stamped: dict[str, str]) -> None:
    """RFC 3261 s.18.2.2, RFC 3581."""
    answered = answer_to(request("OPTIONS", via=via))
    assert answered
    assert answered[1] == to
    assert answered[0].via.params == stamped | {"branch": "z9hG4bKx"}


class TestGarbage:
    @pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\x00\x00\x00\x00"])
    def test_that_keeps_a_path_open_is_nothing(self, data: bytes) -> None:
        front = Responder()
        assert front.admit(data, SOURCE) is None
        assert not front.counters

    def test_without_form_is_dropped_and_counted(self) -> None:
        front = Responder()
        assert front.admit(b"hello", SOURCE) is None
        assert front.counters == {"no_end_of_headers": 1}

    def test_with_a_via_is_told_so(self) -> None:
        front = Responder()
        refusal = front.admit(request("OPTIONS").replace(b"Call-ID: x\r\n", b""), SOURCE)
        assert isinstance(refusal, Transmit)
        assert refusal.data.startswith(b"SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx\r\n")
        assert refusal.to == SOURCE

    @pytest.mark.parametrize(
        "data", [request("ACK"), request("OPTIONS").replace(b"OPTIONS sip:bob@10.0.0.1 SIP/2.0", b"SIP/2.0 200 OK")]
    )
    def test_that_may_not_be_answered_is_not(self, data: bytes) -> None:
        """An answer to an ACK or a response would be answered in turn, for ever."""
        assert Responder().admit(data.replace(b"Call-ID: x\r\n", b""), SOURCE) is None
