"""A confirmed dialog: what they ask, what we ask, and how it ends."""

import random
from collections.abc import Callable

import pytest

from protocols.machine import Expired
from protocols.sip import (
    Disposition,
    Ended,
    HangUp,
    LegPhase,
    Listening,
    Local,
    Media,
    MediaChanged,
    Offer,
    OfferRefused,
    Side,
    Uac,
)
from protocols.sip.message import Response
from protocols.sip.transaction import T1

Sdp = Callable[..., bytes]
MOVED = Media("10.0.0.3", 31000, 0, 101, sends=True, hears=True)
HELD = Media("10.0.0.2", 30000, 0, 101, sends=False, hears=True)


class TestTheyHangUp:
    def test_and_the_call_is_over_at_once(self, talking) -> None:
        (answer,) = talking.ask("BYE", 7, ("reason", "Q.850;cause=16"))
        assert answer.code == 200
        assert talking.told[-1] == Ended(Disposition.COMPLETED, "remote_hangup", Side.THEM, 0, 16)

    def test_and_say_so_again_because_our_answer_was_lost(self, talking) -> None:
        first = talking.ask("BYE", 7)
        talking.wait(10)
        assert talking.ask("BYE", 7) == first
        talking.wait(40)
        assert talking.kinds() == ["Answered", "Ended", "Finished"]

    def test_while_we_hang_up_and_both_are_answered(self, talking) -> None:
        (ours,) = talking.give(HangUp())
        (answer,) = talking.ask("BYE", 7)
        assert answer.code == 481
        talking.answer(ours, 200)
        talking.wait(40)
        assert talking.kinds() == ["Answered", "Ended", "Finished"]


class TestWeHangUp:
    def test_with_a_bye_in_the_dialog(self, talking, invite) -> None:
        (bye,) = talking.give(HangUp(Disposition.OPTED_OUT, "asked_to_stop"))
        assert (bye.method, bye.uri, bye.cseq.number) == ("BYE", "sip:them@10.0.0.2:5060", invite.cseq.number + 1)
        assert talking.told[-1] == Ended(Disposition.OPTED_OUT, "asked_to_stop", Side.US)

    def test_and_repeat_it_as_timer_e_says_until_timer_f(self, talking) -> None:
        talking.give(HangUp())
        talking.wait(40)
        assert len(talking.requests("BYE")) == 11  # 0 0.5 1.5 3.5 7.5 11.5 ... 31.5 s
        assert talking.leg.phase is LegPhase.FINISHED

    def test_once(self, talking) -> None:
        talking.give(HangUp())
        assert talking.give(HangUp()) == []
        assert talking.give(Offer(Listening("10.0.0.1", 1))) == []
        assert talking.kinds() == ["Answered", "Ended", "OfferRefused"]


