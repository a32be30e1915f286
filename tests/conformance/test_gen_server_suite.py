"""OTP's gen_server_SUITE, case by case, by its names: requests, answers, stops, and what is told of an actor.

Where it can make a difference, both engines are tried: actors that never wait, and those with a handler that does.
"""

from __future__ import annotations

import asyncio
import gc
import operator
import time
import traceback
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from supervisors import (
    IGNORE,
    INFINITY,
    Actor,
    AskedItself,
    AskFailed,
    AskTimeout,
    Child,
    ChildExited,
    Crash,
    Exit,
    Gone,
    Name,
    NameTaken,
    NoProc,
    Normal,
    Ref,
    Restart,
    Shutdown,
    StartFailed,
    Supervisor,
    System,
    running,
)
from supervisors.events import report
from supervisors.life import Ignore
from supervisors.testing import Recorder, virtual

A = TypeVar("A", bound=Actor)
E = TypeVar("E", bound=Exception)

NAME: Name[Server] = Name("my_test_name")
STOPPED = Shutdown("stopped")
odd: Any = "odd"  # what somebody without a type checker writes


class Crashed(Exception):
    """What the server raises."""


class Server(Actor):
    """OTP's suite as a server; `state` is whatever a test wants it to be, `name` one that it takes."""

    def __init__(self, state: object = None, name: Name[Server] | None = None) -> None:
        self.state = state
        self.name = name
        self.heard: list[str] = []
        self.terminated: list[Exit] = []
        self.idle: list[Any] = []

    def init(self) -> Any:
        if self.name is not None:
            self.register(self.name)
        return {"ignore": IGNORE}.get(str(self.state))

    def terminate(self, reason: Exit) -> Any:
        if self.state == "crash_terminate":
            raise Crashed("in terminate")
        if isinstance(self.state, list):
            self.state.append(reason)

    def started_p(self) -> str:
        return "ok"

    def delayed_answer(self, seconds: float) -> asyncio.Future[str]:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.after(seconds, Server.give, answer, "delayed")
        return answer

    def give(self, answer: asyncio.Future[str], word: str) -> None:
        if not answer.done():
            answer.set_result(word)

    def call_within(self, seconds: float) -> str:
        self.idle = [self.after(seconds, Server.forget)]
        return "ok"

    def next_call(self) -> bool:
        was_in_time = bool(self.idle)
        self.forget()
        return was_in_time

    def forget(self) -> None:
        for timer in self.idle:
            timer.cancel()
        self.idle = []

    def hear(self, word: str) -> None:
        self.heard.append(word)

    def delayed_cast(self, seconds: float) -> None:
        self.after(seconds, Server.hear, "delayed")

    def read(self) -> list[str]:
        return list(self.heard)

    def crash(self, words: object = "") -> None:
        raise Crashed(words)

    def odd_answer(self) -> int:
        return odd  # type: ignore[no-any-return]

    def on_down(self, ref: object, reason: Exit) -> None:
        self.heard.append(f"down: {reason}")

    def watch(self, ref: Ref[Actor]) -> None:
        self.monitor(ref)


