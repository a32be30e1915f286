"""Messages: asking, telling, refusing, answering later, timers, and what belongs to one life."""

import asyncio
import contextvars

import pytest

from supervisors import (
    IGNORE,
    Actor,
    AskedItself,
    AskTimeout,
    Child,
    ChildExited,
    Crash,
    Dynamic,
    Gone,
    Name,
    NoProc,
    Normal,
    NoSuchChild,
    Refused,
    Restart,
    Shutdown,
    StartFailed,
    Supervisor,
    running,
)
from supervisors.life import Ignore
from supervisors.testing import AsyncEcho, Boom, Echo, NeverBorn, Recorder, VirtualLoop, virtual

ENGINES = pytest.mark.parametrize("echo", [Echo, AsyncEcho])


def one(start: type[Actor], **options: object) -> Supervisor:
    return Supervisor([Child(start, id="a", **options)], intensity=100)  # type: ignore[arg-type]


class TestAsking:
    @ENGINES
    @virtual
    async def test_an_ask_is_answered(self, echo: type[Echo]) -> None:
        async with running(one(echo)) as system:
            ref = system.ref("a", echo)
            assert [await ref.ask(Echo.add), await ref.ask(Echo.add, n=2)] == [1, 3]

    @ENGINES
    @virtual
    async def test_messages_of_one_sender_are_handled_in_the_order_sent(self, echo: type[Echo]) -> None:
        async with running(one(echo)) as system:
            ref = system.ref("a", echo)
            answers = [ref.ask(Echo.add) for _ in range(300)]  # more than one batch
            assert await asyncio.gather(*answers) == list(range(1, 301))

    @ENGINES
    @virtual
    async def test_a_crash_fails_the_ask_that_caused_it_and_those_behind_it_but_no_later_one(
        self, echo: type[Echo]
    ) -> None:
        async with running(one(echo)) as system:
            ref = system.ref("a", echo)
            asks = [ref.ask(Echo.add), ref.ask(Echo.boom), ref.ask(Echo.add)]
            first, *failed = await asyncio.gather(*asks, return_exceptions=True)
            assert first == 1
            for gone in failed:
                assert isinstance(gone, Gone)
                assert isinstance(gone.reason, Crash)
                assert isinstance(gone.__cause__, Boom)
            assert await ref.ask(Echo.add) == 1  # a new life, a new state

    @ENGINES
    @virtual
    async def test_an_ask_to_the_dead_fails_at_once(self, echo: type[Echo]) -> None:
        async with running(one(echo, restart=Restart.TEMPORARY)) as system:
            ref = system.ref("a", echo)
            ref.tell(Echo.end, Normal())
            assert await ref.down() == Normal()
            ask = ref.ask(Echo.add)
            assert ask.done()
            with pytest.raises(Gone) as gone:
                await ask
            assert gone.value.reason == NoProc()
            assert not ref.tell(Echo.add)

    @virtual
    async def test_an_answer_that_does_not_come_fails_the_ask_after_five_seconds(self) -> None:
        async with running(one(AsyncEcho)) as system:
            loop = asyncio.get_running_loop()
            asked_at = loop.time()
            with pytest.raises(AskTimeout):
                await system.ref("a", AsyncEcho).ask(AsyncEcho.nap, 3600.0)
            assert 5.0 <= loop.time() - asked_at <= 5.1

    @pytest.mark.parametrize("seconds", [0.02, 0.99, 1.0, 1.04, 9.99, 10.0, 25.0])
    def test_no_deadline_passes_early_or_over_two_ticks_late(self, seconds: float) -> None:
        @virtual
        async def scenario() -> None:
            async with running(one(AsyncEcho)) as system:
                loop = asyncio.get_running_loop()
                busy = system.ref("a", AsyncEcho)
                busy.tell(AsyncEcho.nap, 3600.0)
                busy.ask(Echo.add).cancel()  # starts the wheel
                await asyncio.sleep(0.033)
                asked_at = loop.time()
                with pytest.raises(TimeoutError):
                    await system.ref("a", AsyncEcho).within(seconds).ask(Echo.add)
                assert seconds - 1e-9 <= loop.time() - asked_at <= seconds + 0.1 + 1e-9

        scenario()

    @virtual
    async def test_time_in_which_the_process_was_stopped_counts_for_no_deadline(self) -> None:
        async with running(one(AsyncEcho)) as system:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            asked_at, ask = loop.time(), system.ref("a", AsyncEcho).ask(AsyncEcho.nap, 3600.0)
            await asyncio.sleep(1.0)
            loop.jump(60.0)
            with pytest.raises(AskTimeout):
                await ask
            assert 65.0 - 0.05 <= loop.time() - asked_at <= 65.2

    @virtual
    async def test_when_all_is_answered_nothing_ticks(self) -> None:
        async with running(one(AsyncEcho)) as system:
            asks = [system.ref("a", AsyncEcho).ask(AsyncEcho.nap, 1.0) for _ in range(2)]
            await asks[0]
            assert system.deadlines.ticking is not None
            await asks[1]
            await asyncio.sleep(0.1)
            assert system.deadlines.ticking is None

    @virtual
    async def test_a_request_whose_asker_has_stopped_waiting_is_not_begun(self) -> None:
        async with running(one(AsyncEcho)) as system:
            ref = system.ref("a", AsyncEcho)
            nap = ref.ask(AsyncEcho.nap, 2.0)
            late = ref.within(1.0).ask(Echo.add)
            with pytest.raises(AskTimeout):
                await late
            assert await nap == 0
            assert await ref.ask(Echo.add) == 1

    @virtual
    async def test_an_override_is_what_runs(self) -> None:
        class Twice(Echo):
            def add(self, n: int = 1) -> int:
                return super().add(2 * n)

        async with running(one(Twice)) as system:
            assert await system.ref("a", Echo).ask(Echo.add, 2) == 4

    @virtual
    async def test_a_strangers_coroutine_function_runs_as_the_actors_task(self) -> None:
        async def sum_later(echo: Echo) -> int:
            await asyncio.sleep(1)
            return echo.n

        async with running(one(Echo)) as system:
            ref = system.ref("a", Echo)
            later = ref.ask(sum_later)
            assert await ref.ask(Echo.add) == 1  # meanwhile
            assert await later == 1


