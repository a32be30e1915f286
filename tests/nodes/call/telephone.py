"""A callee's telephone and our leg to it, in virtual time: the leg writes its record before it tells, as the real ones.

Messages to a telephone are repeated until they are answered, so a leg in another life hears what its last one missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from nodes.call import moving
from nodes.call.effects import TakeOverLeg
from nodes.call.inputs import Input, LegResumed
from nodes.call.placing import NOWHERE
from nodes.call.record import CallRecord
from protocols.machine import Transmit
from protocols.sip import (
    Answered,
    Dial,
    Disposition,
    EarlyMedia,
    Ended,
    HangUp,
    LegPhase,
    LegRecord,
    Local,
    Media,
    MediaChanged,
    OfferRefused,
    Ringing,
    Side,
    TakeoverStage,
)  # fmt: skip
from protocols.sip.dialog import Dialog
from protocols.sip.sdp import LocalMedia
from tests.nodes.call.audio import Clock

HERE: Final = Local("192.0.2.1", 5060)
HOP: Final = ("192.0.2.2", 5060)
DIALOG: Final = Dialog("x@y", "<sip:us@192.0.2.1>", "<sip:ann@192.0.2.2>", "t", "u")
"""As their phone's first word has made it."""
THEIRS: Final = Media("192.0.2.9", 4000, payload_type=0, dtmf_type=101, sends=True, hears=True)
ANSWERED_ELSEWHERE_S: Final = 0.1
NODE_LOST: Final = Ended(Disposition.FAILED, "node_lost", Side.NOBODY)
KEPT_S: Final = 0.002
"""So long the dial waits until others have the record of it (`nodes/edge/hold_back.py`)."""
REPEATS_S: Final = 0.5


class Phone(StrEnum):
    """What the callee's telephone is doing, whatever we know of it."""

    IDLE = "idle"
    RINGING = "ringing"
    UP = "up"
    GONE = "gone"


