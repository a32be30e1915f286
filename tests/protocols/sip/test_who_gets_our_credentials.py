"""Our password's digest goes to the trunk that it is for, and to nobody else who asks (RFC 3261 s.22, s.26.1)."""

import random

import pytest

from protocols.sip import Challenger, Credentials, Dial, HangUp, Listening, Local, Offer, Uac, Verdict
from protocols.sip.syntax import auth_params

TRUNK = ("10.0.0.2", 5060)
DIAL = Dial("sip:+12025550100@10.0.0.2:5060", "sip:robot@10.0.0.1", Listening("10.0.0.1", 4000), TRUNK)
ELSEWHERE = ("record-route", "<sip:10.9.9.9:5099;lr>")
OUTSIDE = Challenger("attacker.example", b"a").challenge(0)
OURS = Challenger("trunk.example", b"t").challenge(0)
NO_QOP = 'Digest realm="trunk.example", nonce="1", algorithm=MD5'


@pytest.fixture
def call(make_peer):
    def make(**about):
        peer = make_peer(Uac(Local("10.0.0.1", 5060), random.Random(7).randbytes, Credentials("robot", "pw", **about)))
        peer.give(DIAL)
        return peer

    return make


def answers(messages) -> list[str]:
    """The realms that these messages have an answer for."""
    values = [value for one in messages for name, value in one.headers if name.endswith("authorization")]
    return [auth_params(value)[1]["realm"] for value in values]


def ask(peer, request, *challenges: str) -> list[str]:
    return answers(peer.answer(request, 407, *(("proxy-authenticate", one) for one in challenges)))


@pytest.mark.parametrize("realms", [(), ("trunk.example",)])
@pytest.mark.parametrize("fields", [(), (ELSEWHERE,)], ids=["through the trunk", "past it"])
def test_a_callee_who_answers_a_bye_with_a_challenge_gets_nothing(call, sdp, realms, fields) -> None:
    """Shared case security/uas digestleak."""
    peer = call(realms=realms)
    assert ask(peer, peer.sent[0], OURS) == ["trunk.example"]
    peer.answer(peer.sent[-1], 200, *fields, body=sdp())
    (bye,) = peer.give(HangUp())
    assert ask(peer, bye, OUTSIDE) == []


@pytest.mark.parametrize("realms", [(), ("trunk.example",)])
def test_no_answer_leaves_on_a_way_that_is_not_the_trunks_whatever_the_realm(call, sdp, realms) -> None:
    peer = call(realms=realms)
    ask(peer, peer.sent[0], OURS)
    (ack,) = peer.answer(peer.sent[-1], 200, ELSEWHERE, body=sdp())
    assert (ack.method, peer.went_to[-1]) == ("ACK", ("10.9.9.9", 5099))
    assert answers([ack]) == []
    (reinvite,) = peer.give(Offer(Listening("10.0.0.1", 4002)))
    assert ask(peer, reinvite, OURS) == []


def test_within_the_dialog_the_trunk_may_ask_again(call, sdp) -> None:
    peer = call()
    ask(peer, peer.sent[0], OURS)
    peer.answer(peer.sent[-1], 200, body=sdp())
    (bye,) = peer.give(HangUp())
    assert ask(peer, bye, OURS, OUTSIDE) == ["trunk.example"]


def test_who_has_been_asked_is_known_to_the_next_life(call, sdp, make_peer) -> None:
    peer = call()
    ask(peer, peer.sent[0], OURS)
    peer.answer(peer.sent[-1], 200, body=sdp())
    for challenge, expected in ((OURS, ["trunk.example"]), (OUTSIDE, [])):
        leg = Uac.resume(peer.leg.record, peer.now, random.Random(8).randbytes, Credentials("robot", "pw"))
        successor = make_peer(leg)
        (bye,) = successor.give(HangUp())
        assert ask(successor, bye, challenge) == expected


def test_whoever_asks_when_a_phone_has_rung_is_not_the_trunk(call) -> None:
    peer = call()
    peer.answer(peer.sent[0], 100)
    peer.answer(peer.sent[0], 180)
    assert ask(peer, peer.sent[0], OUTSIDE) == []


def test_where_the_realms_are_known_no_other_is_answered_at_all(call) -> None:
    peer = call(realms=("trunk.example",))
    assert ask(peer, peer.sent[0], OUTSIDE) == []


def test_two_proxies_on_the_way_are_both_answered_and_each_nonce_is_counted(call) -> None:
    """Shared case house/two_proxies; RFC 3261 s.22.3, RFC 7616 s.3.4."""
    peer = call()
    assert ask(peer, peer.sent[0], Challenger("one", b"1").challenge(0)) == ["one"]
    second = peer.answer(peer.sent[-1], 407, ("proxy-authenticate", Challenger("two", b"2").challenge(0)))
    assert answers(second) == ["one", "two"]
    for secret, value in zip((b"1", b"2"), second[-1].values("proxy-authorization"), strict=True):
        fields = auth_params(value)[1]
        server = Challenger(fields["realm"], secret)
        assert server.verify(value, "INVITE", {"robot": "pw"}.get, 0) is Verdict.GOOD
        assert fields["nc"] == {"one": "00000002", "two": "00000001"}[fields["realm"]]


def test_two_challenges_in_one_response_are_both_answered(call) -> None:
    peer = call()
    assert ask(peer, peer.sent[0], Challenger("one", b"1").challenge(0), OURS) == ["one", "trunk.example"]


def test_the_form_without_qop_is_answered_only_where_the_trunk_is_said_to_need_it(call) -> None:
    peer = call()
    assert ask(peer, peer.sent[0], NO_QOP) == []
    peer = call(without_qop=True)
    assert ask(peer, peer.sent[0], NO_QOP) == ["trunk.example"]


def test_a_server_that_was_answered_with_sha_256_is_not_answered_with_md5_afterwards(call) -> None:
    peer = call()
    server = Challenger("trunk.example", b"t", "SHA-256")
    assert ask(peer, peer.sent[0], OURS, server.challenge(0)) == ["trunk.example"]
    assert auth_params(peer.sent[-1].first("proxy-authorization"))[1]["algorithm"] == "SHA-256"
    assert ask(peer, peer.sent[-1], Challenger("trunk.example", b"t").challenge(0, stale=True)) == []


def test_nobody_is_answered_for_ever(call) -> None:
    peer = call()
    for number in range(20):
        ask(peer, peer.requests("INVITE")[-1], Challenger(f"realm{number}", b"").challenge(0))
    assert len(peer.requests("INVITE")) == 5
