"""The actor of one call: it gives the call what happens, writes its record, and does what that wants.

What it does: one step at a time, `nodes.call.call.Call` from the stored record; the record is written before anything
is done, and heirs have it before anybody outside has seen any of it. What is asked is answered later, as another input,
by a task of this life. What it does not: decide anything. Every recovery, of this actor, its process or its node, is
the first input of the next life, `Resumed`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Final, assert_never

from grammars.errors import GrammarError
from grammars.script_model import Script
from grammars.script_pack import unpack
from nodes.call.call import Call, may_wait
from nodes.call.effects import (
    Arrived,
    AskBusiness,
    CloseLine,
    Connect,
    DialLeg,
    Effect,
    GetReady,
    GiveBack,
    HandOn,
    HangUpLeg,
    HearCallee,
    Keep,
    LateHandover,
    LetGoLeg,
    Note,
    Prepare,
    PutOnList,
    Question,
    RenumberLeg,
    Reserve,
    Show,
    Speak,
    StartRecording,
    Stop,
    StopHearing,
    TakeOverLeg,
    TellDesk,
    TellDesks,
    Unlink,
    Want,
)
from nodes.call.inputs import (
    BusinessAnswered,
    Input,
    LetGo,
    LineClosed,
    RecordTo,
    Resumed,
    SeatTold,
    Spoken,
)
from nodes.edge import desks, diary, ears, line, placing
from nodes.edge.alarm import Alarm
from nodes.edge.leg import Leg
from nodes.edge.record_store import RecordStore
from nodes.edge.services import AnyCall, EdgeServices
from nodes.telemetry import logs, spans
from protocols.machine import Expired
from protocols.replacing import replace
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import Deafen, Heard, PlaceCall
from supervisors import Exit, Normal, Ref

log = logs.get(__name__)
MAX_ON_HOLD: Final = 256
"""Inputs that wait while it is not known whose the call is; the oldest are dropped first."""


class CallActor(AnyCall):
    """One call. Its store has the record; its sibling `Leg` has the telephone."""

    keeps_mailbox = True
    """Each message stands alone: the next life takes what this one has not begun."""

    def __init__(self, store: RecordStore, services: EdgeServices) -> None:
        self._store, self._services = store, services
        self._order = store.record.order
        self._script = _script_of(self._order)
        self._alarm = Alarm(self, CallActor.expired)
        self._places = desks.Places()
        self._asked: dict[type[Question], asyncio.Task[Input | None]] = {}
        """Of each kind the last one that was asked."""
        self._on_hold: deque[Input] = deque(maxlen=MAX_ON_HOLD)
        self._trace = spans.begun(self._order.call_id)
        """What others are asked is below this in the trace: the last turn that this life has told, or the call."""
        self._answered_s = 0.0
        """Until when what the callee has said is answered: another engine is not to hear it again."""

    def init(self) -> None:
        """Begin the call, or go on with it, as the first thing after the start, so that starting never waits."""
        ref, services = self.ref, self._services
        self._store.happened = lambda event: ref.tell(CallActor.take, event)
        services.attach(self._order.call_id, ref)
        is_refused = services.refusals.refuses(self._order)
        moved = self._store.moved
        self.defer(
            CallActor.take, Resumed(services.mesh.identity, services.engines.living, is_refused, services.epoch, moved)
        )

    def terminate(self, reason: Exit) -> None:
        """Messages for this life have nowhere to go any more."""
        self._services.detach(self._order.call_id, self.ref)

    def expired(self) -> None:
        """The call's deadline has passed."""
        self.take(Expired())

    def take(self, given: Input) -> None:
        """Something has happened: do what it comes to. What is answered at once is taken in the same turn.

        While it is not known whose the call is, it waits: whoever knows wakes us with `Expired`, or ends us. What has
        waited for nothing but to hear that the call is another's is another's, too.
        """
        if isinstance(given, SeatTold) and not self._places.is_news(given):
            return
        is_gone = isinstance(given, LetGo)
        if is_gone:
            self._on_hold.clear()
        self._on_hold.append(given)
        if self._store.is_silent() and not is_gone:
            return
        waiting = deque(self._on_hold)
        self._on_hold.clear()
        while waiting:
            told = waiting.popleft()
            if isinstance(told, Heard):
                self._answered_s = max(self._answered_s, told.speech_ended_s)
            effects = self._step(told)
            with logs.traced(self._trace):
                answers = (self._carry_out(effect) for effect in effects)
                waiting.extend(answer for answer in answers if answer is not None)
        self._alarm.set(Call(self._store.record, self._script).deadline)

    def _step(self, given: Input) -> list[Effect]:
        before = self._store.record
        call = Call(before, self._script)
        try:
            effects = call.step(given, time.monotonic())
        except Exception:
            log.error("call.step_failed", call_id=self._order.call_id, given=type(given).__name__)
            raise
        self._store.put(call.record, may_wait=may_wait(before, given, effects))
        if isinstance(given, Resumed):
            self._store.moved = None  # the record has it
        if (turn := diary.turn_told(before, call.record, effects)) is not None:
            self._trace = spans.begun(self._order.call_id, turn)
        return effects

    # ---- what is to be done ----------------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> Input | None:
        """Do it, or have it done; return an answer that is there already."""
        services, order, record = self._services, self._order, self._store.record
        match effect:
            case Note():
                diary.write(order, services.node_id, effect, services.post)
            case PutOnList():
                services.refusals.add(order)
            case Want(channel=channel, to_spares=to_spares):
                line.set_channel(services, record.media, channel, to_spares=to_spares)
            case Unlink(channel_id=channel_id):
                line.unlink(services, record.media, channel_id)
            case StopHearing(engine=engine):
                self._stop_hearing(engine)
            case TellDesk():
                return desks.tell(services, effect)
            case TellDesks():
                return self._places.tell(services, effect)
            case DialLeg(local=local, order=dial):
                self._store.is_dialling = True
                if trace := spans.begun_for_sip(order.call_id):
                    dial = replace(dial, headers=(*dial.headers, ("x-ringmaster-trace", trace)))
                self._leg.tell(Leg.dial, local, dial)
            case HangUpLeg(order=hang_up):
                self._leg.tell(Leg.hang_up, hang_up)
            case TakeOverLeg():
                services.take_over(self._store, effect, self._tell_leg)
            case RenumberLeg(cseq=cseq, version=version):
                self._leg.tell(Leg.renumber, cseq, version)
            case LetGoLeg():
                self._leg.tell(Leg.let_go)
            case Arrived() | GiveBack() | HandOn():
                services.moving(order.call_id, effect)
            case StartRecording(part=part):
                return RecordTo(services.recording(order, part))
            case Prepare():
                if self._script is not None:
                    _ = self.task(ears.prepare(services.engines, order.call_id, order.script, effect))
            case LateHandover(stage=stage):
                log.warning("handover.late", call_id=order.call_id, stage=stage)
            case Stop():
                self.stop(Normal())
            case _:
                return self._ask(effect)
        return None

    def _ask(self, effect: Question) -> Input | None:
        """Have a question answered beside the handlers; of one kind the newest alone is asked."""
        services, order, record, script = self._services, self._order, self._store.record, self._script
        work: Coroutine[object, None, Input | None]
        match effect:
            case GetReady():
                work = placing.get_ready(services, order, effect, self._recogniser)
            case Speak(number=number, sentences=sentences):
                if (prompts := services.engines.known(sentences)) is not None:
                    return Spoken(number, prompts)
                work = ears.speak(services.engines, order.call_id, effect)
            case HearCallee():
                assert script is not None, "without a script nobody is listened to"
                by = ears.By(self._recogniser, self._answered_s)
                work = ears.hear(services.engines, order.call_id, order.script, script.hash, effect, by)
            case AskBusiness():
                work = self._business(effect)
            case CloseLine():
                work = self._closed(effect)
            case Reserve() | Connect() | Show() | Keep():
                work = desks.asked(services, record, effect)
            case _:
                assert_never(effect)
        self._withdraw(type(effect))
        self._asked[type(effect)] = task = self.task(work)
        task.add_done_callback(self._answered)
        return None

    def _answered(self, task: asyncio.Task[Input | None]) -> None:
        """Take an answer before other people's messages: a full mailbox refuses none."""
        if not task.cancelled() and task.exception() is None and (answer := task.result()) is not None:
            self.after(0.0, CallActor.take, answer)

    async def _business(self, effect: AskBusiness) -> BusinessAnswered:
        answer = await self._services.fetcher.fetch(self._order.call_id, effect.wanted, is_again=effect.is_again)
        return BusinessAnswered(effect.number, answer)

    async def _closed(self, effect: CloseLine) -> LineClosed:
        carried = await line.close_channel(self._services, self._store.record.media, effect.channel_id)
        return LineClosed(effect.number, carried)

    def _stop_hearing(self, engine: Identity) -> None:
        self._withdraw(HearCallee)
        if engine:
            self._services.mesh.tell(engine, Deafen(ChannelId(self._order.call_id)))

    def _withdraw(self, kind: type[Question]) -> None:
        if (task := self._asked.pop(kind, None)) is not None:
            task.cancel()

    def _tell_leg(self, order: TakeOverLeg) -> None:
        self._leg.tell(Leg.take_over, order)

    @property
    def _recogniser(self) -> str:
        """Who is to hear the callee, as it is chosen now."""
        order, of_script = self._order, self._script.recogniser if self._script else ""
        return self._services.engines.speech.chosen(order.call_id, order.campaign_id, of_script)

    @property
    def _leg(self) -> Ref[Leg]:
        return self.sibling("leg", Leg)


def _script_of(order: PlaceCall) -> Script | None:
    """Return the order's script; None where it came without, or with one that cannot be read: the call can only end."""
    try:
        return unpack(order.script) if order.script else None
    except GrammarError as error:
        log.error("call.bad_script", call_id=order.call_id, reason=str(error))
        return None


__all__ = ["CallActor"]