class WaitingServer(Server):
    """The same in the other engine."""

    async def nap(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "rested"


BOTH = pytest.mark.parametrize("server", [Server, WaitingServer])


async def start(system: System, make: Callable[[], A], id: str = "server", seconds: float = 5.0) -> Ref[A]:
    """Start a temporary child of the root."""
    child = Child(make, id=id, restart=Restart.TEMPORARY, start_timeout_s=seconds)
    return await system.root.ask(Supervisor.start_child, child)


async def stop(ref: Ref[Actor], reason: Exit = Normal(), seconds: float = INFINITY) -> Exit:  # noqa: B008 - frozen
    """Stop an actor and return how it ended (OTP: gen_server:stop). Raises Gone, TimeoutError."""
    down = ref.down()
    await ref.ask(Actor.stop, reason)
    async with asyncio.timeout(None if seconds == INFINITY else seconds):
        return await down


async def fails(ask: Awaitable[object], error: type[E]) -> E:
    """Return the error that an ask fails with."""
    with pytest.raises(error) as failed:
        await ask
    return failed.value


def now() -> float:
    return asyncio.get_running_loop().time()


# --- start and stop ---------------------------------------------------------------------------------------------------


class Sleeper(Server):
    """Takes a second to begin."""

    async def init(self) -> Any:
        await asyncio.sleep(1.0)


class Unwilling(Server):
    """Will not begin."""

    def init(self) -> Any:
        raise Crashed("stopped")


@BOTH
@virtual
async def test_start(server: type[Server]) -> None:
    """A start gives what can be asked, until it ends; it has a limit, may be ignored, may fail; a name is taken once.

    Changed: the starter is a supervisor, an anonymous child has an id, and a second start under a name fails in init.
    """
    async with running(Supervisor()) as system:
        anonymous = await start(system, server)
        assert await anonymous.ask(Server.started_p) == "ok"
        assert await stop(anonymous, STOPPED) == STOPPED
        gone = await fails(anonymous.within(0.001).ask(Server.started_p), Gone)
        assert gone.reason == NoProc()

        assert await (await start(system, Sleeper, "slow")).ask(Server.started_p) == "ok"
        late = await fails(start(system, Sleeper, "late", seconds=0.1), StartFailed)
        assert isinstance(late.__cause__, TimeoutError)
        assert not (await start(system, lambda: server("ignore"), "ignore")).is_alive
        unwilling = await fails(start(system, Unwilling, "unwilling"), StartFailed)
        assert isinstance(unwilling.__cause__, Crashed)

        named = await start(system, lambda: server(name=NAME), "named")
        assert system.find(NAME) is named
        taken = await fails(start(system, lambda: server(name=NAME), "second"), StartFailed)
        assert isinstance(taken.__cause__, NameTaken)
        assert system.find(NAME) is named
        await stop(named, STOPPED)
        assert system.find(NAME) is None
        again = await start(system, lambda: server(name=NAME), "second")
        assert await again.ask(Server.started_p) == "ok"


@BOTH
@virtual
async def test_stop1(server: type[Server]) -> None:
    """A stop ends it Normal, and has returned when it is over; a second stop finds nobody. Changed: see `stop`."""
    async with running(Supervisor()) as system:
        ref = await start(system, server)
        assert await stop(ref) == Normal()
        assert not ref.is_alive
        assert (await fails(stop(ref), Gone)).reason == NoProc()


@BOTH
@virtual
async def test_stop2(server: type[Server]) -> None:
    """A stop ends it for the reason that is given, however long that takes. Changed: see `stop`."""
    heard: list[Exit] = []
    async with running(Supervisor()) as system:
        ref = await start(system, lambda: server(heard))
        assert await stop(ref, Shutdown("other reason"), INFINITY) == Shutdown("other reason")
        assert not ref.is_alive
        assert heard == [Shutdown("other reason")]


@virtual
async def test_stop3() -> None:
    """A stop with a time that is none fails, and stops nobody. Changed: see `stop`; the time is the ask's deadline."""
    async with running(Supervisor()) as system:
        ref = await start(system, Server)
        for wrong in (odd, -1.0, float("nan")):
            with pytest.raises((TypeError, ValueError)):
                await ref.within(wrong).ask(Actor.stop, Shutdown("other reason"))
        assert await ref.ask(Server.started_p) == "ok"
        assert await stop(ref) == Normal()


@virtual
async def test_stop4() -> None:
    """An actor is stopped by its name, which then leads to nobody. Changed: a name leads to a Ref, which is stopped."""
    async with running(Supervisor()) as system:
        ref = await start(system, lambda: Server(name=NAME))
        named = system.find(NAME)
        assert named is not None
        assert await stop(named) == Normal()
        assert not ref.is_alive
        assert system.find(NAME) is None


# --- requests ---------------------------------------------------------------------------------------------------------


@BOTH
@virtual
async def test_crash(server: type[Server]) -> None:
    """A stop for a reason, with a detail or without, is no crash; a crash is reported with its handler and its stack.

    Changed: one event tells of every end, and only a crash is one: it has the error. Nobody's stack but the actor's.
    """
    recorder = Recorder()
    async with running(Supervisor(), hook=recorder) as system:
        for reason in (Shutdown("reason"), Shutdown()):
            ref = await start(system, server)
            assert await stop(ref, reason) == reason
        crashed = await fails((await start(system, server)).ask(Server.crash, "words"), Gone)
        shut, shut_too, crash = recorder.of(ChildExited, "server")
        assert (shut.reason, shut.during, shut_too.reason, shut_too.during) == (Shutdown("reason"), "", Shutdown(), "")
        assert isinstance(crash.reason, Crash)
        assert crash.reason.error is crashed.__cause__
        assert crash.during == "Server.crash"
        assert traceback.extract_tb(crash.reason.error.__traceback__)[-1].name == "crash"


@BOTH
@virtual
async def test_call(server: type[Server]) -> None:
    """An answer may come after the handler; a second ask may come in time or too late; an ask has its deadline.

    Changed: an answer for later is a future, an idle timeout a timer; a wrong answer is for mypy, and goes through.
    """
    async with running(Supervisor()) as system:
        ref = await start(system, server)
        assert await ref.ask(Server.started_p) == "ok"
        assert await ref.ask(Server.delayed_answer, 0.001) == "delayed"

        await ref.ask(Server.call_within, 1.0)
        await asyncio.sleep(0.5)
        assert await ref.ask(Server.next_call)
        await ref.ask(Server.call_within, 1.0)
        await asyncio.sleep(1.5)
        assert not await ref.ask(Server.next_call)

        assert await ref.within(0.03).ask(Server.delayed_answer, 0.001) == "delayed"
        await fails(ref.within(0.001).ask(Server.delayed_answer, 0.03), AskTimeout)
        assert await ref.ask(Server.odd_answer) == odd
        assert await ref.ask(Server.started_p) == "ok"


@BOTH
@virtual
async def test_send_request(server: type[Server]) -> None:
    """A request is made now and its answer fetched later, whatever becomes of it. Changed: it is a future."""
    async with running(Supervisor()) as system:
        ref = await start(system, server)
        within, after = ref.ask(Server.call_within, 1.0), ref.ask(Server.next_call)
        assert [await after, await within] == [True, "ok"]

        request = ref.ask(Server.delayed_answer, 0.05)
        assert await asyncio.wait([request], timeout=0) == (set(), {request})  # OTP: wait_response(Request, 0)
        assert await request == "delayed"
        assert await request == "delayed"

        crashed, behind = ref.ask(Server.crash), ref.ask(Server.started_p)
        assert isinstance((await fails(crashed, Gone)).__cause__, Crashed)
        assert isinstance((await fails(behind, Gone)).reason, Crash)
        nobody = ref.ask(Server.started_p)
        assert nobody.done()
        assert (await fails(nobody, Gone)).reason == NoProc()


async def three(system: System) -> list[Ref[Server]]:
    """Start three servers."""
    return [await start(system, Server, id) for id in ("first", "second", "third")]


def labelled(*asks: asyncio.Future[str]) -> dict[asyncio.Future[str], str]:
    """A collection of requests: each with its label."""
    return {ask: f"req{n}" for n, ask in enumerate(asks, 1)}


@virtual
async def test_send_request_receive_reqid_collection() -> None:
    """Answers of a collection are received as they come, up to a deadline, which gives up those that are missing.

    Changed: a collection is any of futures; `as_completed` receives from it, and who gives up cancels.
    """
    async with running(Supervisor()) as system:
        first, second, third = await three(system)
        other = first.ask(Server.started_p)
        slow, quick = first.ask(Server.delayed_answer, 0.4), second.ask(Server.delayed_answer, 0.001)
        order = asyncio.as_completed([slow, quick, third.ask(Server.delayed_answer, 0.2)])
        times = [(await answer, round(now(), 1)) for answer in order]
        assert times == [("delayed", 0.0), ("delayed", 0.2), ("delayed", 0.4)]

        slow, quick = first.ask(Server.delayed_answer, 1.0), second.ask(Server.delayed_answer, 0.001)
        requests = labelled(slow, quick, third.ask(Server.delayed_answer, 0.5))
        done, late = await asyncio.wait(requests, timeout=0.1)
        for request in late:
            request.cancel()
        assert [requests[one] for one in done] == ["req2"]
        assert {requests[one] for one in late} == {"req1", "req3"}
        await asyncio.sleep(1.1)  # their answers come, to nobody
        assert all(request.cancelled() for request in late)

        crashed, fine = second.ask(Server.crash), third.ask(Server.delayed_answer, 0.2)
        assert isinstance((await fails(anext_done(crashed, fine), Gone)).__cause__, Crashed)
        assert (await fine, await other) == ("delayed", "ok")


def anext_done(*asks: asyncio.Future[Any]) -> Awaitable[Any]:
    """Return the answer that comes first."""
    return next(iter(asyncio.as_completed(asks)))


@virtual
async def test_send_request_wait_reqid_collection() -> None:
    """Answers of a collection are waited for as they come; those missing at a deadline can be waited for again.

    Changed: a collection is any of futures; `asyncio.wait` waits for the first, and gives nothing up.
    """
    async with running(Supervisor()) as system:
        first, second, third = await three(system)
        slow, quick = first.ask(Server.delayed_answer, 1.0), second.ask(Server.delayed_answer, 0.001)
        requests = labelled(slow, quick, third.ask(Server.delayed_answer, 0.5))
        order: list[str] = []
        waiting: set[asyncio.Future[str]] = set(requests)
        n_timeouts = 0
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=0.3, return_when=asyncio.FIRST_COMPLETED)
            n_timeouts += not done
            order += [requests[one] for one in done]
        assert (order, n_timeouts) == (["req2", "req3", "req1"], 2)

        crashed, fine = second.ask(Server.crash), third.ask(Server.delayed_answer, 0.2)
        both: list[asyncio.Future[Any]] = [crashed, fine]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        assert (crashed.done(), fine.done()) == (True, False)
        assert isinstance(crashed.exception(), Gone)
        assert await fine == "delayed"


