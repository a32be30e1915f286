"""A leg is taken up again from its record: on the same sockets, and from another machine."""

import random
from collections.abc import Callable
from dataclasses import replace

import msgpack
import msgspec
import pytest

from protocols.machine import Expired
from protocols.sip import (
    Accept,
    Credentials,
    Disposition,
    Ended,
    HangUp,
    LegPhase,
    LegRecord,
    Listening,
    Local,
    MediaChanged,
    Offer,
    OfferRefused,
    Received,
    Renumber,
    Side,
    TakeOver,
    TakeoverStage,
    Uac,
    Uas,
)
from protocols.sip.auth import Challenger

Sdp = Callable[..., bytes]
ELSEWHERE = TakeOver(Local("10.0.0.77", 5070), Listening("10.0.0.77", 6000))
NODE_LOST = Ended(Disposition.FAILED, "node_lost", Side.NOBODY)
PLANNED = TakeOver(ELSEWHERE.local, ELSEWHERE.listening, is_planned=True)


def sent_away(record: LegRecord) -> LegRecord:
    """The record as it arrives at an heir: packed, unpacked, validated."""
    packed = msgpack.packb(msgspec.to_builtins(record, builtin_types=(bytes,)))
    return msgspec.convert(msgpack.unpackb(packed), LegRecord)


def successor(peer, credentials: Credentials | None = None):
    """Put a leg from the record in the place of the peer's leg, as after the death of a process."""
    record = sent_away(peer.leg.record)
    assert record == peer.leg.record
    peer.leg = Uac.resume(record, peer.now, random.Random(99).randbytes, credentials)
    assert peer.leg.record == record
    return peer


class TestOnTheSameSockets:
    def test_a_call_in_progress_says_nothing_and_goes_on(self, talking) -> None:
        peer = successor(talking)
        assert peer.give(Expired()) == []
        assert peer.leg.deadline is None
        (bye,) = peer.give(HangUp())
        assert (bye.method, bye.to.tag, bye.cseq.number) == ("BYE", "them", 2)

    def test_a_repeated_200_gets_the_ack_that_the_dead_one_sent(self, talking, invite, sdp: Sdp) -> None:
        first = talking.requests("ACK")
        assert successor(talking).answer(invite, 200, body=sdp()) == first

    def test_a_ringing_call_is_answered_and_acknowledged(self, dialled, invite, sdp: Sdp) -> None:
        dialled.answer(invite, 180)
        peer = successor(dialled)
        assert peer.wait(10) == []
        (ack,) = peer.answer(invite, 200, body=sdp())
        assert (ack.method, ack.cseq.number, ack.to.tag) == ("ACK", 1, "them")
        assert peer.kinds()[-1] == "Answered"

    def test_an_invite_that_nobody_has_heard_yet_is_repeated(self, dialled, invite) -> None:
        peer = successor(dialled)
        assert peer.wait(0.6) == [invite]

    @pytest.mark.parametrize("is_proceeding", [True, False])
    def test_an_offer_that_was_under_way_is_agreed_and_acknowledged(
        self, talking, sdp: Sdp, is_proceeding: bool
    ) -> None:
        """Or the far end would repeat its 200 for 32 s, and hang up."""
        (reinvite,) = talking.give(Offer(Listening("10.0.0.1", 4444)))
        if is_proceeding:
            talking.answer(reinvite, 100)
        peer = successor(talking)
        assert peer.wait(0.6) == ([] if is_proceeding else [reinvite])
        (ack,) = peer.answer(reinvite, 200, body=sdp(port=31000))
        assert (ack.method, ack.cseq.number) == ("ACK", 2)
        assert peer.told[-1].media.port == 31000

    def test_an_offer_that_was_waiting_is_made(self, talking) -> None:
        (reinvite,) = talking.give(Offer(Listening("10.0.0.1", 4444)))
        talking.answer(reinvite, 491)
        again, *_ = successor(talking).wait(0)
        assert b"m=audio 4444" in again.body

    def test_the_ring_limit_still_holds(self, dialled, invite) -> None:
        dialled.answer(invite, 180)
        dialled.now = 20.0
        peer = successor(dialled)
        cancel, *_ = peer.wait(11)
        assert (cancel.method, cancel.via.branch) == ("CANCEL", invite.via.branch)

    def test_a_call_being_cancelled_is_cancelled(self, dialled, invite) -> None:
        dialled.answer(invite, 180)
        dialled.give(HangUp(Disposition.FAILED, "stopped"))
        peer = successor(dialled)
        cancel, *_ = peer.wait(0)
        assert cancel.method == "CANCEL"
        peer.answer(invite, 487)
        assert peer.told[-1] == Ended(Disposition.FAILED, "stopped", Side.US, 487)

    def test_a_call_that_was_being_hung_up_is_hung_up(self, talking) -> None:
        talking.give(HangUp())
        peer = successor(talking)
        bye, *_ = peer.wait(0)
        assert (bye.method, bye.cseq.number) == ("BYE", 3)
        peer.answer(bye, 481)
        peer.wait(10)
        assert peer.kinds() == ["Answered", "Ended", "Finished"]

    def test_the_session_timer_still_holds(self, dialled, invite, sdp: Sdp) -> None:
        dialled.answer(invite, 200, ("session-expires", "600;refresher=uac"), body=sdp())
        dialled.now = 200.0
        peer = successor(dialled)
        assert peer.wait(99) == []
        update, *_ = peer.wait(2)
        assert update.method == "UPDATE"

    def test_a_challenge_is_answered_with_credentials_that_were_not_in_the_record(self, talking) -> None:
        assert b"secret" not in msgpack.packb(msgspec.to_builtins(talking.leg.record, builtin_types=(bytes,)))
        peer = successor(talking, Credentials("robot", "secret", realms=("trunk",)))
        (bye,) = peer.give(HangUp())
        (again,) = peer.answer(bye, 407, ("proxy-authenticate", Challenger("trunk", b"s").challenge(0)))
        assert again.first("proxy-authorization")


