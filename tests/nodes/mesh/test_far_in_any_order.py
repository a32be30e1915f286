"""Exactly one Down for every monitor, in whatever order messages, losses, ends, restarts and the roster's word come.

Two real meshes and two real trees in virtual time; between them a line that delivers, holds and loses as it is told.
The model is the life that was there when the question for it arrived: its end is what may be told, or NoConnection.
Of links: whatever is lost, when one of two has ended other than Normal the other ends as well.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial

import pytest
import zmq
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nodes.links.roster import NOBODY, Peer, Roster, State, make_identity
from nodes.mesh import far as module
from nodes.mesh import mesh as mesh_module
from nodes.mesh.far import Far
from nodes.mesh.mesh import Mesh
from protocols.wire import codec
from protocols.wire.ids import Identity
from protocols.wire.lives import Fate, Watch
from supervisors import (
    Actor,
    Child,
    Dynamic,
    Exit,
    FarRef,
    Killed,
    NoConnection,
    NoProc,
    Normal,
    NoSuchChild,
    Ref,
    Restart,
    Shutdown,
    Supervisor,
    System,
    running,
)
from supervisors.testing import Echo, VirtualLoop

A = make_identity("n1", "a", "1")
AT_A, AT_B = "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"
TARGETS = ("phoenix", "mayfly", "nobody")
"""One that comes back, one that does not, one that never was."""


class Air:
    """What is between the processes: frames go through at once while it `flows`, else they wait, each way in order."""

    def __init__(self, heard: Callable[[Identity, int, Watch], None]) -> None:
        self.flows = True
        self.waiting: dict[str, deque[list[bytes]]] = {AT_A: deque(), AT_B: deque()}
        self.listeners: dict[str, Line] = {}
        self.asked: list[int] = []
        """The numbers of the Watch asks that were sent."""
        self._heard = heard

    def send(self, to: str, parts: list[bytes]) -> None:
        self.asked += [number for number, _ in self._watches(parts)]
        if self.flows:
            asyncio.get_running_loop().call_soon(self._deliver, to, parts)
        else:
            self.waiting[to].append(parts)

    def let_through(self, to: str) -> None:
        self._deliver(to, self.waiting[to].popleft())

    def _deliver(self, to: str, parts: list[bytes]) -> None:
        line = self.listeners[to]
        if not line.socket.closed:
            for number, watch in self._watches(parts):
                self._heard(codec.unpack(parts[-1]).to, number, watch)
            line.receive(parts)

    def _watches(self, parts: list[bytes]) -> list[tuple[int, Watch]]:
        decoded = [(one.number, codec.decode(one.kind, one.body)) for one in codec.unpack(parts[-1]).envelopes]
        return [(number, message) for number, message in decoded if isinstance(message, Watch)]


class Line:
    """Takes the place of a ZeroMQ socket: the mesh's ROUTER, or a DEALER of it."""

    def __init__(self, air: Air, context: object, kind: int, receive: Callable[[list[bytes]], int]) -> None:
        self.air, self.receive, self.socket = air, receive, self
        self.closed = False
        self.name, self.endpoint = b"", ""

    def setsockopt(self, option: int, value: bytes) -> None:
        self.name = value if option == zmq.ROUTING_ID else self.name

    def getsockopt_string(self, option: int) -> str:
        return self.endpoint

    def bind(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.air.listeners[endpoint] = self

    def connect(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def look(self) -> None:
        """What arrives is handed over by the air."""

    def send(self, parts: list[bytes]) -> None:
        self.air.send(self.endpoint, [self.name, *parts])

    def close(self) -> None:
        self.closed = True


class Nurse(Echo):
    """Watches one life, and notes down how it ends; or is linked to one."""

    def __init__(self, patient: FarRef | None, notes: list[Exit]) -> None:
        super().__init__()
        self.patient, self.notes = patient, notes

    def init(self) -> None:
        if self.patient:
            self.bond = self.monitor(self.patient)

    def join(self, ref: FarRef) -> None:
        self.bond = self.link(ref)

    def give_up(self) -> None:
        self.bond.cancel()

    def on_down(self, ref: Ref[Actor] | FarRef, reason: Exit) -> None:
        assert ref == self.patient
        self.notes.append(reason)


PATIENTS = Supervisor(
    [Child(Echo, id="phoenix"), Child(Echo, id="mayfly", restart=Restart.TEMPORARY), Dynamic(Echo, id="guests")],
    intensity=1_000_000,
)
NURSES = Supervisor([Dynamic(Nurse, id="nurses")])


class Process:
    """One process; a task of its own holds what it has, until it is killed."""

    def __init__(self, identity: Identity, endpoint: str, tree: Supervisor) -> None:
        self.identity, self.endpoint, self._tree = identity, endpoint, tree
        self.ended: dict[str, list[Exit]] = defaultdict(list)
        self.watched: set[str] = set()
        self._up, self._over = asyncio.Event(), asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def _live(self) -> None:
        self.mesh = await Mesh.start(self.identity, self.endpoint)
        async with running(self._tree) as self.system:
            self.system: System
            self.far = Far(self.mesh, self.system)
            self.mesh.serve(Watch, self._watch)
            self._up.set()
            await self._over.wait()
            await self.mesh.close()  # first: a process that is killed says nothing of its actors

    def _watch(self, order: Watch, watcher: Identity) -> Fate:
        self.watched.add(order.actor)
        return self.far._watch(order, watcher)

    async def up(self) -> Process:
        await self._up.wait()
        return self

    async def kill(self) -> None:
        self._over.set()
        await self._task

    def patient(self, target: str) -> Ref[Echo] | None:
        """Return the patient while it lives."""
        try:
            ref = self.system.ref(target, Echo)
        except NoSuchChild:
            return None
        return ref if ref.is_alive else None

    @property
    def peer(self) -> Peer:
        return Peer("any", self.identity, self.identity, self.endpoint, 1, State.ACTIVE)


@dataclass
class Monitor:
    """One monitor, and what the model knows of it."""

    process: Process
    is_calm: bool
    """Whether nothing was held or lost since, and its process lives: then NoConnection would be wrong."""
    nurse: Ref[Nurse] = field(init=False)
    told: Callable[[], Exit | None] = field(init=False)
    """How the life has ended that was found by the question; None while it lives, or when it has not been found."""
    notes: list[Exit] = field(default_factory=list)
    is_given_up: bool = False
    is_dropped: bool = False
    """Whether the roster has dropped its process since."""


class Between(RuleBasedStateMachine):
    """Two processes, and what may happen between them."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.runner = asyncio.Runner(debug=True, loop_factory=VirtualLoop)
        self.n_processes = 0
        self.found: dict[int, Callable[[], Exit | None]] = {}
        self.run(self.begin())

    def run(self, work: Coroutine[object, None, None]) -> None:
        """Do something, and let everything happen that comes of it now."""

        async def whole() -> None:
            await work
            await asyncio.sleep(0.001)

        self.runner.run(whole())

    async def begin(self) -> None:
        self.air = Air(self.heard)
        self.patch.setattr(mesh_module, "PeerLine", partial(Line, self.air))
        self.a = await Process(A, AT_A, NURSES).up()
        await self.new_process()
        self.a.mesh.roster(Roster(1, (self.a.peer, self.b.peer)))

    async def new_process(self) -> None:
        self.n_processes += 1
        self.b = await Process(make_identity("n1", "b", f"{self.n_processes}"), AT_B, PATIENTS).up()
        self.b.mesh.roster(Roster(1, (self.a.peer, self.b.peer)))

    def heard(self, to: Identity, number: int, watch: Watch) -> None:
        """The question for a life has arrived: that life it is, and no other."""
        if to == self.b.identity:
            ended, n_before, is_there = self.b.ended[watch.actor], len(self.b.ended[watch.actor]), self.b.patient
            none = NoProc() if is_there(watch.actor) is None else None
            self.found[number] = lambda: none or (ended[n_before] if len(ended) > n_before else None)

    async def asking(self, work: Awaitable[object]) -> int:
        """Do `work`, and return the number of the one question for a life that came of it."""
        n_asked = len(self.air.asked)
        await work
        await asyncio.sleep(0.001)
        (number,) = self.air.asked[n_asked:]
        return number

    def disturb(self) -> None:
        """From now on NoConnection is no lie."""

    @precondition(lambda self: self.air.flows)
    @rule()
    def hold(self) -> None:
        self.air.flows = False
        self.disturb()

    @precondition(lambda self: not self.air.flows)
    @rule()
    def flow(self) -> None:
        async def work() -> None:
            for to, frames in self.air.waiting.items():
                while frames:
                    self.air.let_through(to)
            self.air.flows = True

        self.run(work())

    @precondition(lambda self: any(self.air.waiting.values()))
    @rule(data=st.data(), is_lost=st.booleans(), n=st.sampled_from([1, 1000]))
    def let_through_or_lose(self, data: st.DataObject, is_lost: bool, n: int) -> None:
        async def work() -> None:
            for _ in range(min(n, len(self.air.waiting[to]))):
                if is_lost:
                    self.air.waiting[to].popleft()
                else:
                    self.air.let_through(to)

        to = data.draw(st.sampled_from([to for to, frames in self.air.waiting.items() if frames]))
        self.run(work())

    @rule(seconds=st.sampled_from([6.0, 16.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def in_the_end(self) -> None:
        """What must be so when everything has been said that could be said, without a word from the roster."""

    async def end_patients(self) -> None:
        """What ends every life that somebody may still wait for."""

    def teardown(self) -> None:
        async def over() -> None:
            await asyncio.sleep(module.HOLD_S + module.KEEP_S)
            for one in (self.a, self.b):
                one.mesh.roster(NOBODY)
            await asyncio.sleep(1)

        try:
            self.flow()
            self.run(self.end_patients())
            self.wait(module.SILENCE_S + module.HOLD_S + module.ANSWER_S)
            self.in_the_end()
            self.run(over())
            self.in_the_end()
        finally:
            self.run(self.a.kill())
            self.run(self.b.kill())
            self.runner.close()
            self.patch.undo()


class Monitors(Between):
    """Nurses in one process watch patients in another, which comes and goes as well."""

    def __init__(self) -> None:
        self.monitors: list[Monitor] = []
        super().__init__()

    def disturb(self) -> None:
        for one in self.monitors:
            one.is_calm = False

    @rule(is_known=st.sampled_from([True, True, True, False]))
    def watch(self, is_known: bool) -> None:
        async def work() -> None:
            for target in TARGETS:
                await self.watch_one(target, self.b.identity if is_known else make_identity("n1", "stranger", "1"))

        self.run(work())

    async def watch_one(self, target: str, identity: Identity) -> None:
        monitor = Monitor(self.b, is_calm=self.air.flows)
        start = self.a.system.dynamic("nurses", Nurse).start(self.a.far.ref(identity, target), monitor.notes)
        if self.a.mesh.knows(identity):
            number = await self.asking(start)
            monitor.told = lambda: self.found[number]() if number in self.found else None
        else:
            await start
            monitor.told, monitor.is_calm = NoProc, True
        *_, monitor.nurse = self.a.system.dynamic("nurses", Nurse)
        self.monitors.append(monitor)

    @precondition(lambda self: any(not one.is_given_up for one in self.monitors))
    @rule(data=st.data(), by_end=st.booleans())
    def give_up(self, data: st.DataObject, by_end: bool) -> None:
        async def work() -> None:
            one.nurse.tell(*((Echo.end, Shutdown()) if by_end else (Nurse.give_up,)))  # type: ignore[arg-type]

        one = data.draw(st.sampled_from([one for one in self.monitors if not one.is_given_up]))
        self.run(work())
        one.is_given_up = True
        one.notes[:] = []

    @rule(whom=st.sampled_from(TARGETS[:2]))
    def end(self, whom: str) -> None:
        async def work() -> None:
            if patient := self.b.patient(whom):
                reason = Shutdown(f"the {len(self.b.ended[whom])}th")
                self.b.ended[whom].append(reason)
                patient.tell(Echo.end, reason)

        self.run(work())

    @precondition(lambda self: self.a.mesh.knows(self.b.identity))
    @rule()
    def kill_process(self) -> None:
        async def work() -> None:
            await self.b.kill()
            await self.new_process()

        self.disturb()
        self.run(work())

    @precondition(lambda self: not self.a.mesh.knows(self.b.identity))
    @rule()
    def roster_says(self) -> None:
        async def work() -> None:
            self.a.mesh.roster(Roster(1, (self.a.peer, self.b.peer)))

        self.run(work())
        for one in self.monitors:
            one.is_dropped |= one.process is not self.b

    @invariant()
    def what_is_told_is_true_and_told_once(self) -> None:
        for one in self.monitors:
            assert len(one.notes) <= (not one.is_given_up)
            for note in one.notes:
                assert note == one.told() or (note == NoConnection() and not one.is_calm), (note, one)

    @invariant()
    def what_can_be_told_is_told_at_once(self) -> None:
        for one in self.monitors:
            if not one.is_given_up and ((one.is_calm and one.told()) or one.is_dropped):
                assert one.notes, one

    async def end_patients(self) -> None:
        for target in TARGETS[:2]:
            if target in self.b.system.root._children:  # type: ignore[operator]
                await self.b.system.root.ask(Supervisor.terminate_child, target)
                self.b.ended[target].append(Shutdown())

    def in_the_end(self) -> None:
        for one in self.monitors:
            assert len(one.notes) == (not one.is_given_up), one
        self.what_is_told_is_true_and_told_once()

    def teardown(self) -> None:
        super().teardown()
        assert not self.b.far._wards
        assert not self.a.mesh._asks


@dataclass
class Pair:
    """Two that are linked."""

    nurse: Ref[Nurse]
    guest: Ref[Echo]
    is_calm: bool
    ends: dict[str, Exit] = field(default_factory=dict)
    """How each ended."""
    first: str = ""
    """Who ended by itself."""
    is_parted: bool = False


class Links(Between):
    """Nurses in one process link themselves to guests of another."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        super().__init__()

    def disturb(self) -> None:
        for one in self.pairs:
            one.is_calm = False

    @rule()
    def join(self) -> None:
        async def work() -> None:
            guest = await self.b.system.dynamic("guests", Echo).start()
            nurse = await self.a.system.dynamic("nurses", Nurse).start(None, [])
            await nurse.ask(Nurse.join, self.a.far.ref(self.b.identity, guest.path))
            pair = Pair(nurse, guest, self.air.flows)
            for side in ("nurse", "guest"):
                down = getattr(pair, side).down()
                down.add_done_callback(lambda down, side=side: pair.ends.setdefault(side, down.result()))
            self.pairs.append(pair)

        self.run(work())

    @precondition(lambda self: any(not one.ends for one in self.pairs))
    @rule(data=st.data(), side=st.sampled_from(["nurse", "guest"]), reason=st.sampled_from([Normal(), Killed()]))
    def end(self, data: st.DataObject, side: str, reason: Exit) -> None:
        async def work() -> None:
            getattr(one, side).tell(Echo.end, reason)

        one = data.draw(st.sampled_from([one for one in self.pairs if not one.ends]))
        one.first = side
        self.run(work())

    @precondition(lambda self: any(not one.ends and not one.is_parted for one in self.pairs))
    @rule(data=st.data())
    def part(self, data: st.DataObject) -> None:
        async def work() -> None:
            one.nurse.tell(Nurse.give_up)

        one = data.draw(st.sampled_from([one for one in self.pairs if not one.ends and not one.is_parted]))
        one.is_parted = True
        self.run(work())

    @invariant()
    def nobody_ends_without_a_reason(self) -> None:
        for one in self.pairs:
            for side, reason in one.ends.items():
                if side != one.first:
                    is_pulled = one.ends.get(one.first) == reason != Normal() and not one.is_parted
                    has_found_nobody = reason == NoProc() and side == "nurse" and "guest" in one.ends
                    is_cut_off = reason == NoConnection() or has_found_nobody
                    assert is_pulled or (is_cut_off and not one.is_calm), one

    @invariant()
    def what_can_be_told_pulls_at_once(self) -> None:
        for one in self.pairs:
            if one.is_calm and not one.is_parted and {*one.ends.values()} - {Normal()}:
                assert len(one.ends) == 2, one

    def in_the_end(self) -> None:
        for one in self.pairs:
            is_linked = one.guest.path in self.b.watched  # else the other process has never heard of it
            if is_linked and not one.is_parted and {*one.ends.values()} - {Normal()}:
                assert len(one.ends) == 2, one


EFFORT = settings(max_examples=100, stateful_step_count=30, deadline=None)
Monitors.TestCase.settings = Links.TestCase.settings = EFFORT
TestMonitors, TestLinks = Monitors.TestCase, Links.TestCase