@virtual
async def test_send_request_check_reqid_collection() -> None:
    """Whoever waits for something else learns which request an answer belongs to. Changed: each future calls back."""
    async with running(Supervisor()) as system:
        first, second, third = await three(system)
        slow, quick = first.ask(Server.delayed_answer, 0.4), second.ask(Server.delayed_answer, 0.001)
        requests = labelled(slow, quick, third.ask(Server.delayed_answer, 0.2))
        arrived: list[str] = []
        for request in requests:
            request.add_done_callback(lambda request: arrived.append(requests[request]))
        assert await first.ask(Server.started_p) == "ok"
        assert arrived == []  # that was none of them
        await asyncio.sleep(1.0)
        assert arrived == ["req2", "req3", "req1"]
        assert [request.result() for request in requests] == ["delayed"] * 3


@BOTH
@virtual
async def test_cast(server: type[Server]) -> None:
    """What is told is done: at once, later, and stopping. Changed: a tell also says whether it was taken."""
    async with running(Supervisor()) as system:
        ref = await start(system, server)
        assert ref.tell(Server.hear, "handled")
        assert ref.tell(Server.delayed_cast, 0.001)
        await asyncio.sleep(0.1)
        assert await ref.ask(Server.read) == ["handled", "delayed"]
        down = ref.down()
        assert ref.tell(Actor.stop, STOPPED)
        assert await down == STOPPED
        assert not ref.tell(Server.hear, "nobody")


