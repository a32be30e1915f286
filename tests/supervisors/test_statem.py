"""gen_statem's rules: enter, timeouts, postpone, injected events, and a table that is checked and drawn."""

import asyncio
from dataclasses import dataclass
from enum import Enum

import pytest

from supervisors import BadSpec, Child, Crash, Gone, Normal, Ref, Restart, Shutdown, Supervisor, running
from supervisors.statem import (
    END,
    Statem,
    StateTimeout,
    Step,
    TimerRang,
    UnexpectedEvent,
    enter,
    goto,
    on,
    postpone,
    repeat,
    stay,
    stop,
)
from supervisors.testing import Recorder, virtual


class St(Enum):
    DIALING = 1
    GREETING = 2
    TALKING = 3


@dataclass(frozen=True)
class Answered:
    pass


@dataclass(frozen=True)
class Heard:
    words: str = ""


@dataclass(frozen=True)
class Whispered(Heard):
    pass


@dataclass(frozen=True)
class HungUp:
    reason: str = "normal"


@dataclass(frozen=True)
class Again:
    pass


@dataclass(frozen=True)
class Alarm:
    seconds: float


class Phone(Statem[St]):
    """A call: dialling, greeting, talking."""

    first = St.DIALING

    def __init__(self) -> None:
        self.log: list[str] = []

    def read(self) -> list[str]:
        return list(self.log)

    @enter(*St)
    def entered(self) -> Step[St]:
        self.log.append(f"enter {self.state.name}")
        return stay().after(30) if self.state is St.DIALING else stay()

    @on(Answered, St.DIALING, to=St.GREETING)
    def answered(self, event: Answered) -> Step[St]:
        self.log.append("answered")
        return goto(St.GREETING).after(2.0).reply("hello")

    @on(StateTimeout, St.DIALING, to=END)
    def no_answer(self, event: StateTimeout) -> Step[St]:
        return stop(Shutdown("no answer"))

    @on(StateTimeout, St.GREETING, to=St.TALKING)
    def greeted(self, event: StateTimeout) -> Step[St]:
        return goto(St.TALKING).next(Heard("injected")).next(Heard("injected too"))

    @on(Heard, St.DIALING, St.GREETING)
    def too_early(self, event: Heard) -> Step[St]:
        self.log.append(f"too early: {event.words}")
        return postpone()

    @on(Heard, St.TALKING)
    def heard(self, event: Heard) -> Step[St]:
        self.log.append(event.words)
        return stay().reply(f"you said {event.words}")

    @on(HungUp, *St, to=END)
    def hung_up(self, event: HungUp) -> Step[St]:
        return stop().reply("bye")

    @on(Again, *St)
    def again(self, event: Again) -> Step[St]:
        return repeat()

    @on(Alarm, *St)
    def set_alarm(self, event: Alarm) -> Step[St]:
        return stay().timer("alarm", event.seconds) if event.seconds else stay().cancel("alarm")

    @on(TimerRang, *St)
    def rang(self, event: TimerRang) -> Step[St]:
        self.log.append(f"rang {event.name} in {self.state.name}")
        return stay()


def tree() -> Supervisor:
    return Supervisor([Child(Phone, id="phone", restart=Restart.TEMPORARY)])


async def log(ref: Ref[Phone]) -> list[str]:
    return await ref.ask(Phone.read)


@virtual
async def test_the_enter_handler_runs_at_the_start_on_a_change_and_on_repeat_but_not_on_stay() -> None:
    async with running(tree()) as system:
        ref = system.ref("phone", Phone)
        ref.tell(Phone.event, Answered())
        ref.tell(Phone.event, Alarm(1.0))
        ref.tell(Phone.event, Again())
        assert await log(ref) == ["enter DIALING", "answered", "enter GREETING", "enter GREETING"]


@virtual
async def test_a_state_timeout_ends_the_machine_when_its_table_says_so() -> None:
    async with running(tree()) as system:
        assert await system.ref("phone", Phone).down() == Shutdown("no answer")
        assert asyncio.get_running_loop().time() == pytest.approx(30.0)


@virtual
async def test_a_state_timeout_dies_with_its_state() -> None:
    async with running(tree()) as system:
        ref = system.ref("phone", Phone)
        ref.tell(Phone.event, Answered())
        await asyncio.sleep(60)
        assert ref.is_alive


@virtual
async def test_what_comes_too_early_comes_back_in_order_after_the_change_and_after_what_is_injected() -> None:
    async with running(tree()) as system:
        ref = system.ref("phone", Phone)
        early = [ref.ask(Phone.event, Heard(word)) for word in ("one", "two")]
        ref.tell(Phone.event, Answered())
        await asyncio.sleep(2.1)
        assert await asyncio.gather(*early) == ["you said one", "you said two"]
        talk = (await log(ref))[-5:]
        assert talk == ["enter TALKING", "injected", "injected too", "one", "two"]


