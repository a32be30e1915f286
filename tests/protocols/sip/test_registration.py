"""REGISTER, its renewal, and what a registrar may say to it (RFC 3261 s.10)."""

import random

import pytest

from protocols.errors import LocalProtocolError
from protocols.machine import Expired
from protocols.sip import (
    Challenger,
    Credentials,
    Local,
    Received,
    Register,
    Registered,
    Registration,
    RegistrationFailed,
    Response,
    Unregister,
    Unregistered,
    Verdict,
)

ASKED = Register("sip:provider.example", "sip:robot@provider.example", ("10.0.0.2", 5060))


@pytest.fixture
def registrar(make_peer):
    """A registration that has asked, and the hand that answers it."""
    machine = Registration(
        Local("10.0.0.1", 5060, user="robot"), random.Random(1).randbytes, Credentials("robot", "s3cret")
    )
    peer = make_peer(machine)
    peer.give(ASKED)
    return peer


def test_a_registration_is_asked_for_and_granted(registrar) -> None:
    (asked,) = registrar.sent
    assert (asked.method, asked.uri) == ("REGISTER", "sip:provider.example")
    assert asked.first("contact") == "<sip:robot@10.0.0.1:5060>"
    assert (asked.to.uri.text, asked.sender.uri.text) == (ASKED.aor, ASKED.aor)
    registrar.answer(asked, 200, ("contact", "<sip:robot@10.0.0.1:5060>;expires=120"))
    assert registrar.told == [Registered(120)]


@pytest.mark.parametrize(
    ("fields", "granted_s"),
    [
        ((("expires", "100"),), 100),
        ((("contact", "<sip:other@x>;expires=7, <sip:robot@10.0.0.1:5060>;expires=90"), ("expires", "100")), 90),
        ((), 300),
        ((("expires", "soon"),), 300),
        ((("contact", "*"),), 300),
    ],
)
def test_the_time_granted_is_read_from_our_contact_then_expires(registrar, fields, granted_s: int) -> None:
    request = registrar.sent[0]
    headers = tuple(one for one in request.headers if one[0] not in ("contact", "expires"))
    registrar.give(Received(Response(code=200, phrase="", headers=(*headers, *fields)), ("10.0.0.2", 5060)))
    assert registrar.told == [Registered(granted_s)]


def test_it_is_renewed_after_three_quarters_with_the_same_call_id_and_a_higher_cseq(registrar) -> None:
    first = registrar.sent[0]
    registrar.answer(first, 200, ("expires", "100"))
    assert registrar.wait(74) == []
    again, *_ = registrar.wait(2)
    assert again.sip_call_id == first.sip_call_id
    assert again.cseq.number == first.cseq.number + 1


def test_a_challenge_is_answered(registrar) -> None:
    server = Challenger("provider.example", b"s")
    (again,) = registrar.answer(registrar.sent[0], 401, ("www-authenticate", server.challenge(0)))
    assert server.verify(again.first("authorization"), "REGISTER", {"robot": "s3cret"}.get, 0) is Verdict.GOOD


def test_an_interval_that_is_too_brief_is_lengthened(registrar) -> None:
    (again,) = registrar.answer(registrar.sent[0], 423, ("min-expires", "1800"))
    assert again.first("expires") == "1800"


@pytest.mark.parametrize("least", ["", "10", "x", "99999999999999999999"])
def test_a_423_that_makes_no_sense_is_a_failure(registrar, least: str) -> None:
    assert registrar.answer(registrar.sent[0], 423, ("min-expires", least)) == []
    assert registrar.told == [RegistrationFailed(423)]


def test_a_refusal_is_told_and_tried_again_less_and_less_often(registrar) -> None:
    for wait_s in (30, 60, 120, 240, 480, 480):
        registrar.answer(registrar.sent[-1], 403)
        assert registrar.told[-1] == RegistrationFailed(403)
        assert registrar.wait(wait_s - 1) == []
        assert len(registrar.wait(1.2)) == 1


def test_silence_is_a_failure_after_32_s(registrar) -> None:
    registrar.wait(33)
    assert registrar.told == [RegistrationFailed(408)]


def test_a_registrar_that_was_away_for_an_hour_is_asked_within_half_a_minute_of_its_return(registrar) -> None:
    while sum(1 for told in registrar.told if told == RegistrationFailed(408)) < 60:
        registrar.wait(1.0)
    assert any(registrar.wait(1.0) for _ in range(30))


def test_unregistering_asks_for_no_time_at_all(registrar) -> None:
    registrar.answer(registrar.sent[0], 200)
    (asked,) = registrar.give(Unregister())
    assert asked.first("expires") == "0"
    registrar.answer(asked, 200)
    assert registrar.told[-1] == Unregistered()
    assert registrar.wait(1000) == []


def test_unregistering_nothing_is_our_bug() -> None:
    with pytest.raises(LocalProtocolError, match="not_registered"):
        Registration(Local("10.0.0.1", 5060), random.Random(1).randbytes).step(Unregister(), 0.0)


def test_a_request_to_a_registration_is_nothing(registrar) -> None:
    assert registrar.hear(bytes(registrar.sent[0])) == []
    assert registrar.give(Expired()) == []