@virtual
async def test_cast_fast() -> None:
    """A tell returns at once, to the dead, to the busy and to a full mailbox. Changed: there is no far node."""
    async with running(Supervisor()) as system:
        dead, busy = await start(system, Server, "dead"), await start(system, WaitingServer, "busy")
        await stop(dead)
        busy.tell(WaitingServer.nap, 3600.0)
        while busy._box is None or busy._box.user:
            await asyncio.sleep(0)
        began_at = time.perf_counter()
        assert not dead.tell(Server.hear, "hopp")
        assert [busy.tell(Server.hear, "hopp") for _ in range(1001)].count(False) == 1
        assert time.perf_counter() - began_at < 60.0
        assert now() == 0.0


@BOTH
@virtual
async def test_info(server: type[Server]) -> None:
    """What comes uninvited is handled: at once, later, and stopping. Changed: it is a Down notice or a timer."""
    async with running(Supervisor()) as system:
        ref, other = await start(system, server), await start(system, server, "other")
        await ref.ask(Server.watch, other)
        await stop(other)
        assert await ref.ask(Server.read) == ["down: Normal()"]
        ref.tell(Server.delayed_cast, 0.001)
        await asyncio.sleep(0.1)
        assert (await ref.ask(Server.read))[-1] == "delayed"
        down = ref.down()
        await ref.ask(operator.methodcaller("after", 0.5, Actor.stop, STOPPED))
        assert await down == STOPPED
        assert now() == pytest.approx(0.6)


@virtual
async def test_abcast() -> None:
    """Several are told the same thing, dead ones among them. Changed: whoever tells has their Refs."""
    async with running(Supervisor()) as system:
        refs = await three(system)
        await stop(refs[1])
        assert [ref.tell(Server.hear, "handled") for ref in refs] == [True, False, True]
        assert [await ref.ask(Server.read) for ref in (refs[0], refs[2])] == [["handled"]] * 2


class Continuing(Server):
    """Defers work, from everywhere."""

    def init(self) -> None:
        self.ref.tell(Server.hear, "after continue")
        self.defer(Server.hear, "continue")

    def continue_reply(self) -> str:
        self.init()
        return "ok"

    def continue_noreply(self) -> asyncio.Future[str]:
        self.ref.tell(Server.hear, "after continue")
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.defer(Continuing.reply, answer)
        return answer

    def reply(self, answer: asyncio.Future[str]) -> None:
        self.hear("continue")
        answer.set_result("ok")

    def continue_continue(self) -> None:
        self.defer(Continuing.before)
        self.defer(Server.hear, "between")

    def before(self) -> None:
        self.hear("before continue")
        self.init()

    def continue_stop(self) -> None:
        self.defer(Actor.stop)

    def on_down(self, ref: object, reason: Exit) -> None:
        self.init()


class WaitingContinuing(Continuing):
    """The same in the other engine."""

    async def wait(self) -> None:
        """Never asked."""


@pytest.mark.parametrize("server", [Continuing, WaitingContinuing])
@virtual
async def test_continue(server: type[Continuing]) -> None:
    """What init or a handler defers runs before any message, one after the other, and may stop the actor."""
    async with running(Supervisor()) as system:
        ref, other = await start(system, server), await start(system, Server, "other")
        both = ["continue", "after continue"]

        async def heard() -> list[str]:
            await asyncio.sleep(0.01)
            words = await ref.ask(Server.read)
            await ref.ask(lambda actor: actor.heard.clear())
            return words

        assert await heard() == both
        assert await ref.ask(Continuing.continue_reply) == "ok"
        assert await heard() == both
        assert await ref.ask(Continuing.continue_noreply) == "ok"
        assert await heard() == both
        ref.tell(Continuing.continue_reply)
        assert await heard() == both
        await ref.ask(Server.watch, other)
        await stop(other)
        assert await heard() == both
        ref.tell(Continuing.continue_continue)
        assert await heard() == ["before continue", "between", *both]
        down = ref.down()
        ref.tell(Continuing.continue_stop)
        late = ref.ask(Server.started_p)
        assert await down == Normal()
        assert (await fails(late, Gone)).reason == Normal()


@virtual
async def test_multicall() -> None:
    """Several are asked at once, and take as long as the slowest. Changed: whoever asks has their Refs."""
    async with running(Supervisor()) as system:
        refs = await three(system)
        assert await asyncio.gather(*(ref.ask(Server.delayed_answer, 0.5) for ref in refs)) == ["delayed"] * 3
        assert now() == pytest.approx(0.5)
        ends = [ref.down() for ref in refs]
        await asyncio.gather(*(ref.ask(Actor.stop, STOPPED) for ref in refs))
        assert await asyncio.gather(*ends) == [STOPPED] * 3


@virtual
async def test_multicall_down() -> None:
    """Of several who are asked, those that are gone are told from those that answer. Changed: they have Refs."""
    async with running(Supervisor()) as system:
        refs = await three(system)
        await stop(refs[1])
        good, bad, good_too = await asyncio.gather(*(ref.ask(Server.started_p) for ref in refs), return_exceptions=True)
        assert (good, good_too) == ("ok", "ok")
        assert isinstance(bad, Gone)


