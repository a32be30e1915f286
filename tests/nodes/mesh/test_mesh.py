"""Asking and telling over real sockets: what arrives, in which order, and what the asker learns when it does not."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import zmq

from nodes.links.errors import AskTimeout, PeerGone, Refused
from nodes.links.roster import NOBODY, Peer, Roster, State, make_identity
from nodes.mesh import line, outbox, serving
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.errors import LocalProtocolError
from protocols.wire import codec
from protocols.wire.envelope import VERSION, Act, Envelope, Frame
from protocols.wire.heirs import KeepRecord
from protocols.wire.ids import CallId, ChannelId, Identity, ScriptHash
from protocols.wire.messages import (
    CallAccepted,
    Channel,
    Deafen,
    Done,
    EndCall,
    GetStatus,
    OpenChannel,
    Part,
    PlaceCall,
    Playing,
    Prompt,
    Render,
    SetChannel,
    Status,
)  # fmt: skip

A, B, CLI = (make_identity("n1", name, "1") for name in ("a", "b", "cli"))
Start = Callable[[Identity], Awaitable[Mesh]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start a mesh that is closed after the test."""
    started: list[Mesh] = []

    async def start(identity: Identity, endpoint: str | None = None) -> Mesh:
        default = f"ipc://{tmp_path}/{identity.partition('.')[2]}"
        started.append(await Mesh.start(identity, default if endpoint is None else endpoint))
        return started[-1]

    yield start
    for mesh in started:
        await mesh.close()


def roster_of(*meshes: Mesh) -> Roster:
    return Roster(1, tuple(Peer("any", m.identity, m.identity, m.endpoint, 1, State.ACTIVE) for m in meshes))


@pytest.fixture
async def pair(start: Start) -> tuple[Mesh, Mesh]:
    """Two processes that know each other."""
    a, b = await start(A), await start(B)
    for mesh in (a, b):
        mesh.roster(roster_of(a, b))
    return a, b