class TestFromAnotherMachine:
    def test_the_far_end_is_told_the_new_addresses_with_a_jump_in_cseq_and_version(self, talking, sdp: Sdp) -> None:
        peer = successor(talking)
        (reinvite,) = peer.give(ELSEWHERE)
        assert (reinvite.method, reinvite.cseq.number, reinvite.to.tag) == ("INVITE", 52, "them")
        assert reinvite.first("contact") == "<sip:ringmaster@10.0.0.77:5070>"
        assert (reinvite.via.host, reinvite.via.port) == ("10.0.0.77", 5070)
        assert b" 52 IN IP4 10.0.0.77" in reinvite.body
        assert b"m=audio 6000" in reinvite.body
        (ack,) = peer.answer(reinvite, 200, body=sdp())
        assert (ack.method, ack.cseq.number) == ("ACK", 52)
        assert isinstance(peer.told[-1], MediaChanged)
        (answer,) = peer.ask("BYE", 7)
        assert answer.code == 200

    def test_a_callee_who_left_during_the_outage_hung_up(self, talking) -> None:
        peer = successor(talking)
        (reinvite,) = peer.give(ELSEWHERE)
        peer.answer(reinvite, 481)
        assert peer.told[-1] == Ended(Disposition.COMPLETED, "remote_hangup_during_outage", Side.THEM, 481)

    def test_the_clock_of_the_other_machine_means_nothing(self, dialled, invite, sdp: Sdp) -> None:
        dialled.answer(invite, 200, ("session-expires", "600;refresher=uas"), body=sdp())
        dialled.now = 1e6
        peer = successor(dialled)
        (reinvite,) = peer.give(ELSEWHERE)
        assert peer.wait(0.4) == []
        peer.answer(reinvite, 200, ("session-expires", "600;refresher=uas"), body=sdp())
        assert peer.wait(500) == []

    def test_491_is_waited_for(self, talking, sdp: Sdp) -> None:
        peer = successor(talking)
        (reinvite,) = peer.give(ELSEWHERE)
        peer.answer(reinvite, 491)
        again, *_ = peer.wait(4.1)
        peer.answer(again, 200, body=sdp())
        assert isinstance(peer.told[-1], MediaChanged)

    def test_a_refusal_is_told(self, talking) -> None:
        peer = successor(talking)
        (reinvite,) = peer.give(ELSEWHERE)
        peer.answer(reinvite, 488)
        assert peer.told[-1] == OfferRefused(488)

    def test_a_challenge_is_answered(self, talking) -> None:
        peer = successor(talking, Credentials("robot", "secret", realms=("trunk",)))
        (reinvite,) = peer.give(ELSEWHERE)
        _, again = peer.answer(reinvite, 407, ("proxy-authenticate", Challenger("trunk", b"s").challenge(0)))
        assert (again.method, again.cseq.number) == ("INVITE", 53)

    @pytest.mark.parametrize(("code", "field"), [(401, "www-authenticate"), (407, "proxy-authenticate")])
    def test_whoever_challenged_the_call_is_answered_from_the_other_machine(
        self, dialled, invite, sdp: Sdp, code: int, field: str
    ) -> None:
        """The realms are in the record, the credentials are the trunk's: both ends of the takeover have them."""
        server = Challenger("trunk", b"s")
        who = Credentials("r", "secret")
        dialled.leg = Uac.resume(dialled.leg.record, dialled.now, random.Random(1).randbytes, who)
        _, again = dialled.answer(invite, code, (field, server.challenge(0)))
        dialled.answer(again, 200, body=sdp())
        peer = successor(dialled, who)
        (reinvite,) = peer.give(ELSEWHERE)
        _, again = peer.answer(reinvite, code, (field, server.challenge(9)))
        assert again.cseq.number == reinvite.cseq.number + 1
        assert again.first(field.replace("www-authenticate", "authorization").replace("authenticate", "authorization"))
        peer.answer(again, 200, body=sdp())
        assert isinstance(peer.told[-1], MediaChanged)

    def test_491_is_waited_for_as_long_as_it_comes_and_as_long_as_the_rfc_says(self, talking, sdp: Sdp) -> None:
        """RFC 3261 s.14.1: the one who made the Call-ID waits 2.1 to 4 s."""
        peer = successor(talking)
        (reinvite,) = peer.give(ELSEWHERE)
        for _ in range(6):
            before = peer.now
            peer.answer(reinvite, 491)
            assert peer.wait(2.0) == []
            reinvite, *_ = peer.wait(2.0)
            assert 2.0 < peer.now - before <= 4.1
        peer.answer(reinvite, 200, body=sdp())
        assert isinstance(peer.told[-1], MediaChanged)

    def test_a_gap_that_was_too_small_is_doubled_once(self, talking, sdp: Sdp) -> None:
        peer = successor(talking)
        (reinvite,) = peer.give(ELSEWHERE)
        _, again = peer.answer(reinvite, 500)
        assert (again.method, again.cseq.number) == ("INVITE", 103)
        peer.answer(again, 500)
        assert peer.told[-1] == OfferRefused(500)
        assert peer.leg.record.takeover is TakeoverStage.REFUSED

    def test_nobody_answers_the_other_machine_and_the_call_is_hung_up_on(self, talking) -> None:
        peer = successor(talking)
        peer.give(ELSEWHERE)
        sent = peer.wait(33)
        assert sent[-1].method == "BYE"
        assert peer.told[-1] == Ended(Disposition.FAILED, "dialog_lost", Side.NOBODY, 408)

    def test_a_successor_of_the_successor_knows_that_it_is_taking_over(self, talking) -> None:
        """It may have died before the answer came; a callee who has left has left during the outage all the same."""
        peer = successor(talking)
        (reinvite,) = peer.give(ELSEWHERE)
        peer = successor(peer)
        peer.answer(reinvite, 481)
        assert peer.told[-1].cause == "remote_hangup_during_outage"

    def test_a_phone_that_rings_stops(self, dialled, invite) -> None:
        """Its answer would go to a machine that is not there. Told once: nobody would hear what it says to it."""
        dialled.answer(invite, 180, tag="")  # nobody knows where it rings
        peer = successor(dialled)
        (cancel,) = peer.give(ELSEWHERE)
        assert (cancel.method, cancel.via, cancel.cseq.number) == ("CANCEL", invite.via, 1)
        assert peer.told[-2] == NODE_LOST
        assert peer.kinds()[-1] == "Finished"

    def test_a_callee_who_picked_up_as_their_machine_died_is_acknowledged_and_heard(
        self, dialled, invite, sdp: Sdp
    ) -> None:
        """Their 200 goes to that machine. What they are to be told follows from what the ringing phone has said."""
        route = ("record-route", "<sip:10.0.0.9:5070;lr>")
        dialled.answer(invite, 180, route)
        peer = successor(dialled)
        cancel, ack, reinvite = peer.give(ELSEWHERE)
        assert (cancel.method, cancel.via, cancel.uri) == ("CANCEL", invite.via, invite.uri)
        assert (ack.method, ack.cseq.number, ack.to.tag) == ("ACK", invite.cseq.number, "them")
        assert (reinvite.method, reinvite.to.tag, reinvite.cseq.number) == ("INVITE", "them", 52)
        assert (ack.uri, reinvite.uri) == ("sip:them@10.0.0.2:5060",) * 2
        assert ack.via.host == reinvite.via.host == "10.0.0.77"
        assert reinvite.first("route") == route[1]
        assert peer.went_to[-2:] == [("10.0.0.9", 5070)] * 2
        assert b"m=audio 6000" in reinvite.body
        again, other = peer.answer(reinvite, 200, body=sdp(port=31000))
        assert again == ack, "it may have been lost"
        assert (other.method, other.cseq.number) == ("ACK", 52)
        assert peer.told[-1].media.port == 31000
        assert peer.kinds()[-1] == "Answered"
        assert (peer.leg.record.phase, peer.leg.record.verdict) == (LegPhase.CONFIRMED, None)
        (bye,) = peer.give(HangUp())
        assert (bye.method, bye.to.tag, bye.cseq.number) == ("BYE", "them", 53)

    def test_the_ack_to_an_answer_that_nobody_saw_has_the_credentials_of_its_invite(self, dialled, invite) -> None:
        peer = successor(dialled, Credentials("robot", "secret"))
        asked = ("proxy-authenticate", 'Digest realm="r", nonce="n", qop="auth"')
        _, invite = peer.answer(invite, 407, asked)
        peer.answer(invite, 180)
        peer = successor(peer, Credentials("robot", "secret"))
        _, ack, _ = peer.give(ELSEWHERE)
        assert ack.first("proxy-authorization") == invite.first("proxy-authorization") != ""
        assert ack.cseq.number == invite.cseq.number

    def test_a_phone_that_still_rang_stops_and_knows_of_no_call_any_more(self, dialled, invite) -> None:
        dialled.answer(invite, 180)
        peer = successor(dialled)
        *_, reinvite = peer.give(ELSEWHERE)
        assert peer.kinds()[-1] == "Ringing"
        ack, bye = peer.answer(reinvite, 481)
        assert (ack.method, ack.via) == ("ACK", reinvite.via)
        assert (bye.method, bye.to.tag) == ("BYE", "them"), "they may have picked up since they said so"
        assert peer.told[-1] == NODE_LOST
        assert peer.leg.record.verdict == NODE_LOST, "a successor of the successor says the same"

    @pytest.mark.parametrize("code", [491, 500])
    def test_a_phone_that_did_not_hear_the_cancel_is_asked_again_and_hung_up_on_at_last(
        self, dialled, invite, code: int
    ) -> None:
        """It rings, or is picked up meanwhile: RFC 3261 s.14.2 has it say that another INVITE is not answered yet."""
        dialled.answer(invite, 180)
        peer = successor(dialled)
        *_, reinvite = peer.give(ELSEWHERE)
        for _ in range(2):
            peer.answer(reinvite, code)
            ack, reinvite, *_ = peer.wait(4.1)
            assert (ack.method, ack.cseq.number, reinvite.method) == ("ACK", 1, "INVITE")
        _, bye = peer.answer(reinvite, code)
        assert (bye.method, bye.to.tag) == ("BYE", "them")
        assert peer.told[-1] == NODE_LOST

    def test_a_phone_that_is_picked_up_while_it_is_asked_is_reached_the_next_time(
        self, dialled, invite, sdp: Sdp
    ) -> None:
        dialled.answer(invite, 180)
        peer = successor(dialled)
        *_, reinvite = peer.give(ELSEWHERE)
        peer.answer(reinvite, 500)
        peer = successor(peer)
        _, reinvite = peer.wait(0)
        peer.answer(reinvite, 200, body=sdp())
        assert peer.kinds()[-1] == "Answered"

    @pytest.mark.parametrize("code", [488, 603, 408])
    def test_who_has_picked_up_and_does_not_want_us_is_hung_up_on(self, dialled, invite, code: int) -> None:
        dialled.answer(invite, 180)
        peer = successor(dialled)
        *_, reinvite = peer.give(ELSEWHERE)
        sent = peer.answer(reinvite, code) if code != 408 else peer.wait(33)
        assert (sent[-1].method, sent[-1].to.tag) == ("BYE", "them")
        assert peer.told[-1] == NODE_LOST

    def test_whoever_is_asked_can_be_hung_up_on(self, dialled, invite, sdp: Sdp) -> None:
        dialled.answer(invite, 180)
        peer = successor(dialled)
        *_, reinvite = peer.give(ELSEWHERE)
        (bye,) = peer.give(HangUp(Disposition.REJECTED, "do_not_call"))
        assert (bye.method, bye.to.tag) == ("BYE", "them")
        assert peer.told[-1] == Ended(Disposition.REJECTED, "do_not_call", Side.US)
        (ack,) = peer.answer(reinvite, 200, body=sdp())
        assert ack.method == "ACK"
        assert [one for one in peer.told if isinstance(one, Ended)] == [peer.told[-1]]

    def test_a_successor_of_the_successor_asks_them_too(self, dialled, invite, sdp: Sdp) -> None:
        """On the same sockets it hears the answer; from another machine it asks anew, with a higher number."""
        dialled.answer(invite, 180)
        peer = successor(dialled)
        *_, reinvite = peer.give(ELSEWHERE)
        peer = successor(peer)
        *_, ack = peer.answer(reinvite, 200, body=sdp())
        assert (ack.method, peer.kinds()[-1]) == ("ACK", "Answered")

    def test_when_that_one_dies_too_a_third_machine_asks(self, dialled, invite, sdp: Sdp) -> None:
        dialled.answer(invite, 180)
        peer = successor(dialled)
        peer.give(ELSEWHERE)
        left = replace(peer.leg.record, takeover=TakeoverStage.NONE, invite=None)  # as `nodes.call.moving` brings it
        assert left.is_reachable
        peer.leg = Uac.resume(sent_away(left), peer.now, random.Random(7).randbytes)
        ack, reinvite = peer.give(TakeOver(Local("10.0.0.78", 5070), Listening("10.0.0.78", 6000)))
        assert (ack.cseq.number, reinvite.cseq.number, reinvite.via.host) == (1, 103, "10.0.0.78")
        peer.answer(reinvite, 200, body=sdp())
        assert peer.kinds()[-1] == "Answered"

    @pytest.mark.parametrize("is_cancelling", [True, False])
    def test_a_call_that_was_being_given_up_is_given_up_and_hung_up_on(
        self, dialled, invite, is_cancelling: bool
    ) -> None:
        """They may have picked up just then: the BYE is for them, and a phone that rings knows of no call to end."""
        dialled.answer(invite, 180)
        if is_cancelling:
            dialled.give(HangUp(Disposition.FAILED, "stopped"))
        peer = successor(dialled)
        cancel, ack, bye = peer.give(TakeOver(ELSEWHERE.local, None))
        assert (cancel.method, ack.method, bye.method) == ("CANCEL", "ACK", "BYE")
        assert peer.told[-1] == NODE_LOST

    @pytest.mark.parametrize("n_successors", [1, 2])
    def test_where_nobody_is_to_be_asked_nobody_is_hung_up_on_either(self, dialled, invite, n_successors: int) -> None:
        """The machine that rang them may live, and talk with them: a BYE would be for that call."""
        dialled.answer(invite, 180)
        peer = successor(dialled)
        if n_successors == 2:
            peer.give(ELSEWHERE)
            left = replace(peer.leg.record, takeover=TakeoverStage.NONE, invite=None)
            peer.leg = Uac.resume(sent_away(left), peer.now, random.Random(7).randbytes)
        sent = peer.give(TakeOver(ELSEWHERE.local, None, asks_nobody=True))
        assert [one.method for one in sent] == ["CANCEL"] * (n_successors == 1)
        assert NODE_LOST in peer.told

    def test_a_call_that_nobody_has_heard_of_is_not_dialled_again(self, dialled, invite) -> None:
        peer = successor(dialled)
        assert peer.give(ELSEWHERE) == []
        assert peer.wait(40) == []

    def test_a_call_that_is_being_ended_is_ended_from_here(self, talking) -> None:
        peer = successor(talking)
        assert peer.give(TakeOver(ELSEWHERE.local, None)) == []
        (bye,) = peer.give(HangUp())
        assert (bye.method, bye.cseq.number, bye.via.host) == ("BYE", 52, "10.0.0.77")

    def test_an_inbound_call_is_taken_over_too(self, talking, invite, make_peer, sdp: Sdp) -> None:
        callee = make_peer(Uas(Local("10.0.0.2", 5060), random.Random(5).randbytes))
        callee.give(Received(invite, ("10.0.0.1", 5060)))
        callee.give(Accept(Listening("10.0.0.2", 30000)))
        callee.ask("ACK", 1)
        callee.leg = Uas.resume(sent_away(callee.leg.record), callee.now, random.Random(6).randbytes)
        (reinvite,) = callee.give(ELSEWHERE)
        assert reinvite.cseq.number == 51
        assert callee.leg.phase is LegPhase.CONFIRMED


