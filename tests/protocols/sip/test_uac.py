"""The calling side: what each answer to an INVITE leads to."""

import random
from collections.abc import Callable

import pytest

from protocols.errors import LocalProtocolError
from protocols.sip import (
    Accept,
    Answered,
    Credentials,
    Dial,
    Disposition,
    EarlyMedia,
    Ended,
    HangUp,
    LegPhase,
    Listening,
    Local,
    Media,
    Request,
    Ringing,
    Side,
    Uac,
    Verdict,
)
from protocols.sip.auth import Challenger

Sdp = Callable[..., bytes]
THEM = Media("10.0.0.2", 30000, 0, 101, sends=True, hears=True)
DIAL = Dial("sip:bob@example.com", "sip:robot@example.org", Listening("10.0.0.1", 4000), ("10.0.0.2", 5060))


def uac(credentials: Credentials | None = None) -> Uac:
    return Uac(Local("10.0.0.1", 5060), random.Random(3).randbytes, credentials)


class TestAnInviteIsSent:
    def test_with_all_that_rfc_3261_section_8_1_1_asks_for(self, invite: Request) -> None:
        assert invite.uri == "sip:bob@example.com"
        assert invite.via.branch.startswith("z9hG4bK")
        assert "rport" in invite.via.params
        assert invite.sender.tag
        assert not invite.to.tag
        assert invite.first("max-forwards") == "70"
        assert invite.first("contact") == "<sip:ringmaster@10.0.0.1:5060>"
        assert "timer" in invite.tokens("supported")
        assert b"m=audio 4000 RTP/AVP 0 8 101" in invite.body

    def test_again_and_again_with_doubled_gaps_until_timer_b(self, dialled) -> None:
        dialled.wait(31.9)
        assert len(dialled.requests("INVITE")) == 7  # 0, 0.5, 1.5, 3.5, 7.5, 15.5 s; and the ring limit cancels nothing

    def test_and_silence_for_32_s_is_a_failure(self, make_peer) -> None:
        peer = make_peer(uac())
        peer.give(Dial(**{**{name: getattr(DIAL, name) for name in DIAL.__slots__}, "ring_s": 60}))
        peer.wait(33)
        assert peer.told[0] == Ended(Disposition.FAILED, "timeout", Side.NOBODY, 408)
        assert peer.kinds() == ["Ended", "Finished"]

    def test_once_only(self, dialled) -> None:
        with pytest.raises(LocalProtocolError, match="dialled_twice"):
            dialled.give(DIAL)

    def test_not_at_all_to_something_that_is_no_uri(self, make_peer) -> None:
        peer = make_peer(uac())
        sent = peer.give(Dial("sip:bob smith@x", DIAL.caller, DIAL.listening, DIAL.next_hop))
        assert sent == []
        assert peer.told[0] == Ended(Disposition.INVALID, "bad_request_line", Side.US)

    def test_never_with_a_line_end_in_what_we_were_given(self, make_peer) -> None:
        peer = make_peer(uac())
        assert not peer.give(Dial(DIAL.target, DIAL.caller, DIAL.listening, DIAL.next_hop, caller_name="a\r\nb: c"))
        assert peer.told[0] == Ended(Disposition.INVALID, "line_end_in_header", Side.US)

    def test_and_commands_for_the_called_side_are_refused(self, dialled) -> None:
        with pytest.raises(LocalProtocolError, match="not_for_this_leg"):
            dialled.give(Accept(Listening("10.0.0.1", 1)))