class Selfish(Server):
    """Asks itself, directly or through another."""

    def look(self) -> asyncio.Future[str]:
        return self.ref.within(3600.0).ask(Server.started_p)

    async def look_and_wait(self) -> str:
        return await self.ref.ask(Server.started_p)

    async def through(self, path: str) -> str:
        first, rest = self.system.ref(path[0], Selfish), path[1:]
        return await (first.ask(Selfish.through, rest) if rest else first.ask(Server.started_p))


@pytest.mark.parametrize("look", [Selfish.look, Selfish.look_and_wait])
@virtual
async def test_calling_self(look: Callable[[Selfish], Awaitable[str]]) -> None:
    """Who asks itself is told so at once, whatever the deadline; beyond OTP: in a circle, within two ticks."""
    async with running(Supervisor(intensity=100)) as system:
        a, _, _ = [await start(system, Selfish, id) for id in "abc"]
        failed = await fails(a.ask(look), AskFailed)
        assert isinstance(failed if look is Selfish.look else failed.__cause__, AskedItself)  # a future, or a crash
        assert now() == 0.0
        a = a if a.is_alive else await start(system, Selfish, "a")
        error: BaseException | None = await fails(a.ask(Selfish.through, "bca"), Gone)
        while isinstance(error, Gone):
            error = error.__cause__
        assert isinstance(error, AskedItself)
        assert (error.path, error.through) == ("c", ("a", "b"))
        assert now() <= 0.1


# --- loops of one's own and hibernation -------------------------------------------------------------------------------


class Loop(Server):
    """Begins in its own way after its start has returned, then loops in its own way, and answers meanwhile."""

    def __init__(self, name: Name[Server] | None = None) -> None:
        super().__init__([], name)
        self.n_turns = 0

    def init(self) -> None:
        super().init()
        _ = self.task(self.loop())

    async def loop(self) -> None:
        await asyncio.sleep(1.0)
        while self.n_turns < 5:
            self.n_turns += 1
            await asyncio.sleep(1.0)
        if self.heard:
            raise Crashed("in the loop")
        self.stop(STOPPED)


@virtual
async def test_spec_init() -> None:
    """A loop that is written by hand is started, asked and stopped as any server; its end and crash are the actor's.

    Changed: the loop is a task of an actor, so the protocol is there from the beginning and is never entered.
    """
    async with running(Supervisor(intensity=100)) as system:
        anonymous = await start(system, Loop)
        assert now() == 0.0  # the special part goes on after the start
        assert await anonymous.ask(Server.started_p) == "ok"
        await asyncio.sleep(2.5)
        assert await anonymous.ask(operator.attrgetter("n_turns")) == 2
        assert await stop(anonymous, Shutdown("early")) == Shutdown("early")
        assert asyncio.all_tasks() == {asyncio.current_task(), *(t for t in asyncio.all_tasks() if t.get_name() == "/")}

        named = await start(system, lambda: Loop(NAME))
        assert system.find(NAME) is named
        assert await named.down() == STOPPED  # after five turns
        crashing = await start(system, Loop)
        crashing.tell(Server.hear, "crash")
        down = await crashing.down()
        assert isinstance(down, Crash)
        assert isinstance(down.error, Crashed)


class NamedSupervisor(Supervisor):
    """One that can be found."""

    NAME: Name[NamedSupervisor] = Name("foobar")

    async def init(self) -> None:
        self.register(self.NAME)
        await super().init()


@virtual
async def test_spec_init_local_registered_parent() -> None:
    """A loop's terminate runs although its supervisor has a name. Changed: the loop is a task of an actor."""
    terminated: list[Exit] = []

    def make() -> Loop:
        loop = Loop(NAME)
        loop.state = terminated
        return loop

    async with running(Supervisor([NamedSupervisor([Child(make, id="loop")], id="parent")])) as system:
        assert system.find(NamedSupervisor.NAME) is not None
        loop = system.find(NAME)
        assert loop is not None
        await stop(loop, STOPPED)
        assert terminated == [STOPPED]


@virtual
async def test_otp_5854() -> None:
    """A loop is not taken for the owner of a name that is another's. Changed: its start fails, naming the name."""
    async with running(Supervisor()) as system:
        owner = await start(system, lambda: Server(name=NAME), "armitage")
        failed = await fails(start(system, lambda: Loop(NAME)), StartFailed)
        assert isinstance(failed.__cause__, NameTaken)
        assert failed.__cause__.child == NAME.key
        assert system.find(NAME) is owner


class Parcel:
    """Something with an address in memory."""


