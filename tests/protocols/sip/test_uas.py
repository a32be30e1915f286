"""The called side, tested with our own calling side as the caller, and alone where the caller has to misbehave."""

import random
from collections.abc import Callable

import pytest

from protocols.errors import LocalProtocolError
from protocols.sip import (
    Accept,
    Answered,
    Dial,
    Disposition,
    EarlyMedia,
    Ended,
    HangUp,
    Invited,
    LegPhase,
    Listening,
    Local,
    Media,
    Offer,
    Received,
    Reject,
    Request,
    Ring,
    Side,
    Uac,
    Uas,
)
from protocols.sip.message import parse

US, THEM = Listening("10.0.0.1", 4000), ("10.0.0.2", 5060)
Sdp = Callable[..., bytes]


@pytest.fixture
def called(make_peer):
    """A Uas that has just got an INVITE (with our own Uac's offer, from 10.0.0.2), and that INVITE."""

    def invited(**changes: str):
        caller = Uac(Local(*THEM), random.Random(1).randbytes)
        dial = Dial("sip:us@10.0.0.1", "sip:them@10.0.0.2", Listening("10.0.0.2", 30000), ("10.0.0.1", 5060))
        invite = parse(caller.step(dial, 0.0)[0].data)
        assert isinstance(invite, Request)
        peer = make_peer(Uas(Local("10.0.0.1", 5060), random.Random(2).randbytes))
        peer.invite = invite if "body" not in changes else Request(
            method="INVITE", uri=invite.uri, headers=invite.headers, body=changes["body"].encode()
        )  # fmt: skip
        peer.give(Received(peer.invite, THEM))
        return peer

    return invited


def ack_of(peer, body: bytes = b""):
    """The caller's ACK of our 2xx."""
    return peer.ask("ACK", peer.invite.cseq.number, body=body, branch="ack")


class TestAnInviteComes:
    def test_and_is_told_and_answered_100(self, called) -> None:
        peer = called()
        assert [one.code for one in peer.sent] == [100]
        assert peer.told == [Invited("sip:them@10.0.0.2", "", "sip:us@10.0.0.1", has_offer=True)]
        assert not peer.sent[0].to.tag

    def test_twice_and_is_told_once(self, called) -> None:
        peer = called()
        (again,) = peer.give(Received(peer.invite, THEM))
        assert again.code == 100
        assert peer.kinds() == ["Invited"]

    def test_by_two_ways_and_the_second_is_a_loop(self, called) -> None:
        """RFC 3261 s.8.2.2.2."""
        peer = called()
        other = peer.invite.setting("via", "SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKother")
        (answer,) = peer.give(Received(other, THEM))
        assert answer.code == 482

    def test_that_asks_for_what_we_have_not(self, make_peer, called) -> None:
        peer = make_peer(Uas(Local("10.0.0.1", 5060), random.Random(2).randbytes))
        invite = called().invite.adding(("require", "100rel"))
        (answer,) = peer.give(Received(invite, THEM))
        assert answer.code == 420
        assert peer.told == [Ended(Disposition.FAILED, "not_understood", Side.US, 420)]


class TestAnswering:
    def test_sends_200_again_until_the_ack_comes(self, called) -> None:
        """RFC 3261 s.13.3.1.4."""
        peer = called()
        peer.give(Ring())
        (answer,) = peer.give(Accept(US))
        assert (answer.code, answer.first("contact")) == (200, "<sip:ringmaster@10.0.0.1:5060>")
        assert peer.told[-1] == Answered(Media("10.0.0.2", 30000, 0, 101, sends=True, hears=True))
        assert peer.wait(2) == [answer, answer]
        ack_of(peer)
        assert peer.wait(60) == []

    def test_and_no_ack_ever_hangs_up(self, called) -> None:
        peer = called()
        peer.give(Accept(US))
        peer.wait(33)
        assert peer.told[-1] == Ended(Disposition.FAILED, "no_ack", Side.NOBODY)
        assert peer.requests("BYE")

    def test_with_early_media_says_the_same_twice(self, called) -> None:
        peer = called()
        (early,) = peer.give(Ring(US))
        (answer,) = peer.give(Accept(US))
        assert (early.code, early.body) == (183, answer.body)
        assert peer.kinds() == ["Invited", "EarlyMedia", "Answered"]
        assert isinstance(peer.told[1], EarlyMedia)

    def test_an_invite_without_offer_is_agreed_by_the_ack(self, called, sdp: Sdp) -> None:
        peer = called(body="")
        (answer,) = peer.give(Accept(US))
        assert b"m=audio 4000 RTP/AVP 0 8 101" in answer.body
        assert peer.kinds() == ["Invited"]
        ack_of(peer, body=sdp())
        assert peer.told[-1] == Answered(Media("10.0.0.2", 30000, 0, 101, sends=True, hears=True))

    def test_an_offer_without_a_common_codec_is_488(self, called, sdp: Sdp) -> None:
        peer = called(body=sdp(formats="18").decode())
        (answer,) = peer.give(Accept(US))
        assert answer.code == 488
        assert peer.kinds() == ["Invited", "Ended"]

    def test_copies_record_route_and_uses_it(self, make_peer, called) -> None:
        """RFC 3261 s.12.1.1."""
        peer = make_peer(Uas(Local("10.0.0.1", 5060), random.Random(2).randbytes))
        route = "<sip:10.0.0.9;lr>,<sip:10.0.0.8;lr>"
        peer.invite = called().invite.adding(("record-route", route))
        peer.give(Received(peer.invite, THEM))
        (answer,) = peer.give(Accept(US))
        assert answer.values("record-route") == [route]
        ack_of(peer)
        (bye,) = peer.give(HangUp())
        assert bye.values("route") == ["<sip:10.0.0.9;lr>", "<sip:10.0.0.8;lr>"]
        assert peer.went_to[-1] == ("10.0.0.9", 5060)


