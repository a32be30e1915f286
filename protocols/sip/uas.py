"""The called side of a leg: ring, let hear, answer or refuse, and take a CANCEL (RFC 3261 s.13.3, s.9.2).

For callees of rehearsals and for agents' phones that call in. A record of it can be resumed once it is confirmed.
"""

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.machine import Address, Notify
from protocols.replacing import replace
from protocols.sip import causes, sdp, timers
from protocols.sip.base import Effects
from protocols.sip.build import response
from protocols.sip.causes import Disposition
from protocols.sip.confirmed import ConfirmedLeg
from protocols.sip.dialog import Dialog
from protocols.sip.leg import (
    Accept,
    Answered,
    EarlyMedia,
    Ended,
    Invited,
    LegInput,
    LegPhase,
    MediaChanged,
    Reject,
    Ring,
    Side,
)
from protocols.sip.message import Request
from protocols.sip.scope import SDP, Objection, objection
from protocols.sip.sdp import Listening


class Uas(ConfirmedLeg):
    """One inbound leg: give it the INVITE, then `Ring`, `Accept` or `Reject`."""

    role = "uas"
    _invite: tuple[Request, Address] | None = None
    """The INVITE and where it came from."""
    _has_said = False
    """The description of the answer has gone out with a 183 (it is not changed any more, s.13.2.1)."""
    _awaits_ack = False
    _owes_bye = False
    """A BYE has to wait for the ACK (s.15)."""

    def _take(self, given: LegInput, now: float) -> Effects:
        match given:
            case Ring() | Accept() | Reject() if self.phase in (LegPhase.ENDED, LegPhase.FINISHED):
                return []
            case Ring():
                return self._ring(given, now)
            case Accept():
                return self._answer(given, now)
            case Reject():
                return self._reject(given, now)
            case _:
                return super()._take(given, now)

    def _requested(self, request: Request, source: Address, now: float) -> Effects:
        if self.phase is LegPhase.IDLE and request.is_new_invite:
            return self._invited(request, source, now)
        return super()._requested(request, source, now)

    def _invited(self, invite: Request, source: Address, now: float) -> Effects:
        self.dialog = Dialog.of_invite(invite, self.dialog.local_tag)
        self.next_hop = source
        if refusal := objection(invite):
            ended = Ended(Disposition.FAILED, "not_understood", Side.US, refusal.code)
            return [*self._reply(invite, source, now, refusal.code, *refusal.fields), *self._end(ended)]
        self._invite, self.phase = (invite, source), LegPhase.INVITING
        caller = invite.sender
        told = Invited(caller.uri.text, caller.name, invite.uri, has_offer=bool(invite.body))
        return [*self._reply(invite, source, now, 100), Notify(told)]

    # ---- what we answer --------------------------------------------------------------------------------------------

    def _ring(self, ring: Ring, now: float) -> Effects:
        invite, source = self._waiting()
        contact = ("contact", self.local.contact)
        if ring.listening is None or not invite.body:
            return self._reply(invite, source, now, 180, contact)
        if refused := self._say(invite, ring.listening):
            return self._reject(Reject(refused), now)
        assert self.media, "an offer has been answered"
        body, about = self.ours.body(), (contact, ("content-type", SDP))
        progress = response(invite, source, 183, *about, to_tag=self.dialog.local_tag, body=body)
        return [*self._replies.reply(invite, source, progress, now), Notify(EarlyMedia(self.media))]

    def _answer(self, accept: Accept, now: float) -> Effects:
        invite, source = self._waiting()
        if refused := self._say(invite, accept.listening):
            return self._reject(Reject(refused), now)
        self.phase, self._awaits_ack = LegPhase.CONFIRMED, True
        self._keep_session(timers.of_request(invite), now)
        effects = self._accept(invite, source, now)
        return [*effects, Notify(Answered(self.media))] if self.media else effects

    def _say(self, invite: Request, listening: Listening) -> int:
        """Settle our description; return the status code of a refusal, or 0."""
        if self._has_said:
            return 0
        self._has_said = True
        if not invite.body:
            self.ours = sdp.offer(self.ours, listening)
            return 0
        try:
            self.ours, self.media = sdp.answer(
                replace(self.ours, host=listening.host, port=listening.port), invite.body
            )
        except RemoteProtocolError as refused:
            return refused.code
        return 0

    def _reject(self, reject: Reject, now: float) -> Effects:
        invite, source = self._waiting()
        reason = ("reason", f"Q.850;cause={reject.q850}" if reject.q850 else "")
        disposition = causes.disposition(reject.code, reject.q850)
        ended = Ended(disposition, disposition.value, Side.US, reject.code, reject.q850)
        return [*self._reply(invite, source, now, reject.code, reason), *self._end(ended)]

    def _hang_up(self, ended: Ended, now: float) -> Effects:
        if self.phase is LegPhase.INVITING:
            return [*self._reply(*self._waiting(), now, 480), *self._end(ended)]
        if self._awaits_ack:
            self._owes_bye = True
            return self._end(ended)
        return super()._hang_up(ended, now)

    # ---- what they do next -----------------------------------------------------------------------------------------

    def _acked(self, ack: Request | None, now: float, *, is_answer: bool) -> Effects:
        is_first, self._awaits_ack = self._awaits_ack, False
        if self._owes_bye:
            return self._bye(now)
        effects = super()._acked(ack, now, is_answer=is_answer)
        if not is_first or self.media is None:
            return effects
        agreed = Notify(MediaChanged(self.media))
        return [Notify(Answered(self.media)) if one == agreed else one for one in effects]

    def _refusal(self, request: Request) -> Objection | None:
        """In a dialog that is not confirmed yet a caller may leave (s.15.1.2), and not offer anything else (s.14.2)."""
        if self.phase is LegPhase.INVITING and self.dialog.is_of(request):
            if request.method == "BYE":
                return None
            if request.method == "INVITE":
                return Objection(500, (("retry-after", "2"),))
        return super()._refusal(request)

    def _left(self, bye: Request, now: float) -> Effects:
        return self._cancelled(now) if self.phase is LegPhase.INVITING else super()._left(bye, now)

    def _cancelled(self, now: float) -> Effects:
        if self.phase is not LegPhase.INVITING:
            return []
        refusal = self._reply(*self._waiting(), now, 487)
        return [*refusal, *self._end(Ended(Disposition.NO_ANSWER, "cancelled", Side.THEM))]

    def _waiting(self) -> tuple[Request, Address]:
        if self._invite is None or self.phase is not LegPhase.INVITING:
            raise LocalProtocolError("nobody_is_waiting", f"a {self.role} that is {self.phase}")
        return self._invite


__all__ = ["Uas"]