class TestAProvisionalAnswer:
    def test_180_is_told_once(self, dialled, invite) -> None:
        for code in (100, 180, 180, 181):
            dialled.answer(invite, code)
        assert dialled.told == [Ringing()]

    @pytest.mark.parametrize("code", [180, 183])
    def test_with_a_description_is_early_media(self, dialled, invite, sdp: Sdp, code: int) -> None:
        dialled.answer(invite, code, body=sdp())
        assert dialled.told[-1] == EarlyMedia(THEM)

    def test_with_a_description_we_cannot_read_is_only_an_answer(self, dialled, invite) -> None:
        dialled.answer(invite, 183, body=b"v=0\r\nm=audio x\r\n")
        assert dialled.told == []
        assert dialled.leg.phase is LegPhase.INVITING

    def test_stops_the_repetitions_of_rfc_3261_17_1_1_2(self, dialled, invite) -> None:
        dialled.answer(invite, 100)
        assert dialled.wait(29) == []


class TestAnAnswer:
    def test_is_acknowledged_in_the_dialog_of_section_12_1_2(self, dialled, invite, sdp: Sdp) -> None:
        routes = ("record-route", "<sip:10.0.0.9;lr>, <sip:10.0.0.8:5070;lr>")
        (ack,) = dialled.answer(invite, 200, routes, body=sdp())
        assert dialled.told == [Answered(THEM)]
        assert (ack.method, ack.uri, ack.cseq.number) == ("ACK", "sip:them@10.0.0.2:5060", invite.cseq.number)
        assert ack.values("route") == ["<sip:10.0.0.8:5070;lr>", "<sip:10.0.0.9;lr>"]
        assert (ack.to.tag, ack.sender.tag) == ("them", invite.sender.tag)
        assert ack.via.branch != invite.via.branch
        assert dialled.went_to[-1] == ("10.0.0.8", 5070)

    def test_that_comes_again_is_acknowledged_again_and_told_once(self, talking, invite, sdp: Sdp) -> None:
        first = talking.requests("ACK")
        again = talking.answer(invite, 200, body=sdp())
        assert again == first
        assert talking.kinds() == ["Answered"]

    def test_of_another_phone_is_acknowledged_and_hung_up_on(self, talking, invite, sdp: Sdp) -> None:
        """RFC 3261 s.13.2.2.4: a proxy forks, and two people pick up."""
        ack, bye = talking.answer(invite, 200, tag="fork", body=sdp())
        assert (ack.method, bye.method) == ("ACK", "BYE")
        assert (ack.to.tag, bye.to.tag) == ("fork", "fork")
        assert bye.cseq.number > ack.cseq.number
        assert talking.leg.phase is LegPhase.CONFIRMED
        assert talking.answer(invite, 200, tag="fork", body=sdp()) == [ack]

    def test_of_a_hundred_other_phones_is_somebody_playing_with_us(self, talking, invite, sdp: Sdp) -> None:
        for number in range(100):
            talking.answer(invite, 200, tag=f"fork{number}", body=sdp())
        assert len(talking.requests("BYE")) == 15
        assert talking.leg.dropped == 85

    def test_without_a_description_uses_the_early_one(self, dialled, invite, sdp: Sdp) -> None:
        dialled.answer(invite, 183, body=sdp())
        dialled.answer(invite, 200)
        assert dialled.told[-1] == Answered(THEM)

    @pytest.mark.parametrize("body", [b"", b"v=0\r\nm=audio 0 RTP/AVP 0\r\n", b"\xff\xfe"])
    def test_without_audio_is_acknowledged_and_hung_up_on(self, dialled, invite, body: bytes) -> None:
        ack, bye = dialled.answer(invite, 200, body=body)
        assert (ack.method, bye.method) == ("ACK", "BYE")
        assert dialled.told == [Ended(Disposition.FAILED, "not_acceptable", Side.US, 200)]

    def test_ends_the_ring_limit(self, talking) -> None:
        talking.wait(100)
        assert talking.kinds() == ["Answered"]


