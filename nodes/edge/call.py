"""One call: the actor that lives from the order to the last event, whichever life of it that is.

    placing -> ringing -> answered -> conversing -> handing_over -> bridged -> ending -> done

It gives the bot what happens, one thing at a time, and does what only a call can: opens the line, dials, ends. Every
recovery, of this actor, its process or its node, is `resume`: the record says where the call is, media and speech are
told what they should be doing, and the talk goes on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from grammars import conversation_state as says
from grammars.errors import GrammarError
from grammars.script_pack import unpack
from nodes.call.record import CallPhase, CallRecord
from nodes.edge import browser, placing
from nodes.edge.alarm import Alarm
from nodes.edge.bot import Bot
from nodes.edge.browser import seat_of
from nodes.edge.diary import Diary
from nodes.edge.ears import Ears, NoEngine
from nodes.edge.handover import Handing, Outcome, input_of
from nodes.edge.keeper import Keeper
from nodes.edge.leg import Leg, Resumed
from nodes.edge.line import ChannelNews, Line, NoMedia
from nodes.edge.trunk import NotAllowed, Unreachable
from nodes.telemetry import logs
from protocols.handover import HandoverInput
from protocols.machine import Expired, earliest
from protocols.sip import (
    Answered,
    Dial,
    Disposition,
    EarlyMedia,
    Ended,
    HangUp,
    Listening,
    Local,
    Media,
    MediaChanged,
    Ringing,
    Side,
)  # fmt: skip
from protocols.wire.desk import SeatNews
from protocols.wire.events import Kind
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import AudioArrived, AudioLost, PlayEnded
from supervisors import Actor, Exit, Normal, Ref

if TYPE_CHECKING:
    from nodes.edge.means import Means

log = logs.get(__name__)
HUNG_UP = Ended(Disposition.COMPLETED, "remote_hangup", Side.THEM)
"""What a leg that has ended and cannot say how has probably seen."""
UP: Final = (CallPhase.ANSWERED, CallPhase.CONVERSING, CallPhase.HANDING_OVER, CallPhase.BRIDGED)
"""The phases in which the callee is talked with, by whomever."""


class Call(Actor):
    """One call. Its keeper has the record; its sibling `Leg` has the telephone."""

    def __init__(self, keeper: Keeper, means: Means) -> None:
        self._keeper, self._means = keeper, means
        channel_id = ChannelId(keeper.record.order.call_id)
        self._line = Line(keeper, means.mesh)
        self._ears = Ears(means.engines, means.mesh, channel_id)
        self._diary = Diary(keeper, means.node_id, means.post)
        self._handing = Handing(keeper, self._line, self._diary, means.mesh, self._seat_input, self.task)
        self._bot: Bot | None = None
        self._alarm = Alarm(self, Call.expired)

    def init(self) -> None:
        """Begin the call, or go on with it; both as the first thing after the start, so that starting never waits."""
        ref = self.ref
        self._keeper.happened = lambda event: ref.tell(Call.happened, event)
        self._means.attach(self._keeper.record.order.call_id, self.ref)
        self._handing.follow(self._means.roster, self._line.follow(self._means.roster))
        self.defer(Call.place if self._record.leg is None and self._record.revision == 0 else Call.resume)

    def terminate(self, reason: Exit) -> None:
        """Messages for this life have nowhere to go any more."""
        self._means.detach(self._keeper.record.order.call_id, self.ref)

    @property
    def _record(self) -> CallRecord:
        return self._keeper.record

    @property
    def _leg(self) -> Ref[Leg]:
        return self.sibling("leg", Leg)

    # ---- beginning -------------------------------------------------------------------------------------------------

    async def place(self) -> None:
        """Make everything ready, then dial: nobody is called whom we could not talk to."""
        order = self._record.order
        self._keeper.write(placed_s=time.monotonic())
        try:
            self._bot = self._new_bot()
            self._diary.note(Kind.PLACING, script=self._bot.script.hash)
            if not seat_of(order.target) and not await self._means.refusals.are_known():
                return await self._over("failed", "do_not_call_unknown")
            if self._is_refused():
                return await self._over("rejected", "do_not_call")
            if problems := self._bot.script.problems(order.slots):
                return await self._over("invalid", "; ".join(problems))
            hop, local = await placing.way_to(self._means, order.target)
            await self._means.engines.warm(order.call_id, order.script)
            port = await placing.open_line(self._means, self._line, order)
        except NotAllowed as error:
            return await self._over("invalid", str(error))
        except (GrammarError, Unreachable, NoEngine, NoMedia) as error:
            return await self._over("failed", str(error))
        if self._is_refused():  # half a minute may have passed, and what came meanwhile waits behind this
            return await self._over("rejected", "do_not_call")
        listening = Listening(self._means.rtp_host(hop), port)
        self._dial(local, placing.dial(order, local, hop, listening, self._bot.script.hash))
        _ = self.task(self._prepare())

    async def _prepare(self) -> None:
        """While it rings, have every engine know the script and every sentence on disk; what is missing, later."""
        order = self._record.order
        await self._means.engines.warm_all(order.script)
        try:
            await self._ears.speak(unpack(order.script).speakable(order.slots))
        except NoEngine as error:
            log.warning("call.not_prepared", reason=str(error))

    async def resume(self) -> None:
        """Go on from the record: the one recovery path."""
        self._keeper.write(epoch=self._record.epoch + 1)
        if self._record.phase is CallPhase.DONE:
            return self.stop(Normal())
        if self._record.ending is None:
            self._diary.note(Kind.RECOVERED, what="call", phase=self._record.phase.value)
            if not self._record.leg_phase and self._record.channel is None:
                return await self.place()  # nobody has been dialled
            if self._record.phase in (CallPhase.PLACING, CallPhase.RINGING) and self._is_refused():
                self.hang_up("rejected", "do_not_call")  # they came on the list when nobody had this call
        if self._record.order.script:  # without, its end is all that it can still come to
            self._bot = self._new_bot()
        self._line.want()  # from this life: media tells it again what the last one may not have heard
        await self._catch_up()
        try:
            if self._bot and self._record.phase in UP:
                self._handing.resume(self._bot.conversation.phase)
                await self._bot.resume()
        except NoEngine as error:
            self._cannot_go_on(error)
        self._set_alarm()

    async def _catch_up(self) -> None:
        """Take from the leg's record what it may have told to nobody: one of the two has died in between."""
        record, leg = self._record, self._record.leg
        match record.leg_phase:
            case "":
                await self._over("failed", record.ending.cause if record.ending else "lost_while_placing")
            case "ended" | "finished":
                await self._hung_up(leg.verdict if leg and leg.verdict else HUNG_UP)
            case _ if record.ending:
                self._hang_up_leg(record.ending)
            case "confirmed" if record.phase in (CallPhase.PLACING, CallPhase.RINGING):
                await self._answered(leg.media if leg and leg.media else browser.NOWHERE)
            case _ if leg and leg.media:
                self._line.agree(leg.media, time.monotonic())
        if record.is_doubtful:
            self._keeper.write(is_doubtful=False)
            self._leg.tell(Leg.verify)

    # ---- what happens ----------------------------------------------------------------------------------------------

    async def happened(self, event: object) -> None:
        """The leg tells what the telephone does."""
        match event:
            case Ringing() if self._record.phase is CallPhase.PLACING:
                self._keeper.write(phase=CallPhase.RINGING)
                self._diary.note(Kind.RINGING, after_ms=self._diary.since_placed_ms())
            case EarlyMedia(media=media):
                self._line.agree(media, time.monotonic())
                self._diary.note(Kind.EARLY_MEDIA, after_ms=self._diary.since_placed_ms())
            case Answered(media=media):
                await self._answered(media)
            case MediaChanged(media=media):
                self._line.agree(media, time.monotonic())
                if self._record.silent_since_s:  # from another address, or after a hold: they are waited for anew
                    self._keeper.write(silent_since_s=time.monotonic())
            case Ended():
                await self._hung_up(event)
            case Resumed():
                await self._catch_up()
            case _:
                pass
        self._set_alarm()

    async def _answered(self, media: Media) -> None:
        self._keeper.write(phase=CallPhase.ANSWERED, answered_s=time.monotonic())
        self._line.agree(media, time.monotonic())
        if self._record.order.is_recorded:
            self._line.want(recording=self._means.recording(self._record.order.call_id))
        self._diary.note(Kind.ANSWERED, after_ms=self._diary.since_placed_ms())
        if self._bot:
            self._bot.answered()

    async def told(self, given: ChannelNews) -> None:
        """Media or speech tells of our channel."""
        if isinstance(given, AudioLost | AudioArrived):
            return self._heard_or_not(given)
        if self._bot is None or self._record.phase not in UP:
            return
        try:
            match given:
                case PlayEnded():
                    await self._bot.played(given)
                case _ if self._record.phase not in (CallPhase.HANDING_OVER, CallPhase.BRIDGED):
                    await self._bot.heard(given)
                case _:
                    pass  # the bot does not listen to what is an agent's
        except NoEngine as error:
            self._cannot_go_on(error)
        self._set_alarm()

    def _heard_or_not(self, given: AudioLost | AudioArrived) -> None:
        """Note since when the callee is silent; told again, by a media process that took over, that does not change."""
        since_s = self._record.silent_since_s
        if isinstance(given, AudioArrived):
            self._line.arrived(given)
            since_s = 0.0
        elif not since_s:
            since_s = time.monotonic() - given.silent_s
        self._keeper.write(silent_since_s=since_s)
        self._set_alarm()

    async def expired(self) -> None:
        """A deadline has passed: the bot's, the handover's, or that of a callee who is not heard any more."""
        if (gone_at_s := self._record.gone_at_s) is not None and gone_at_s <= time.monotonic():
            self.hang_up("failed", "no_audio")
        try:
            if self._bot and self._record.phase not in (CallPhase.ENDING, CallPhase.DONE):
                await self._handed(self._handing.step(Expired()))
                await self._bot.expired()
        except NoEngine as error:
            self._cannot_go_on(error)
        self._set_alarm()

    async def roster_changed(self) -> None:
        """Processes have come and gone: our media and engine among them, perhaps."""
        is_new_media = self._line.follow(self._means.roster)
        outcomes = self._handing.follow(self._means.roster, is_new_media)
        _ = self.task(self._means.engines.warm_all(self._record.order.script))
        try:
            await self._handed(outcomes)
            if self._bot and self._record.phase in (CallPhase.ANSWERED, CallPhase.CONVERSING):
                await self._bot.follow_engines()
                if is_new_media:
                    await self._bot.follow_media()
        except NoEngine as error:
            self._cannot_go_on(error)

    def tell_media(self) -> None:
        """A media process has missed something of ours: all of it is said once more."""
        self._line.tell()
        self._handing.tell_link()

    # ---- what the bot wishes ---------------------------------------------------------------------------------------

    def fetch(self, wanted: says.Fetch, is_again: bool) -> None:
        """Ask a business API, beside the conversation; the answer comes back as a message."""
        _ = self.task(self._fetch(wanted, is_again))

    async def _fetch(self, wanted: says.Fetch, is_again: bool) -> None:
        asked_s = time.monotonic()
        answer = await self._means.fetcher.fetch(self._record.order.call_id, wanted, is_again=is_again)
        ms = round((time.monotonic() - asked_s) * 1000)
        if isinstance(answer, says.FetchFailed):
            self._diary.note(Kind.FETCH_FAILED, ms=ms, reason=answer.reason)
        else:
            self._diary.note(Kind.FETCH_DONE, ms=ms)
        self.ref.tell(Call.answer, answer)

    def enqueue(self, wanted: says.Enqueue) -> None:
        """Hand the callee over to an agent."""
        self._handing.start(wanted)

    def seat_told(self, news: SeatNews, desk: Identity) -> None:
        """A desk tells of a seat."""
        self._seat_input(input_of(news), desk, news.seat)

    async def seat(self, given: HandoverInput, desk: Identity, seat: str) -> None:
        """Something has become of a seat: the handover goes on, or the call is over because the agent is."""
        try:
            await self._handed(self._handing.step(given, desk, seat))
        except NoEngine as error:
            self._cannot_go_on(error)
        if self._handing.is_finished:
            self.hang_up("transferred", "agent")
        self._set_alarm()

    async def answer(self, given: says.Fetched | says.FetchFailed) -> None:
        """What the conversation was waiting for."""
        try:
            if self._bot:
                await self._bot.tell(given)
        except NoEngine as error:
            self._cannot_go_on(error)
        self._set_alarm()

    def opt_out(self) -> None:
        """The callee must not be called again, by anybody, from now on."""
        self._means.refusals.add(self._record.order)

    def hang_up(self, disposition: str, cause: str) -> None:
        """End the call from our side."""
        if self._record.phase in (CallPhase.ENDING, CallPhase.DONE):
            return
        self._handing.left()
        ending = HangUp(Disposition(disposition), cause)
        self._keeper.write(phase=CallPhase.ENDING, ending=ending)
        self._hang_up_leg(ending)

    # ---- ending ----------------------------------------------------------------------------------------------------

    def _cannot_go_on(self, error: NoEngine) -> None:
        log.error("call.no_engine", reason=str(error))
        self.hang_up("failed", "no_engine")

    async def _hung_up(self, ended: Ended) -> None:
        disposition = ended.disposition.value
        if ended.by is Side.THEM and self._bot and self._record.answered_s:
            await self._bot.tell(says.HungUp())
            disposition = self._bot.conversation.disposition or disposition
        await self._over(disposition, ended.cause, code=ended.code, q850=ended.q850, by=ended.by.value)

    async def _over(self, disposition: str, cause: str, code: int = 0, q850: int = 0, by: str = "nobody") -> None:
        """The last event, once; then nothing is left of the call but its recording."""
        if self._record.phase is CallPhase.DONE:
            return
        self._handing.left()
        self._ears.deafen()
        carried = await self._line.close()
        answered_s = self._record.answered_s
        self._keeper.write(phase=CallPhase.DONE)
        self._diary.note(
            Kind.ENDED, disposition=disposition, cause=cause, code=code or None, q850=q850 or None, by=by,
            duration_s=round(time.monotonic() - answered_s, 3) if answered_s else 0.0,
            sent=carried.sent, received=carried.received, lost=carried.lost, late=carried.late,
            jitter_ms=carried.jitter_ms, recording=carried.recording or None,
        )  # fmt: skip
        if not self._record.leg_phase:
            self._hang_up_leg(HangUp(Disposition(disposition), cause))
        self.stop(Normal())

    # ---- small things ----------------------------------------------------------------------------------------------

    def _is_refused(self) -> bool:
        return self._means.refusals.refuses(self._record.order)

    def _seat_input(self, given: HandoverInput, desk: Identity, seat: str) -> None:
        self.ref.tell(Call.seat, given, desk, seat)

    async def _handed(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if self._bot:
                await self._bot.tell(outcome)

    def _new_bot(self) -> Bot:
        return Bot(self._keeper, self._line, self._ears, self._diary, self, time.monotonic)

    def _dial(self, local: Local, order: Dial) -> None:
        self._keeper.is_dialling = True
        self._leg.tell(Leg.dial, local, order)

    def _hang_up_leg(self, order: HangUp) -> None:
        self._leg.tell(Leg.hang_up, order)

    def _set_alarm(self) -> None:
        due = [self._bot.deadline if self._bot else None, self._handing.deadline, self._record.gone_at_s]
        self._alarm.set(None if self._record.phase is CallPhase.DONE else earliest(due))


__all__ = ["Call"]
