"""One call in virtual time: the machine, the actor around it as small as can be, and the other ends.

`World.give` does what the call's actor does: it steps the machine, writes the record, and carries the effects out in
order. It may die in the middle of that, and go on from the record: in the same process, or in another one with what an
heir has. After each step everything that is always true of a call is looked at (`always.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import grammars
from grammars import script_pack
from grammars.conversation_state import Fetched, FetchFailed
from grammars.script import load
from grammars.template import Prompt as Sentence
from nodes.call import effects as wants
from nodes.call import inputs, moving
from nodes.call.call import Call, may_wait
from nodes.call.effects import Effect, Question
from nodes.call.inputs import Input, SeatTold
from nodes.call.line import channels_of, link_of, told
from nodes.call.record import Ask, CallPhase, CallRecord, pack, unpack
from protocols import handover as seats
from protocols.machine import Expired
from protocols.sip import Disposition, Ended, Listening, Local, OfferRefused
from protocols.wire.desk import JoinQueue, OfferCall
from protocols.wire.ids import AttemptId, CallId, ChannelId, Identity, PromptHash
from protocols.wire.messages import Channel, ChannelClosed, PlaceCall, Prompt
from tests.nodes.call import always
from tests.nodes.call.audio import Clock, Engine, Line
from tests.nodes.call.desk import Desk
from tests.nodes.call.telephone import HERE, HOP, Phone, Telephone

CALL: Final = CallId("c1")
ELSEWHERE: Final = Local("192.0.2.7", 5060)
SHIPPED: Final = Path(grammars.__file__).parent / "scripts"
PACKED: Final = {
    path.stem: script_pack.pack(load(path.read_text()))
    for path in (*sorted(SHIPPED.glob("*.yaml")), Path(__file__).parents[2] / "journeys" / "desk.yaml")
    if "cases" not in path.name
}
CONTACT: Final = {
    "name": "Ann", "clinic": "Elm", "company": "Acme", "account": "1234", "date": "2026-03-03", "time": "15:30",
}  # fmt: skip
ACCOUNT: Final = Fetched({"account": {"balance": 42.5, "due": "2026-02-15"}})
MS_PER_LETTER: Final = 40
AT_ONCE: Final = 100
"""Steps in one moment: a callee, agents and processes make a dozen."""
AT_A_DEADLINE: Final = 2
"""So often is a call told that its time has come: what it comes to may have been due for long, if nobody had it."""
ORPHANS_S: Final = 5.0
"""Within so long media has asked whose its channels are."""


class Died(Exception):
    """The actor has died in the middle of what it was doing."""


class World:
    """`waits`: seconds until a question is answered, by its class; None: not before `answer` is called."""

    def __init__(
        self,
        script: str = "desk",
        *,
        target: str = "sip:ann@192.0.2.2",
        is_recorded: bool = False,
        waits: Callable[[Question], float | None] = lambda question: 0.005,
    ) -> None:
        order = PlaceCall(AttemptId("a1"), CALL, target, PACKED[script], CONTACT, is_recorded=is_recorded)
        self.script = script_pack.unpack(order.script)
        self.record = self.before = self.told = CallRecord(order)
        """`told`: what heirs have at least."""
        self.waits = waits
        self.clock, self.n_owners, self.life = Clock(), 1, 0
        self.line = Line(self.clock, self._tell, lambda prompt: len(prompt) * MS_PER_LETTER / 1000, ChannelId(CALL))
        self.desk = Desk(self.clock, self._tell, self.line, link_of(self.record))
        self.line.flows = self.desk.flows
        self.phone = Telephone(
            self.clock, lambda: self.record, self._write, self.give, self.line.is_up, "browser" in target
        )
        self.asks: dict[type, Question] = {}
        self.promised: dict[type, float] = {}
        """When the answer was to come, of questions that died with who had asked: asked again, it comes then."""
        self.due: dict[type, float] = {}
        self.notes: list[wants.Note] = []
        self.done: list[Effect] = []
        self.is_listed = self.is_forbidden = self.is_over = self.is_dialling = False
        self.records_calls = True
        self.fetched: set[tuple[str, int]] = set()
        """Where in its script and in which turn it has asked a business API."""
        self.n_steps = 0
        self.at_once = (0.0, 0)
        """A moment, and how many steps it has had."""
        self.fate: tuple[int, Callable[[], None]] | None = None
        """After so many effects of the next step the actor dies; and what becomes of the call then."""
        self.doom: Callable[[], tuple[int, Callable[[], None]] | None] = lambda: None
        """Asked after each step for such a fate of it."""
        self.orphans_until_s = 0.0
        """Until then what a dead life did not close may be open."""
        self.coming: CallRecord | None = None
        """The call where it is to go, while it is here still."""
        self.coming_owner = Identity("")
        self.was_cut = False
        """When it was moved somebody was speaking, or had fallen silent: for that they have time anew."""
        self.is_unheard = False
        """It has been moved, and no engine has been asked to hear the callee there."""
        self.lag = 0
        """How often somebody went on with an older record than the last."""
        self._todo: deque[Callable[[], None]] = deque()
        self._is_busy = False

    @property
    def owner(self) -> Identity:
        """Who has the call."""
        return self.record.owner or Identity("n1.edge-0:1")

    @property
    def now(self) -> float:
        """Seconds, monotonic."""
        return self.clock.now

    @property
    def deadline(self) -> float | None:
        """When the call wants to be stepped next."""
        return Call(self.record, self.script).deadline

    # ---- the actor ---------------------------------------------------------------------------------------------------

    def begin(self, n_engines: int = 2, *agents: str) -> None:
        """Place the call, in a node with so many engines and these agents."""
        for _ in range(n_engines):
            self.engine_comes(is_told=False)
        self.desk.comes(*agents)
        self.give(self._resumed())

    def give(self, given: Input) -> None:
        """Tell the call something; while it is at something else, afterwards."""
        self._do(lambda: self._take(given))

    def _do(self, do: Callable[[], None]) -> None:
        self._todo.append(do)
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._todo:
                self._todo.popleft()()
        finally:
            self._is_busy = False

    def _take(self, given: Input) -> None:
        try:
            waiting = deque([given])
            while waiting and not self.is_over:
                waiting.extend(self._step(waiting.popleft()))
        except Died:
            pass

    def _step(self, given: Input) -> list[Input]:
        """Step the machine, write the record, carry the effects out; return what could be answered at once."""
        before, self.n_steps = self.record, self.n_steps + 1
        self.at_once = (self.now, self.at_once[1] + 1 if self.at_once[0] == self.now else 1)
        assert self.at_once[1] < AT_ONCE, f"it goes round in circles: {given}"
        call, twin = Call(before, self.script), Call(unpack(pack(before)), self.script)
        effects = call.step(given, self.now)
        assert (twin.step(given, self.now), twin.record) == (effects, call.record), "the state is the record"
        always.is_step(before, call.record, effects, given, self.now)
        always.is_same_on_another_clock(before, self.script, given, self.now, (call.record, effects))
        self._write_all(call.record, may_wait=may_wait(before, given, effects))
        fate = self.doom()
        if not isinstance(given, inputs.Resumed):
            fate, self.fate = fate or self.fate, None
        answers: list[Input] = []
        told = [one for one in effects if isinstance(one, wants.Note)]
        for note in told:
            self.notes.append(note)
        for n, effect in enumerate([one for one in effects if not isinstance(one, wants.Note)]):
            if fate and fate[0] == n:
                self._dies(fate[1])
            self.done.append(effect)
            if (answer := self._carry_out(effect)) is not None:
                answers.append(answer)
        if fate:
            self._dies(fate[1])
        self._set_alarm()
        return answers

    def _dies(self, then: Callable[[], None]) -> None:
        self._todo.appendleft(then)
        raise Died

    def _write(self, **changes: Any) -> None:
        self._write_all(replace(self.record, **changes))

    def _write_all(self, record: CallRecord, *, may_wait: bool = False) -> None:
        if record != self.record:
            self.before, self.record = self.record, replace(record, revision=self.record.revision + 1)
            self.told = self.told if may_wait else self.record

    def _set_alarm(self) -> None:
        if self.is_over or (deadline := self.deadline) is None:
            return

        def ring() -> None:
            for _ in range(AT_A_DEADLINE):
                if self.is_over or self.deadline != deadline:
                    return
                self.give(Expired())
            again = self.deadline
            assert self.is_over or again is None or again > self.now, f"it spins: {again}"

        self.clock.at(deadline, ring)

    # ---- effects -----------------------------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> Input | None:
        match effect:
            case wants.PutOnList():
                self.is_listed = True
            case wants.Want(channel=channel, to_spares=to_spares):
                self.line.want(channel, to_spares)
            case wants.Unlink(channel_id=channel_id):
                self.line.close(channel_id)
            case wants.StopHearing(engine=engine):
                self.asks.pop(wants.HearCallee, None)
                self.line.deafen(engine)
            case wants.TellDesk() | wants.TellDesks():
                return self._tell_desk(effect)
            case wants.DialLeg(order=order):
                self.is_dialling = True
                self._todo.append(lambda: self.phone.dial(order))
            case wants.HangUpLeg(order=hang_up):
                self._todo.append(lambda: self.phone.hang_up(hang_up))
            case wants.TakeOverLeg():
                self._todo.append(lambda: self.phone.take_over(effect))
            case wants.LetGoLeg():
                self.phone.moves()
            case wants.HandOn(record=left):
                promised = self._promises(left or self.record)
                self._todo.append(lambda: self._joins(left, promised))
            case wants.RenumberLeg() | wants.Arrived() | wants.GiveBack():
                pass
            case wants.StartRecording():
                return inputs.RecordTo("/rec/c1" if self.records_calls else "")
            case wants.Stop():
                self.is_over = self.record.phase is not CallPhase.MOVED
                self.asks.clear()
                if self.is_over:
                    self._comes(inputs.LetGo())
            case wants.Prepare() | wants.LateHandover() | wants.Note():
                pass
            case _:
                self._ask(effect)
        return None

    def _tell_desk(self, effect: wants.TellDesk | wants.TellDesks) -> Input | None:
        message = effect.message
        if isinstance(effect, wants.TellDesks):
            if isinstance(message, JoinQueue):
                if not self.desk.name:
                    return SeatTold(seats.NobodyHere())
                self.desk.join(self.owner)
            else:
                self.desk.waiting = Identity("")
        elif isinstance(message, OfferCall):
            if effect.desk != self.desk.name:
                return SeatTold(seats.SeatLost(), effect.desk, message.seat)
            self.desk.offer(message.seat, self.owner)
        elif effect.desk == self.desk.name:
            self.desk.release(effect.message.seat, effect.message.is_missed)  # type: ignore[union-attr]
        return None

    def _ask(self, question: Question) -> None:
        kind = type(question)
        self.asks[kind] = question
        if isinstance(question, wants.AskBusiness):
            self.fetched.add((question.wanted.state, question.wanted.turn))
        if isinstance(question, wants.CloseLine):
            self.line.close(question.channel_id)
        if isinstance(question, wants.Connect):
            self.line.want(question.channel, False)
        seconds = self.waits(question)
        if (due_s := self.promised.pop(kind, None)) is not None and seconds is not None:
            seconds = max(0.0, due_s - self.now)
        if seconds is not None:
            self.due[kind] = self.now + seconds
            self.clock.after(seconds, lambda: self.answer(question))

    # ---- answers -----------------------------------------------------------------------------------------------------

    def answer(self, question: Question, *, is_good: bool = True, is_twice: bool = False) -> None:
        """Answer a question that this life has asked, if nothing has been asked in its place."""
        if self.asks.get(type(question)) is not question or self.is_over:
            return
        if (given := self._answer_to(question, is_good)) is not None:
            if self.asks.get(type(question)) is question:
                del self.asks[type(question)]
                self.due.pop(type(question), None)
            self.give(given)
            if is_twice:
                self.give(given)
        elif self.asks.get(wants.Keep) is question:
            del self.asks[wants.Keep]

    def _answer_to(self, question: Question, is_good: bool) -> Input | None:
        number = question.number
        match question:
            case wants.GetReady():
                return self._ready(number) if is_good else inputs.NotReady(number, Disposition.FAILED, "no_media")
            case wants.Speak(sentences=sentences) if is_good and self.line.engines:
                return inputs.Spoken(number, tuple(_prompt(one) for one in sentences))
            case wants.HearCallee(listen=listen, before=before) if is_good and (engines := sorted(self.line.engines)):
                engine = before if before in engines else engines[0]
                self.was_cut |= self.is_unheard and self.line.speech is not None
                self.is_unheard = False
                self.line.hear(engine, self.owner, listen)
                return inputs.Hears(number, engine)
            case wants.Speak() | wants.HearCallee():
                return inputs.NoEngineLeft(number)
            case wants.AskBusiness():
                return inputs.BusinessAnswered(number, ACCOUNT if is_good else FetchFailed("refused"))
            case wants.CloseLine():
                return inputs.LineClosed(number, ChannelClosed(9, 9, 0, 0, 1.0))
            case wants.Reserve():
                found = self.desk.reserve(self.owner) if is_good and self.desk.name else seats.NobodyHere()
                seat = found.seat if isinstance(found, seats.SeatReserved) else ""
                return SeatTold(found, self.desk.name if seat else Identity(""), seat, number)
            case wants.Connect(desk=desk, seat=seat):
                return SeatTold(seats.LegConnected() if is_good else seats.SeatLost(), desk, seat, number)
            case wants.Show(desk=desk, seat=seat):
                is_shown = is_good and desk == self.desk.name and self.desk.mine(seat)
                return SeatTold(seats.ContextAcknowledged() if is_shown else seats.SeatLost(), desk, seat, number)
            case wants.Keep(desk=desk, seat=seat):
                is_kept = is_good and desk == self.desk.name and self.desk.keep(seat, self.owner)
                return None if is_kept else SeatTold(seats.SeatLost(), desk, seat, number)
        raise AssertionError(question)

    def _ready(self, number: int) -> inputs.Ready:
        is_browser, channel_id = self.phone.is_browser, ChannelId(CALL)
        channel = Channel(channel_id, self.owner, 0 if is_browser else 40000, 1, 2, 3, self.now)
        channel = replace(channel, link=Identity("n1.desk-9:1")) if is_browser else channel
        return inputs.Ready(number, "media-0", channel, HERE, HOP, Listening("192.0.2.1", channel.port))

    # ---- what becomes of processes -----------------------------------------------------------------------------------

    def actor_dies(self) -> None:
        """The call's actor goes on in another life, in the same process: what waited for it waits still."""
        self._live_again()
        self._todo.appendleft(self._go_on)
        self._do(lambda: None)

    def edge_dies(self, is_behind: bool = False) -> None:
        """Another process goes on, with the last record that an heir has: perhaps one step behind.

        What comes to nothing yet heirs have not at all.
        """
        self.desk.edge_died(self.owner)
        self.n_owners += 1
        is_behind = is_behind and self._may_be_behind()
        self.lag += is_behind
        self._todo.clear()
        self._live_again()
        self.record = self.before = self.told = unpack(pack(self.before if is_behind else self.told))
        self.is_dialling = False
        self._todo.append(self._go_on)
        self._do(self.phone.lives_again)

    def _may_be_behind(self) -> bool:
        """With the dial, if the telephone has heard of it."""
        return bool(self.before.placed_s) and (self.phone.phone is Phone.IDLE or bool(self.before.leg_phase))

    def node_dies(self, away_s: float) -> None:
        """Everything dies; after so long the node is up again, with what is on its disk (`edge/succession.py`)."""
        record, self.is_over, was_over = self.told, True, self.is_over
        self._live_again()
        self.line.channels, self.line.spare = {}, None
        self.line.dies()
        self.line.engines.clear()
        self.desk.dies()
        self.pass_(away_s)
        self.is_over = was_over
        self.record = replace(record, leg=self.record.leg, browser=self.record.browser)
        self.engine_comes(is_told=False)
        self.desk.comes()
        self._write(is_doubtful=True, silent_since_s=0.0, floor=record.floor.later(away_s))
        self.edge_dies()

    def machine_dies(self, outage_s: float, *, is_behind: bool = False, desk_dies: bool = False) -> None:
        """The machine dies, and after so long another one goes on, with what it has been told."""
        self.is_over, was_over = True, self.is_over
        is_behind = is_behind and self._may_be_behind()
        heirs = self.before if is_behind else self.told
        self.lag += is_behind
        self.record = self.before = self.told = moving.inherited(unpack(pack(heirs)), 0.0)
        self._todo.clear()
        self._live_again()
        self.phone.moves()
        self.line.moves({})
        self.line.engines.clear()
        self.engine_comes(is_told=False)
        self.desk.edge_died(self.owner)
        if desk_dies:
            self.desk.dies()
        self.pass_(outage_s)
        self.is_over, self.is_dialling = was_over, False
        self.n_owners += 1
        port = 40002 if moving.needs_line(self.record) else 0
        there = inputs.Moved("media-0", port, ELSEWHERE, Listening(ELSEWHERE.host, port), outage_s)
        if not was_over:
            self._do(lambda: self._go_on(there))

    # ---- it is moved on purpose --------------------------------------------------------------------------------------

    def moves(self) -> None:
        """Another machine is given the record, and asks the far end; the call goes on meanwhile."""
        if self.coming is not None or self.is_over or not moving.is_movable(self.record):
            return
        self.n_owners += 1
        self.coming = moving.brought(unpack(pack(self.record)), 0.0)
        self.coming_owner = Identity(f"n2.edge-0:{self.n_owners}")
        self.give(inputs.Leaving())
        there = inputs.Moved("media-0", 40002, ELSEWHERE, Listening(ELSEWHERE.host, 40002), is_planned=True)
        self._comes(inputs.Resumed(self.coming_owner, self.line.lives(), moved=there))

    def _comes(self, given: Input) -> None:
        """Step the call where it is to go, until it is gone again or `Left` is to be given."""
        if (before := self.coming) is None:
            return
        call = Call(before, self.script)
        effects = call.step(given, self.now)
        always.is_step(before, call.record, effects, given, self.now)
        always.is_same_on_another_clock(before, self.script, given, self.now, (call.record, effects))
        self.coming = call.record
        for effect in effects:
            match effect:
                case wants.TakeOverLeg():
                    self.clock.after(self.phone.agrees_s, lambda: self._comes(self._planned()))
                case wants.Arrived():
                    self._do(lambda: self._take(inputs.LetGo()))
                case wants.GiveBack(code=code):
                    self.give(inputs.CameBack(code))
                case wants.Stop():
                    self.coming = None
        if (due_s := call.deadline) is not None:
            self.clock.at(due_s, lambda: self._is_late(call.record))

    def _planned(self) -> Input:
        said = self.phone.asked()
        return OfferRefused(said.code) if isinstance(said, Ended) else said

    def _is_late(self, record: CallRecord) -> None:
        """Nothing has come for so long: who was asked to leave it may have died, and goes on no more."""
        if self.coming is record and record.arrival and record.arrival.is_agreed:
            self._joins(self.record, {}, is_told=False)
        elif self.coming is record:
            self._comes(Expired())

    def _joins(self, left: CallRecord | None, promised: dict[type, float], *, is_told: bool = True) -> None:
        """Its owner has left it, or it ends there."""
        if (coming := self.coming) is None or left is None:
            return self._comes(inputs.LetGo())
        self.coming = None
        self.was_cut |= self.line.speech is not None or not self.line.is_heard
        self._live_again()
        self.promised, self.is_unheard = promised, True
        self.desk.edge_died(self.owner)
        channel = told(coming)
        self.line.moves({channel.channel_id: channel} if channel else {})
        self.record = self.before = self.told = coming
        self.lag += not is_told
        self.is_dialling = False
        self._take(inputs.Left(left) if is_told else inputs.Expired())
        self.promised = {}

    def _live_again(self) -> None:
        self.life += 1
        self.promised = self._promises(self.record)
        self.asks.clear()

    def _promises(self, record: CallRecord) -> dict[type, float]:
        promised = {kind: self.due.get(kind, self.now) for kind in self.asks}
        if not any(one.what is Ask.HEAR for one in record.asked):
            promised[wants.HearCallee] = self.now  # an engine that hears already answers at once
        return promised

    def _go_on(self, moved: inputs.Moved | None = None) -> None:
        given, n_done = replace(self._resumed(), moved=moved), len(self.done)
        first = moving.heard_first(self.record, moved, given.owner, given.epoch) if moved else None
        self._take(given)
        if moved is not None:  # media is told so before the call has begun here
            assert first == next((one.channel for one in self.done[n_done:] if isinstance(one, wants.Want)), None)
        self.promised = {}
        self.orphans_until_s = self.now + ORPHANS_S
        self.clock.at(self.orphans_until_s, self._close_orphans)

    def _close_orphans(self) -> None:
        """Media asks whose its channels are, and closes those that are nobody's (`nodes/media/orphans.py`)."""
        known = () if self.is_over else channels_of(self.record)
        for channel_id in [one for one in self.line.channels if one not in known]:
            self.line.close(channel_id)

    def _resumed(self) -> inputs.Resumed:
        owner = Identity(f"n1.edge-0:{self.n_owners}")
        return inputs.Resumed(owner, self.line.lives(), self.is_forbidden)

    def leg_dies(self) -> None:
        """The leg goes on in another life."""
        self._do(self.phone.lives_again)

    def engine_dies(self) -> None:
        """The engine that hears the callee dies, or the first."""
        caller = self.line.caller
        name = caller.engine if caller and caller.engine in self.line.engines else min(self.line.engines, default=None)
        if name is not None:
            del self.line.engines[name]
            self.roster()

    def engine_comes(self, *, is_told: bool = True) -> None:
        """One more engine is up."""
        name = Identity(f"n1.speech-{len(self.line.engines)}:{self.clock.now + len(self.done)}")
        self.line.engines[name] = Engine(name)
        if is_told:
            self.roster()

    def media_dies(self) -> None:
        """Its spare goes on, or a new process."""
        self.line.dies()
        self.roster(is_media_new=True, is_media_other=True)

    def spare_comes(self) -> None:
        """Media has another spare."""
        if self.line.spare is None:
            self.line.spare = {}
            self.roster(is_media_other=True)

    def desk_dies(self) -> None:
        """The desk dies."""
        self.desk.dies()
        self.roster()

    def desk_comes(self, *agents: str) -> None:
        """A desk is up, with these agents."""
        if not self.desk.name:
            self.desk.comes(*agents)
            self.roster()

    def roster(self, **changes: bool) -> None:
        """The launcher tells who lives."""
        desks = frozenset({self.desk.name} if self.desk.name else ())
        self.give(inputs.RosterChanged(self.line.lives(), desks, **changes))

    # ---- time --------------------------------------------------------------------------------------------------------

    def pass_(self, seconds: float) -> None:
        """Let so much time pass."""
        until_s = self.now + seconds
        while (next_s := self.clock.next_s) is not None and next_s <= until_s:
            self.clock.tick()
        self.clock.now = until_s

    def until(self, is_so: Callable[[], object], within_s: float = 60.0) -> None:
        """Let time pass until something is so."""
        until_s = self.now + within_s
        while not is_so():
            next_s = self.clock.next_s
            assert next_s is not None, "it does not come to that"
            assert next_s <= until_s, "it does not come to that in time"
            self.clock.tick()

    def be_kind(self) -> None:
        """From now on everything works: agents take what they are offered and soon finish, the callee is silent."""
        self.waits = lambda question: 0.005
        if not self.line.engines:
            self.engine_comes()
        self.line.loses_next = False
        if self.line.is_behind:
            self.give(inputs.MediaLacks())
        self.line.stop_speaking()
        self.desk.is_kind = True
        for seat in list(self.desk.agents):
            self.desk.accept(seat)
            self.clock.after(2.0, lambda seat=seat: self.desk.finish(seat))  # type: ignore[misc]
        for question in list(self.asks.values()):
            self.clock.after(0.005, lambda question=question: self.answer(question))  # type: ignore[misc]

    # ---- what is to be seen ------------------------------------------------------------------------------------------

    def noted(self, *kinds: str) -> list[wants.Note]:
        """Return the events of these kinds."""
        return [note for note in self.notes if note.kind in kinds]

    def _tell(self, owner: Identity, given: Input) -> None:
        if owner == self.owner:
            self.give(given)

    def check(self) -> None:
        """Look at everything that is true while the call is at nothing."""
        always.is_record(self.record)
        always.is_world(self)


def _prompt(sentence: Sentence) -> Prompt:
    words = "".join(part.text for part in sentence)
    return Prompt(PromptHash(words), len(words) * MS_PER_LETTER, words)


__all__ = ["ACCOUNT", "CALL", "PACKED", "World"]