class TestARefusal:
    @pytest.mark.parametrize(
        ("code", "reason", "disposition"),
        [
            (486, "", Disposition.BUSY),
            (600, "", Disposition.BUSY),
            (404, "", Disposition.INVALID),
            (480, "", Disposition.NO_ANSWER),
            (480, "Q.850;cause=1", Disposition.INVALID),
            (503, 'SIP;cause=503, Q.850;cause=17;text="busy"', Disposition.FAILED),
            (603, "", Disposition.REJECTED),
            (302, "", Disposition.REJECTED),
            (500, "", Disposition.FAILED),
            (500, "Q.850;cause=17", Disposition.BUSY),
            (407, "", Disposition.FAILED),
        ],
    )
    def test_is_acknowledged_and_counted(self, dialled, invite, code: int, reason: str, disposition) -> None:
        (ack,) = dialled.answer(invite, code, ("reason", reason))
        assert (ack.method, ack.via.branch, ack.to.tag) == ("ACK", invite.via.branch, "them")
        ended = dialled.told[0]
        assert (ended.disposition, ended.by, ended.code) == (disposition, Side.THEM, code)

    def test_that_comes_again_is_acknowledged_again_for_32_s(self, dialled, invite) -> None:
        first = dialled.answer(invite, 486)
        assert dialled.answer(invite, 486) == first
        dialled.wait(33)
        assert dialled.kinds() == ["Ended", "Finished"]
        assert dialled.answer(invite, 486) == []
        assert dialled.leg.dropped == 1


class TestGivingUp:
    def test_before_a_1xx_waits_for_it_as_section_9_1_demands(self, dialled, invite) -> None:
        assert dialled.give(HangUp(Disposition.FAILED, "campaign_stopped")) == []
        (cancel,) = dialled.answer(invite, 100)
        assert (cancel.method, cancel.cseq.number) == ("CANCEL", invite.cseq.number)
        assert (cancel.via.branch, cancel.to, cancel.uri) == (invite.via.branch, invite.to, invite.uri)
        dialled.answer(cancel, 200)
        dialled.answer(invite, 487)
        assert dialled.told == [Ended(Disposition.FAILED, "campaign_stopped", Side.US, 487)]

    def test_when_it_has_rung_for_long_enough(self, dialled, invite) -> None:
        dialled.answer(invite, 180)
        (cancel,) = dialled.wait(30)
        assert cancel.method == "CANCEL"
        dialled.answer(invite, 487)
        assert dialled.told[-1] == Ended(Disposition.NO_ANSWER, "ring_limit", Side.NOBODY, 487)

    def test_too_late_hangs_up_on_the_one_who_answered(self, dialled, invite, sdp: Sdp) -> None:
        dialled.answer(invite, 180)
        dialled.give(HangUp())
        ack, bye = dialled.answer(invite, 200, body=sdp())
        assert (ack.method, bye.method) == ("ACK", "BYE")
        assert dialled.told[-1] == Ended(Disposition.ABANDONED, "answered_too_late", Side.US, 200)

    def test_is_over_after_32_s_without_a_word(self, dialled, invite) -> None:
        dialled.answer(invite, 180)
        dialled.give(HangUp(cause="stop"))
        dialled.wait(70)
        assert dialled.kinds() == ["Ringing", "Ended", "Finished"]
        assert dialled.told[1] == Ended(Disposition.COMPLETED, "stop", Side.US)

    def test_of_a_trunk_that_never_said_anything_is_no_ringing_phone(self, dialled) -> None:
        dialled.wait(40)
        assert dialled.told[0] == Ended(Disposition.FAILED, "timeout", Side.NOBODY, 408)

    def test_twice_is_giving_up_once(self, dialled, invite) -> None:
        dialled.answer(invite, 180)
        dialled.give(HangUp())
        assert dialled.give(HangUp()) == []

    def test_does_not_ring_anybody_anew_when_the_trunk_asks_who_we_are(self, make_peer) -> None:
        peer = make_peer(uac(Credentials("robot", "secret")))
        (invite,) = peer.give(DIAL)
        peer.give(HangUp())
        challenge = Challenger("example", b"s").challenge(0)
        (ack,) = peer.answer(invite, 407, ("proxy-authenticate", challenge))
        assert ack.method == "ACK"
        assert peer.kinds() == ["Ended"]