class Mirror(Actor):
    """Asks itself, in every way there is."""

    def look(self) -> asyncio.Future[int]:
        return self.ref.ask(Mirror.number)

    def number(self) -> int:
        return 1


class SlowMirror(Mirror):
    async def look_again(self) -> int:
        await asyncio.sleep(0)
        return await self.ref.ask(Mirror.number)


class Clerk(Actor):
    """Refuses, and answers later."""

    def __init__(self) -> None:
        self.promise: asyncio.Future[str] | None = None

    def seat(self) -> int:
        raise Refused("no_seat")

    def promised(self) -> asyncio.Future[str]:
        self.promise = self.promise or asyncio.get_running_loop().create_future()
        return self.promise

    def keep(self, word: str) -> None:
        assert self.promise is not None
        self.promise.set_result(word)

    def slowly(self, error: Exception | None) -> asyncio.Task[str]:
        return self.task(self._slowly(error))

    async def _slowly(self, error: Exception | None) -> str:
        await asyncio.sleep(1)
        if error is not None:
            raise error
        return "done"

    def refuse_myself(self) -> None:
        self.defer(Clerk.seat)


class TestAnswers:
    @pytest.mark.parametrize("look", [Mirror.look, SlowMirror.look, SlowMirror.look_again])
    def test_an_actor_that_asks_itself_is_told_so_at_once(self, look: object) -> None:
        @virtual
        async def scenario() -> None:
            async with running(one(SlowMirror if look is SlowMirror.look_again else Mirror)) as system:
                with pytest.raises((AskedItself, Gone)) as failed:
                    await system.ref("a", Mirror).ask(look)  # type: ignore[arg-type]
                assert isinstance(failed.value, AskedItself) or isinstance(failed.value.__cause__, AskedItself)

        scenario()

    @virtual
    async def test_a_refusal_reaches_the_asker_and_the_actor_lives_on(self) -> None:
        recorder = Recorder()
        async with running(one(Clerk), hook=recorder) as system:
            ref = system.ref("a", Clerk)
            with pytest.raises(Refused, match="no_seat") as refused:
                await ref.ask(Clerk.seat)
            assert refused.value.reason == "no_seat"
            assert ref.tell(Clerk.seat)
            await asyncio.sleep(1)
            assert "a" not in recorder.exits()

    @virtual
    async def test_a_refusal_where_nobody_requested_anything_is_a_crash(self) -> None:
        recorder = Recorder()
        async with running(one(Clerk), hook=recorder) as system:
            system.ref("a", Clerk).tell(Clerk.refuse_myself)
            assert (await recorder.until(ChildExited, "a")).during == "Clerk.seat"

    @virtual
    async def test_a_future_is_answered_when_it_is_done_and_the_actor_goes_on_meanwhile(self) -> None:
        async with running(one(Clerk)) as system:
            ref = system.ref("a", Clerk)
            first, second = ref.ask(Clerk.promised), ref.ask(Clerk.promised)
            await ref.ask(Clerk.keep, "word")
            assert await asyncio.gather(first, second) == ["word", "word"]

    @virtual
    async def test_a_task_is_answered_when_it_is_done(self) -> None:
        async with running(one(Clerk)) as system:
            ref = system.ref("a", Clerk)
            done, refused = ref.ask(Clerk.slowly, None), ref.ask(Clerk.slowly, Refused("tired"))
            assert await done == "done"
            with pytest.raises(Refused, match="tired"):
                await refused
            assert ref.is_alive

    @virtual
    async def test_a_task_that_raises_is_the_crash_of_its_actor_and_fails_all_it_owes(self) -> None:
        recorder = Recorder()
        async with running(one(Clerk), hook=recorder) as system:
            ref = system.ref("a", Clerk)
            asks = [ref.ask(Clerk.promised), ref.ask(Clerk.slowly, Boom())]
            for gone in await asyncio.gather(*asks, return_exceptions=True):
                assert isinstance(gone, Gone)
                assert isinstance(gone.__cause__, Boom)
            assert isinstance((await recorder.until(ChildExited, "a")).reason, Crash)


