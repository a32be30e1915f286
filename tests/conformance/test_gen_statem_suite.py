"""OTP's gen_statem_SUITE, case by case, by its names: states, events and time.

OTP runs its start, stop and abnormal groups in two callback modes; here there is one, a table of (event, state).
"""

from __future__ import annotations

import asyncio
import gc
import operator
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, TypeVar

import pytest

from supervisors import (
    IGNORE,
    INFINITY,
    Actor,
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
from supervisors.statem import (
    END,
    At,
    EventTimeout,
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

A = TypeVar("A", bound=Actor)
E = TypeVar("E", bound=Exception)

odd: Any = "odd"  # what somebody without a type checker writes


class St(Enum):
    """The states of a connection."""

    IDLE = auto()
    WFOR_CONF = auto()
    CONNECTED = auto()


@dataclass(frozen=True)
class Alive:
    """Whether it lives."""


@dataclass(frozen=True)
class Get:
    """Which state it is in."""


@dataclass(frozen=True)
class Connect:
    """Begin."""


@dataclass(frozen=True)
class Confirm:
    """Go on."""


@dataclass(frozen=True)
class Ping:
    """Answered when connected."""

    tag: int


@dataclass(frozen=True)
class Msg:
    """Acknowledged when connected."""

    tag: int


@dataclass(frozen=True)
class Disconnect:
    """End."""


@dataclass(frozen=True)
class Delayed:
    """Answered after `seconds`."""

    seconds: float


@dataclass(frozen=True)
class Wait:
    """Answered after `seconds`, and a state timeout at a moment."""

    seconds: float


@dataclass(frozen=True)
class StopFor:
    """Stop."""

    reason: Exit = Normal()


@dataclass(frozen=True)
class Odd:
    """Do what a type checker would not have let through."""

    what: object


class Line(Statem[St]):
    """OTP's state machine: a connection that is asked for, confirmed, used and closed; `data` is what a test wants."""

    first = St.IDLE
    NAME: ClassVar[Name[Line]] = Name("my_stm")

    def __init__(self, data: object = "data", name: Name[Line] | None = None) -> None:
        self.data = data
        self.name = name
        self.heard: list[object] = []
        self.promises: list[asyncio.Future[object]] = []

    def init(self) -> None:
        if self.name is not None:
            self.register(self.name)
        super().init()

    def read(self) -> list[object]:
        heard, self.heard = self.heard, []
        return heard

    def promise(self) -> asyncio.Future[object]:
        """Return an answer for later; the newest is the last of `promises`."""
        self.promises.append(asyncio.get_running_loop().create_future())
        return self.promises[-1]

    @on(Alive, *St)
    def alive(self, event: Alive) -> Step[St]:
        self.heard.append("yes")
        return stay().reply("yes")

    @on(Get, *St)
    def get(self, event: Get) -> Step[St]:
        return stay().reply(self.state)

    @on(Connect, St.IDLE, to=St.WFOR_CONF)
    def connect(self, event: Connect) -> Step[St]:
        self.heard.append("accept")
        return goto(St.WFOR_CONF).after(INFINITY).reply("accept")

    @on(Ping, St.WFOR_CONF)
    def too_early(self, event: Ping) -> Step[St]:
        return postpone()

    @on(Confirm, St.WFOR_CONF, to=St.CONNECTED)
    def confirm(self, event: Confirm) -> Step[St]:
        return goto(St.CONNECTED).reply("yes")

    @on(Ping, St.CONNECTED)
    def ping(self, event: Ping) -> Step[St]:
        self.heard.append(("pong", event.tag))
        return stay().reply("pong")

    @on(Msg, St.CONNECTED)
    def msg(self, event: Msg) -> Step[St]:
        self.heard.append(("ack", event.tag))
        return stay().reply(("ack", event.tag))

    @on(Disconnect, St.CONNECTED, to=St.IDLE)
    def disconnect(self, event: Disconnect) -> Step[St]:
        return goto(St.IDLE).reply("yes")

    @on(Delayed, *St)
    def delayed(self, event: Delayed) -> Step[St]:
        return stay().reply(self.task(asyncio.sleep(event.seconds, "delayed")))

    @on(Wait, St.IDLE)
    def wait(self, event: Wait) -> Step[St]:
        return stay().after(At(asyncio.get_running_loop().time() + event.seconds)).reply(self.promise())

    @on(StateTimeout, St.IDLE)
    def waited(self, event: StateTimeout) -> Step[St]:
        self.promises.pop().set_result("waited")
        return stay()

    @on(StopFor, *St, to=END)
    def stop_for(self, event: StopFor) -> Step[St]:
        return stop(event.reason).reply("stopped")

    @on(Odd, St.IDLE)
    def odd(self, event: Odd) -> Step[St]:
        return event.what() if callable(event.what) else event.what  # type: ignore[return-value]

    def unexpected(self, event: object) -> Step[St]:
        return super().unexpected(event) if isinstance(event, str) else stay().reply("eh?")


async def start(system: System, make: Callable[[], A], id: str = "stm", seconds: float = 5.0) -> Ref[A]:
    """Start a temporary child of the root."""
    child = Child(make, id=id, restart=Restart.TEMPORARY, start_timeout_s=seconds)
    return await system.root.ask(Supervisor.start_child, child)


async def halt(ref: Ref[Actor], reason: Exit = Normal(), seconds: float = INFINITY) -> Exit:  # noqa: B008 - frozen
    """Stop a machine and return how it ended (OTP: gen_statem:stop). Raises Gone, TimeoutError."""
    down = ref.down()
    await ref.ask(Actor.stop, reason)
    async with asyncio.timeout(None if seconds == INFINITY else seconds):
        return await down


async def stop_it(ref: Ref[Line], reason: Exit = Normal()) -> None:  # noqa: B008 - a frozen value
    """Stop a machine by an event, and find it stopped."""
    down = ref.down()
    assert await ref.ask(Line.event, StopFor(reason)) == "stopped"
    assert await down == reason
    assert (await fails(ref.ask(Line.event, Alive()), Gone)).reason == NoProc()


async def fails(ask: Awaitable[object], error: type[E]) -> E:
    """Return the error that an ask fails with."""
    with pytest.raises(error) as failed:
        await ask
    return failed.value


async def func_test(ref: Ref[Line]) -> None:
    """Use a line by telling it."""
    for event in (
        Alive(),
        Connect(),
        Ping(1),
        Confirm(),
        Alive(),
        Msg(1),
        Msg(2),
        Msg(3),
        Alive(),
        Disconnect(),
        Alive(),
    ):
        assert ref.tell(Line.event, event)
    heard = ["yes", "accept", ("pong", 1), "yes", ("ack", 1), ("ack", 2), ("ack", 3), "yes", "yes"]
    assert await ref.ask(Line.read) == heard
    assert await ref.ask(Line.event, Get()) is St.IDLE


async def sync_func_test(ref: Ref[Line]) -> None:
    """Use a line by asking it."""

    async def ask(event: object) -> object:
        return await ref.ask(Line.event, event)

    assert [await ask(Alive()), await ask(Confirm()), await ask(Connect())] == ["yes", "eh?", "accept"]
    assert await ask(Get()) is St.WFOR_CONF
    early = ref.ask(Line.event, Ping(1))
    assert [await ask(Confirm()), await early] == ["yes", "pong"]
    assert [await ask(Msg(n)) for n in range(3)] == [("ack", n) for n in range(3)]
    assert [await ask(Disconnect()), await ask(Get())] == ["yes", St.IDLE]
    began_at = now()
    assert await ask(Wait(0.2)) == "waited"
    assert now() - began_at == pytest.approx(0.2)
    assert await ref.ask(Line.read)


def now() -> float:
    return asyncio.get_running_loop().time()


class Watcher(Actor):
    """Starts machines, links to them or monitors them."""

    def __init__(self) -> None:
        self.downs: list[Exit] = []

    def watch(self, ref: Ref[Actor]) -> None:
        self.monitor(ref)

    def join(self, ref: Ref[Actor]) -> None:
        self.link(ref)

    def on_down(self, ref: object, reason: Exit) -> None:
        self.downs.append(reason)

    def read(self) -> list[Exit]:
        return self.downs


# --- start ------------------------------------------------------------------------------------------------------------


@virtual
async def test_start1() -> None:
    """A machine starts and works, told or asked; who monitors it hears of its end. Changed: a supervisor starts it."""
    async with running(Supervisor()) as system:
        ref, watcher = await start(system, Line), await start(system, Watcher, "watcher")
        await watcher.ask(Watcher.watch, ref)
        await func_test(ref)
        await sync_func_test(ref)
        await stop_it(ref)
        assert await watcher.ask(Watcher.read) == [Normal()]


@virtual
async def test_start2() -> None:
    """A machine stops itself with shutdown. Changed: its starter is a supervisor."""
    async with running(Supervisor()) as system:
        ref = await start(system, Line)
        await func_test(ref)
        await sync_func_test(ref)
        await stop_it(ref, Shutdown())


class SlowLine(Line):
    """Takes a second to begin."""

    async def init(self) -> None:  # type: ignore[override] # both kinds of init are fine
        await asyncio.sleep(1.0)
        super().init()


@virtual
async def test_start3() -> None:
    """A start has a time limit. Changed: it is in the child's spec."""
    async with running(Supervisor()) as system:
        ref = await start(system, Line, seconds=0.005)
        await sync_func_test(ref)
        await stop_it(ref)
        failed = await fails(start(system, SlowLine, seconds=0.005), StartFailed)
        assert isinstance(failed.__cause__, TimeoutError)
        assert (await start(system, SlowLine)).is_alive


@virtual
async def test_start4() -> None:
    """A machine may find that it has nothing to do. Changed: a supervisor is told, and keeps no temporary child."""

    class Shy(Line):
        def init(self) -> Any:
            return IGNORE

    async with running(Supervisor()) as system:
        assert not (await start(system, Shy)).is_alive
        assert await system.root.ask(Supervisor.which_children) == []


@virtual
async def test_start5() -> None:
    """A machine that cannot begin fails its start, with its reason. Changed: a supervisor is told."""

    class Unwilling(Line):
        def init(self) -> None:
            raise ValueError("stopped")

    async with running(Supervisor()) as system:
        failed = await fails(start(system, Unwilling), StartFailed)
        assert str(failed.__cause__) == "stopped"
        assert await system.root.ask(Supervisor.which_children) == []


@virtual
async def test_start6() -> None:
    """A machine that is linked works, and who is linked hears of an end that is not Normal. Changed: one links."""
    async with running(Supervisor()) as system:
        ref, watcher = await start(system, Line), await start(system, Watcher, "watcher")
        await watcher.ask(Watcher.join, ref)
        await func_test(ref)
        await sync_func_test(ref)
        down = watcher.down()
        await stop_it(ref, Shutdown("linked"))
        assert await down == Shutdown("linked")


async def named_twice(system: System) -> Ref[Line]:
    """Start a machine under a name, and fail to start another one."""
    ref = await start(system, lambda: Line(name=Line.NAME))
    failed = await fails(start(system, lambda: Line(name=Line.NAME), "second"), StartFailed)
    assert isinstance(failed.__cause__, NameTaken)
    named = system.find(Line.NAME)
    assert named is ref
    return named


@virtual
async def test_start8() -> None:
    """Under a name there is one machine, which is found by it and works. Changed: the second start fails in init."""
    async with running(Supervisor()) as system:
        ref = await named_twice(system)
        await func_test(ref)
        await sync_func_test(ref)
        await stop_it(ref)
        assert system.find(Line.NAME) is None


@virtual
async def test_start9() -> None:
    """The same, linked and monitored. Changed: who has started it links and monitors it afterwards."""
    async with running(Supervisor()) as system:
        ref = await named_twice(system)
        watcher, linked = await start(system, Watcher, "watcher"), await start(system, Watcher, "linked")
        await watcher.ask(Watcher.watch, ref)
        await linked.ask(Watcher.join, ref)
        await func_test(ref)
        await sync_func_test(ref)
        await stop_it(ref)
        assert await watcher.ask(Watcher.read) == [Normal()]
        assert linked.is_alive


@virtual
async def test_start11() -> None:
    """A machine under a name is stopped through its Ref or by the name, which is free then. Changed: one registry."""
    async with running(Supervisor()) as system:
        await stop_it(await start(system, lambda: Line(name=Line.NAME)))
        await start(system, lambda: Line(name=Line.NAME))
        named = system.find(Line.NAME)
        assert named is not None
        await stop_it(named)
        assert await (await start(system, lambda: Line(name=Line.NAME))).ask(Line.event, Alive()) == "yes"


@dataclass(frozen=True)
class Internal:
    """An event that a machine gives itself."""

    word: object


@dataclass(frozen=True)
class Go:
    """Begin."""

    seconds: float = 0.0


class Events(Enum):
    """Two states."""

    START = auto()
    NEXT = auto()


class NextEvents(Statem[Events]):
    """Gives itself three events."""

    first = Events.START

    def __init__(self) -> None:
        self.expected = ["a", "b", "c"]

    @on(Go, Events.START, to=Events.NEXT)
    def go(self, event: Go) -> Step[Events]:
        return goto(Events.NEXT).next(Internal("a")).next(Internal("b")).next(Internal("c"))

    @on(Internal, Events.NEXT)
    def internal(self, event: Internal) -> Step[Events]:
        assert self.expected.pop(0) == event.word
        return stay()

    @on(Get, Events.NEXT)
    def get(self, event: Get) -> Step[Events]:
        return stay().reply(self.expected)


@virtual
async def test_next_events() -> None:
    """Several injected events come in the order injected, and before one that waits in the mailbox."""
    async with running(Supervisor()) as system:
        ref = await start(system, NextEvents)
        ref.tell(NextEvents.event, Go())
        assert await ref.ask(NextEvents.event, Get()) == []
        assert await halt(ref) == Normal()


# --- stop -------------------------------------------------------------------------------------------------------------


@virtual
async def test_stop1() -> None:
    """A stop ends it Normal, and has returned when it is over; a second stop finds nobody. Changed: see `halt`."""
    async with running(Supervisor()) as system:
        ref = await start(system, Line)
        assert await halt(ref) == Normal()
        assert not ref.is_alive
        assert (await fails(halt(ref), Gone)).reason == NoProc()


@virtual
async def test_stop2() -> None:
    """A stop ends it for the reason that is given. Changed: see `halt`."""
    async with running(Supervisor()) as system:
        ref = await start(system, Line)
        assert await halt(ref, Shutdown("other reason"), INFINITY) == Shutdown("other reason")
        assert not ref.is_alive


@virtual
async def test_stop3() -> None:
    """A stop with a time that is none fails, and stops nobody. Changed: see `halt`; the time is the ask's deadline."""
    async with running(Supervisor()) as system:
        ref = await start(system, Line)
        with pytest.raises(TypeError):
            await ref.within(odd).ask(Actor.stop, Shutdown("other reason"))
        assert await ref.ask(Line.event, Alive()) == "yes"
        assert await halt(ref) == Normal()


@virtual
async def test_stop4() -> None:
    """A machine is stopped by its name, which then leads to nobody. Changed: the name leads to its Ref."""
    async with running(Supervisor()) as system:
        ref = await start(system, lambda: Line(name=Line.NAME))
        named = system.find(Line.NAME)
        assert named is not None
        assert await halt(named) == Normal()
        assert not ref.is_alive
        assert system.find(Line.NAME) is None


# --- abnormal ---------------------------------------------------------------------------------------------------------


@virtual
async def test_abnormal1() -> None:
    """An answer may take its time, up to the deadline of its ask. Changed: meanwhile the machine goes on."""
    async with running(Supervisor()) as system:
        ref = await start(system, lambda: Line(name=Line.NAME))
        assert await ref.within(2.0).ask(Line.event, Delayed(0.1)) == "delayed"
        late = ref.within(0.1).ask(Line.event, Delayed(2.0))
        assert await ref.ask(Line.event, Alive()) == "yes"
        await fails(late, AskTimeout)
        assert await halt(ref) == Normal()


async def a_late_answer_is_dropped(seconds: float) -> None:
    """Let an answer come `seconds` after its ask has given up, and find nobody harmed."""
    harm: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: harm.append(context))
    async with running(Supervisor()) as system:
        ref = await start(system, lambda: Line(name=Line.NAME))
        assert await ref.within(0.1).ask(Line.event, Delayed(0.001)) == "delayed"
        await fails(ref.within(0.01).ask(Line.event, Delayed(0.01 + seconds)), AskTimeout)
        await asyncio.sleep(1.1)
        assert await ref.ask(Line.event, Alive()) == "yes"
        assert await halt(ref) == Normal()
        gc.collect()
        assert harm == []


@virtual
async def test_abnormal1clean() -> None:
    """An answer that comes after its deadline is dropped. Changed: there is one kind of deadline."""
    await a_late_answer_is_dropped(1.0)


@virtual
async def test_abnormal1dirty() -> None:
    """An answer that comes just after its deadline is dropped. Changed: there is one kind of deadline."""
    await a_late_answer_is_dropped(0.001)


async def crash_of(what: object) -> Crash:
    """Have a machine do something that it should not, and return its crash."""
    async with running(Supervisor()) as system:
        ref = await start(system, Line)
        gone = await fails(ref.ask(Line.event, Odd(what)), Gone)
        assert not ref.is_alive
        assert isinstance(gone.reason, Crash)
        return gone.reason


@virtual
async def test_abnormal2() -> None:
    """A handler that returns no Step is a crash that says so. Changed: mypy refuses it first."""
    for what in ("badreturn", None):
        crash = await crash_of(what)
        assert isinstance(crash.error, TypeError)
        assert f"a handler returns a Step, not {what!r}" in str(crash.error)


@virtual
async def test_abnormal3() -> None:
    """A wish that no Step has is a crash. Changed: mypy refuses it first."""
    assert isinstance((await crash_of(lambda: odd.badaction())).error, AttributeError)
    assert isinstance((await crash_of(lambda: operator.methodcaller("badaction")(stay()))).error, AttributeError)


@virtual
async def test_abnormal4() -> None:
    """A timer with a time that is none is a crash. Changed: mypy refuses it first."""
    for wish in (stay().timer("4711", odd), stay().after(odd), stay().idle(odd)):
        assert isinstance((await crash_of(wish)).error, TypeError)


# --- states, events and time ------------------------------------------------------------------------------------------


@virtual
async def test_shutdown() -> None:
    """A machine that stops with a detail answers first; then it is gone, and nothing else comes of it."""
    recorder = Recorder()
    async with running(Supervisor(), hook=recorder) as system:
        ref = await start(system, Line)
        await func_test(ref)
        await sync_func_test(ref)
        await stop_it(ref, Shutdown("reason"))
        await asyncio.sleep(0.5)
        assert recorder.exits() == {"stm": Shutdown("reason")}


class StopAndReply(Statem[Events]):
    """Is asked, and answers when it stops."""

    first = Events.START

    @on(Go, Events.START, to=Events.NEXT)
    def go(self, event: Go) -> Step[Events]:
        self.owed = asyncio.get_running_loop().create_future()
        return goto(Events.NEXT).reply(self.owed)

    @on(StopFor, Events.NEXT, to=END)
    def stop_and_reply(self, event: StopFor) -> Step[Events]:
        self.owed.set_result("reply1")
        return stop(event.reason).reply("reply2")


@virtual
async def test_stop_and_reply() -> None:
    """What a machine owes and what it is asked last it answers before it ends. Changed: what it owes is a future."""
    async with running(Supervisor()) as system:
        ref = await start(system, StopAndReply)
        order: list[str] = []
        first, second = ref.ask(StopAndReply.event, Go()), ref.ask(StopAndReply.event, StopFor(Shutdown("reason")))
        down = ref.down()
        for reply in (first, second):
            reply.add_done_callback(lambda _: order.append("reply"))
        down.add_done_callback(lambda _: order.append("down"))
        assert (await first, await second, await down) == ("reply1", "reply2", Shutdown("reason"))
        await asyncio.sleep(0)
        assert order == ["reply", "reply", "down"]
        assert (await fails(ref.ask(StopAndReply.event, Go()), Gone)).reason == NoProc()


@dataclass(frozen=True)
class Again:
    """Repeat the state."""


@dataclass(frozen=True)
class Keep:
    """Keep the state."""


class Entering(Statem[Events]):
    """Notes down every event, and numbers them."""

    first = Events.START

    def __init__(self) -> None:
        self.n = 0
        self.heard: list[tuple[int, str]] = []

    def read(self) -> list[tuple[int, str]]:
        heard, self.heard = self.heard, []
        return heard

    def note(self, word: str) -> int:
        self.n += 1
        self.heard.append((self.n, word))
        return self.n

    @enter(Events.START)
    def enter_start(self) -> Step[Events]:
        self.note("enter start")
        return stay()

    @enter(Events.NEXT)
    def enter_next(self) -> Step[Events]:
        self.note("enter next")
        return stay().idle(0).after(0)

    @on(EventTimeout, Events.NEXT)
    def idle(self, event: EventTimeout) -> Step[Events]:
        self.note("event timeout")
        return stay()

    @on(StateTimeout, Events.NEXT)
    def timeout(self, event: StateTimeout) -> Step[Events]:
        self.note("state timeout")
        return stay()

    @on(Go, Events.START, to=Events.NEXT)
    def go(self, event: Go) -> Step[Events]:
        return goto(Events.NEXT).reply(self.note("go"))

    @on(Go, Events.NEXT, to=Events.START)
    def go_back(self, event: Go) -> Step[Events]:
        return goto(Events.START).next(Internal("back")).reply(self.note("go back"))

    @on(Internal, Events.START)
    def internal(self, event: Internal) -> Step[Events]:
        self.note("internal")
        return stay()

    @on(Again, *Events)
    def again(self, event: Again) -> Step[Events]:
        return repeat().reply(self.note("again"))

    @on(Keep, *Events)
    def keep(self, event: Keep) -> Step[Events]:
        return stay().reply(self.note("keep"))

    @on(StopFor, Events.START, to=END)
    def stop_for(self, event: StopFor) -> Step[Events]:
        return stop(event.reason).reply(self.note("stop"))


@virtual
async def test_state_enter() -> None:
    """The enter handler runs at the start, on a change and on repeat, not on stay, before any event; it sets timers.

    Changed: it stays or stops; to go on from there it injects an event.
    """
    async with running(Supervisor()) as system:
        ref = await start(system, Entering)

        async def after(event: object) -> list[tuple[int, str]]:
            await ref.ask(Entering.event, event)
            return await ref.ask(Entering.read)

        assert await ref.ask(Entering.read) == [(1, "enter start")]
        assert await after(Go()) == [(2, "go"), (3, "enter next"), (4, "event timeout"), (5, "state timeout")]
        assert await after(Again()) == [(6, "again"), (7, "enter next"), (8, "event timeout"), (9, "state timeout")]
        assert await after(Go()) == [(10, "go back"), (11, "enter start"), (12, "internal")]
        assert await after(Again()) == [(13, "again"), (14, "enter start")]
        assert await after(Keep()) == [(15, "keep")]
        down = ref.down()
        assert await ref.ask(Entering.event, StopFor(Shutdown("bye"))) == 16
        assert await down == Shutdown("bye")


class Order(Enum):
    """Three states."""

    START = auto()
    BUFFER = auto()
    STOP = auto()


class EventOrder(Statem[Order]):
    """Postpones words until it buffers them."""

    first = Order.START

    def __init__(self, heard: list[object]) -> None:
        self.heard = heard

    @on(Internal, Order.START)
    def too_early(self, event: Internal) -> Step[Order]:
        return postpone()

    @on(Go, Order.START, to=Order.BUFFER)
    def go(self, event: Go) -> Step[Order]:
        return goto(Order.BUFFER).next(Internal("ok3")).next(Internal("ok4")).idle(0).reply("ok")

    @on(Internal, Order.BUFFER)
    def buffer(self, event: Internal) -> Step[Order]:
        self.heard.append(event.word)
        return stay()

    @on(EventTimeout, Order.BUFFER)
    def timeout(self, event: EventTimeout) -> Step[Order]:
        self.heard.append("the events before it cancel it")
        return stay()

    @on(StopFor, Order.BUFFER, to=Order.STOP)
    def stop_for(self, event: StopFor) -> Step[Order]:
        return goto(Order.STOP).next(event).next(Internal("too late")).reply("ok")

    @on(StopFor, Order.STOP, to=END)
    def stopped(self, event: StopFor) -> Step[Order]:
        return stop(event.reason)


@virtual
async def test_event_order() -> None:
    """Injected events come first, then those postponed, in order; an event timeout of 0 only when there are none.

    None comes after a stop.
    """
    heard: list[object] = []
    async with running(Supervisor()) as system:
        ref = await start(system, lambda: EventOrder(heard))
        down = ref.down()
        ref.tell(EventOrder.event, Internal("ok1"))
        ref.tell(EventOrder.event, Internal("ok2"))
        assert await ref.ask(EventOrder.event, Go()) == "ok"
        assert await ref.ask(EventOrder.event, StopFor(Shutdown("reason"))) == "ok"
        assert await down == Shutdown("reason")
    assert heard == ["ok3", "ok4", "ok1", "ok2"]


class Steps(Enum):
    """One after the other."""

    START = auto()
    S1 = auto()
    S2 = auto()
    S3 = auto()


@dataclass(frozen=True)
class Message:
    """From outside."""


@dataclass(frozen=True)
class Check:
    """Answered when it stops."""


class StateTimeouts(Statem[Steps]):
    """Sets timeouts that must not come, and others that must; `data` counts those that did."""

    first = Steps.START

    def __init__(self) -> None:
        self.data = 0

    @on(Go, Steps.START, to=Steps.S1)
    def go(self, event: Go) -> Step[Steps]:
        self.seconds, self.owed = event.seconds, asyncio.get_running_loop().create_future()
        self.ref.tell(StateTimeouts.event, Message())
        step: Step[Steps] = goto(Steps.S1).idle(event.seconds).after(event.seconds)
        return step.next(Internal(1)).reply(self.owed)  # internal events go before external ones

    @on(Internal, Steps.S1, to=Steps.S2)
    def change(self, event: Internal) -> Step[Steps]:
        return goto(Steps.S2).idle(0).after(0).next(Internal(2))  # a change of state cancels the first timeout

    @on(Internal, Steps.S2)
    def injected(self, event: Internal) -> Step[Steps]:
        self.data += 1
        assert self.data == 1
        return stay().idle(0)  # the state timeout that waits already cancels this one

    @on(StateTimeout, Steps.S2, to=Steps.S3)
    def state_timeout(self, event: StateTimeout) -> Step[Steps]:
        self.data += 1
        assert self.data in (2, 4)
        if self.data == 2:
            return stay().idle(0).after(0)  # in this order
        self.owed.set_result("ok")
        return goto(Steps.S3).after(self.seconds)

    @on(EventTimeout, Steps.S2)
    def event_timeout(self, event: EventTimeout) -> Step[Steps]:
        self.data += 1
        assert self.data == 3
        return stay().after(0).idle(0)  # set again, the state timeout comes last of the events, and cancels the other

    @on(Message, Steps.S3)
    def message(self, event: Message) -> Step[Steps]:
        self.data += 1
        assert self.data == 5
        return stay()

    @on(Check, Steps.S3)
    def check(self, event: Check) -> Step[Steps]:
        assert self.data == 5
        self.owed = asyncio.get_running_loop().create_future()
        return stay().reply(self.owed)

    @on(StateTimeout, Steps.S3, to=END)
    def over(self, event: StateTimeout) -> Step[Steps]:
        self.owed.set_result("ok")
        return stop()


class Leaving(Statem[Events]):
    """Has half a second for its first state."""

    first = Events.START

    def __init__(self) -> None:
        self.heard: list[tuple[Events, float]] = []

    @enter(Events.START)
    def begin(self) -> Step[Events]:
        return stay().after(0.5)

    @on(Go, Events.START, to=Events.NEXT)
    def leave(self, event: Go) -> Step[Events]:
        return goto(Events.NEXT).reply(self.heard)

    @on(Go, Events.NEXT, to=Events.START)
    def come_back(self, event: Go) -> Step[Events]:
        return goto(Events.START)

    @on(Keep, Events.START)
    def keep(self, event: Keep) -> Step[Events]:
        return goto(Events.START)

    @on(StateTimeout, *Events)
    def timeout(self, event: StateTimeout) -> Step[Events]:
        self.heard.append((self.state, round(now(), 3)))
        return stay()


@virtual
async def test_state_timeout() -> None:
    """A state timeout dies with its state, an event timeout at any event; of 0 they come in order, first."""
    async with running(Supervisor()) as system:
        leaving = await start(system, Leaving)
        await asyncio.sleep(0.25)
        assert await leaving.ask(Leaving.event, Go()) == []
        await asyncio.sleep(1.75)
        await leaving.ask(Leaving.event, Go())
        await asyncio.sleep(0.25)
        await leaving.ask(Leaving.event, Keep())  # the same state again is no change
        await asyncio.sleep(1.0)
        assert await leaving.ask(Leaving.event, Go()) == [(Events.START, 2.5)]

    async with running(Supervisor()) as system:
        began_at = now()
        ref = await start(system, StateTimeouts)
        down = ref.down()
        assert await ref.ask(StateTimeouts.event, Go(0.5)) == "ok"
        assert now() == began_at
        assert await ref.ask(StateTimeouts.event, Check()) == "ok"
        assert now() - began_at == pytest.approx(0.5)
        assert await down == Normal()


class CancelAndUpdate(Statem[Steps]):
    """Cancels timeouts and sets them anew."""

    first = Steps.START

    @on(Go, Steps.START, to=Steps.S1)
    def go(self, event: Go) -> Step[Steps]:
        self.owed = asyncio.get_running_loop().create_future()
        self.ref.tell(CancelAndUpdate.event, Message())
        return goto(Steps.S1).after(17).next(Internal(1)).reply(self.owed)

    @on(Internal, Steps.S1)
    def cancel_it(self, event: Internal) -> Step[Steps]:
        return stay().after(INFINITY).timer("a", 17)

    @on(Message, Steps.S1)
    def update(self, event: Message) -> Step[Steps]:
        return stay().timer("a", 0)

    @on(TimerRang, Steps.S1, to=Steps.S2)
    def rang(self, event: TimerRang) -> Step[Steps]:
        return goto(Steps.S2).after(17).next(Internal(2))

    @on(Internal, Steps.S2)
    def update_again(self, event: Internal) -> Step[Steps]:
        return stay().after(0.5).idle(17)

    @on(StateTimeout, Steps.S2, to=Steps.S3)
    def over(self, event: StateTimeout) -> Step[Steps]:
        self.owed.set_result("ok")
        return goto(Steps.S3).idle(17_000)

    @on(StopFor, Steps.S3, to=END)
    def stop_for(self, event: StopFor) -> Step[Steps]:
        return stop().reply("ok")


@virtual
async def test_timeout_cancel_and_update() -> None:
    """A timeout is cancelled, or set to another time; the last one counts. Changed: it has no content to update."""
    async with running(Supervisor()) as system:
        ref = await start(system, CancelAndUpdate)
        assert await ref.ask(CancelAndUpdate.event, Go()) == "ok"
        assert now() == pytest.approx(0.5)
        assert list((await ref.ask(vars))["_timers"]) == [EventTimeout()]
        down = ref.down()
        assert await ref.ask(CancelAndUpdate.event, StopFor()) == "ok"
        assert await down == Normal()
        await asyncio.sleep(20_000)
        assert not ref.is_alive


class EventTypes(Statem[Order]):
    """Gives itself one event of every type."""

    first = Order.START

    @enter(Order.START)
    def begin(self) -> Step[Order]:
        self.heard: list[object] = []
        return stay().next(Internal(0))

    @on(Internal, Order.START, to=Order.BUFFER)
    def begun(self, event: Internal) -> Step[Order]:
        return goto(Order.BUFFER)

    @on(Get, Order.BUFFER, to=Order.STOP)
    def get(self, event: Get) -> Step[Order]:
        step: Step[Order] = goto(Order.STOP).reply(self.heard)
        for one in (Internal(1), StateTimeout(), EventTimeout(), Message(), Keep(), TimerRang("6"), event):
            step.next(one)
        return step

    @on(object, Order.STOP)
    def note(self, event: object) -> Step[Order]:
        self.heard.append(event)
        return stay()


@virtual
async def test_event_types() -> None:
    """Events of every type can be injected, those of time too, and come in order. Changed: a type is a class."""
    async with running(Supervisor()) as system:
        ref = await start(system, EventTypes)
        heard = await ref.ask(EventTypes.event, Get())
        assert heard == [Internal(1), StateTimeout(), EventTimeout(), Message(), Keep(), TimerRang("6"), Get()]


class Five(Enum):
    """One more."""

    START = auto()
    S1 = auto()
    S2 = auto()
    S3 = auto()
    S4 = auto()


class Timers(Statem[Five]):
    """Sets named timers, and sets them again in another state."""

    first = Five.START

    @on(Go, Five.START, to=Five.S1)
    def go(self, event: Go) -> Step[Five]:
        self.owed = asyncio.get_running_loop().create_future()
        self.began_at = now()
        return goto(Five.S1).timer("a", 1.5).after(1.5).timer("b", 1.0).next(event).reply(self.owed)

    @on(Go, Five.S1, to=Five.S2)
    def reset(self, event: Go) -> Step[Five]:
        moment = At(now() + 0.5)
        step: Step[Five] = goto(Five.S2).timer("c", moment).timer("d", 0).idle(0)
        return step.timer("b", INFINITY).timer("a", 1.0)

    @on(TimerRang, Five.S2, to=Five.S3)
    def first_to_ring(self, event: TimerRang) -> Step[Five]:
        assert (event.name, round(now() - self.began_at, 3)) == ("d", 0.0)
        return goto(Five.S3)

    @on(TimerRang, Five.S3, to=Five.S4)
    def second(self, event: TimerRang) -> Step[Five]:
        assert (event.name, round(now() - self.began_at, 3)) == ("c", 0.5)
        return goto(Five.S4)

    @on(TimerRang, Five.S4, to=END)
    def third(self, event: TimerRang) -> Step[Five]:
        assert (event.name, round(now() - self.began_at, 3)) == ("a", 1.0)
        self.owed.set_result("stopped")
        return stop(Shutdown())


@virtual
async def test_generic_timers() -> None:
    """Named timers live across states, ring at their moment, are set anew and cancelled; one of 0 rings first."""
    async with running(Supervisor()) as system:
        await asyncio.sleep(10.0)  # so that a moment is not a number of seconds from now
        ref = await start(system, Timers)
        down = ref.down()
        assert await ref.ask(Timers.event, Go()) == "stopped"
        assert await down == Shutdown()
        assert (await fails(ref.ask(Timers.event, Go()), Gone)).reason == NoProc()


# --- status and state -------------------------------------------------------------------------------------------------


SECRET = "4111 1111 1111 1111"
"""Somebody's card number, which nobody needs to read."""


class DiscreetLine(Line):
    """Its errors may quote people."""

    def redact(self, error: BaseException) -> BaseException:
        return (
            UnexpectedEvent("redacted", error.state) if isinstance(error, UnexpectedEvent) else ValueError("redacted")
        )


def told(recorder: Recorder, system: System) -> str:
    """Return all that anybody can read of a machine that has crashed: events, reports and the census."""
    events = recorder.of(ChildExited, "stm")
    return "\n".join([*map(str, events), *map(report, events), repr(system.census()), str(system.census())])


@virtual
async def test_call_format_status() -> None:
    """What anybody can see of a living machine is what it wants seen. Changed: the census, which has no state."""
    async with running(Supervisor([Child(lambda: Line(SECRET, Line.NAME), id="stm")])) as system:
        system.ref("stm", Line).tell(Line.event, SECRET)
        census = repr(system.census()) + str(system.census())
        assert "Line running" in census
        assert SECRET not in census


@virtual
async def test_error_format_status() -> None:
    """A crash over an event is told without it, and with its state. Changed: the hook is `redact`."""
    recorder = Recorder()
    async with running(Supervisor([Child(DiscreetLine, id="stm")]), hook=recorder) as system:
        gone = await fails(system.ref("stm", Line).ask(Line.event, SECRET), Gone)
        assert isinstance(gone.__cause__, UnexpectedEvent)
        assert gone.__cause__.event == SECRET
        assert "UnexpectedEvent: 'redacted' in IDLE" in told(recorder, system)
        assert SECRET not in told(recorder, system)


class ClumsyLine(DiscreetLine):
    """Crashes when it ends."""

    def terminate(self, reason: Exit) -> None:
        raise ValueError(SECRET)


@virtual
async def test_terminate_crash_format() -> None:
    """A crash in `terminate` is told as its machine wants it told, too. Changed: the hook is `redact`."""
    recorder = Recorder()
    async with running(Supervisor([Child(ClumsyLine, id="stm", restart=Restart.TRANSIENT)]), hook=recorder) as system:
        ref = system.ref("stm", Line)
        down = ref.down()
        assert await ref.ask(Line.event, StopFor()) == "stopped"
        assert isinstance(await down, Crash)
        assert "ValueError: redacted" in told(recorder, system)
        assert SECRET not in told(recorder, system)


@virtual
async def test_format_all_status() -> None:
    """Neither what is postponed nor what is timed is told of, living or crashed. Changed: they are in no report."""
    recorder = Recorder()
    async with running(Supervisor([Child(DiscreetLine, id="stm")], intensity=9), hook=recorder) as system:
        ref = system.ref("stm", Line)
        await ref.ask(Line.event, Connect())
        postponed = ref.ask(Line.event, Ping(4711))
        await ref.ask(setattr, "data", SECRET)
        assert "4711" not in told(recorder, system)
        await fails(ref.ask(Line.event, SECRET), Gone)
        await fails(postponed, Gone)
        assert "4711" not in told(recorder, system)
        assert SECRET not in told(recorder, system)


def seen(machine: Line) -> tuple[St, object]:
    """What there is to see of a machine."""
    return machine.state, machine.data


@virtual
async def test_get_state() -> None:
    """State and data of a living machine can be read, by Ref and by name. Changed: by a function sent as a message."""
    async with running(Supervisor()) as system:
        data = object()
        ref = await start(system, lambda: Line(data, Line.NAME))
        assert await ref.ask(seen) == (St.IDLE, data)
        named = system.find(Line.NAME)
        assert named is not None
        assert await named.within(5.0).ask(seen) == (St.IDLE, data)


@virtual
async def test_replace_state() -> None:
    """State and data of a living machine can be replaced. Changed: by a function sent as a message; one that raises
    crashes the machine, whose next life begins afresh."""
    async with running(Supervisor([Child(Line, id="stm")])) as system:
        ref = system.ref("stm", Line)
        await ref.ask(setattr, "data", "replaced")
        assert await ref.ask(seen) == (St.IDLE, "replaced")

        def replace(machine: Line, data: object) -> tuple[St, object]:
            machine.state, machine.data = St.CONNECTED, data
            return seen(machine)

        assert await ref.within(5.0).ask(replace, "replaced again") == (St.CONNECTED, "replaced again")
        assert await ref.ask(Line.event, Msg(1)) == ("ack", 1)
        await fails(ref.ask(lambda machine: replace(machine, odd.fail())), Gone)
        assert await ref.ask(seen) == (St.IDLE, "data")


# --- hibernation, and what is missing ---------------------------------------------------------------------------------


def is_at_rest(ref: Ref[Actor]) -> bool:
    """Return whether an actor has neither a mailbox nor a task."""
    return ref._box is None and not [task for task in asyncio.all_tasks() if task.get_name().startswith(ref.path)]


@virtual
async def test_hibernate() -> None:
    """A machine with nothing to do is at rest, from its start, and wakes at each event. Changed: nobody tells it to."""
    async with running(Supervisor()) as system:
        ref = await start(system, Line)
        assert is_at_rest(ref)
        for event in (Alive(), Connect(), Confirm(), Msg(1)):
            answer = ref.ask(Line.event, event)
            assert not is_at_rest(ref)
            await answer
            await asyncio.sleep(0)
            assert is_at_rest(ref)
        await stop_it(ref)


@virtual
async def test_auto_hibernate() -> None:
    """After an answer, a tell and a timeout a machine is at rest again; it is while a timer runs. Changed: at once."""
    async with running(Supervisor()) as system:
        ref = await start(system, Line)
        waited = ref.ask(Line.event, Wait(10.0))
        await asyncio.sleep(1.0)
        assert is_at_rest(ref)  # though a timer runs
        ref.tell(Line.event, Alive())
        assert not is_at_rest(ref)
        await asyncio.sleep(1.0)
        assert is_at_rest(ref)
        await fails(waited, AskTimeout)
        await asyncio.sleep(10.0)
        assert is_at_rest(ref)
        await stop_it(ref)


class Prepared(Line):
    """Prepares itself before its machine begins, which may take a second."""

    async def init(self) -> None:  # type: ignore[override] # both kinds of init are fine
        await asyncio.sleep(1.0)
        self.heard.append("prepared")
        super().init()


@virtual
async def test_enter_loop() -> None:
    """A machine is entered after an init of its own, with a name or without; not under one that is another's.

    Changed: the init calls the machine's.
    """
    async with running(Supervisor()) as system:
        ref = await start(system, lambda: Prepared(name=Line.NAME))
        assert now() == pytest.approx(1.0)
        assert system.find(Line.NAME) is ref
        assert await ref.ask(Line.event, Alive()) == "yes"
        assert await ref.ask(Line.read) == ["prepared", "yes"]
        failed = await fails(start(system, lambda: Prepared(name=Line.NAME), "second"), StartFailed)
        assert isinstance(failed.__cause__, NameTaken)
        await stop_it(ref)

        anonymous = await start(system, Prepared)
        down = anonymous.down()
        await system.root.ask(Supervisor.terminate_child, "stm")
        assert await down == Shutdown()  # its supervisor stops it as any child


@virtual
async def test_undef_terminate1() -> None:
    """A machine without a terminate of its own stops Normal."""
    async with running(Supervisor()) as system:
        assert await halt(await start(system, Line)) == Normal()


@virtual
async def test_undef_terminate2() -> None:
    """A machine without a terminate of its own stops for the reason that is given."""
    async with running(Supervisor()) as system:
        assert await halt(await start(system, Line), Shutdown("test"), INFINITY) == Shutdown("test")


@virtual
async def test_undef_in_terminate() -> None:
    """A terminate that calls what there is not is a crash, and not taken for one that is missing."""

    class Calling(Line):
        def terminate(self, reason: Exit) -> None:
            odd.terminate()

    async with running(Supervisor()) as system:
        reason = await halt(await start(system, Calling))
        assert isinstance(reason, Crash)
        assert isinstance(reason.error, AttributeError)


# --- reports and requests ---------------------------------------------------------------------------------------------


async def report_of(event: object) -> ChildExited:
    """Return the event of a machine's crash over `event`."""
    recorder = Recorder()
    async with running(Supervisor([Child(Line, id="stm")]), hook=recorder) as system:
        await fails(system.ref("stm", Line).ask(Line.event, event), Gone)
        return await recorder.until(ChildExited, "stm")


@virtual
async def test_format_log_1() -> None:
    """A report has fields for who, why, in which state and where, and shows as much of the error as it is told to.

    Changed: its fields are those of a supervisor's report; data, queue and timers are not in it.
    """
    event = await report_of("hej")
    assert (event.path, event.during) == ("stm", "Statem.event")
    assert "reason: UnexpectedEvent(\"'hej' in IDLE\"); offender: stm; during: Statem.event" in report(event)
    assert "hej" not in report(event, depth=0)


@virtual
async def test_format_log_2() -> None:
    """The text of a report is in one line or in several, and no longer than it may be. Changed: see the table."""
    event = await report_of("several\nlines " + "x" * 10_000)
    assert len(report(event, lines=True).splitlines()) == 5
    assert "\n" not in report(event)
    assert len(report(event)) <= 1000
    assert len(report(event, limit=200)) <= 200
    assert len(str(event)) < 1000


@virtual
async def test_reply_by_alias_with_payload() -> None:
    """An answer to a postponed event that comes after its deadline goes nowhere. Changed: it goes to a future."""
    harm: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: harm.append(context))
    async with running(Supervisor()) as system:
        ref = await start(system, Line)
        await ref.ask(Line.event, Connect())
        await fails(ref.within(0.1).ask(Line.event, Ping(1)), AskTimeout)
        await ref.ask(Line.event, Confirm())
        assert await ref.ask(Line.read) == ["accept", ("pong", 1)]
        gc.collect()
        assert harm == []


