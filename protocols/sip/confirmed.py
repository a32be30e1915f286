"""A confirmed dialog, from either end: answer what they ask, offer, hold, refresh, hang up, go on elsewhere.

Kept in mind throughout:

- One INVITE at a time in a dialog, in either direction: whoever crosses one is told 491 and waits (RFC 3261 s.14).
- What was agreed stands until something else is agreed: a refused offer changes nothing (s.14.1).
- A 481 or 408 to anything in the dialog says that there is no dialog any more (s.12.2.1.2).
"""

from functools import partial
from typing import Final

from protocols.errors import RemoteProtocolError
from protocols.machine import Address, Notify
from protocols.replacing import replace
from protocols.sip import sdp, timers
from protocols.sip.base import Alarm, Effects, Leg
from protocols.sip.build import response
from protocols.sip.causes import Disposition, q850
from protocols.sip.leg import (
    Ended,
    HangUp,
    LegEvent,
    LegInput,
    LegPhase,
    LegRecord,
    MediaChanged,
    Offer,
    OfferRefused,
    Renumber,
    Side,
    TakeOver,
    TakeoverStage,
)
from protocols.sip.message import Request, Response
from protocols.sip.requests import Outcome, Then
from protocols.sip.scope import ACCEPT, ALLOW, SDP, Objection, objection
from protocols.sip.sdp import Listening, LocalMedia, Media
from protocols.sip.timers import SessionTimer

TAKEOVER_GAP: Final = 50
"""What a successor adds to CSeq and to the SDP version. Its record may be older than the last request of the one that
died, and a number used twice is answered 500."""
PLANNED_TRIES: Final = 3
"""So often does a planned move meet the far end's own offer (491) before it is given up: who has the call goes on."""
LOST: Final = Ended(Disposition.FAILED, "node_lost", Side.NOBODY)
"""The machine that had it is dead, and nothing of the call is left."""
_ASKING: Final = (TakeoverStage.ASKED, TakeoverStage.PLANNED)


