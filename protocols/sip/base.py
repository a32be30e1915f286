"""What every leg stands on: its dialog, its media, its transactions and alarms; how it sends, ends, and is kept.

`Leg` takes inputs and hands them to the methods that `confirmed`, `uac` and `uas` fill in. It decides nothing about
calls, but the one thing that holds for all of them: a call ends once, and the leg is finished when nothing is left
to be repeated.
"""

from enum import Enum, auto
from math import inf
from typing import ClassVar, Self

from protocols.errors import LocalProtocolError
from protocols.machine import Address, Effect, Expired, Notify, Transmit, earliest
from protocols.replacing import replace
from protocols.sip.auth import CHALLENGES, Credentials
from protocols.sip.build import Entropy, Local, new_branch, response
from protocols.sip.dialog import Dialog
from protocols.sip.leg import Ended, Finished, LegEvent, LegInput, LegPhase, LegRecord, Offer, Received, TakeoverStage
from protocols.sip.message import Request, Response, parse
from protocols.sip.replies import Replies
from protocols.sip.requests import Outcome, Requests, Then
from protocols.sip.sdp import LocalMedia, Media
from protocols.sip.timers import SessionTimer
from protocols.sip.transaction import T1, State

Effects = list[Effect[LegEvent]]


class Alarm(Enum):
    """What a leg waits for besides its transactions."""

    RING = auto()
    """It has rung for long enough."""
    CANCEL = auto()
    """A resumed leg has to cancel, perhaps again."""
    GIVE_UP = auto()
    """The CANCEL was to no avail (RFC 3261 s.9.1)."""
    BYE = auto()
    """A resumed leg has to hang up, perhaps again."""
    OFFER = auto()
    """Offer again after 491 (s.14.1)."""
    SESSION = auto()
    """Refresh the session, or give it up (RFC 4028)."""