def tasks_of(ref: Ref[Actor]) -> list[str]:
    """Return what runs in the name of an actor."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(ref.path)]


@BOTH
@virtual
async def test_hibernate(server: type[Server]) -> None:
    """An actor with nothing to do keeps nothing of what it was told last, and wakes at the next message.

    Changed: nobody tells it to. Its mailbox is gone; one that never waits has no task, one that does has it parked.
    """
    async with running(Supervisor()) as system:
        ref = await start(system, server)
        assert ref._box is None
        for _ in range(2):
            parcel = Parcel()
            seen = weakref.ref(parcel)
            assert ref.tell(Server.hear, parcel)  # type: ignore[arg-type] # it takes anything
            await ref.ask(lambda actor: actor.heard.clear())
            del parcel
            await asyncio.sleep(1.0)
            assert ref._box is None
            assert seen() is None
            assert tasks_of(ref) == ([] if server is Server else ["server"])
            assert await ref.ask(Server.started_p) == "ok"


@BOTH
@virtual
async def test_auto_hibernate(server: type[Server]) -> None:
    """After an answer, a tell, a timer and a look at its state an actor is at rest again, its state untouched.

    Changed: it rests in the turn of the loop in which its mailbox is empty, not after a while.
    """
    async with running(Supervisor()) as system:
        ref = await start(system, lambda: server("auto_hibernate_state"))
        wakes: list[Callable[[], object]] = [
            lambda: ref.ask(Server.started_p),
            lambda: ref.tell(Server.hear, "cast"),
            lambda: ref.tell(Server.delayed_cast, 0.05),
            lambda: ref.ask(operator.attrgetter("state")),
        ]
        for wake in wakes:
            assert ref._box is None
            wake()
            assert ref._box is not None
            await asyncio.sleep(0.1)
        assert ref._box is None
        assert await ref.ask(operator.attrgetter("state")) == "auto_hibernate_state"


class IgnoringNamed(Server):
    """Takes its name, then finds out that it has nothing to do."""

    def init(self) -> Ignore:
        super().init()
        return IGNORE


class FailingNamed(Server):
    """Takes its name, then fails."""

    async def init(self) -> None:
        super().init()
        await asyncio.sleep(0)
        raise Crashed


@virtual
async def test_otp_7669() -> None:
    """When a start returns ignored or failed, its name is free; a hundred times."""
    async with running(Supervisor()) as system:
        for n in range(100):
            await start(system, lambda: IgnoringNamed(name=NAME), f"i{n}")
            assert system.find(NAME) is None
            await fails(start(system, lambda: FailingNamed(name=NAME), f"f{n}"), StartFailed)
            assert system.find(NAME) is None


# --- status and state -------------------------------------------------------------------------------------------------


SECRET = "4111 1111 1111 1111"
"""Somebody's card number, which nobody needs to read."""


class Discreet(Server):
    """Its errors may quote people: what is told of them is their kind, or what `state` makes of them."""

    def redact(self, error: BaseException) -> BaseException:
        if callable(self.state):
            self.state()
        return Crashed("redacted")


def told(recorder: Recorder, system: System, last: str = "server") -> str:
    """Return all that anybody can read of an actor who has crashed: events, reports and the census."""
    events = recorder.of(ChildExited, last)
    return "\n".join([*map(str, events), *map(report, events), repr(system.census()), str(system.census())])


async def crashed(
    make: Callable[[], Server], handler: Callable[[Server, str], None] = Server.crash
) -> tuple[str, Gone]:
    """Crash a server with words of somebody; return what is told of it, and what its asker gets."""
    recorder = Recorder()
    async with running(Supervisor([Child(make, id="server")]), hook=recorder) as system:
        gone = await fails(system.ref("server", Server).ask(handler, SECRET), Gone)
        await recorder.until(ChildExited, "server")
        return told(recorder, system), gone


@BOTH
@virtual
async def test_call_format_status(server: type[Server]) -> None:
    """What anybody can see of a living actor is what it wants seen. Changed: the census, which has no state."""
    async with running(Supervisor([Child(lambda: server(SECRET, NAME), id="server")])) as system:
        system.ref("server", server).tell(Server.hear, SECRET)
        census = repr(system.census()) + str(system.census()) + repr(await system.root.ask(Supervisor.which_children))
        assert f"{server.__name__} running" in census
        assert SECRET not in census


@virtual
async def test_error_format_status() -> None:
    """A crash is told as its actor wants it told; its asker gets the error itself. Changed: the hook is `redact`."""
    text, gone = await crashed(Discreet)
    assert "redacted" in text
    assert SECRET not in text
    assert str(gone.__cause__) == SECRET
    text, _ = await crashed(Server)
    assert f"Crashed: {SECRET}" in text  # unless the class says so


@virtual
async def test_terminate_crash_format() -> None:
    """A crash in `terminate` is told as its actor wants it told, too. Changed: the hook is `redact`."""

    class Clumsy(Discreet):
        def terminate(self, reason: Exit) -> None:
            raise Crashed(SECRET)

    recorder = Recorder()
    async with running(Supervisor([Child(Clumsy, id="server", restart=Restart.TRANSIENT)]), hook=recorder) as system:
        end = await stop(system.ref("server", Clumsy))
        assert isinstance(end, Crash)
        assert str(end.error) == SECRET  # whoever waits for the end is told what it was
        assert "redacted" in told(recorder, system)
        assert SECRET not in told(recorder, system)


@virtual
async def test_crash_in_format_status() -> None:
    """When a redaction crashes, only the kind of the error is told, and nothing else is lost. Changed: see `redact`."""

    def boom() -> None:
        raise Crashed(SECRET)

    text, gone = await crashed(lambda: Discreet(boom))
    assert "Crashed, which could not be redacted" in text
    assert SECRET not in text
    assert str(gone.__cause__) == SECRET