class Clock(Actor):
    """Writes down what happens to it."""

    log: list[str]

    def __init__(self) -> None:
        self.log = []

    def init(self) -> None:
        self.defer(Clock.write, "deferred by init")
        self.after(1.0, Clock.write, "one second")

    def write(self, word: str) -> None:
        self.log.append(word)

    def read(self) -> list[str]:
        return list(self.log)

    def chain(self) -> None:
        self.write("chain")
        self.defer(Clock.again)
        self.defer(Clock.write, "second link")

    def again(self) -> None:
        self.write("first link")
        self.defer(Clock.write, "third link")

    def regret(self) -> None:
        timer = self.after(0.0, Clock.write, "regretted")
        self.after(0.0, Clock.write, "kept")
        self.defer(Clock._cancel, timer)

    def _cancel(self, timer: object) -> None:
        timer.cancel()  # type: ignore[attr-defined]

    def boom(self) -> None:
        raise Boom


class TestTime:
    @virtual
    async def test_a_timer_is_a_message_to_oneself(self) -> None:
        async with running(one(Clock)) as system:
            ref = system.ref("a", Clock)
            await asyncio.sleep(0.99)
            assert await ref.ask(Clock.read) == ["deferred by init"]
            await asyncio.sleep(0.02)
            assert await ref.ask(Clock.read) == ["deferred by init", "one second"]

    @virtual
    async def test_a_timer_dies_with_the_life_that_set_it(self) -> None:
        async with running(one(Clock)) as system:
            ref = system.ref("a", Clock)
            await asyncio.sleep(0.5)
            ref.tell(Clock.boom)
            await asyncio.sleep(0.7)
            assert await ref.ask(Clock.read) == ["deferred by init"]

    @virtual
    async def test_a_cancelled_timer_does_not_ring(self) -> None:
        async with running(one(Clock)) as system:
            ref = system.ref("a", Clock)
            ref.tell(Clock.regret)
            await asyncio.sleep(0.1)
            assert await ref.ask(Clock.read) == ["deferred by init", "kept"]

    @virtual
    async def test_deferred_work_runs_before_any_message_and_in_order(self) -> None:
        async with running(one(Clock)) as system:
            ref = system.ref("a", Clock)
            ref.tell(Clock.chain)
            ref.tell(Clock.write, "message")
            expected = ["deferred by init", "chain", "first link", "second link", "third link", "message"]
            assert await ref.ask(Clock.read) == expected