class TestTheyOffer:
    def test_another_address_and_it_is_answered_and_told(self, talking, sdp: Sdp) -> None:
        (answer,) = talking.ask(
            "INVITE", 7, ("contact", "<sip:new@10.0.0.3:5099>"), body=sdp(host="10.0.0.3", port=31000)
        )
        assert (answer.code, answer.first("contact")) == (200, "<sip:ringmaster@10.0.0.1:5060>")
        assert b"m=audio 4000 RTP/AVP 0 101\r\n" in answer.body
        assert talking.told[-1] == MediaChanged(MOVED)
        (bye,) = talking.give(HangUp())
        assert bye.uri == "sip:new@10.0.0.3:5099"

    @pytest.mark.parametrize("hold", ["a=sendonly", "c=IN IP4 0.0.0.0"])
    def test_hold_and_we_stop_sending(self, talking, sdp: Sdp, hold: str) -> None:
        talking.ask("INVITE", 7, body=sdp(hold))
        assert not talking.told[-1].media.sends
        talking.ask("ACK", 7)
        talking.ask("INVITE", 8, body=sdp())
        assert talking.told[-1].media.sends

    def test_the_mirror_of_a_hold_is_recvonly(self, talking, sdp: Sdp) -> None:
        (answer,) = talking.ask("INVITE", 7, body=sdp("a=sendonly"))
        assert b"a=recvonly" in answer.body

    def test_nothing_new_and_nothing_is_told_nor_is_our_version_raised(self, talking, sdp: Sdp) -> None:
        (first,) = talking.ask("INVITE", 7, body=sdp())
        talking.ask("ACK", 7)
        (second,) = talking.ask("INVITE", 8, body=sdp())
        assert second.body == first.body
        assert talking.kinds() == ["Answered"]

    def test_by_update_too(self, talking, sdp: Sdp) -> None:
        (answer,) = talking.ask("UPDATE", 7, body=sdp("a=sendonly"))
        assert (answer.code, talking.told[-1]) == (200, MediaChanged(HELD))

    def test_no_codec_of_ours_and_get_488_and_the_call_goes_on(self, talking, sdp: Sdp) -> None:
        (answer,) = talking.ask("INVITE", 7, body=sdp(formats="9 18"))
        assert answer.code == 488
        assert talking.kinds() == ["Answered"]

    def test_video_beside_audio_and_get_audio_alone(self, talking, sdp: Sdp) -> None:
        """RFC 3264 s.6: as many media lines as were offered, the unwanted with port 0."""
        (answer,) = talking.ask("INVITE", 7, body=sdp() + b"m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n")
        assert b"m=video 0 RTP/AVP 96\r\n" in answer.body
        talking.ask("ACK", 7)
        (ours,) = talking.give(Offer(Listening("10.0.0.1", 4444)))
        assert ours.body.count(b"m=") == 2

    def test_nothing_and_want_an_offer_whose_answer_comes_in_the_ack(self, talking, sdp: Sdp) -> None:
        (answer,) = talking.ask("INVITE", 7)
        assert b"m=audio 4000 RTP/AVP 0 8 101" in answer.body
        assert talking.kinds() == ["Answered"]
        talking.ask("ACK", 7, body=sdp(host="10.0.0.3", port=31000), branch="ack")
        assert talking.told[-1] == MediaChanged(MOVED)

    def test_and_never_acknowledge_and_we_hang_up(self, talking, sdp: Sdp) -> None:
        """RFC 3261 s.13.3.1.4."""
        talking.ask("INVITE", 7, body=sdp())
        sent = talking.wait(64 * T1 + 1)
        assert sum(isinstance(one, Response) for one in sent) == 10
        assert talking.told[-1] == Ended(Disposition.FAILED, "no_ack", Side.NOBODY)
        assert talking.requests("BYE")

    def test_while_our_offer_is_open_and_get_491(self, talking, sdp: Sdp) -> None:
        """RFC 3261 s.14.2."""
        talking.give(Offer(Listening("10.0.0.1", 4444)))
        (answer,) = talking.ask("INVITE", 7, body=sdp())
        assert answer.code == 491


class TestTheyAsk:
    @pytest.mark.parametrize(
        ("method", "code"), [("OPTIONS", 200), ("INFO", 200), ("REFER", 405), ("MESSAGE", 405), ("HELLO", 501)]
    )
    def test_and_are_answered(self, talking, method: str, code: int) -> None:
        (answer,) = talking.ask(method, 7)
        assert answer.code == code
        assert "UPDATE" in answer.tokens("allow")

    def test_something_older_than_what_they_asked_last(self, talking) -> None:
        """RFC 3261 s.12.2.2."""
        talking.ask("OPTIONS", 7)
        (answer,) = talking.ask("INFO", 6)
        assert answer.code == 500

    def test_in_a_dialog_that_is_not_this_one(self, talking) -> None:
        asked = bytes(talking.give(HangUp())[0]).replace(b"BYE", b"OPTIONS").replace(b"tag=them", b"tag=nobody")
        (answer,) = talking.hear(asked)
        assert answer.code == 481

    def test_for_an_extension_we_have_not(self, talking) -> None:
        (answer,) = talking.ask("INVITE", 7, ("require", "100rel, timer"))
        assert (answer.code, answer.first("unsupported")) == (420, "100rel")

    def test_to_cancel_what_was_never_asked(self, talking) -> None:
        (answer,) = talking.ask("CANCEL", 7)
        assert answer.code == 481

    def test_to_cancel_what_is_answered_already(self, talking, sdp: Sdp) -> None:
        talking.ask("INVITE", 7, body=sdp(), branch="same")
        (answer,) = talking.ask("CANCEL", 7, branch="same")
        assert answer.code == 200
        assert talking.leg.phase is LegPhase.CONFIRMED