class ConfirmedLeg(Leg):
    """The half of a leg that does not care who called."""

    _n_glares = 0
    """How often a take-over has met the far end's own offer."""
    _has_leapt = False
    """The gap was too small, and is twice as large by now."""

    def _take(self, given: LegInput, now: float) -> Effects:
        match given:
            case HangUp():
                return self._hang_up(Ended(given.disposition, given.cause, Side.US), now)
            case Offer():
                self._wanted = given
                return self._offer(now)
            case TakeOver():
                return self._take_over(given, now)
            case Renumber():
                self._renumber(given.cseq, given.version)
                return []
            case _:
                return super()._take(given, now)

    def _rung(self, alarm: Alarm, now: float) -> Effects:
        if alarm is Alarm.BYE:
            return self._bye(now)
        if alarm is Alarm.OFFER:
            return self._offer(now)
        assert alarm is Alarm.SESSION, "the other alarms are those of setting up"
        if self._timer and self._timer.we_refresh:
            return self._refresh("UPDATE", now)
        return self._hang_up(Ended(Disposition.FAILED, "session_expired", Side.NOBODY), now)

    def _after(self, record: LegRecord) -> Then[LegEvent]:
        return partial(
            self._offer_answered, Offer(Listening(self.ours.host, self.ours.port), self.ours.holds), self.ours
        )

    def _hang_up(self, ended: Ended, now: float) -> Effects:
        bye = self._bye(now) if self.phase is LegPhase.CONFIRMED else []
        return [*bye, *self._end(ended)]

    # ---- what they ask ---------------------------------------------------------------------------------------------

    def _requested(self, request: Request, source: Address, now: float) -> Effects:
        repeated = self._replies.repeat(request, now)
        if repeated is not None:
            return repeated
        if refusal := self._refusal(request):
            return self._reply(request, source, now, refusal.code, *refusal.fields)
        if request.method == "CANCEL":
            return [*self._reply(request, source, now, 200), *self._cancelled(now)]
        self.dialog = replace(self.dialog, remote_cseq=request.cseq.number)
        if request.method == "BYE":
            return [*self._reply(request, source, now, 200), *self._left(request, now)]
        if request.method in ("INVITE", "UPDATE"):
            return self._renegotiate(request, source, now)
        return self._reply(request, source, now, 200, ALLOW, ACCEPT)

    def _refusal(self, request: Request) -> Objection | None:
        """What a request is told that this leg cannot take up: RFC 3261 s.8.2, s.9.2, s.12.2.2, s.14.2."""
        if request.method == "CANCEL":
            return None if self._replies.invite_of(request) else Objection(481)
        if self.phase is not LegPhase.CONFIRMED or not self.dialog.is_of(request):
            return Objection(482 if request.is_new_invite else 481)
        if request.cseq.number < self.dialog.remote_cseq:
            return Objection(500)
        if request.method in ("INVITE", "UPDATE") and self._requests.invite():
            return Objection(491)
        if timers.is_too_short(request):
            return Objection(422, (("min-se", str(timers.MIN_SE_S)),))
        return objection(request)

    def _left(self, bye: Request, now: float) -> Effects:
        return self._end(Ended(Disposition.COMPLETED, "remote_hangup", Side.THEM, q850=q850(bye)))

    def _cancelled(self, now: float) -> Effects:
        """An INVITE that is answered already is not touched by its CANCEL (s.9.2)."""
        return []

    def _renegotiate(self, request: Request, source: Address, now: float) -> Effects:
        """A re-INVITE or UPDATE: another address, another description, a refresh, or all of them."""
        try:
            said, media = self._answer_to(request)
        except RemoteProtocolError as refused:
            return self._reply(request, source, now, refused.code)
        self.ours = said
        self.dialog = self.dialog.refreshed(request)
        self._keep_session(timers.of_request(request), now)
        return [*self._accept(request, source, now), *self._changed(media)]

    def _answer_to(self, request: Request) -> tuple[LocalMedia, Media | None]:
        """Our side, and what is agreed; an INVITE without a description is answered with an offer (RFC 3264 s.5)."""
        if request.body:
            return sdp.answer(self.ours, request.body)
        if request.method == "INVITE":
            return sdp.offer(self.ours, Listening(self.ours.host, self.ours.port), self.ours.holds), self.media
        return self.ours, self.media

    def _accept(self, request: Request, source: Address, now: float) -> Effects:
        """Send the 2xx to an INVITE or UPDATE. If it holds an offer, the ACK brings the answer."""
        body = self.ours.body() if request.body or request.method == "INVITE" else b""
        about = (("contact", self.local.contact), ALLOW, *timers.answer_fields(self._timer))
        about = (*about, ("content-type", SDP if body else ""))
        answer = response(request, source, 200, *about, to_tag=self.dialog.local_tag, body=body)
        return self._replies.reply(request, source, answer, now, partial(self._acked, is_answer=not request.body))

    def _acked(self, ack: Request | None, now: float, *, is_answer: bool) -> Effects:
        if self.phase is not LegPhase.CONFIRMED:
            return []
        if ack is None:
            return self._hang_up(Ended(Disposition.FAILED, "no_ack", Side.NOBODY), now)
        try:
            told = self._changed(sdp.accept(self.ours, ack.body)) if is_answer else []
        except RemoteProtocolError:
            return self._hang_up(Ended(Disposition.FAILED, "not_acceptable", Side.US), now)
        return [*told, *self._offer(now)]

    def _changed(self, media: Media | None) -> Effects:
        if media is None or media == self.media:
            return []
        self.media = media
        return [Notify(MediaChanged(media))]

    # ---- what we ask -----------------------------------------------------------------------------------------------

    def _offer(self, now: float) -> Effects:
        """Send the offer that waits, unless there is something to wait for."""
        if self._wanted is None:
            return []
        if self.phase is not LegPhase.CONFIRMED:
            self._wanted = None
            return [Notify(OfferRefused(481))]
        if self._is_inviting() or Alarm.OFFER in self._alarms:
            return []
        wanted, self._wanted, before = self._wanted, None, self.ours
        self.ours = sdp.offer(before, wanted.listening, wanted.holds)
        return self._reinvite(partial(self._offer_answered, wanted, before), now)

    def _offer_answered(self, wanted: Offer, before: LocalMedia, outcome: Outcome, now: float) -> Effects:
        if outcome.code < 200:
            return []
        if outcome.response and outcome.code < 300:
            return [*self._ack(self.dialog, outcome, now), *self._offer_accepted(outcome.response, now)]
        if self.phase is not LegPhase.CONFIRMED:
            return []
        self.ours = replace(before, version=self.ours.version)
        if outcome.code == 491 and self._may_ask_again():
            self._wanted = self._wanted or wanted
            self._alarms[Alarm.OFFER] = now + self._back_off_s()
            return []
        if outcome.code == 500 and self._takeover is TakeoverStage.ASKED and not self._has_leapt:
            self._has_leapt, self._wanted = True, self._wanted or wanted  # a CSeq below one that was used (s.12.2.2)
            self._renumber(self.dialog.local_cseq + TAKEOVER_GAP, self.ours.version + TAKEOVER_GAP)
            return self._offer(now)
        if lost := self._lost(outcome, now):
            return lost
        if self._takeover in _ASKING:
            self._takeover = TakeoverStage.REFUSED
        return [Notify(OfferRefused(outcome.code)), *self._offer(now)]

    def _may_ask_again(self) -> bool:
        self._n_glares += 1
        return self._takeover is not TakeoverStage.PLANNED or self._n_glares < PLANNED_TRIES

    def _offer_accepted(self, answer: Response, now: float) -> Effects:
        if self.phase is not LegPhase.CONFIRMED:
            return []
        if self._takeover in _ASKING:
            self._takeover = TakeoverStage.AGREED
        told = self._settle(answer, now)
        if not told and self.media:
            told = [Notify(MediaChanged(self.media))]
        return [*told, *self._offer(now)]

    def _reinvite(self, then: Then[LegEvent], now: float) -> Effects:
        about = (("contact", self.local.contact), ALLOW, *timers.refresh_fields(self._timer), ("content-type", SDP))
        return self._send("INVITE", then, now, *about, body=self.ours.body())

    def _settle(self, answer: Response, now: float) -> Effects:
        """Take over what the 2xx to our INVITE or UPDATE says of target, session timer and media."""
        self.dialog = self.dialog.refreshed(answer)
        self._keep_session(timers.of_answer(answer), now)
        if not answer.body:
            return []
        try:
            return self._changed(sdp.accept(self.ours, answer.body))
        except RemoteProtocolError:
            return self._hang_up(Ended(Disposition.FAILED, "not_acceptable", Side.US), now)

    def _lost(self, outcome: Outcome, now: float) -> Effects:
        """End the call if the far end has said, by words or silence, that it knows of none (s.12.2.1.2).

        Not one that somebody else has: they hear of it, or will ask.
        """
        if outcome.code not in (408, 481) or self._takeover is TakeoverStage.PLANNED:
            return []
        if self._takeover is TakeoverStage.ASKED and outcome.code == 481:
            return self._end(Ended(Disposition.COMPLETED, "remote_hangup_during_outage", Side.THEM, outcome.code))
        return self._hang_up(Ended(Disposition.FAILED, "dialog_lost", Side.NOBODY, outcome.code), now)

    def _refresh(self, method: str, now: float) -> Effects:
        """Refresh the session: an UPDATE, and where that is refused a re-INVITE that says the same as before."""
        then = partial(self._refreshed, method)
        if method == "UPDATE":
            fields = (("contact", self.local.contact), *timers.refresh_fields(self._timer))
            return self._send("UPDATE", then, now, *fields)
        if self._is_inviting():
            self._alarms[Alarm.SESSION] = now + self._back_off_s()
            return []
        return self._reinvite(then, now)

    def _refreshed(self, method: str, outcome: Outcome, now: float) -> Effects:
        is_good = outcome.response is not None and 200 <= outcome.code < 300
        ack = self._ack(self.dialog, outcome, now) if is_good and method == "INVITE" else []
        if outcome.code < 200 or self.phase is not LegPhase.CONFIRMED:
            return ack
        if outcome.response and is_good:
            return [*ack, *self._settle(outcome.response, now), *self._offer(now)]
        if lost := self._lost(outcome, now):
            return lost
        if method == "UPDATE" and outcome.code != 491:
            return self._refresh("INVITE", now)
        self._alarms[Alarm.SESSION] = now + self._back_off_s()
        return self._offer(now)

    def _take_over(self, given: TakeOver, now: float) -> Effects:
        """Go on from another machine, at other addresses; the record's times were those of another clock."""
        self.local = given.local
        self._renumber(self.dialog.local_cseq + TAKEOVER_GAP, self.ours.version + TAKEOVER_GAP)
        if self.phase is not LegPhase.CONFIRMED:
            return self._take_over_unanswered(given, now)
        self._requests.forget_invite()
        self._alarms.clear()
        if given.listening is None:
            return []
        self._takeover = TakeoverStage.PLANNED if given.is_planned else TakeoverStage.ASKED
        if not given.is_planned:  # else it is kept by whoever has the call, until the far end agrees
            self._keep_session(self._timer, now)
        self._wanted = Offer(given.listening, self.ours.holds)
        return self._offer(now)

    def _take_over_unanswered(self, given: TakeOver, now: float) -> Effects:
        """A call that had not been answered where it was: what came there since, nobody has heard."""
        self._requests.forget_invite()
        return self._end(LOST)

    def _renumber(self, cseq: int, version: int) -> None:
        self.dialog = replace(self.dialog, local_cseq=max(self.dialog.local_cseq, cseq))
        self.ours = replace(self.ours, version=max(self.ours.version, version))

    def _is_inviting(self) -> bool:
        """Whether an INVITE is under way, in either direction: then nobody may begin another (s.14.1)."""
        return self._requests.invite() is not None or self._replies.has_open_invite

    def _keep_session(self, timer: SessionTimer | None, now: float) -> None:
        self._timer = timer
        self._alarms.pop(Alarm.SESSION, None)
        if timer:
            self._alarms[Alarm.SESSION] = now + timer.wait_s

    def _back_off_s(self) -> float:
        """How long to wait after a 491: the one who made the Call-ID 2.1 to 4 s, the other up to 2 s (s.14.1)."""
        dice = int.from_bytes(self._entropy(2), "big")
        return 2.1 + dice % 191 / 100 if self.role == "uac" else dice % 201 / 100


__all__ = ["LOST", "ConfirmedLeg", "TAKEOVER_GAP"]