class TestNotAnswering:
    def test_reject_says_why(self, called) -> None:
        peer = called()
        (answer,) = peer.give(Reject(486, q850=17))
        assert (answer.code, answer.first("reason")) == (486, "Q.850;cause=17")
        assert peer.told[-1] == Ended(Disposition.BUSY, "busy", Side.US, 486, 17)
        assert peer.wait(2) == [answer, answer], "timer G"
        peer.ask("ACK", peer.invite.cseq.number)
        peer.wait(40)
        assert peer.leg.phase is LegPhase.FINISHED

    def test_hanging_up_while_it_rings_is_480(self, called) -> None:
        peer = called()
        (answer,) = peer.give(HangUp())
        assert answer.code == 480

    def test_a_cancel_is_answered_and_its_invite_487(self, called) -> None:
        """RFC 3261 s.9.2."""
        peer = called()
        peer.give(Ring())
        cancel = bytes(peer.invite).replace(b"INVITE", b"CANCEL").partition(b"\r\nContact")[0] + b"\r\n\r\n"
        to_cancel, to_invite = peer.hear(cancel)
        assert (to_cancel.code, to_cancel.cseq.method) == (200, "CANCEL")
        assert (to_invite.code, to_invite.cseq.method) == (487, "INVITE")
        assert peer.told[-1] == Ended(Disposition.NO_ANSWER, "cancelled", Side.THEM)
        assert peer.give(Accept(US)) == [], "the callee picks up a moment too late"

    def test_a_caller_who_leaves_by_a_bye_is_answered_and_the_invite_487(self, called) -> None:
        """RFC 3261 s.15.1.2: the dialog is early, and theirs to end."""
        peer = called()
        peer.give(Ring())
        to_bye, to_invite = peer.ask("BYE", 2)
        assert (to_bye.code, to_bye.cseq.method) == (200, "BYE")
        assert (to_invite.code, to_invite.cseq.method) == (487, "INVITE")
        assert peer.told[-1] == Ended(Disposition.NO_ANSWER, "cancelled", Side.THEM)

    def test_another_offer_before_the_answer_is_to_come_later(self, called, sdp: Sdp) -> None:
        """RFC 3261 s.14.2."""
        peer = called()
        peer.give(Ring())
        (refusal,) = peer.ask("INVITE", 2, body=sdp())
        assert (refusal.code, refusal.first("retry-after")) == (500, "2")
        (ok,) = peer.give(Accept(US))
        assert (ok.code, ok.cseq.number) == (200, 1)

    def test_and_there_is_nothing_to_answer_before_somebody_calls(self, make_peer) -> None:
        peer = make_peer(Uas(Local("10.0.0.1", 5060), random.Random(2).randbytes))
        with pytest.raises(LocalProtocolError, match="nobody_is_waiting"):
            peer.give(Accept(US))


def test_a_bye_waits_for_the_ack(called) -> None:
    """RFC 3261 s.15."""
    peer = called()
    peer.give(Accept(US))
    assert peer.give(HangUp()) == []
    assert peer.kinds()[-1] == "Ended"
    (bye,) = ack_of(peer)
    assert bye.method == "BYE"


def test_an_offer_waits_for_the_ack(called) -> None:
    """RFC 3261 s.14.1: no INVITE while another is in progress, in either direction."""
    peer = called()
    peer.give(Accept(US))
    assert peer.give(Offer(Listening("10.0.0.1", 4002))) == []
    (reinvite,) = ack_of(peer)
    assert b"m=audio 4002" in reinvite.body