@virtual
async def test_throw_in_format_status() -> None:
    """The same when it raises what is no Exception. Changed: the one that is not, and is no end of the process."""

    def throw() -> None:
        raise asyncio.CancelledError(SECRET)

    text, _ = await crashed(lambda: Discreet(throw))
    assert "Crashed, which could not be redacted" in text
    assert SECRET not in text


class Quoting(Discreet):
    """Crashes wherever it can, and each time quotes somebody."""

    def init(self) -> None:
        if self.state == "init":
            raise Crashed(SECRET)

    async def wait(self, words: str) -> None:
        await asyncio.sleep(0)
        raise Crashed(words)

    def begin(self, words: str) -> asyncio.Future[None]:
        return self.task(self.wait(words))

    def put_off(self, words: str) -> asyncio.Future[None]:
        self.defer(Server.crash, words)
        return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("handler", [Server.crash, Quoting.wait, Quoting.begin, Quoting.put_off])
@virtual
async def test_format_all_status(handler: Callable[[Server, str], None]) -> None:
    """Wherever the crash is, no event, report or census quotes it. Changed: there is one hook, for the error."""
    text, _ = await crashed(Quoting, handler)
    assert "redacted" in text
    assert SECRET not in text
    recorder = Recorder()
    async with running(Supervisor(), hook=recorder) as system:
        await fails(start(system, lambda: Quoting("init")), StartFailed)
        assert "redacted" in told(recorder, system)
        assert SECRET not in told(recorder, system)


@BOTH
@virtual
async def test_get_state(server: type[Server]) -> None:
    """The state of a living actor can be read, by Ref and by name. Changed: by a function that is sent as a message."""
    async with running(Supervisor()) as system:
        state = Parcel()
        ref = await start(system, lambda: server(state, NAME))
        assert (await ref.ask(vars))["state"] is state
        assert await ref.within(3.0).ask(operator.attrgetter("state")) is state
        named = system.find(NAME)
        assert named is not None
        assert await named.ask(lambda actor: actor.state) is state


@BOTH
@virtual
async def test_replace_state(server: type[Server]) -> None:
    """The state of a living actor can be replaced; a change that fails changes nothing for whoever asks next.

    Changed: by a function that is sent as a message; when it raises, that is a crash, and the next life begins afresh.
    """
    async with running(Supervisor([Child(lambda: server("first"), id="server")])) as system:
        ref = system.ref("server", server)
        await ref.ask(setattr, "state", "replaced")
        assert await ref.ask(operator.attrgetter("state")) == "replaced"

        def append(actor: Server, word: str) -> str:
            actor.state = f"{actor.state}{word}"
            return actor.state

        assert await ref.within(5.0).ask(append, " again") == "replaced again"

        def append_and_crash(actor: Server) -> None:
            append(actor, " half")
            actor.crash()

        await fails(ref.ask(append_and_crash), Gone)
        assert await ref.ask(operator.attrgetter("state")) == "first"


class Asker(Actor):
    """Asks somebody many times, however much waits for itself."""

    mailbox_limit = 200_000

    async def ask_often(self, ref: Ref[Server], n: int) -> float:
        """Return the CPU seconds that `n` asks take."""
        began_at = time.process_time()
        for _ in range(n):
            await ref.ask(Server.started_p)
        return time.process_time() - began_at

    def nothing(self) -> None:
        """One of many."""


async def test_call_with_huge_message_queue() -> None:
    """With 100,000 messages in the asker's mailbox an ask costs what it costs with none: answers do not pass there."""
    async with running(Supervisor([Child(Server, id="server"), Child(Asker, id="asker")])) as system:
        server, asker = system.ref("server", Server), system.ref("asker", Asker)
        await asker.ask(Asker.ask_often, server, 500)  # warm
        empty = await asker.within(60.0).ask(Asker.ask_often, server, 5_000)
        full = asker.within(60.0).ask(Asker.ask_often, server, 5_000)
        assert all(asker.tell(Asker.nothing) for _ in range(100_000))
        gc.collect()
        assert await full / empty < 3.0


# --- what is missing --------------------------------------------------------------------------------------------------


@BOTH
@virtual
async def test_undef_handle_call(server: type[Server]) -> None:
    """Asked for what its class does not have, an actor crashes, and its asker is told why.

    Changed: mypy refuses it; what goes past mypy is a function that finds nothing to call.
    """
    async with running(Supervisor()) as system:
        ref = await start(system, server)
        gone = await fails(ref.ask(operator.methodcaller("call_msg")), Gone)
        assert isinstance(gone.__cause__, AttributeError)
        assert "call_msg" in str(gone)


@BOTH
@virtual
async def test_undef_handle_cast(server: type[Server]) -> None:
    """The same when it is told. Changed: mypy refuses it first."""
    async with running(Supervisor()) as system:
        ref = await start(system, server)
        down = ref.down()
        assert ref.tell(operator.methodcaller("cast_msg"))
        reason = await down
        assert isinstance(reason, Crash)
        assert isinstance(reason.error, AttributeError)