async def three(system: System) -> list[Ref[Line]]:
    """Start three machines."""
    return [await start(system, Line, id) for id in ("first", "second", "third")]


@virtual
async def test_send_request_receive_reqid_collection() -> None:
    """Answers of a collection are received as they come, up to a deadline. Changed: it is a collection of futures."""
    async with running(Supervisor()) as system:
        first, second, third = await three(system)
        other = first.ask(Line.event, Alive())
        asks = [ref.ask(Line.event, Delayed(s)) for ref, s in ((first, 0.4), (second, 0.001), (third, 0.2))]
        assert [(await answer, round(now(), 1)) for answer in asyncio.as_completed(asks)] == [
            ("delayed", 0.0),
            ("delayed", 0.2),
            ("delayed", 0.4),
        ]
        asks = [ref.ask(Line.event, Delayed(s)) for ref, s in ((first, 1.0), (second, 0.001), (third, 0.5))]
        done, late = await asyncio.wait(asks, timeout=0.1)
        assert (done, late) == ({asks[1]}, {asks[0], asks[2]})
        for ask in late:
            ask.cancel()
        await halt(second)
        asks = [ref.ask(Line.event, Delayed(0.2)) for ref in (second, third)]
        assert (await fails(next(iter(asyncio.as_completed(asks))), Gone)).reason == NoProc()
        assert (await asks[1], await other) == ("delayed", "yes")


@virtual
async def test_send_request_wait_reqid_collection() -> None:
    """Answers of a collection that are missing at a deadline can be waited for again. Changed: as above."""
    async with running(Supervisor()) as system:
        first, second, third = await three(system)
        asks = [ref.ask(Line.event, Delayed(s)) for ref, s in ((first, 1.0), (second, 0.001), (third, 0.5))]
        order: list[int] = []
        waiting = set(asks)
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=0.3, return_when=asyncio.FIRST_COMPLETED)
            order += [asks.index(one) for one in done]
        assert order == [1, 2, 0]


@virtual
async def test_send_request_check_reqid_collection() -> None:
    """Whoever waits for something else learns which request an answer belongs to. Changed: each future calls back."""
    async with running(Supervisor()) as system:
        first, second, third = await three(system)
        asks = [ref.ask(Line.event, Delayed(s)) for ref, s in ((first, 0.4), (second, 0.001), (third, 0.2))]
        arrived: list[int] = []
        for ask in asks:
            ask.add_done_callback(lambda ask: arrived.append(asks.index(ask)))
        assert await first.ask(Line.event, Alive()) == "yes"
        assert arrived == []
        await asyncio.sleep(1.0)
        assert arrived == [1, 2, 0]