@dataclass
class Telephone:
    """`record` and `write`: the call's record, of which the leg is a part. `tell`: to the call, of this process."""

    clock: Clock
    record: Callable[[], CallRecord]
    write: Callable[..., None]
    tell: Callable[[Input], None]
    voice: Callable[[bool], None]
    """The callee can be heard, or not any more."""
    is_browser: bool = False
    phone: Phone = Phone.IDLE
    refusal: Ended | None = None
    life: int = 0
    n_dials: int = 0
    n_byes: int = 0
    is_stopped: bool = False
    """A leg that never dialled has ended."""
    refuses: int = 0
    """With what it refuses whoever comes with the call from elsewhere; 0: not at all."""
    agrees_s: float = 0.02

    @property
    def phase(self) -> str:
        """What the leg is doing, as its record says."""
        return self.record().leg_phase

    # ---- what the call wants -----------------------------------------------------------------------------------------

    def dial(self, order: Dial) -> None:
        """Call them."""
        assert not self.phase, "a leg dials once"
        self._be(LegPhase.INVITING)
        self._rings(order.ring_s)
        self._later(KEPT_S, self._goes_out)

    def hang_up(self, order: HangUp) -> None:
        """End it, whatever it is doing."""
        match self.phase:
            case "":
                self.is_stopped = True
            case "inviting" if not self._is_asked:
                self._cancel(Ended(order.disposition, order.cause, Side.US))
            case "inviting" | "confirmed":
                self.n_byes += 1
                self._hang_up(Ended(order.disposition, order.cause, Side.US))
            case _:
                pass

    def take_over(self, order: TakeOverLeg) -> None:
        """Tell the far end where we are; it agrees, refuses, or knows of no call any more."""
        match self.phase:
            case "inviting" if moving.is_reachable(self.record()) and order.listening is not None:
                self._asks(TakeoverStage.ASKED)
                self._later(self.agrees_s, self._reached)
            case "inviting" | "cancelling" if not self.is_browser:
                self._hang_up(NODE_LOST)
            case "confirmed" if order.listening is not None:
                self._asks(TakeoverStage.PLANNED if order.is_planned else TakeoverStage.ASKED)
                self._later(self.agrees_s, lambda: self._taken_over(is_planned=order.is_planned))

    def asked(self) -> Ended | OfferRefused | MediaChanged:
        """Say what the callee's telephone answers to whoever comes with the call."""
        if self.phone is Phone.GONE:
            return Ended(Disposition.COMPLETED, "remote_hangup_during_outage", Side.THEM, 481)
        leg = self.record().leg
        return OfferRefused(self.refuses) if self.refuses else MediaChanged(leg.media if leg and leg.media else NOWHERE)

    def _asks(self, stage: TakeoverStage) -> None:
        if (leg := self.record().leg) is not None:
            self.write(leg=replace(leg, takeover=stage))

    def _taken_over(self, *, is_planned: bool) -> None:
        if self.phase != "confirmed":
            return
        said = self.asked()
        if isinstance(said, Ended) and not is_planned:
            return self._ends(said)
        said = OfferRefused(said.code) if isinstance(said, Ended) else said
        self._asks(TakeoverStage.AGREED if isinstance(said, MediaChanged) else TakeoverStage.REFUSED)
        self.tell(said)

    @property
    def _is_asked(self) -> bool:
        """Whether a callee who rang is asked from another machine if they have picked up."""
        leg = self.record().leg
        return leg is not None and leg.phase is LegPhase.INVITING and leg.takeover is TakeoverStage.ASKED

    def _reached(self) -> None:
        if not self._is_asked:
            return
        if self.phone is not Phone.UP:
            return self._hang_up(NODE_LOST)
        self._asks(TakeoverStage.AGREED)
        self._answered()

    def moves(self) -> None:
        """The leg goes on from its record at another machine: nothing of it is known here but that."""
        self.life += 1

    # ---- what the callee does ----------------------------------------------------------------------------------------

    def ring(self) -> None:
        """Say that it rings."""
        if self.phase == "inviting" and self.phone is Phone.RINGING:
            if (leg := self.record().leg) is not None:
                self.write(leg=replace(leg, early=DIALOG, invite=Transmit(b"", HOP), is_proceeding=True))
            self.tell(Ringing())

    def early_media(self) -> None:
        """Play something before the answer."""
        if self.phase == "inviting" and self.phone is Phone.RINGING and not self.is_browser:
            self._be(LegPhase.INVITING, THEIRS)
            self.tell(EarlyMedia(THEIRS))

    def answer(self) -> None:
        """Pick up."""
        if self.phone is Phone.RINGING:
            self.phone = Phone.UP
            self._answered()

    def picks_up_unheard(self) -> None:
        """Pick up while nobody has the call: what is said of it goes to a machine that is dead."""
        if self.phone is Phone.RINGING:
            self.phone = Phone.UP

    def refuse(self, ended: Ended) -> None:
        """Do not pick up, and say why."""
        if self.phone is Phone.RINGING:
            self.phone, self.refusal = Phone.GONE, ended
            if self.phase == "inviting":
                self._ends(ended)

    def hangs_up(self) -> None:
        """Put the receiver down."""
        if self.phone is Phone.UP:
            self.phone = Phone.GONE
            self.voice(False)
            if self.phase == "confirmed":
                self._ends(Ended(Disposition.COMPLETED, "remote_hangup", Side.THEM))

    def reinvites(self, media: Media) -> None:
        """Want the audio elsewhere, or hold us."""
        if self.phase == "confirmed" and self.phone is Phone.UP and not self.is_browser:
            self._be(LegPhase.CONFIRMED, media)
            self.tell(MediaChanged(media))

    # ---- lives -------------------------------------------------------------------------------------------------------

    def lives_again(self) -> None:
        """The leg goes on from its record; what the callee says is said again."""
        self.life += 1
        if self.phase in ("", "finished"):
            return
        self.tell(LegResumed())
        match self.phase:
            case "inviting" if self._is_asked:
                self._later(self.agrees_s, self._reached)
            case "inviting":
                self._rings(self.record().order.ring_s)
                if self.phone is Phone.IDLE:
                    self._later(REPEATS_S, self._goes_out)
                elif self.phone is Phone.UP:
                    self._later(0.5, self._answered)
                elif self.refusal:
                    self._later(0.5, lambda: self._ends(self.refusal))
            case "cancelling":
                self._later(ANSWERED_ELSEWHERE_S, self._cancelled)

    def _goes_out(self) -> None:
        """Others have the record of the dial: it is sent, or what its last life did not get to send is."""
        if self.phone is not Phone.IDLE or self.phase not in ("inviting", "cancelling"):
            return
        self.n_dials += 1
        self.phone = Phone.RINGING
        if self.is_browser:
            self.tell(Ringing())

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _be(self, phase: LegPhase, media: Media | None = None, verdict: Ended | None = None) -> None:
        if self.is_browser:
            return self.write(browser=phase.value)
        leg = self.record().leg or LegRecord(
            "uac", phase, HERE, HOP, "", DIALOG, LocalMedia(1, 1, HERE.host, 40000), ring_until_s=0.0
        )
        leg = leg if phase in (LegPhase.INVITING, LegPhase.CANCELLING) else replace(leg, early=None, invite=None)
        self.write(leg=replace(leg, phase=phase, media=media or leg.media, verdict=verdict or leg.verdict))

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        life = self.life
        self.clock.after(seconds, lambda: do() if life == self.life else None)

    def _rings(self, seconds: float) -> None:
        self._later(seconds, lambda: self._cancel(Ended(Disposition.NO_ANSWER, "ring_limit", Side.NOBODY)))

    def _answered(self) -> None:
        if self.phase == "inviting":
            self._be(LegPhase.CONFIRMED, THEIRS)
            self.tell(Answered(Media("", 0, 0, -1, True, True) if self.is_browser else THEIRS))
            self.voice(True)
        elif self.phase == "cancelling":
            self._be(LegPhase.CONFIRMED, THEIRS)
            self._hang_up(Ended(Disposition.ABANDONED, "answered_too_late", Side.US, 200))

    def _cancel(self, verdict: Ended) -> None:
        if self.phase != "inviting":
            return
        if self.is_browser:
            return self._hang_up(verdict)
        self._be(LegPhase.CANCELLING, verdict=verdict)
        self._later(ANSWERED_ELSEWHERE_S, self._cancelled)

    def _cancelled(self) -> None:
        leg = self.record().leg
        if leg and leg.phase is LegPhase.CANCELLING and leg.verdict:
            self._hang_up(replace(leg.verdict, code=487))

    def _hang_up(self, ended: Ended) -> None:
        self.phone = Phone.GONE
        self.voice(False)
        self._ends(ended)

    def _ends(self, ended: Ended | None) -> None:
        if ended and self.phase not in ("ended", "finished"):
            self._be(LegPhase.ENDED)
            self.tell(ended)


__all__ = ["HERE", "HOP", "THEIRS", "Phone", "Telephone"]
