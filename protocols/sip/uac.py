"""The calling side of a leg: INVITE, ringing, answer, and every way in which there is none (RFC 3261 s.13.2, s.9.1).

What happens on         is decided in
  1xx                   `_progressed`    ringing, early media; a CANCEL that had to wait for it
  2xx                   `_answered`      the first makes the dialog, each other one is a fork: ACK and BYE
  3xx to 6xx, silence   `_refused`       `causes` says how it counts
  401, 407              `requests`       answered there, not seen here

A call is given up with CANCEL, and a CANCEL can come too late: the callee who answered in that moment is acknowledged,
hung up on, and counted as abandoned, because for them it was.

A callee who picks up as the machine that rings them dies says so to nobody: their 200 goes to its address, for 32 s.
Whoever goes on with the call (`TakeOver`) gives the INVITE up, too late for who has picked up; acknowledges what it has
not seen, in the dialog that the last 18x began (s.12.1: it has the same tag, route and target); and asks there, with a
re-INVITE, to be heard (`_reach`). Who has picked up agrees, and is talked with; who had not stops ringing, and knows of
no call any more (481).
"""

from typing import Final

from protocols.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from protocols.machine import Notify, Transmit
from protocols.replacing import replace
from protocols.sip import build, causes, sdp, syntax, timers
from protocols.sip.base import Alarm, Effects, ignore
from protocols.sip.causes import Disposition
from protocols.sip.confirmed import LOST, ConfirmedLeg
from protocols.sip.dialog import Dialog
from protocols.sip.leg import (
    Answered,
    Dial,
    EarlyMedia,
    Ended,
    LegEvent,
    LegInput,
    LegPhase,
    LegRecord,
    Ringing,
    Side,
    TakeOver,
    TakeoverStage,
)
from protocols.sip.message import Request, Response, parse
from protocols.sip.requests import Outcome, Then
from protocols.sip.scope import ALLOW, SDP
from protocols.sip.transaction import T1, State

MAX_FORKS: Final = 16
"""So many phones may answer one INVITE; whoever answers more often plays with us."""
REACHES: Final = 3
"""So often is a callee asked who answers that there is another INVITE (491, 500): their phone still rings."""


class Uac(ConfirmedLeg):
    """One outbound leg: give it `Dial`, then what arrives."""

    role = "uac"
    _is_ringing = False
    _n_reaches = 0

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
        if self._is_reaching and record.invite is None:
            self._alarms[Alarm.OFFER] = now

    def _after(self, record: LegRecord) -> Then[LegEvent]:
        if record.phase is LegPhase.CONFIRMED:
            return super()._after(record)
        return self._reached if record.takeover is TakeoverStage.ASKED else self._invited

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
        if progress.code > 100 and progress.to.tag:
            self._early = self.dialog.answered(progress)
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
        self.phase, self._early = LegPhase.CONFIRMED, None
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
        if self._is_reaching:
            return [*self._bye(now), *self._end(ended)]
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

    # ---- going on from another machine -----------------------------------------------------------------------------

    @property
    def _is_reaching(self) -> bool:
        """Whether a callee who rang is asked from here if they have picked up."""
        return self.phase is LegPhase.INVITING and self._takeover is TakeoverStage.ASKED

    def _take_over_unanswered(self, given: TakeOver, now: float) -> Effects:
        if self.phase not in (LegPhase.INVITING, LegPhase.CANCELLING):
            return super()._take_over_unanswered(given, now)
        invite, early = self._requests.invite(), None if given.asks_nobody else self._early
        self._early = None
        self._requests.forget_invite()
        self._alarms.clear()
        told: Effects = []
        if not self.dialog.remote_tag and invite is not None and invite.state is State.PROCEEDING:
            told = [Transmit(bytes(build.cancel(invite.request)), invite.to)]  # its answer would go to the dead machine
            if early is not None:
                self.dialog = replace(early, local_cseq=self.dialog.local_cseq)
                self._ack_of(invite.request, early, early.remote_tag, now)
        if not self.dialog.remote_tag or given.asks_nobody:
            return [*told, *self._end(LOST)]
        self._verdict = LOST
        if given.listening is None or self.phase is LegPhase.CANCELLING:
            return [*told, *self._acknowledge_again(), *self._bye(now), *self._end(LOST)]
        self._takeover = TakeoverStage.ASKED
        self.ours = sdp.offer(self.ours, given.listening)
        return [*told, *self._reach(now)]

    def _acknowledge_again(self) -> Effects:
        return [ack for ack, _ in self._acks.values()]

    def _reach(self, now: float) -> Effects:
        """Ask a callee who may have picked up, and whose answer nobody has seen, to be heard."""
        return [*self._acknowledge_again(), *self._reinvite(self._reached, now)]

    def _reached(self, outcome: Outcome, now: float) -> Effects:
        """What they say: yes, it has been picked up; no, it still rings; no, there is no call any more."""
        if outcome.code < 200:
            return []
        if outcome.response is None or outcome.code >= 300:
            return self._not_reached(outcome.code, now) if self._is_reaching else []
        first = self._acknowledge_again()  # it may have been lost, and is asked for again at the dead machine only
        ack = self._ack(self.dialog, outcome, now)
        if not self._is_reaching:
            return ack
        self.phase, self._takeover, self._verdict = LegPhase.CONFIRMED, TakeoverStage.AGREED, None
        self.dialog, self.media = self.dialog.refreshed(outcome.response), self._media_in(outcome.response)
        if self.media is None:
            return [*ack, *self._hang_up(Ended(Disposition.FAILED, "not_acceptable", Side.US, outcome.code), now)]
        self._keep_session(timers.of_answer(outcome.response), now)
        return [*first, *ack, Notify(Answered(self.media))]

    def _not_reached(self, code: int, now: float) -> Effects:
        self._n_reaches += 1
        if code in (491, 500) and self._n_reaches < REACHES:
            self._alarms[Alarm.OFFER] = now + self._back_off_s()
            return []
        return [*self._bye(now), *self._end(LOST)]  # after a 481, too: it may be older than the answer

    def _rung(self, alarm: Alarm, now: float) -> Effects:
        match alarm:
            case Alarm.OFFER if self._is_reaching:
                return self._reach(now)
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