@virtual
async def test_a_named_timer_lives_across_states_and_can_be_reset_and_cancelled() -> None:
    async with running(tree()) as system:
        ref = system.ref("phone", Phone)
        ref.tell(Phone.event, Alarm(1.0))
        ref.tell(Phone.event, Alarm(5.0))
        ref.tell(Phone.event, Answered())
        await asyncio.sleep(4.9)
        assert "rang" not in str(await log(ref))
        await asyncio.sleep(0.2)
        assert (await log(ref))[-1] == "rang alarm in TALKING"
        ref.tell(Phone.event, Alarm(1.0))
        ref.tell(Phone.event, Alarm(0.0))
        await asyncio.sleep(2)
        assert str(await log(ref)).count("rang") == 1


@virtual
async def test_an_ask_is_answered_by_its_step_or_with_none() -> None:
    async with running(tree()) as system:
        ref = system.ref("phone", Phone)
        assert await ref.ask(Phone.event, Answered()) == "hello"
        assert await ref.ask(Phone.event, Again()) is None
        assert await ref.ask(Phone.event, HungUp()) == "bye"


@virtual
async def test_what_was_postponed_fails_when_the_machine_ends() -> None:
    async with running(tree()) as system:
        ref = system.ref("phone", Phone)
        early = ref.ask(Phone.event, Heard("one"))
        ref.tell(Phone.event, HungUp())
        assert await ref.down() == Normal()
        with pytest.raises(Gone):
            await early


@virtual
async def test_a_row_for_a_class_serves_the_classes_below_it() -> None:
    async with running(tree()) as system:
        ref = system.ref("phone", Phone)
        ref.tell(Phone.event, Whispered("psst"))
        assert (await log(ref))[-1] == "too early: psst"


@virtual
async def test_an_event_without_a_row_is_a_crash_and_a_subclass_may_know_better() -> None:
    class Tolerant(Phone):
        def unexpected(self, event: object) -> Step[St]:
            return stay().reply("what?")

    recorder = Recorder()
    children = [Child(Phone, id="strict", restart=Restart.TEMPORARY), Child(Tolerant, id="tolerant")]
    async with running(Supervisor(children), hook=recorder) as system:
        assert await system.ref("tolerant", Tolerant).ask(Phone.event, 42) == "what?"
        with pytest.raises(Gone) as gone:
            await system.ref("strict", Phone).ask(Phone.event, 42)
        assert isinstance(gone.value.reason, Crash)
        assert isinstance(gone.value.reason.error, UnexpectedEvent)


class TestTheTable:
    """Checked when the class is made."""

    def test_two_handlers_for_one_event_in_one_state_are_refused(self) -> None:
        with pytest.raises(BadSpec, match="both handle HungUp in TALKING"):

            class Twice(Phone):
                @on(HungUp, St.TALKING, to=END)
                def hung_up_too(self, event: HungUp) -> Step[St]:
                    return stop()

    def test_an_override_replaces_the_row_and_not_the_rule(self) -> None:
        class Polite(Phone):
            @on(HungUp, *St, to=END)
            def hung_up(self, event: HungUp) -> Step[St]:
                return stop().reply("goodbye")

        assert Polite.table.keys() == Phone.table.keys()

    def test_a_state_nothing_leads_to_is_refused(self) -> None:
        with pytest.raises(BadSpec, match="nothing leads to TALKING"):

            class Short(Statem[St]):
                first = St.DIALING

                @on(Answered, *St, to=St.GREETING)
                def answered(self, event: Answered) -> Step[St]:
                    return goto(St.GREETING)

    def test_a_state_that_handles_nothing_is_refused(self) -> None:
        with pytest.raises(BadSpec, match="nothing is handled in GREETING"):

            class Stuck(Statem[St]):
                first = St.DIALING

                @on(Answered, St.DIALING, St.TALKING, to=(St.GREETING, St.TALKING))
                def answered(self, event: Answered) -> Step[St]:
                    return goto(St.GREETING)

    def test_a_handler_that_waits_is_refused(self) -> None:
        with pytest.raises(BadSpec, match="does not wait"):

            class Waiting(Phone):
                @on(Whispered, *St)
                async def wait(self, event: Whispered) -> Step[St]:
                    return stay()

    @virtual
    async def test_going_where_the_row_does_not_say_is_a_crash(self) -> None:
        class Sneaky(Phone):
            @on(Answered, St.DIALING, to=St.GREETING)
            def answered(self, event: Answered) -> Step[St]:
                return goto(St.TALKING)

        async with running(Supervisor([Child(Sneaky, id="a")])) as system:
            with pytest.raises(Gone, match="without declaring it"):
                await system.ref("a", Sneaky).ask(Phone.event, Answered())

    def test_it_draws_itself(self) -> None:
        drawing = Phone.mermaid().splitlines()
        assert drawing[:2] == ["stateDiagram-v2", "    [*] --> DIALING"]
        assert "    DIALING --> GREETING : Answered" in drawing
        assert "    TALKING --> [*] : HungUp" in drawing
        assert len(drawing) == 2 + 6