class TestAChallenge:
    @pytest.mark.parametrize(("code", "ask", "answer"), [
        (401, "www-authenticate", "authorization"),
        (407, "proxy-authenticate", "proxy-authorization"),
    ])  # fmt: skip
    @pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
    def test_is_answered_in_a_new_transaction(self, make_peer, sdp: Sdp, code, ask, answer, algorithm) -> None:
        peer, server = make_peer(uac(Credentials("robot", "secret"))), Challenger("example", b"s", algorithm)
        (invite,) = peer.give(DIAL)
        ack, again = peer.answer(invite, code, (ask, server.challenge(0)))
        assert (ack.method, again.method) == ("ACK", "INVITE")
        assert again.cseq.number == invite.cseq.number + 1
        assert again.via.branch != invite.via.branch
        assert again.sender.tag == invite.sender.tag
        assert server.verify(again.first(answer), "INVITE", {"robot": "secret"}.get, 0) is Verdict.GOOD
        (ack,) = peer.answer(again, 200, body=sdp())
        assert ack.first(answer) == again.first(answer)
        assert ack.cseq.number == again.cseq.number
        assert peer.kinds() == ["Answered"]

    def test_that_is_not_content_with_the_answer_is_a_failure(self, make_peer) -> None:
        peer, server = make_peer(uac(Credentials("robot", "wrong"))), Challenger("example", b"s")
        (invite,) = peer.give(DIAL)
        _, again = peer.answer(invite, 407, ("proxy-authenticate", server.challenge(0)))
        peer.answer(again, 407, ("proxy-authenticate", server.challenge(0)))
        assert len(peer.requests("INVITE")) == 2
        assert peer.told[0] == Ended(Disposition.FAILED, "failed", Side.THEM, 407)

    def test_that_found_the_nonce_stale_is_answered_once_more(self, make_peer) -> None:
        peer, server = make_peer(uac(Credentials("robot", "secret"))), Challenger("example", b"s")
        (invite,) = peer.give(DIAL)
        for _ in range(3):
            peer.answer(peer.requests("INVITE")[-1], 407, ("proxy-authenticate", server.challenge(0, stale=True)))
        assert len(peer.requests("INVITE")) == 3
        assert peer.kinds() == ["Ended"]
        assert invite.cseq.number == 1

    def test_of_proxy_and_callee_are_both_answered(self, make_peer) -> None:
        peer = make_peer(uac(Credentials("robot", "secret")))
        (invite,) = peer.give(DIAL)
        _, again = peer.answer(invite, 407, ("proxy-authenticate", Challenger("trunk", b"s").challenge(0)))
        _, third = peer.answer(again, 401, ("www-authenticate", Challenger("pbx", b"s").challenge(0)))
        assert third.first("proxy-authorization")
        assert third.first("authorization")

    def test_of_a_bye_is_answered_where_the_realm_is_the_trunks(self, make_peer, sdp: Sdp) -> None:
        peer = make_peer(uac(Credentials("robot", "secret", realms=("trunk",))))
        (invite,) = peer.give(DIAL)
        peer.answer(invite, 200, body=sdp())
        (bye,) = peer.give(HangUp())
        (again,) = peer.answer(bye, 407, ("proxy-authenticate", Challenger("trunk", b"s").challenge(0)))
        assert (again.method, again.cseq.number) == ("BYE", bye.cseq.number + 1)

    @pytest.mark.parametrize(
        "value",
        ["", "Digest", "Basic realm=x", 'Digest realm="x"', "Digest nonce=,", 'Digest realm="a",nonce="b",algorithm=X'],
    )
    def test_that_we_cannot_answer_is_a_failure(self, make_peer, value: str) -> None:
        peer = make_peer(uac(Credentials("robot", "secret")))
        (invite,) = peer.give(DIAL)
        peer.answer(invite, 401, ("www-authenticate", value))
        assert peer.kinds() == ["Ended"]
