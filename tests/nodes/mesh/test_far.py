"""Monitors and links between processes, over real sockets: what an actor hears of the end of another, and when."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.links.errors import FarCrash
from nodes.links.roster import NOBODY, Peer, Roster, State, make_identity
from nodes.mesh import far as module
from nodes.mesh import serving
from nodes.mesh.far import Far, exit_of, fate_of
from nodes.mesh.mesh import Mesh
from protocols.wire import codec
from protocols.wire.ids import CallId
from protocols.wire.lives import Fate
from protocols.wire.messages import Done, EndCall
from supervisors import (
    Actor,
    Child,
    Crash,
    Dynamic,
    Exit,
    FarRef,
    Killed,
    Name,
    NoConnection,
    NoProc,
    Normal,
    Ref,
    Restart,
    Shutdown,
    Supervisor,
    System,
    running,
)
from supervisors.testing import Echo

A, B = make_identity("n1", "a", "1"), make_identity("n1", "b", "1")
MATRON: Name[Nurse] = Name("matron")
TOLD = [Normal(), Shutdown("x"), Killed(), NoProc(), NoConnection()]


class Nurse(Echo):
    """Notes down how those she watches end."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[str, Exit]] = []
        self.readers: list[tuple[int, asyncio.Future[list[tuple[str, Exit]]]]] = []

    def watch(self, ref: FarRef) -> None:
        self.monitor(ref)

    def watch_and_stop_watching(self, ref: FarRef) -> None:
        self.monitor(ref).cancel()

    def join(self, ref: FarRef) -> None:
        self.bond = self.link(ref)

    def part(self) -> None:
        self.bond.cancel()

    def join_and_end(self, ref: FarRef, reason: Exit) -> None:
        self.link(ref)
        self.after(0.0, Echo.end, reason)

    def on_down(self, ref: Ref[Actor] | FarRef, reason: Exit) -> None:
        self.notes.append((ref.path, reason))
        self.show()

    def read(self, n: int = 1) -> asyncio.Future[list[tuple[str, Exit]]]:
        """Return the notes when there are `n`."""
        self.readers.append((n, asyncio.get_running_loop().create_future()))
        self.show()
        return self.readers[-1][1]

    def show(self) -> None:
        for n, reader in self.readers:
            if len(self.notes) >= n and not reader.done():
                reader.set_result(list(self.notes))


class Matron(Nurse):
    """Is found by name."""

    def init(self) -> None:
        self.register(MATRON)


@dataclass
class Process:
    """What one process has, as far as it matters here."""

    mesh: Mesh
    system: System
    far: Far

    def nurse(self, path: str = "nurse") -> Ref[Nurse]:
        return self.system.ref(path, Nurse)


TREE = Supervisor(
    [
        Child(Nurse, id="nurse", restart=Restart.TEMPORARY),
        Child(Nurse, id="patient", restart=Restart.TEMPORARY),
        Child(Nurse, id="phoenix"),
        Supervisor([Child(Matron, id="matron", restart=Restart.TEMPORARY)], id="office"),
        Dynamic(Nurse, id="nurses"),
    ],
    intensity=9,
)

Start = Callable[..., Awaitable[Process]]


@asynccontextmanager
async def process(identity: str, endpoint: str) -> AsyncIterator[Process]:
    mesh = await Mesh.start(identity, endpoint)
    try:
        async with running(TREE) as system:
            yield Process(mesh, system, Far(mesh, system))
    finally:
        await mesh.close()


@asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes that know each other."""
    async with process(A, f"ipc://{tmp_path}/a") as a, process(B, f"ipc://{tmp_path}/b") as b:
        for one in (a, b):
            one.mesh.roster(roster_of(a.mesh, b.mesh))
        yield a, b


def roster_of(*meshes: Mesh) -> Roster:
    return Roster(1, tuple(Peer("any", m.identity, m.identity, m.endpoint, 1, State.ACTIVE) for m in meshes))


async def watched(a: Process, b: Process, path: str = "patient") -> None:
    """Have the nurse of `a` watch a life of `b`; return when `b` knows."""
    n_wards = len(b.far._wards)
    await a.nurse().ask(Nurse.watch, a.far.ref(b.mesh.identity, path))
    await until(lambda: len(b.far._wards) > n_wards)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def nothing_is_on_the_way(a: Process, b: Process) -> None:
    """Return when all that each has said to the other has been heard: there is order."""
    for one, other in ((a, b), (b, a)):
        other.mesh.serve(EndCall, lambda message, sender: Done())
        await one.mesh.ask(other.mesh.identity, EndCall(CallId("c")))
    await asyncio.sleep(0)


# ---- what is told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", TOLD)
async def test_the_end_of_an_actor_elsewhere_is_told_once_with_its_reason(tmp_path, reason):
    async with two(tmp_path) as (a, b):
        await watched(a, b)
        b.nurse("patient").tell(Echo.end, reason)
        assert await a.nurse().ask(Nurse.read) == [("patient", reason)]
        a.mesh.roster(roster_of(a.mesh))  # the process goes as well, and that is not told again
        await asyncio.sleep(0)
        assert await a.nurse().ask(Nurse.read) == [("patient", reason)]


async def test_a_crash_is_told_as_text(tmp_path):
    async with two(tmp_path) as (a, b):
        await watched(a, b)
        b.nurse("patient").tell(Echo.end, Crash(ValueError("no such number")))
        ((_, reason),) = await a.nurse().ask(Nurse.read)
        assert isinstance(reason, Crash)
        assert isinstance(reason.error, FarCrash)
        assert str(reason.error) == "ValueError: no such number"


@pytest.mark.parametrize("where", ["office/matron", MATRON.key])
async def test_an_actor_is_found_by_its_path_and_by_the_name_it_has_registered(tmp_path, where):
    async with two(tmp_path) as (a, b):
        await watched(a, b, where)
        b.nurse("office/matron").tell(Echo.end, Killed())
        assert await a.nurse().ask(Nurse.read) == [(where, Killed())]


async def test_a_supervisor_can_be_watched_as_any_actor(tmp_path):
    async with two(tmp_path) as (a, b):
        await watched(a, b, "office")
        await b.system.root.ask(Supervisor.terminate_child, "office")
        assert await a.nurse().ask(Nurse.read) == [("office", Shutdown())]


async def test_every_monitor_is_told_for_itself(tmp_path):
    async with two(tmp_path) as (a, b):
        for _ in range(3):
            await watched(a, b)
        b.nurse("patient").tell(Echo.end, Killed())
        assert await a.nurse().ask(Nurse.read, 3) == [("patient", Killed())] * 3


async def test_a_life_that_is_followed_by_another_is_told_once_and_the_other_is_not_watched(tmp_path):
    async with two(tmp_path) as (a, b):
        await watched(a, b, "phoenix")
        for reason in (Shutdown("first"), Shutdown("second")):
            ended = b.nurse("phoenix").down()
            b.nurse("phoenix").tell(Echo.end, reason)
            await ended
        await nothing_is_on_the_way(a, b)
        assert await a.nurse().ask(Nurse.read) == [("phoenix", Shutdown("first"))]


async def test_a_cancelled_monitor_hears_nothing(tmp_path):
    async with two(tmp_path) as (a, b):
        await a.nurse().ask(Nurse.watch_and_stop_watching, a.far.ref(B, "patient"))
        b.nurse("patient").tell(Echo.end, Killed())
        await nothing_is_on_the_way(a, b)
        assert await a.nurse().ask(Nurse.read, 0) == []


@given(st.sampled_from(TOLD) | st.text().map(Shutdown) | st.text().map(lambda text: Crash(ValueError(text))))
def test_every_reason_can_be_told_and_is_the_same_kind_of_reason_after_the_wire(reason):
    fate = codec.decode("Fate", codec.encode(fate_of(7, reason)))
    assert isinstance(fate, Fate)
    told = exit_of(fate)
    assert type(told) is type(reason)
    assert exit_of(fate_of(7, told)) == told or fate_of(8, told) == fate_of(8, exit_of(fate_of(7, told)))


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\ud800 is half a character"])
def test_what_would_not_fit_on_the_wire_is_cut_or_replaced(text):
    for reason in (Shutdown(text), Crash(ValueError(text))):
        assert len(codec.encode(fate_of(1, reason))) < 2000


# ---- nobody there -------------------------------------------------------------------------------------------------


async def test_monitoring_nobody_says_noproc_at_once(tmp_path):
    async with two(tmp_path) as (a, b):
        ended = b.nurse("patient").down()
        b.nurse("patient").tell(Echo.end, Killed())
        await ended
        await b.system.root.ask(Supervisor.terminate_child, "phoenix")
        nowhere = ["patient", "phoenix", "nobody", "office/nobody", "nobody/at/all", "", "/"]
        for path in nowhere:
            await a.nurse().ask(Nurse.watch, a.far.ref(B, path))
        assert sorted(await a.nurse().ask(Nurse.read, len(nowhere))) == [(path, NoProc()) for path in sorted(nowhere)]
        assert not b.far._wards


async def test_monitoring_in_a_process_that_the_roster_does_not_hold_says_noproc_at_once(tmp_path):
    async with two(tmp_path) as (a, _):
        await a.nurse().ask(Nurse.watch, a.far.ref(make_identity("n1", "b", "0"), "patient"))
        assert await a.nurse().ask(Nurse.read) == [("patient", NoProc())]


async def test_monitoring_in_a_process_without_actors_says_noproc_at_once(tmp_path):
    async with two(tmp_path) as (a, _):
        bare = await Mesh.start(make_identity("n1", "bare", "1"), f"ipc://{tmp_path}/bare")
        a.mesh.roster(roster_of(a.mesh, bare))
        await a.nurse().ask(Nurse.watch, a.far.ref(bare.identity, "patient"))
        assert await a.nurse().ask(Nurse.read) == [("patient", NoProc())]
        await bare.close()


# ---- no connection ------------------------------------------------------------------------------------------------


async def test_a_process_that_leaves_the_roster_is_noconnection_once_whatever_is_heard_of_it_later(tmp_path):
    async with two(tmp_path) as (a, b):
        await watched(a, b)
        a.mesh.roster(roster_of(a.mesh))
        assert await a.nurse().ask(Nurse.read) == [("patient", NoConnection())]
        b.nurse("patient").tell(Echo.end, Killed())
        await until(lambda: a.mesh.counts["late"])
        a.mesh.roster(NOBODY)
        assert await a.nurse().ask(Nurse.read) == [("patient", NoConnection())]


async def test_a_successor_is_somebody_else(tmp_path):
    async with process(A, f"ipc://{tmp_path}/a") as a:
        async with process(B, f"ipc://{tmp_path}/b") as b:
            a.mesh.roster(roster_of(a.mesh, b.mesh))
            await watched(a, b)
            await b.mesh.close()
        async with process(make_identity("n1", "b", "2"), f"ipc://{tmp_path}/b") as successor:
            a.mesh.roster(roster_of(a.mesh, successor.mesh))
            assert await a.nurse().ask(Nurse.read) == [("patient", NoConnection())]
            await watched(a, successor)
            successor.nurse("patient").tell(Echo.end, Shutdown("new"))
            assert await a.nurse().ask(Nurse.read, 2) == [("patient", NoConnection()), ("patient", Shutdown("new"))]


async def test_a_question_that_is_not_answered_in_time_is_noconnection(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    async with two(tmp_path) as (a, b):
        heard: list[object] = []
        b.mesh.serve(module.Watch, lambda order, watcher: heard.append(order) or asyncio.Future())
        await a.nurse().ask(Nurse.watch, a.far.ref(B, "patient"))
        assert await a.nurse().ask(Nurse.read) == [("patient", NoConnection())]
        assert len(heard) == 1, "asked again it could find a successor, and the first life's end would never be told"


async def test_an_answer_that_is_lost_is_asked_for_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HOLD_S", 0.05)
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    async with two(tmp_path) as (a, b):
        lost: list[object] = []

        def lose(order: module.AwaitEnd, watcher: object) -> object:
            lost.append(order)
            if len(lost) == 1:
                return asyncio.get_running_loop().create_future()
            if len(lost) == 2:
                raise serving.Refused("buffer_full")
            return b.far._await_end(order, B)

        b.mesh.serve(module.AwaitEnd, lose)
        await watched(a, b)
        b.nurse("patient").tell(Echo.end, Killed())
        assert await a.nurse().ask(Nurse.read) == [("patient", Killed())]
        assert len(lost) == 3


async def test_a_life_that_has_been_forgotten_is_noconnection(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HOLD_S", 0.02)
    monkeypatch.setattr(module, "KEEP_S", 0.02)
    async with two(tmp_path) as (a, b):
        await watched(a, b)
        b.mesh.serve(module.AwaitEnd, lambda order, watcher: waiting.append(order) or future)
        waiting: list[object] = []
        future: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        await until(lambda: not b.far._wards and waiting)
        b.mesh.serve(module.AwaitEnd, b.far._await_end)
        future.set_exception(serving.Refused("busy"))
        monkeypatch.setattr(module, "PAUSE_S", 0.0)
        assert await a.nurse().ask(Nurse.read) == [("patient", NoConnection())]


async def test_a_life_that_nobody_asks_about_any_more_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HOLD_S", 0.05)
    monkeypatch.setattr(module, "KEEP_S", 0.05)
    async with two(tmp_path) as (a, b):
        await watched(a, b)
        assert b.nurse("patient")._watchers
        a.nurse().tell(Echo.end, Normal())
        await until(lambda: not b.far._wards)
        await asyncio.sleep(0)
        assert isinstance(waits := b.nurse("patient")._watchers, asyncio.Future)
        assert waits.done()


async def test_a_thousand_monitors_do_not_keep_a_process_from_its_other_work(tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "MAX_HANDLING", 10)
    async with two(tmp_path) as (a, b):
        for _ in range(1000):
            await a.nurse().ask(Nurse.watch, a.far.ref(B, "patient"))
        await until(lambda: len(b.far._wards) == 1000)

        async def slow(message: EndCall, sender: object) -> Done:
            await asyncio.sleep(0)
            return Done()

        b.mesh.serve(EndCall, slow)
        assert await a.mesh.ask(B, EndCall(CallId("c"))) == Done()
        b.nurse("patient").tell(Echo.end, Killed())
        assert await a.nurse().ask(Nurse.read, 1000) == [("patient", Killed())] * 1000


# ---- links --------------------------------------------------------------------------------------------------------


async def linked(a: Process, b: Process) -> None:
    """Link the nurse of `a` to the patient of `b`; return when both halves are there."""
    await a.nurse().ask(Nurse.join, a.far.ref(B, "patient"))
    await until(lambda: all(ward._answer for one in (a, b) for ward in one.far._wards.values()) and b.far._wards)


@pytest.mark.parametrize("who", ["the one that linked", "the one that was linked to"])
@pytest.mark.parametrize("reason", TOLD[1:])
async def test_linked_lives_of_two_processes_end_together_for_the_same_reason(tmp_path, who, reason):
    async with two(tmp_path) as (a, b):
        await linked(a, b)
        lives = [a.nurse(), b.nurse("patient")]
        ends = [life.down() for life in lives]
        lives[who != "the one that linked"].tell(Echo.end, reason)
        assert await asyncio.gather(*ends) == [reason, reason]


@pytest.mark.parametrize("who", [0, 1])
async def test_a_normal_end_leaves_the_linked_one_alive(tmp_path, who):
    async with two(tmp_path) as (a, b):
        await linked(a, b)
        lives = [a.nurse(), b.nurse("patient")]
        ended = lives[who].down()
        lives[who].tell(Echo.end, Normal())
        await ended
        await nothing_is_on_the_way(a, b)
        assert lives[1 - who].is_alive


@pytest.mark.parametrize("reason", [Normal(), Shutdown("x")])
async def test_who_links_and_ends_at_once_is_heard_to_have_ended_for_its_reason(tmp_path, reason):
    async with two(tmp_path) as (a, b):
        nurses = a.system.dynamic("nurses", Nurse)
        nurse, ended = await nurses.start(), b.nurse("patient").down()
        await nurse.ask(Nurse.join_and_end, a.far.ref(B, "patient"), reason)
        if reason == Normal():
            await until(lambda: not nurse.is_alive)
            await nothing_is_on_the_way(a, b)
            assert b.nurse("patient").is_alive
        else:
            assert await ended == reason


async def test_linking_to_nobody_ends_with_noproc(tmp_path):
    async with two(tmp_path) as (a, _):
        ended = a.nurse().down()
        a.nurse().tell(Nurse.join, a.far.ref(B, "nobody"))
        assert await ended == NoProc()


async def test_links_end_with_noconnection_on_both_sides_when_each_loses_the_other(tmp_path):
    async with two(tmp_path) as (a, b):
        await linked(a, b)
        ends = [a.nurse().down(), b.nurse("patient").down()]
        a.mesh.roster(roster_of(a.mesh))
        b.mesh.roster(roster_of(b.mesh))
        assert await asyncio.gather(*ends) == [NoConnection(), NoConnection()]


async def test_a_link_that_is_undone_pulls_nobody(tmp_path):
    async with two(tmp_path) as (a, b):
        await linked(a, b)
        await a.nurse().ask(Nurse.part)
        await nothing_is_on_the_way(a, b)
        ended = a.nurse().down()
        a.nurse().tell(Echo.end, Killed())
        await ended
        await nothing_is_on_the_way(a, b)
        assert b.nurse("patient").is_alive


# ---- other processes ----------------------------------------------------------------------------------------------

PEER = """
import asyncio, sys
from nodes.mesh.far import Far
from nodes.mesh.mesh import Mesh
from nodes.links.roster import Peer, Roster, State
from protocols.wire.messages import Done, EndCall
from supervisors import Child, Killed, Supervisor, running
from supervisors.testing import Echo