class TestWeOffer:
    def test_another_address_and_it_is_told_when_agreed(self, talking, sdp: Sdp) -> None:
        (reinvite,) = talking.give(Offer(Listening("10.0.0.5", 4444)))
        assert (reinvite.method, reinvite.to.tag, reinvite.cseq.number) == ("INVITE", "them", 2)
        assert b"c=IN IP4 10.0.0.5" in reinvite.body
        (ack,) = talking.answer(reinvite, 200, body=sdp())
        assert (ack.method, ack.cseq.number) == ("ACK", 2)
        assert talking.kinds() == ["Answered", "MediaChanged"]
        assert talking.answer(reinvite, 200, body=sdp()) == [ack]

    def test_and_the_version_rises_by_one_with_each_that_differs(self, talking, sdp: Sdp) -> None:
        versions = []
        for port in (4002, 4004, 4004):
            (reinvite,) = talking.give(Offer(Listening("10.0.0.1", port)))
            versions.append(int(reinvite.body.split()[3]))
            talking.answer(reinvite, 200, body=sdp())
        assert versions == [2, 3, 3]

    def test_hold_and_hear_nothing(self, talking, sdp: Sdp) -> None:
        (reinvite,) = talking.give(Offer(Listening("10.0.0.1", 4000), holds=True))
        assert b"a=sendonly" in reinvite.body
        talking.answer(reinvite, 200, body=sdp("a=recvonly"))
        assert talking.told[-1] == MediaChanged(Media("10.0.0.2", 30000, 0, 101, sends=True, hears=False))

    def test_and_are_refused_and_what_stood_stands(self, talking, sdp: Sdp) -> None:
        before = talking.leg.media
        (reinvite,) = talking.give(Offer(Listening("10.0.0.1", 4444)))
        (ack,) = talking.answer(reinvite, 488)
        assert ack.method == "ACK"
        assert (talking.told[-1], talking.leg.media) == (OfferRefused(488), before)
        (answer,) = talking.ask("INVITE", 7, body=sdp())
        assert b"m=audio 4000" in answer.body

    def test_and_cross_theirs_and_try_again_after_2_1_to_4_s(self, talking, sdp: Sdp) -> None:
        """RFC 3261 s.14.1: we made the Call-ID."""
        (reinvite,) = talking.give(Offer(Listening("10.0.0.1", 4444)))
        talking.answer(reinvite, 491)
        assert talking.wait(2.09) == []
        again, *_ = talking.wait(1.95)
        assert again.body.split(b"m=")[1] == reinvite.body.split(b"m=")[1]
        talking.answer(again, 200, body=sdp())
        assert talking.kinds() == ["Answered", "MediaChanged"]

    def test_twice_at_once_and_the_second_waits_for_the_first(self, talking, sdp: Sdp) -> None:
        (first,) = talking.give(Offer(Listening("10.0.0.1", 4444)))
        assert talking.give(Offer(Listening("10.0.0.1", 5555))) == []
        assert talking.give(Offer(Listening("10.0.0.1", 6666))) == []
        _, second = talking.answer(first, 200, body=sdp())
        assert b"m=audio 6666" in second.body

    @pytest.mark.parametrize("code", [408, 481])
    def test_and_hear_that_there_is_no_dialog(self, talking, code: int) -> None:
        """RFC 3261 s.12.2.1.2."""
        (reinvite,) = talking.give(Offer(Listening("10.0.0.1", 4444)))
        talking.answer(reinvite, code)
        assert talking.told[-1] == Ended(Disposition.FAILED, "dialog_lost", Side.NOBODY, code)

    def test_and_hear_nothing_at_all(self, talking) -> None:
        talking.give(Offer(Listening("10.0.0.1", 4444)))
        talking.wait(33)
        assert talking.told[-1] == Ended(Disposition.FAILED, "dialog_lost", Side.NOBODY, 408)
        assert talking.requests("BYE")

    def test_and_hear_100_and_then_nothing_and_do_not_wait_for_ever(self, talking) -> None:
        """Nobody waits for a final answer for longer than timer C."""
        (reinvite,) = talking.give(Offer(Listening("10.0.0.1", 4444)))
        talking.answer(reinvite, 100)
        talking.give(HangUp())
        talking.wait(181)
        assert talking.kinds() == ["Answered", "Ended", "Finished"]

    def test_and_hang_up_before_it_is_answered(self, talking, sdp: Sdp) -> None:
        (reinvite,) = talking.give(Offer(Listening("10.0.0.1", 4444)))
        talking.give(HangUp())
        (ack,) = talking.answer(reinvite, 200, body=sdp())
        assert ack.method == "ACK"
        assert talking.kinds() == ["Answered", "Ended"]