class Arrivals:
    """A handler that keeps what it gets, and lets a test wait for the next."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[object, Identity]] = asyncio.Queue()

    def __call__(self, message: object, sender: Identity) -> None:
        self.queue.put_nowait((message, sender))

    async def next(self, n: int = 1) -> list[object]:
        async with asyncio.timeout(60):
            return [(await self.queue.get())[0] for _ in range(n)]


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


# ---- asking -------------------------------------------------------------------------------------------------------


async def test_an_ask_returns_the_reply_of_a_plain_handler_and_of_an_async_one(pair):
    a, b = pair
    b.serve(GetStatus, lambda message, sender: Status("media", 7, {"calls": 3}))

    async def render(message: Render, sender: Identity) -> Prompt:
        await asyncio.sleep(0)
        return Prompt(sender, 20, "hello")

    b.serve(Render, render)
    assert await a.ask(B, GetStatus()) == Status("media", 7, {"calls": 3})
    assert await a.ask(B, Render(())) == Prompt(A, 20, "hello")


async def test_a_handler_with_nothing_to_say_may_return_none(pair):
    a, b = pair
    b.serve(EndCall, lambda message, sender: None)
    assert await a.ask(B, EndCall(CallId("c1"))) == Done()


async def test_a_refusal_reaches_the_asker_with_its_reason(pair):
    a, b = pair

    def full(message: OpenChannel, sender: Identity) -> None:
        raise Refused("no_port_free")

    b.serve(OpenChannel, full)
    with pytest.raises(Refused, match="no_port_free"):
        await a.ask(B, OpenChannel(ChannelId("ch"), A))


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_that_fails_is_answered_as_an_internal_error_and_the_next_ask_is_handled(pair, is_async):
    a, b = pair

    def fails(message: EndCall, sender: Identity) -> object:
        async def later() -> None:
            raise ZeroDivisionError

        if is_async and message.call_id == "bad":
            return later()
        return Done() if message.call_id == "good" else 1 / 0

    b.serve(EndCall, fails)
    with pytest.raises(Refused, match="internal_error"):
        await a.ask(B, EndCall(CallId("bad")))
    assert await a.ask(B, EndCall(CallId("good"))) == Done()


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_asker_is_told_when_what_the_handler_waits_for_is_cancelled(pair, is_async):
    a, b = pair
    promised = asyncio.get_running_loop().create_future()

    async def wait(order, sender):
        return await promised

    b.serve(GetStatus, wait if is_async else lambda order, sender: promised)
    asked = asyncio.ensure_future(a.ask(B, GetStatus()))
    b.serve(EndCall, lambda order, sender: promised.cancel() and None)
    await a.ask(B, EndCall(CallId("c")))
    with pytest.raises(Refused, match="cancelled"):
        await asked


async def test_what_a_handler_has_not_begun_when_its_mesh_is_closed_is_forgotten_without_a_word(pair):
    """What is left of a coroutine that nobody awaits is a warning, and so a failure here."""
    a, b = pair
    called = asyncio.Event()

    async def end(order: EndCall) -> None:
        raise AssertionError("it is closed in the turn in which it is called")

    def handler(order: EndCall, sender: Identity) -> Awaitable[None]:
        called.set()
        return end(order)

    b.serve(EndCall, handler)
    closing = asyncio.ensure_future(_close_when(called, b))
    a.tell(B, EndCall(CallId("c")))
    await closing


async def _close_when(called: asyncio.Event, mesh: Mesh) -> None:
    await called.wait()
    await mesh.close()


async def test_a_reply_of_the_wrong_class_is_the_handlers_error_and_not_the_askers(pair):
    a, b = pair
    b.serve(EndCall, lambda message, sender: Status("x", 1, {}))
    with pytest.raises(Refused, match="internal_error"):
        await a.ask(B, EndCall(CallId("c1")))


async def test_what_nobody_serves_is_refused_at_once(pair):
    a, _ = pair
    with pytest.raises(Refused, match="not_served"):
        await a.ask(B, GetStatus())


async def test_a_message_with_a_wrong_field_is_refused_and_never_reaches_the_handler(pair):
    a, b = pair
    arrivals = Arrivals()
    b.serve(EndCall, arrivals)
    with pytest.raises(Refused, match="bad_message"):
        await a.ask(B, EndCall(CallId(7)))  # type: ignore[arg-type]  # that is the point
    assert arrivals.queue.empty()


async def test_what_is_no_message_of_the_contract_is_our_own_error(pair):
    a, _ = pair
    with pytest.raises(LocalProtocolError, match="unknown_kind"):
        a.tell(B, object())


async def test_more_asks_than_may_be_handled_are_refused_as_busy(pair, monkeypatch):
    monkeypatch.setattr(serving, "MAX_HANDLING", 2)
    a, b = pair
    release = asyncio.Event()

    async def wait(message: EndCall, sender: Identity) -> Done:
        await release.wait()
        return Done()

    b.serve(EndCall, wait)
    async with asyncio.TaskGroup() as group:
        held = [group.create_task(a.ask(B, EndCall(CallId("held")))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="busy"):
            await a.ask(B, EndCall(CallId("too many")))
        release.set()
    assert [task.result() for task in held] == [Done(), Done()]


async def test_a_hundred_asks_at_once_each_get_their_own_reply(pair):
    a, b = pair

    async def echo(message: Render, sender: Identity) -> Prompt:
        await asyncio.sleep(0.001 * (hash(message.parts[0].text) % 5))  # replies overtake each other
        return Prompt(message.parts[0].text, 0, "")

    b.serve(Render, echo)
    texts = [f"t{n}" for n in range(100)]
    replies = await asyncio.gather(*(a.ask(B, Render((Part(text),))) for text in texts))
    assert [reply.prompt for reply in replies] == texts


async def test_the_trace_of_the_asker_is_the_trace_of_the_handler(pair):
    a, b = pair
    seen: list[str] = []

    async def look(message: EndCall, sender: Identity) -> Done:
        seen.append(logs.TRACE.get())
        return Done()

    b.serve(EndCall, look)
    b.serve(GetStatus, lambda message, sender: seen.append(logs.TRACE.get()) or Status("b", 1, {}))
    token = logs.TRACE.set("t-42")
    await a.ask(B, EndCall(CallId("c1")))
    await a.ask(B, GetStatus())
    logs.TRACE.reset(token)
    await a.ask(B, GetStatus())
    assert seen == ["t-42", "t-42", ""]


# ---- order --------------------------------------------------------------------------------------------------------


async def test_what_one_process_says_to_another_arrives_in_its_order_asks_tells_and_replies_alike(pair):
    a, b = pair
    order: list[str] = []
    b.serve(Deafen, lambda message, sender: order.append(message.channel_id))

    def place(message: PlaceCall, sender: Identity) -> object:
        order.append(message.attempt_id)
        b.tell(A, Deafen(ChannelId("before the reply")))
        return CallAccepted(message.call_id)

    b.serve(PlaceCall, place)
    told = Arrivals()
    a.serve(Deafen, told)
    for n in range(200):
        assert a.tell(B, Deafen(ChannelId(f"{n}")))
    await a.ask(B, PlaceCall("last", CallId("c"), "sip:x", b""))
    assert order == [*map(str, range(200)), "last"]
    assert told.queue.get_nowait()[0] == Deafen(ChannelId("before the reply"))


async def test_two_askers_and_the_same_message_number_do_not_mix_up(start):
    a, b, c = await start(A), await start(B), await start(make_identity("n1", "c", "1"))
    everybody = roster_of(a, b, c)
    for mesh in (a, b, c):
        mesh.roster(everybody)
    b.serve(Render, lambda message, sender: Prompt(sender, 0, ""))
    replies = await asyncio.gather(*(asker.ask(B, Render(())) for asker in (a, c) for _ in range(20)))
    assert [reply.prompt for reply in replies] == [A] * 20 + [c.identity] * 20


# ---- peers that are not there -------------------------------------------------------------------------------------


async def test_asking_or_telling_whom_the_roster_does_not_hold_fails_at_once(pair):
    a, _ = pair
    stranger = make_identity("n1", "stranger", "1")
    with pytest.raises(PeerGone):
        await a.ask(stranger, GetStatus())
    assert a.tell(stranger, Deafen(ChannelId("x"))) is False
    assert a.counts["peer_gone"] == 1


async def test_asks_in_flight_fail_at_once_when_the_roster_drops_the_peer(pair):
    a, b = pair
    asked = asyncio.Event()

    async def never(message: GetStatus, sender: Identity) -> Status:
        asked.set()
        return await asyncio.Future()

    b.serve(GetStatus, never)
    async with asyncio.TaskGroup() as group:
        ask = group.create_task(must_be_gone(a, timeout_s=60))
        await asked.wait()
        a.roster(roster_of(a))
        await ask


async def must_be_gone(mesh: Mesh, timeout_s: float) -> None:
    with pytest.raises(PeerGone):
        await mesh.ask(B, GetStatus(), timeout_s)


async def test_a_frame_of_a_process_that_has_left_is_dropped(pair):
    a, b = pair
    told = Arrivals()
    a.serve(Deafen, told)
    b.serve(GetStatus, lambda message, sender: Status("b", 1, {}))
    a.roster(roster_of(a))
    b.tell(A, Deafen(ChannelId("late")))
    await until(lambda: a.counts["late"])
    assert told.queue.empty()


async def test_a_process_that_comes_back_into_the_roster_is_heard_again(pair):
    a, b = pair
    b.serve(GetStatus, lambda message, sender: Status("b", 1, {}))
    a.roster(roster_of(a))
    a.roster(roster_of(a, b))
    assert (await a.ask(B, GetStatus())).role == "b"


async def test_an_endpoint_that_is_taken_is_an_error_and_leaves_nothing_open(start):
    a = await start(A, "tcp://127.0.0.1:*")
    with pytest.raises(zmq.ZMQError, match="in use"):
        await Mesh.start(B, a.endpoint)


async def test_a_successor_on_the_same_endpoint_does_not_get_what_was_meant_for_its_predecessor(start, tmp_path):
    endpoint = f"ipc://{tmp_path}/same"
    a, old = await start(A), await Mesh.start(B, endpoint)
    a.roster(roster_of(a, old))
    old.serve(GetStatus, lambda message, sender: Status("old", 1, {}))
    assert (await a.ask(B, GetStatus())).role == "old"
    await old.close()
    new = await start(make_identity("n1", "b", "2"), endpoint)
    new.serve(GetStatus, lambda message, sender: Status("new", 2, {}))
    with pytest.raises(AskTimeout):
        await a.ask(B, GetStatus(), timeout_s=0.3)  # the roster has not said it yet
    assert new.counts["misdirected"] == 1
    a.roster(roster_of(a, new))
    assert (await a.ask(new.identity, GetStatus())).role == "new"


# ---- guests -------------------------------------------------------------------------------------------------------


async def test_a_guest_is_answered_and_may_be_told_while_it_is_connected(start):
    b, cli = await start(B), await start(CLI, "")
    b.roster(roster_of(b))
    cli.roster(roster_of(b))
    told = Arrivals()
    cli.serve(Deafen, told)
    b.serve(GetStatus, lambda message, sender: Status(sender, 1, {}))
    assert await cli.ask(B, GetStatus()) == Status(CLI, 1, {})
    assert b.tell(CLI, Deafen(ChannelId("progress")))
    assert await told.next() == [Deafen(ChannelId("progress"))]
    await cli.close()
    await until(lambda: not b.tell(CLI, Deafen(ChannelId("are you there"))))


# ---- garbage and floods -------------------------------------------------------------------------------------------


async def test_garbage_is_counted_and_the_next_message_is_handled(start):
    b, cli = await start(B, "tcp://127.0.0.1:*"), await start(CLI, "")
    with zmq.Context() as context, context.socket(zmq.DEALER) as raw:
        raw.setsockopt(zmq.LINGER, 1000)
        raw.setsockopt(zmq.ROUTING_ID, b"n1.\xff\xfe not utf-8")
        raw.connect(b.endpoint)
        for bad in (b"", b"\xc1", b"\x95" * 50_000, bytes(1000), b"\x95\x01\xa1a\xa1b\xcb\x7f\xf0\0\0\0\0\0\0\x90"):
            raw.send(bad)
        raw.send_multipart([b"", b"two", b"parts"])
        b.serve(GetStatus, lambda message, sender: Status("alive", 1, {}))
        cli.roster(roster_of(b))
        while b.counts["malformed_frame"] < 6:
            assert (await cli.ask(B, GetStatus())).role == "alive"


async def test_a_frame_in_somebody_elses_name_is_dropped(start):
    b = await start(B, "tcp://127.0.0.1:*")
    arrivals = Arrivals()
    b.serve(Deafen, arrivals)
    tell = Envelope(Act.TELL, 0, "Deafen", 0.0, "", codec.encode(Deafen(ChannelId("x"))))
    with zmq.Context() as context, context.socket(zmq.DEALER) as raw:
        raw.setsockopt(zmq.LINGER, 1000)
        raw.setsockopt(zmq.ROUTING_ID, b"n1.mallory:1")
        raw.connect(b.endpoint)
        raw.send(codec.pack(Frame(VERSION, A, B, 0.0, (tell,))))
        await until(lambda: b.counts["misdirected"])
    assert arrivals.queue.empty()


async def test_a_reconnect_takes_over_from_the_connection_that_was_not_yet_noticed_dead(start):
    b = await start(B, "tcp://127.0.0.1:*")
    first, second = await start(CLI, ""), await start(CLI, "")
    b.serve(GetStatus, lambda message, sender: Status("b", 1, {}))
    for cli in (first, second):
        cli.roster(roster_of(b))
        assert (await cli.ask(B, GetStatus())).role == "b"


async def test_a_flood_does_not_keep_the_loop_from_its_other_work(pair):
    a, b = pair
    arrivals = Arrivals()
    b.serve(KeepRecord, arrivals)
    record = KeepRecord(CallId("c1"), 1, ScriptHash("s"), bytes(200))
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        sent = sum(a.tell(B, record) for _ in range(20_000))
        await arrivals.next(sent)
        ticking.cancel()
    assert turns >= sent // (line.DRAIN + outbox.BATCH), "somebody else had a turn after each drain"


async def test_a_peer_that_reads_nothing_fills_the_buffers_and_then_tells_are_refused_and_what_was_taken_arrives(
    start, monkeypatch
):
    monkeypatch.setitem(line._OPTIONS, zmq.SNDHWM, 4)
    monkeypatch.setitem(line._OPTIONS, zmq.RCVHWM, 4)
    a, b = await start(A), await start(B)
    a.roster(roster_of(a, b))
    arrivals = Arrivals()
    b.serve(KeepRecord, arrivals)
    n_taken = 0
    while a.tell(
        B, KeepRecord(CallId("c"), n_taken, ScriptHash("s"), bytes(60_000))
    ):  # b's loop, this one, reads nothing meanwhile
        n_taken += 1
    assert a.counts["buffer_full"] == 1
    with pytest.raises(Refused, match="buffer_full"):
        await a.ask(B, GetStatus())
    assert [record.revision for record in await arrivals.next(n_taken)] == list(range(n_taken))


# ---- other processes ----------------------------------------------------------------------------------------------

PEER = """
import asyncio, os, sys
from nodes.mesh.mesh import Mesh
from protocols.wire.messages import Deafen, GetStatus, Status