class Opening(Actor):
    """Takes a second to start."""

    async def init(self) -> None:
        await asyncio.sleep(1)

    def hello(self) -> str:
        return "hello"


class Idle(Actor):
    """Has nothing to do."""

    def init(self) -> Ignore:
        return IGNORE


class SlowIdle(Actor):
    """Finds out after a second that it has nothing to do."""

    async def init(self) -> Ignore:
        await asyncio.sleep(1)
        return IGNORE


class TestBeginningAndEnd:
    @virtual
    async def test_starting_returns_when_init_has(self) -> None:
        async with running(one(Opening)):
            assert asyncio.get_running_loop().time() == pytest.approx(1.0)

    @virtual
    async def test_messages_to_an_actor_that_is_starting_wait_for_it(self) -> None:
        async with running(Supervisor()) as system:
            starting = system.root.ask(Supervisor.start_child, Child(Opening, id="a"))
            await asyncio.sleep(0.5)
            assert await system.ref("a", Opening).ask(Opening.hello) == "hello"
            assert asyncio.get_running_loop().time() == pytest.approx(1.0)
            await starting

    @virtual
    async def test_an_init_that_takes_too_long_fails_the_start(self) -> None:
        with pytest.raises(StartFailed) as failed:
            async with running(one(NeverBorn, start_timeout_s=3.0)):
                pass
        assert asyncio.get_running_loop().time() == pytest.approx(3.0)
        assert isinstance(failed.value.exit, Crash)

    @pytest.mark.parametrize("start", [Idle, SlowIdle])
    def test_an_init_that_says_ignore_leaves_a_child_without_a_life(self, start: type[Actor]) -> None:
        @virtual
        async def scenario() -> None:
            async with running(one(start)) as system:
                assert not system.ref("a", Actor).is_alive
                counts = await system.root.ask(Supervisor.count_children)
                assert (counts.specs, counts.active) == (1, 0)

        scenario()

    @pytest.mark.parametrize("engine", [Echo, AsyncEcho])
    def test_stopping_oneself_lets_the_answer_out_and_handles_nothing_more(self, engine: type[Echo]) -> None:
        class Quitter(engine):  # type: ignore[valid-type, misc]
            def quit(self) -> str:
                self.stop()
                return "bye"

        @virtual
        async def scenario() -> None:
            async with running(one(Quitter, restart=Restart.TRANSIENT)) as system:
                ref = system.ref("a", Quitter)
                bye, late = ref.ask(Quitter.quit), ref.ask(Echo.add)
                assert await bye == "bye"
                with pytest.raises(Gone) as gone:
                    await late
                assert gone.value.reason == Normal()

        scenario()

    @pytest.mark.parametrize("how", ["def", "async def"])
    @pytest.mark.parametrize("reason", ["crash", "shutdown"])
    def test_terminate_hears_why(self, how: str, reason: str) -> None:
        heard: list[object] = []

        class Dying(Echo):
            def terminate(self, reason: object) -> None:
                heard.append(reason)

        class DyingSlowly(Echo):
            async def terminate(self, reason: object) -> None:
                await asyncio.sleep(1)
                heard.append(reason)

        @virtual
        async def scenario() -> None:
            async with running(one(Dying if how == "def" else DyingSlowly, restart=Restart.TEMPORARY)) as system:
                if reason == "crash":
                    ref = system.ref("a", Echo)
                    ref.tell(Echo.boom)
                    await ref.down()
            assert len(heard) == 1
            assert isinstance(heard[0], Crash if reason == "crash" else Shutdown)

        scenario()

    @virtual
    async def test_a_life_whose_init_has_just_returned_gets_its_terminate_when_its_start_is_cancelled(self) -> None:
        gate, heard = asyncio.Event(), []

        class Gated(Echo):
            async def init(self) -> None:
                await gate.wait()

            def terminate(self, reason: object) -> None:
                heard.append(reason)

        async with running(Supervisor([Dynamic(Gated, id="d")])) as system:
            start = asyncio.create_task(system.dynamic("d", Gated).start())
            await asyncio.sleep(1)
            (ref,) = system.dynamic("d", Gated)
            gate.set()
            await asyncio.sleep(0)  # init returns in this turn, its starter would hear of it in the next
            start.cancel()
            with pytest.raises(asyncio.CancelledError):
                await start
            assert heard == [Shutdown("start cancelled")]
            assert not ref.is_alive

    @virtual
    async def test_a_terminate_that_raises_becomes_the_reason(self) -> None:
        class Clumsy(Echo):
            def terminate(self, reason: object) -> None:
                raise Boom

        recorder = Recorder()
        async with running(one(Clumsy), hook=recorder):
            pass
        assert isinstance(recorder.exits()["a"], Crash)

    @virtual
    async def test_a_cancelled_error_that_nobody_sent_is_a_crash(self) -> None:
        recorder = Recorder()
        async with running(one(AsyncEcho), hook=recorder) as system:
            with pytest.raises(Gone):
                await system.ref("a", AsyncEcho).ask(AsyncEcho.leak)
            assert isinstance((await recorder.until(ChildExited, "a")).reason, Crash)

    @virtual
    async def test_a_handler_that_waits_is_cancelled_at_a_stop_and_its_asker_told_at_once(self) -> None:
        async with running(one(AsyncEcho)) as system:
            ask = system.ref("a", AsyncEcho).ask(AsyncEcho.nap, 3600.0)
            await asyncio.sleep(1)
        assert isinstance(ask.exception(), Gone)
        assert asyncio.get_running_loop().time() == pytest.approx(1.0)