class Leg:
    """One dialog with its media. Inputs and events are in `leg`; `step` and `deadline` are those of every machine."""

    role: ClassVar[str]

    def __init__(self, local: Local, entropy: Entropy, credentials: Credentials | None = None) -> None:
        """Stand idle at this address; `credentials` answer the challenges of trunk and callee."""
        self.local = local
        self.phase = LegPhase.IDLE
        self.dialog = Dialog(sip_call_id=entropy(16).hex(), local="", remote="", local_tag=entropy(8).hex())
        self.next_hop: Address = ("", 0)
        self.trunk = ""
        self.ours = LocalMedia(int.from_bytes(entropy(4), "big") >> 1, 0, "", 0)
        self.media: Media | None = None
        self.dropped = 0
        """Responses that answered nothing we asked."""
        self._entropy = entropy
        self._credentials = credentials
        self._requests: Requests[LegEvent] = Requests(entropy, credentials, self._next_cseq)
        self._replies: Replies[LegEvent] = Replies()
        self._alarms: dict[Alarm, float] = {}
        self._acks: dict[tuple[int, str], tuple[Transmit, float]] = {}
        """CSeq and To tag of a 2xx to its ACK, and when that was made."""
        self._timer: SessionTimer | None = None
        self._wanted: Offer | None = None
        """An offer that waits for its turn."""
        self._verdict: Ended | None = None
        """How the call ends when a cancelled INVITE is answered at last."""
        self._takeover = TakeoverStage.NONE
        self._early: Dialog | None = None
        """What the last 18x has begun."""

    @classmethod
    def resume(cls, record: LegRecord, now: float, entropy: Entropy, credentials: Credentials | None = None) -> Self:
        """Return a leg that goes on where `record` was taken; give it `TakeOver` first if this is another machine."""
        leg = cls(record.local, entropy, credentials)
        leg._restore(record, now)
        return leg

    @property
    def sip_call_id(self) -> str:
        """The key by which this leg's datagrams find it."""
        return self.dialog.sip_call_id

    @property
    def deadline(self) -> float | None:
        """See `protocols.machine`."""
        return earliest((*self._alarms.values(), self._requests.deadline, self._replies.deadline))

    @property
    def record(self) -> LegRecord:
        """All that a successor needs: take it after each step, and keep it elsewhere before the effects are done."""
        invite = self._requests.invite() if self.phase is not LegPhase.ENDED else None
        return LegRecord(
            role=self.role,
            phase=self.phase,
            local=self.local,
            next_hop=self.next_hop,
            trunk=self.trunk,
            realms=self._requests.realms,
            dialog=self.dialog,
            ours=self.ours,
            media=self.media,
            timer=self._timer,
            session_at_s=self._alarms.get(Alarm.SESSION),
            invite=Transmit(bytes(invite.request), invite.to) if invite else None,
            is_proceeding=invite is not None and invite.state is State.PROCEEDING,
            ring_until_s=self._alarms.get(Alarm.RING),
            wanted=self._wanted,
            verdict=self._verdict,
            acks=tuple(sent for sent, _ in self._acks.values()),
            takeover=self._takeover,
            early=self._early,
        )

    def _restore(self, record: LegRecord, now: float) -> None:
        self.phase, self.dialog, self.next_hop, self.trunk = record.phase, record.dialog, record.next_hop, record.trunk
        self._requests.hop, self._requests.realms = record.next_hop, record.realms
        self.ours, self.media, self._timer = record.ours, record.media, record.timer
        self._wanted, self._verdict, self._takeover = record.wanted, record.verdict, record.takeover
        self._early = record.early
        times = {Alarm.SESSION: record.session_at_s, Alarm.RING: record.ring_until_s}
        times[Alarm.OFFER] = now if record.wanted else None
        times[Alarm.BYE] = now if record.phase is LegPhase.ENDED and record.dialog.remote_tag else None
        self._alarms = {alarm: at for alarm, at in times.items() if at is not None}
        for sent in record.acks:
            ack = parse(sent.data)
            self._acks[ack.cseq.number, ack.to.tag] = sent, now
        if record.invite and record.invite.to:
            invite = parse(record.invite.data)
            assert isinstance(invite, Request)
            state = State.PROCEEDING if record.is_proceeding else State.CALLING
            self._requests.resume(invite, record.invite.to, self._after(record), state, now)

    def step(self, given: LegInput, now: float) -> Effects:
        """See `protocols.machine`. Raises `LocalProtocolError` for an input that this leg cannot have at all."""
        effects = self._take(given, now)
        if self.phase is LegPhase.ENDED and self._requests.is_idle and self._replies.is_idle and not self._alarms:
            self.phase = LegPhase.FINISHED
            effects = [*effects, Notify(Finished())]
        return effects

    # ---- filled in by the kinds of leg -----------------------------------------------------------------------------

    def _take(self, given: LegInput, now: float) -> Effects:
        match given:
            case Received(message=Response() as answer):
                return self._responded(answer, now)
            case Received(message=Request() as request, source=source):
                return self._requested(request, source, now)
            case Expired():
                return self._expired(now)
            case _:
                raise LocalProtocolError(
                    "not_for_this_leg", f"{type(given).__name__} to a {self.role} that is {self.phase}"
                )

    def _requested(self, request: Request, source: Address, now: float) -> Effects:
        raise NotImplementedError

    def _rung(self, alarm: Alarm, now: float) -> Effects:
        raise NotImplementedError

    def _after(self, record: LegRecord) -> Then[LegEvent]:
        """What is to be done with the answer to the INVITE in the record."""
        raise NotImplementedError

    # ---- what all of them do ---------------------------------------------------------------------------------------

    def _responded(self, answer: Response, now: float) -> Effects:
        known = self._acks.get((answer.cseq.number, answer.to.tag)) if answer.cseq.method == "INVITE" else None
        if known and 200 <= answer.code < 300:
            return [known[0]]
        effects = self._requests.receive(answer, now)
        self.dropped += effects is None
        return effects or []

    def _expired(self, now: float) -> Effects:
        effects = [*self._requests.expire(now), *self._replies.expire(now)]
        for alarm in [alarm for alarm, at in self._alarms.items() if at <= now]:
            if self._alarms.pop(alarm, inf) <= now:  # an alarm before it may have ended the call, and all alarms
                effects += self._rung(alarm, now)
        return effects

    def _send(
        self, method: str, then: Then[LegEvent], now: float, *fields: tuple[str, str], body: bytes = b""
    ) -> Effects:
        """Send a request in the dialog."""
        cseq = self._next_cseq()
        request = self.dialog.request(method, cseq, self.local, new_branch(self._entropy), *fields, body=body)
        return self._requests.send(request, self.dialog.next_hop(self.next_hop), then, now)

    def _ack(self, dialog: Dialog, outcome: Outcome, now: float) -> Effects:
        """Acknowledge a 2xx, with the credentials of its INVITE (RFC 3261 s.13.2.2.4) where it goes to the trunk.

        The ACK is kept for as long as the 2xx may come again. There may be several: a lost ACK to the first INVITE
        does not keep the far end from answering a second one.
        """
        assert outcome.response is not None
        return self._ack_of(outcome.request, dialog, outcome.response.to.tag, now)

    def _ack_of(self, invite: Request, dialog: Dialog, to_tag: str, now: float) -> Effects:
        to = dialog.next_hop(self.next_hop)
        credentials = [one for one in invite.headers if one[0] in CHALLENGES.values()]
        number = invite.cseq.number
        ack = dialog.request(
            "ACK", number, self.local, new_branch(self._entropy), *(credentials if to == self.next_hop else ())
        )
        sent = Transmit(bytes(ack), to)
        self._acks = {key: kept for key, kept in self._acks.items() if now - kept[1] < 64 * T1}
        self._acks[number, to_tag] = sent, now
        return [sent]

    def _reply(self, request: Request, source: Address, now: float, code: int, *fields: tuple[str, str]) -> Effects:
        answer = response(request, source, code, *fields, to_tag=self.dialog.local_tag)
        return self._replies.reply(request, source, answer, now)

    def _bye(self, now: float) -> Effects:
        """Hang up. What comes of it changes nothing: the call is over (RFC 3261 s.15.1.1)."""
        return self._send("BYE", ignore, now)

    def _end(self, ended: Ended) -> Effects:
        if self.phase in (LegPhase.ENDED, LegPhase.FINISHED):
            return []
        self.phase, self._wanted = LegPhase.ENDED, None
        self._alarms.clear()
        return [Notify(ended)]

    def _next_cseq(self) -> int:
        self.dialog = replace(self.dialog, local_cseq=self.dialog.local_cseq + 1)
        return self.dialog.local_cseq


def ignore(outcome: Outcome, now: float) -> Effects:
    return []


__all__ = ["Alarm", "Effects", "Leg", "ignore"]