async def main(identity, endpoint, watcher, its_endpoint):
    mesh = await Mesh.start(identity, endpoint)
    mesh.roster(Roster(1, (Peer("any", watcher, watcher, its_endpoint, 1, State.ACTIVE),)))
    async with running(Supervisor([Child(Echo, id="patient")])) as system:
        Far(mesh, system)
        mesh.serve(EndCall, lambda order, sender: system.ref("patient", Echo).tell(Echo.end, Killed()) and Done())
        print(mesh.endpoint, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def other(a: Process, tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process, listening as B, that `a` knows and that knows `a`."""
    arguments = (B, f"ipc://{tmp_path}/b", A, a.mesh.endpoint)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", PEER, *arguments, stdout=asyncio.subprocess.PIPE)
    assert child.stdout
    endpoint = (await child.stdout.readline()).decode().strip()
    a.mesh.roster(Roster(1, (*roster_of(a.mesh).processes, Peer("other", "b", B, endpoint, child.pid, State.ACTIVE))))
    yield child
    if child.returncode is None:
        child.kill()
    await child.wait()


async def is_watched(a: Process) -> None:
    """Return when the other process has given the life a number, and the question about its end is open."""
    await until(lambda: any(ask.kind == "AwaitEnd" for ask in a.mesh._asks._open.values()))


async def test_a_process_that_is_killed_is_noconnection_once_when_the_roster_says_so(tmp_path):
    async with process(A, f"ipc://{tmp_path}/a") as a, other(a, tmp_path) as child:
        await a.nurse().ask(Nurse.watch, a.far.ref(B, "patient"))
        await is_watched(a)
        child.kill()
        await child.wait()
        a.mesh.roster(roster_of(a.mesh))
        assert await a.nurse().ask(Nurse.read) == [("patient", NoConnection())]
        a.mesh.roster(roster_of(a.mesh))
        await a.nurse().ask(Nurse.watch, a.far.ref(B, "patient"))
        assert await a.nurse().ask(Nurse.read, 2) == [("patient", NoConnection()), ("patient", NoProc())]


async def test_a_linked_life_ends_when_the_others_process_is_killed(tmp_path):
    async with process(A, f"ipc://{tmp_path}/a") as a, other(a, tmp_path) as child:
        await a.nurse().ask(Nurse.join, a.far.ref(B, "patient"))
        await is_watched(a)
        ended = a.nurse().down()
        child.kill()
        await child.wait()
        a.mesh.roster(roster_of(a.mesh))
        assert await ended == NoConnection()


async def test_a_process_that_hangs_is_noconnection_after_a_silence_and_what_it_says_later_is_not_told(
    tmp_path, monkeypatch
):
    for name, seconds in (("HOLD_S", 0.1), ("ANSWER_S", 0.1), ("SILENCE_S", 0.3)):
        monkeypatch.setattr(module, name, seconds)
    async with process(A, f"ipc://{tmp_path}/a") as a, other(a, tmp_path) as child:
        await a.nurse().ask(Nurse.watch, a.far.ref(B, "patient"))
        await is_watched(a)
        child.send_signal(signal.SIGSTOP)
        assert await a.nurse().ask(Nurse.read) == [("patient", NoConnection())]
        child.send_signal(signal.SIGCONT)
        await a.nurse().ask(Nurse.watch, a.far.ref(B, "patient"))
        await is_watched(a)
        await a.mesh.ask(B, EndCall(CallId("patient")))
        assert await a.nurse().ask(Nurse.read, 2) == [("patient", NoConnection()), ("patient", Killed())]