class Named(Echo):
    """Is found by name, and finds its sibling."""

    NAME: Name["Named"] = Name("named")

    def init(self) -> None:
        self.register(Named.NAME)

    def neighbour(self, id: str) -> bool:
        return self.sibling(id, Echo).is_alive


class TestFinding:
    @virtual
    async def test_a_name_is_there_for_the_life_that_took_it_and_comes_back_with_the_next(self) -> None:
        async with running(one(Named)) as system:
            ref = system.ref("a", Named)
            assert system.find(Named.NAME) is ref
            ref.tell(Echo.boom)
            await asyncio.sleep(0)
            assert system.find(Named.NAME) is ref
            await system.root.ask(Supervisor.terminate_child, "a")
            assert system.find(Named.NAME) is None

    @virtual
    async def test_a_name_that_is_taken_fails_the_start_of_the_second(self) -> None:
        with pytest.raises(StartFailed, match="NameTaken"):
            async with running(Supervisor([Child(Named, id="a"), Child(Named, id="b")])):
                pass

    @virtual
    async def test_a_sibling_is_found_by_its_id(self) -> None:
        async with running(Supervisor([Child(Named, id="a"), Child(Echo, id="b")])) as system:
            assert await system.ref("a", Named).ask(Named.neighbour, "b")
            with pytest.raises(NoSuchChild):
                await system.ref("a", Named).ask(Named.neighbour, "c")

    @virtual
    async def test_a_ref_asked_for_as_the_wrong_class_is_refused(self) -> None:
        async with running(one(Echo)) as system:
            with pytest.raises(TypeError):
                system.ref("a", Clock)


trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="none")


class Traced(Actor):
    def init(self) -> None:
        trace.set("mine")

    def trace(self) -> str:
        return trace.get()


@virtual
async def test_handlers_run_in_the_context_of_their_own_life_not_of_the_sender() -> None:
    async with running(one(Traced)) as system:
        trace.set("sender's")
        assert await system.ref("a", Traced).ask(Traced.trace) == "mine"
        assert trace.get() == "sender's"