@virtual
async def test_undef_handle_info() -> None:
    """An actor that does not handle Down notices lives on when one comes. Changed: it does so in silence."""

    class Deaf(Actor):
        def watch(self, ref: Ref[Actor]) -> None:
            self.monitor(ref)

    async with running(Supervisor()) as system:
        deaf, other = await start(system, Deaf, "deaf"), await start(system, Server, "other")
        await deaf.ask(Deaf.watch, other)
        await stop(other)
        assert await deaf.ask(operator.attrgetter("ref")) is deaf


@BOTH
@virtual
async def test_undef_handle_continue(server: type[Server]) -> None:
    """The same when it defers what it does not have. Changed: mypy refuses it first."""
    async with running(Supervisor()) as system:
        ref = await start(system, server)
        down = ref.down()
        ref.tell(lambda actor: actor.defer(operator.methodcaller("handle_continue")))
        reason = await down
        assert isinstance(reason, Crash)
        assert isinstance(reason.error, AttributeError)


@virtual
async def test_undef_init() -> None:
    """Without an init of its own an actor begins at once; a start that makes no actor fails. Changed: see the table."""

    class Bare(Actor):
        """Has nothing but a name."""

    async with running(Supervisor()) as system:
        assert (await start(system, Bare)).is_alive
        make: Callable[[], Any] = Parcel
        failed = await fails(start(system, make, "oc_init_server"), StartFailed)
        assert isinstance(failed.__cause__, TypeError)


class Oc(Actor):
    """Has no terminate of its own."""


@virtual
async def test_undef_terminate1() -> None:
    """An actor without a terminate of its own stops Normal."""
    async with running(Supervisor()) as system:
        assert await stop(await start(system, Oc)) == Normal()


@virtual
async def test_undef_terminate2() -> None:
    """An actor without a terminate of its own stops for the reason that is given."""
    async with running(Supervisor()) as system:
        assert await stop(await start(system, Oc), Shutdown("test"), INFINITY) == Shutdown("test")


@BOTH
@virtual
async def test_undef_in_terminate(server: type[Server]) -> None:
    """A terminate that calls what there is not is a crash, and not taken for one that is missing."""

    class Calling(server):  # type: ignore[valid-type, misc]
        def terminate(self, reason: Exit) -> None:
            odd.terminate()

    async with running(Supervisor()) as system:
        reason = await stop(await start(system, Calling))
        assert isinstance(reason, Crash)
        assert isinstance(reason.error, AttributeError)


@BOTH
@virtual
async def test_undef_in_handle_info(server: type[Server]) -> None:
    """A handler of what comes uninvited that calls what there is not is a crash. Changed: that is `on_down`."""

    class Calling(server):  # type: ignore[valid-type, misc]
        def on_down(self, ref: object, reason: Exit) -> None:
            odd.handle_info()

    async with running(Supervisor()) as system:
        ref, other = await start(system, Calling), await start(system, Server, "other")
        await ref.ask(Server.watch, other)
        down = ref.down()
        await stop(other)
        reason = await down
        assert isinstance(reason, Crash)
        assert isinstance(reason.error, AttributeError)


# --- reports and late answers -----------------------------------------------------------------------------------------


TERM = list(range(1, 16))


async def report_of(words: object) -> ChildExited:
    """Return the event of a crash with `words`."""
    recorder = Recorder()
    async with running(Supervisor([Child(Server, id="server")]), hook=recorder) as system:
        await fails(system.ref("server", Server).ask(Server.crash, words), Gone)
        return await recorder.until(ChildExited, "server")


@virtual
async def test_format_log_1() -> None:
    """A report of a crash has fields for who, why and where, and shows as much of the error as it is told to.

    Changed: its fields are those of a supervisor's report; the message and the state are not in it.
    """
    event = await report_of(TERM)
    assert (event.path, event.during) == ("server", "Server.crash")
    assert "Crashed([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])" in report(event, depth=20)
    assert "Crashed([1, 2, 3, ...])" in report(event, depth=3)
    assert "offender: server; during: Server.crash" in report(event)


@virtual
async def test_format_log_2() -> None:
    """The text of a report is in one line or in several, and no longer than it may be. Changed: see the table."""
    event = await report_of("several\nlines " + "x" * 10_000)
    lines, line = report(event, lines=True), report(event)
    assert [one.partition(": ")[0] for one in lines.splitlines()] == [
        "supervisor",
        "context",
        "reason",
        "offender",
        "during",
    ]
    assert "\n" not in line
    assert len(line) <= 1000
    assert len(report(event, limit=200)) <= 200
    assert report(event, limit=200).endswith("offender: server; during: Server.crash")
    assert len(str(event)) < 2_000


@virtual
async def test_reply_by_alias_with_payload() -> None:
    """An answer that comes after its deadline goes nowhere, and harms nobody. Changed: it goes to a future."""
    harm: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: harm.append(context))
    async with running(Supervisor()) as system:
        ref = await start(system, WaitingServer)
        await fails(ref.within(0.01).ask(Server.delayed_answer, 0.1), AskTimeout)
        await fails(ref.within(0.01).ask(WaitingServer.nap, 0.1), AskTimeout)
        await asyncio.sleep(1.0)
        gc.collect()
        assert await ref.ask(Server.started_p) == "ok"
        assert harm == []