class TestSessionTimers:
    """RFC 4028."""

    @pytest.fixture
    def timed(self, dialled, invite, sdp: Sdp):
        def answered(value: str):
            dialled.answer(invite, 200, ("session-expires", value), body=sdp())
            return dialled

        return answered

    def test_we_refresh_with_update_at_half_of_the_interval(self, timed) -> None:
        peer = timed("600;refresher=uac")
        assert peer.wait(299) == []
        update, *_ = peer.wait(2)
        assert (update.method, update.body) == ("UPDATE", b"")
        assert update.first("session-expires") == "600;refresher=uac"
        peer.answer(update, 200, ("session-expires", "600;refresher=uac"))
        assert peer.wait(299) == []
        assert peer.wait(2)[0].method == "UPDATE"

    def test_and_with_a_reinvite_that_says_the_same_where_update_is_refused(self, timed, sdp: Sdp, invite) -> None:
        peer = timed("600")
        update, *_ = peer.wait(301)
        (reinvite,) = peer.answer(update, 501)
        assert reinvite.body == invite.body
        (ack,) = peer.answer(reinvite, 200, ("session-expires", "600;refresher=uac"), body=sdp())
        assert ack.method == "ACK"
        assert peer.kinds() == ["Answered"]
        assert peer.wait(290) == []

    def test_they_refresh_and_if_they_do_not_we_hang_up(self, timed) -> None:
        peer = timed("600;refresher=uas")
        assert peer.wait(500) == []
        (answer,) = peer.ask("UPDATE", 7, ("session-expires", "600;refresher=uac"), ("supported", "timer"))
        assert (answer.code, answer.first("session-expires")) == (200, "600;refresher=uac")
        assert answer.first("require") == "timer"
        assert peer.wait(567) == []
        bye, *_ = peer.wait(2)
        assert bye.method == "BYE"
        assert peer.told[-1] == Ended(Disposition.FAILED, "session_expired", Side.NOBODY)

    def test_an_interval_below_90_s_is_refused(self, talking) -> None:
        (answer,) = talking.ask("UPDATE", 7, ("session-expires", "30"))
        assert (answer.code, answer.first("min-se")) == (422, "90")

    def test_a_refresh_that_hears_481_ends_the_call(self, timed) -> None:
        peer = timed("600")
        update, *_ = peer.wait(301)
        peer.answer(update, 481)
        assert peer.told[-1] == Ended(Disposition.FAILED, "dialog_lost", Side.NOBODY, 481)

    def test_a_refresh_that_crosses_something_is_repeated(self, timed) -> None:
        peer = timed("600")
        update, *_ = peer.wait(301)
        peer.answer(update, 491)
        again, *_ = peer.wait(5)
        assert again.method == "UPDATE"


def test_a_leg_that_nobody_dialled_answers_481_and_does_nothing(make_peer) -> None:
    peer = make_peer(Uac(Local("10.0.0.1", 5060), random.Random(3).randbytes))
    assert peer.give(Expired()) == []
    assert peer.leg.deadline is None
