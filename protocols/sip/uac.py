"""The calling side of a leg: INVITE, ringing, answer, and every way in which there is none (RFC 3261 s.13.2, s.9.1).

What happens on         is decided in
  1xx                   `_progressed`    ringing, early media; a CANCEL that had to wait for it
  2xx                   `_answered`      the first makes the dialog, each other one is a fork: ACK and BYE
  3xx to 6xx, silence   `_refused`       `causes` says how it counts
  401, 407              `requests`       answered there, not seen here

A call is given up with CANCEL, and a CANCEL can come too late: the callee who answered in that moment is acknowledged,
hung up on, and counted as abandoned, because for them it was.
"""

from typing import Final

from protocols.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from protocols.machine import Notify, Transmit
from protocols.replacing import replace
from protocols.sip import build, causes, sdp, syntax, timers
from protocols.sip.base import Alarm, Effects, ignore
from protocols.sip.causes import Disposition
from protocols.sip.confirmed import ConfirmedLeg
from protocols.sip.dialog import Dialog
from protocols.sip.leg import Answered, Dial, EarlyMedia, Ended, LegEvent, LegInput, LegPhase, LegRecord, Ringing, Side
from protocols.sip.message import Request, Response, parse
from protocols.sip.requests import Outcome, Then
from protocols.sip.scope import ALLOW, SDP
from protocols.sip.transaction import T1, State

MAX_FORKS: Final = 16
"""So many phones may answer one INVITE; whoever answers more often plays with us."""