class TestAPlannedMove:
    """Who has the call goes on with it until the far end has agreed; so nothing here may end it."""

    @pytest.mark.parametrize("code", [408, 481, 488, 500, 503])
    def test_a_refusal_is_told_and_ends_nothing(self, talking, code: int) -> None:
        peer = successor(talking)
        (reinvite,) = peer.give(PLANNED)
        (ack,) = peer.answer(reinvite, code)
        assert ack.method == "ACK"
        assert peer.told[-1] == OfferRefused(code)
        assert peer.leg.record.takeover is TakeoverStage.REFUSED
        assert peer.leg.phase is LegPhase.CONFIRMED

    def test_nor_does_silence(self, talking) -> None:
        peer = successor(talking)
        peer.give(PLANNED)
        assert {one.method for one in peer.wait(33)} == {"INVITE"}
        assert peer.told[-1] == OfferRefused(408)

    def test_it_is_given_up_when_their_own_offer_comes_in_between_again_and_again(self, talking) -> None:
        peer = successor(talking)
        (reinvite,) = peer.give(PLANNED)
        for _ in range(2):
            peer.answer(reinvite, 491)
            reinvite, *_ = peer.wait(4.1)
        peer.answer(reinvite, 491)
        assert peer.told[-1] == OfferRefused(491)

    def test_the_session_timer_is_not_ours_before_they_agree(self, dialled, invite, sdp: Sdp) -> None:
        timer = ("session-expires", "90;refresher=uas")
        dialled.answer(invite, 200, timer, body=sdp())
        peer = successor(dialled)
        (reinvite,) = peer.give(PLANNED)
        peer.answer(reinvite, 100)
        assert peer.wait(100) == []
        peer.answer(reinvite, 200, timer, body=sdp())
        assert peer.wait(70)[-1].method == "BYE", "and theirs from then on: nobody has refreshed it"

    def test_the_numbers_of_both_machines_never_meet(self, talking, make_peer, sdp: Sdp) -> None:
        """Who has the call leaps over those that the other may use, once it has given it the record."""
        record = sent_away(talking.leg.record)
        talking.give(Renumber(record.dialog.local_cseq + 100, record.ours.version + 100))
        new = make_peer(Uac.resume(record, 0.0, random.Random(9).randbytes))
        (theirs,) = new.give(PLANNED)
        new.answer(theirs, 488)
        (bye,) = talking.give(HangUp())
        assert record.dialog.local_cseq < theirs.cseq.number < bye.cseq.number

    def test_numbers_never_go_back(self, talking) -> None:
        before = talking.leg.record
        assert talking.give(Renumber(0, 0)) == []
        assert talking.leg.record == before


@pytest.mark.parametrize("n_steps", range(6))
def test_the_record_of_each_step_can_be_resumed(dialled, invite, sdp: Sdp, n_steps: int) -> None:
    """Always: whatever has happened, the record goes through the codec and gives a leg that ends by itself."""
    happenings = [
        lambda: dialled.answer(invite, 100),
        lambda: dialled.answer(invite, 183, body=sdp()),
        lambda: dialled.answer(invite, 200, ("session-expires", "90"), body=sdp()),
        lambda: dialled.ask("INVITE", 7, body=sdp("a=sendonly")),
        lambda: dialled.give(HangUp()),
    ]
    for happening in happenings[:n_steps]:
        happening()
    leg = Uac.resume(sent_away(dialled.leg.record), dialled.now, random.Random(9).randbytes)
    leg.step(HangUp(), 1.0)
    now = 1.0
    while leg.deadline is not None:
        now = max(now, leg.deadline)
        leg.step(Expired(), now)
    assert leg.phase is LegPhase.FINISHED
    assert now < 100
