"""Whole calls in virtual time: whatever happens, in any order, and whoever dies, what is always true of a call is true.

Two properties. The first is a state machine: it does whatever a callee, agents, processes and the machinery can do, and
holds the call to `always.py` after each. The second runs the same call twice, the second time with a death in it, and
nobody who has seen it from outside knows which was which.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from grammars.rules.spec import INTENTS
from nodes.call import inputs
from nodes.call.record import CallPhase
from protocols.sip import Disposition, Ended, Media, Side
from protocols.wire.ids import ChannelId
from protocols.wire.messages import DigitPressed
from tests.nodes.call.audio import Said
from tests.nodes.call.telephone import THEIRS
from tests.nodes.call.world import CALL, PACKED, World

N_EXAMPLES, N_STEPS = 200, 60
PHASES = [one for one in Phase if one is not Phase.explain]
"""To explain a failure every line is traced, which takes minutes here."""
REFUSALS = [
    Ended(Disposition.BUSY, "busy", Side.THEM, 486),
    Ended(Disposition.NO_ANSWER, "no_answer", Side.THEM, 480),
    Ended(Disposition.INVALID, "invalid", Side.THEM, 404),
]
SAID = st.builds(
    Said,
    st.sampled_from(["", "", "", *INTENTS]),
    st.sampled_from(["", "yes", "no", "7", "2026-03-03", "15:30", "1942", "keep", "move"]),
    st.sampled_from([0.3, 1.0, 3.0, 20.0]),
)
MEDIA = [THEIRS, Media("192.0.2.8", 4002, 8, -1, True, True), Media("192.0.2.9", 4000, 0, 101, False, True)]
TIMES = st.sampled_from([0.01, 0.2, 0.2, 1.0, 1.0, 3.0, 10.0, 40.0])
RARELY = st.sampled_from([False] * 7 + [True])
STAGES = ["ordered", "dialled", "answered", "talks", "asked", "asked", "handing over", "handing over", "bridged"]
KIND_S = 900.0


def come_to(world: World, stage: str) -> None:
    """Let the call go on as calls do until it is there; where its script or its agents do not lead there, near it."""
    for name in STAGES[: STAGES.index(stage) + 1]:
        match name:
            case "dialled":
                world.pass_(0.1)
            case "answered":
                world.phone.answer()
            case "talks":
                world.line.speak(Said())
                world.pass_(2.0)
            case "asked":
                world.pass_(3.0)
            case "handing over":
                for _ in range(8):
                    if world.record.phase is CallPhase.CONVERSING:
                        world.pass_(2.5)
                        world.line.speak(Said("human"))
                        world.pass_(1.4)
                        world.line.speak(Said("", "yes"))
            case "bridged":
                world.desk.accept("ann")
                world.pass_(0.1)


def fitting(world: World) -> list[Said]:
    """What may be said to the question that is open, and is mostly an answer."""
    rule = world.record.listen.rules[0] if world.record.listen else ""
    fits = {"yes_no": ["yes", "no"], "date": ["2026-03-03"], "time": ["15:30"], "money": ["7"], "number": ["2", "7"]}
    kind = next((kind for kind in fits if kind in rule), "")
    return [Said("", value) for value in fits.get(kind, ["keep", "move", "7", "1942"])] + [Said("human"), Said("stop")]


class WholeCalls(RuleBasedStateMachine):
    """One call, and everybody who has to do with it. What ends calls is rare, or nothing else would be seen."""

    @initialize(
        script=st.sampled_from(sorted(PACKED)),
        is_recorded=st.booleans(),
        number=st.sampled_from(["sip:ann@192.0.2.2", "sip:ann@192.0.2.2", "browser:n1.desk-9:1/phone-7"]),
        is_prompt=st.booleans(),
        agents=st.sampled_from([(), ("ann",), ("ann", "bob")]),
        stage=st.sampled_from(STAGES),
    )
    def begin(
        self, script: str, is_recorded: bool, number: str, is_prompt: bool, agents: tuple[str, ...], stage: str
    ) -> None:
        self.world = World(script, target=number, is_recorded=is_recorded)
        self.world.begin(2, *agents)
        come_to(self.world, stage)
        self.set_pace(is_prompt)

    @rule(is_prompt=st.booleans())
    def set_pace(self, is_prompt: bool) -> None:
        """Answers come at once, or when a rule says so."""
        self.world.waits = lambda question: 0.005 if is_prompt else None

    # ---- the callee ------------------------------------------------------------------------------------------------

    @rule(does=st.sampled_from(["ring", "early_media", "answer", "answer", "answer", "reinvites", "reinvites", "ends"]),
          data=st.data())  # fmt: skip
    def telephone(self, does: str, data: st.DataObject) -> None:
        phone = self.world.phone
        match does:
            case "reinvites":
                phone.reinvites(data.draw(st.sampled_from(MEDIA)))
            case "ends" if data.draw(RARELY):
                phone.refuse(data.draw(st.sampled_from(REFUSALS)))
                phone.hangs_up()
            case "ring" | "early_media" | "answer":
                getattr(phone, does)()

    @rule(said=SAID, seconds=TIMES)
    def says(self, said: Said, seconds: float) -> None:
        self.world.line.speak(said)
        self.world.pass_(seconds)

    @rule(data=st.data())
    def answers(self, data: st.DataObject) -> None:
        """The callee waits for the question, and answers it."""
        if self.world.line.is_heard:
            self.world.pass_(data.draw(st.sampled_from([1.0, 4.0, 8.0])))
            self.world.line.speak(data.draw(st.sampled_from(fitting(self.world))))
            self.world.pass_(data.draw(st.sampled_from([1.2, 1.4, 2.0, 4.0])))

    @rule(digit=st.sampled_from("01123459"))
    def presses(self, digit: str) -> None:
        if self.world.line.is_heard:
            self.world.give(DigitPressed(ChannelId(CALL), digit, self.world.now))

    @rule(is_heard=st.sampled_from([True, True, False]), beeps=RARELY)
    def audio(self, is_heard: bool, beeps: bool) -> None:
        if self.world.phone.phone == "up":
            self.world.line.is_up(is_heard)
            if beeps:
                self.world.line.beep()

    # ---- who orders ------------------------------------------------------------------------------------------------

    @rule(disposition=st.sampled_from(Disposition), is_so=RARELY)
    def order_hang_up(self, disposition: Disposition, is_so: bool) -> None:
        """Whoever ordered the call wants its end; or the callee is on the list from now on."""
        if is_so:
            self.world.give(inputs.HangUpOrdered(disposition, "ordered"))
        self.world.is_forbidden |= is_so

    # ---- agents ----------------------------------------------------------------------------------------------------

    @rule(does=st.sampled_from(["sits", "accept", "accept", "accept", "decline", "finish", "leaves"]),
          seat=st.sampled_from(["ann", "bob"]))  # fmt: skip
    def agent(self, does: str, seat: str) -> None:
        getattr(self.world.desk, does)(seat)

    @rule(is_so=RARELY)
    def desk(self, is_so: bool) -> None:
        if not self.world.desk.name:
            self.world.desk_comes("ann")
        elif is_so:
            self.world.desk_dies()

    # ---- answers ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.asks)
    @rule(data=st.data(), is_good=st.sampled_from([True] * 9 + [False]), is_twice=RARELY)
    def answer(self, data: st.DataObject, is_good: bool, is_twice: bool) -> None:
        questions = sorted(self.world.asks.values(), key=lambda one: type(one).__name__)
        self.world.answer(data.draw(st.sampled_from(questions)), is_good=is_good, is_twice=is_twice)

    @precondition(lambda self: self.world.asks)
    @rule()
    def answer_all(self) -> None:
        for question in list(self.world.asks.values()):
            self.world.answer(question)

    # ---- processes -------------------------------------------------------------------------------------------------

    @rule(does=st.sampled_from(["engine_dies", "engine_comes", "media_dies", "spare_comes", "leg_dies"]))
    def process(self, does: str) -> None:
        getattr(self.world, does)()

    @rule()
    def media_misses(self) -> None:
        """The next message to media is lost; or media says that it lacks one."""
        if self.world.line.is_behind:
            self.world.give(inputs.MediaLacks())
        else:
            self.world.line.loses_next = True

    @rule(who=st.sampled_from(["actor", "edge"]), after=st.integers(0, 3))
    def will_die(self, who: str, after: int) -> None:
        """The next step is written, and some of what it wants is done."""
        self.world.fate = after, self.world.actor_dies if who == "actor" else self.world.edge_dies

    @rule(who=st.sampled_from(["actor", "actor", "edge", "edge", "edge, behind", "node"]))
    def dies(self, who: str) -> None:
        if not self.world.is_over:
            match who:
                case "actor":
                    self.world.actor_dies()
                case "node":
                    self.world.node_dies(6.0)
                case _:
                    self.world.edge_dies(is_behind=who != "edge")

    # ---- machines --------------------------------------------------------------------------------------------------

    @rule(outage_s=st.sampled_from([0.0, 0.2, 3.0]), is_behind=RARELY, desk_dies=RARELY, picks_up=st.booleans())
    def machine_dies(self, outage_s: float, is_behind: bool, desk_dies: bool, picks_up: bool) -> None:
        """Another one goes on. Who picks up meanwhile says so to nobody."""
        if not self.world.is_over:
            if picks_up:
                self.world.phone.picks_up_unheard()
            self.world.machine_dies(outage_s, is_behind=is_behind, desk_dies=desk_dies)

    @rule(refuses=st.sampled_from([0, 0, 0, 488, 491, 500, 408]))
    def far_end_is_asked(self, refuses: int) -> None:
        """Whoever comes with the call from elsewhere is taken, or is not."""
        self.world.phone.refuses = refuses

    @rule(agrees_s=st.sampled_from([0.01, 0.3, 5.0]))
    def moves(self, agrees_s: float) -> None:
        """The call is moved to another machine on purpose."""
        self.world.phone.agrees_s = agrees_s
        self.world.moves()

    # ---- time ------------------------------------------------------------------------------------------------------

    @rule(seconds=TIMES)
    def time_passes(self, seconds: float) -> None:
        self.world.pass_(seconds)

    @rule()
    def deadline_passes(self) -> None:
        if (deadline := self.world.deadline) is not None and not self.world.is_over:
            self.world.pass_(max(0.0, deadline - self.world.now))

    # ---- always ----------------------------------------------------------------------------------------------------

    @invariant()
    def is_as_always(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        """When everything works again and the callee is silent, the call comes to its end."""
        world = self.world
        world.fate = None
        world.phone.refuses, world.phone.agrees_s = 0, 0.02
        world.be_kind()
        until_s = world.now + KIND_S
        while not world.is_over and (next_s := world.clock.next_s) is not None and next_s <= until_s:
            world.clock.tick()
        assert world.is_over, (world.record.phase, world.deadline)
        assert world.coming is None, "nowhere is it waited for"
        world.pass_(1.0)
        assert world.lag or world.phone.phone in ("idle", "gone"), "nobody rings for nothing, or holds a receiver"
        world.check()
        assert world.noted("call.ended")[-1].fields["disposition"] in list(Disposition)


WholeCalls.TestCase.settings = settings(
    max_examples=N_EXAMPLES,
    stateful_step_count=N_STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=PHASES,
)
TestWholeCalls = WholeCalls.TestCase