class Uac(ConfirmedLeg):
    """One outbound leg: give it `Dial`, then what arrives."""

    role = "uac"
    _is_ringing = False

    def _take(self, given: LegInput, now: float) -> Effects:
        return self._dial(given, now) if isinstance(given, Dial) else super()._take(given, now)

    def _dial(self, dial: Dial, now: float) -> Effects:
        if self.phase is not LegPhase.IDLE:
            raise LocalProtocolError("dialled_twice")
        name = f"{syntax.quote(dial.caller_name)} " if dial.caller_name else ""
        self.dialog = replace(
            self.dialog, local=f"{name}<{dial.caller}>", remote=f"<{dial.target}>", remote_target=dial.target
        )
        self.next_hop, self.trunk = dial.next_hop, dial.trunk
        self._requests.hop = dial.next_hop
        self.ours = sdp.offer(self.ours, dial.listening)
        about = (("contact", self.local.contact), ALLOW, timers.SUPPORTED, *dial.headers, ("content-type", SDP))
        cseq, branch = self._next_cseq(), build.new_branch(self._entropy)
        invite = self.dialog.request("INVITE", cseq, self.local, branch, *about, body=self.ours.body())
        if fault := _fault(invite):
            return self._end(Ended(Disposition.INVALID, fault, Side.US))
        self.phase = LegPhase.INVITING
        self._alarms[Alarm.RING] = now + dial.ring_s
        return self._requests.send(invite, self.next_hop, self._invited, now)

    def _restore(self, record: LegRecord, now: float) -> None:
        super()._restore(record, now)
        if record.phase is LegPhase.CANCELLING:
            self._alarms[Alarm.CANCEL] = now

    def _after(self, record: LegRecord) -> Then[LegEvent]:
        return super()._after(record) if record.phase is LegPhase.CONFIRMED else self._invited

    # ---- what becomes of the INVITE --------------------------------------------------------------------------------

    def _invited(self, outcome: Outcome, now: float) -> Effects:
        if outcome.response is None or outcome.code >= 300:
            return self._refused(outcome)
        if outcome.code < 200:
            return self._progressed(outcome.response, now)
        return self._answered(outcome, outcome.response, now)

    def _progressed(self, progress: Response, now: float) -> Effects:
        if self.phase is LegPhase.CANCELLING:
            return self._cancel(now)
        effects: Effects = []
        if progress.code == 180 and not self._is_ringing:
            self._is_ringing = True
            effects.append(Notify(Ringing()))
        before, self.media = self.media, self._media_in(progress)
        if self.media and self.media != before:
            effects.append(Notify(EarlyMedia(self.media)))
        return effects

    def _answered(self, outcome: Outcome, answer: Response, now: float) -> Effects:
        if len(self._acks) == MAX_FORKS:
            self.dropped += 1
            return []
        dialog = self.dialog.answered(answer)
        ack = self._ack(dialog, outcome, now)
        if self.phase not in (LegPhase.INVITING, LegPhase.CANCELLING):
            return [*ack, *self._bye_to(dialog, now)]
        self.dialog, self.media, phase = dialog, self._media_in(answer), self.phase
        self.phase = LegPhase.CONFIRMED
        self._alarms.clear()
        self._requests.credentials = self._credentials
        if phase is LegPhase.CANCELLING:
            late = Ended(Disposition.ABANDONED, "answered_too_late", Side.US, answer.code)
            return [*ack, *self._hang_up(late, now)]
        if self.media is None:
            return [*ack, *self._hang_up(Ended(Disposition.FAILED, "not_acceptable", Side.US, answer.code), now)]
        self._keep_session(timers.of_answer(answer), now)
        return [*ack, Notify(Answered(self.media))]

    def _refused(self, outcome: Outcome) -> Effects:
        """A final answer of 300 and more, or none at all."""
        if self._verdict and (outcome.response or self._verdict.by is Side.US):
            return self._end(replace(self._verdict, code=outcome.code))
        if outcome.response is None:  # no 1xx either: the ring limit has nothing to say
            return self._end(Ended(Disposition.FAILED, "timeout", Side.NOBODY, outcome.code))
        q850 = causes.q850(outcome.response)
        disposition = causes.disposition(outcome.code, q850)
        return self._end(Ended(disposition, disposition.value, Side.THEM, outcome.code, q850))

    def _media_in(self, answer: Response) -> sdp.Media | None:
        """What the answer's description comes to; without one, or with one that cannot be read, as it was before."""
        try:
            return sdp.accept(self.ours, answer.body) if answer.body else self.media
        except RemoteProtocolError:
            return None if answer.code >= 200 else self.media

    def _bye_to(self, fork: Dialog, now: float) -> Effects:
        """Hang up on another phone that has answered the same INVITE (s.13.2.2.4)."""
        bye = fork.request("BYE", self._next_cseq(), self.local, build.new_branch(self._entropy))
        return self._requests.send(bye, fork.next_hop(self.next_hop), ignore, now)

    # ---- giving up -------------------------------------------------------------------------------------------------

    def _hang_up(self, ended: Ended, now: float) -> Effects:
        if self.phase is not LegPhase.INVITING:
            return [] if self.phase is LegPhase.CANCELLING else super()._hang_up(ended, now)
        self.phase = LegPhase.CANCELLING
        self._verdict = ended
        self._alarms.clear()
        self._requests.credentials = None  # nor ring anybody anew when the trunk asks who we are
        return self._cancel(now)

    def _cancel(self, now: float) -> Effects:
        """Send the CANCEL, once, and not before a 1xx: it might overtake its INVITE (s.9.1)."""
        invite = self._requests.invite()
        if invite is None or invite.state is not State.PROCEEDING or Alarm.GIVE_UP in self._alarms:
            return []
        self._alarms[Alarm.GIVE_UP] = now + 64 * T1
        return self._requests.send(build.cancel(invite.request), invite.to, ignore, now)

    def _give_up(self) -> Effects:
        """Send the CANCEL of an INVITE that another machine has sent, where it rings: its answer would go there."""
        invite = self._requests.invite()
        if invite is None or invite.state is not State.PROCEEDING or invite.to is None:
            return []
        return [Transmit(bytes(build.cancel(invite.request)), invite.to)]

    def _rung(self, alarm: Alarm, now: float) -> Effects:
        match alarm:
            case Alarm.RING:
                return self._hang_up(Ended(Disposition.NO_ANSWER, "ring_limit", Side.NOBODY), now)
            case Alarm.CANCEL:
                return self._cancel(now)
            case Alarm.GIVE_UP:
                self._requests.forget_invite()
                return self._end(self._verdict) if self._verdict else []
            case _:
                return super()._rung(alarm, now)


def _fault(invite: Request) -> str:
    """Return why nobody could read this INVITE, ourselves included; empty when we can.

    Its answers have our own From: one that we cannot read we cannot acknowledge, and the callee hears nothing.
    """
    try:
        read = parse(bytes(invite))
    except ProtocolError as error:
        return error.what
    except UnicodeEncodeError:
        return "not_utf8"
    return "" if read == invite else "not_as_meant"


__all__ = ["Uac"]