async def main(identity, endpoint):
    mesh = await Mesh.start(identity, endpoint)
    counts = {"told": 0, "asked": 0}
    def told(message, sender):
        counts["told"] += 1
    def asked(message, sender):
        counts["asked"] += 1
        return Status("peer", os.getpid(), counts)
    mesh.serve(Deafen, told)
    mesh.serve(GetStatus, asked)
    print(mesh.endpoint, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Another process, listening as B."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PEER, B, f"ipc://{tmp_path}/other", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    yield process, (await process.stdout.readline()).decode().strip()
    if process.returncode is None:
        process.kill()
    await process.wait()


def with_other(a: Mesh, endpoint: str) -> Roster:
    here = roster_of(a).processes
    return Roster(2, (*here, Peer("other", "b", B, endpoint, 1, State.ACTIVE)))


async def test_a_peer_that_is_killed_is_a_timeout_until_the_roster_says_it_is_gone(start, other):
    a, (process, endpoint) = await start(A), other
    a.roster(with_other(a, endpoint))
    assert (await a.ask(B, GetStatus())).pid == process.pid
    process.kill()
    await process.wait()
    with pytest.raises(AskTimeout):
        await a.ask(B, GetStatus(), timeout_s=0.05)
    async with asyncio.TaskGroup() as group:
        ask = group.create_task(must_be_gone(a, timeout_s=60))
        await asyncio.sleep(0)
        a.roster(roster_of(a))
        await ask
    with pytest.raises(PeerGone):
        await a.ask(B, GetStatus())


async def test_a_peer_that_hangs_times_out_and_does_not_begin_later_what_nobody_waits_for(start, other):
    a, (process, endpoint) = await start(A), other
    a.roster(with_other(a, endpoint))
    await a.ask(B, GetStatus())
    os.kill(process.pid, signal.SIGSTOP)
    asks = (a.ask(B, GetStatus(), timeout_s) for timeout_s in (*[0.05] * 10, 0.3))
    assert {type(outcome) for outcome in await asyncio.gather(*asks, return_exceptions=True)} == {AskTimeout}
    assert a.tell(B, Deafen(ChannelId("kept")))
    os.kill(process.pid, signal.SIGCONT)
    figures = (await a.ask(B, GetStatus())).figures
    assert figures["told"] == 1
    assert figures["asked"] in (2, 3), "the first, the last, and perhaps the one that has only just expired"


async def test_closing_ends_handlers_under_way_and_fails_the_asks_that_wait(start, pair):
    a, b = pair
    entered, ended = asyncio.Event(), asyncio.Event()

    async def never(message: GetStatus, sender: Identity) -> Status:
        entered.set()
        try:
            return await asyncio.Future()
        finally:
            ended.set()

    b.serve(GetStatus, never)
    async with asyncio.TaskGroup() as group:
        group.create_task(must_be_gone(a, timeout_s=60))
        await entered.wait()
        await b.close()
        assert ended.is_set()
        await a.close()
    assert a.tell(B, Deafen(ChannelId("x"))) is False


async def test_an_empty_roster_is_nobody(start):
    a = await start(A)
    a.roster(NOBODY)
    with pytest.raises(PeerGone):
        await a.ask(A, GetStatus())


async def test_a_large_message_passes_and_one_too_large_is_our_own_error(pair):
    a, b = pair
    arrivals = Arrivals()
    b.serve(KeepRecord, arrivals)
    large = KeepRecord(CallId("c1"), 1, ScriptHash("s"), bytes(250_000))
    assert [a.tell(B, large), a.tell(B, large)] == [True, True]
    assert await arrivals.next(2) == [large, large]
    with pytest.raises(LocalProtocolError, match="too_long"):
        a.tell(B, KeepRecord(CallId("c1"), 1, ScriptHash("s"), bytes(300_000)))


async def test_a_channel_with_everything_in_it_arrives_as_it_was(pair):
    a, b = pair
    seen: list[SetChannel] = []
    b.serve(SetChannel, lambda message, sender: seen.append(message))
    playing = Playing(3, ("p1", "p2"), 12.5)
    wanted = Channel(ChannelId("c"), A, 40000, 1, 2, 3, 4.5, "192.0.2.1", 5004, 8, 101, True, playing, B, "rec", "")
    await a.ask(B, SetChannel(wanted))
    assert seen == [SetChannel(wanted)]


async def test_a_deadline_that_passed_while_the_asker_stood_still_is_given_once_more(pair: tuple[Mesh, Mesh]) -> None:
    """The one who is asked stood still with it: its answer comes when both go on."""
    a, b = pair
    b.serve(GetStatus, lambda asked, sender: answer)
    answer: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
    asked = asyncio.ensure_future(a.ask(B, GetStatus(), timeout_s=0.2))
    await asyncio.sleep(0.05)
    time.sleep(0.8)  # noqa: ASYNC251 - the process stands still
    asyncio.get_running_loop().call_later(0.1, answer.set_result, Status("b", 1, {}))
    assert (await asked).role == "b"


async def test_and_no_more_than_once(pair: tuple[Mesh, Mesh]) -> None:
    a, b = pair
    b.serve(GetStatus, lambda asked, sender: asyncio.get_running_loop().create_future())
    asked = asyncio.ensure_future(a.ask(B, GetStatus(), timeout_s=0.1))
    await asyncio.sleep(0)
    time.sleep(0.8)  # noqa: ASYNC251 - the process stands still
    with pytest.raises(AskTimeout):
        await asked
