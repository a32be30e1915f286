"""Actors of other processes: what a life hears of their ends, and what a herald can count on."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from supervisors import (
    Actor,
    Child,
    Crash,
    Exit,
    FarRef,
    Killed,
    NoConnection,
    NoProc,
    Normal,
    Ref,
    Restart,
    Shutdown,
    Supervisor,
    running,
    tie,
)
from supervisors.testing import AsyncEcho, Boom, Echo, Recorder, virtual

ABNORMAL = [Shutdown("x"), Killed(), Crash(Boom()), NoProc(), NoConnection()]


class Telegraph:
    """A herald whose lines end when the test says so. It remembers who waits, and on whose behalf."""

    def __init__(self) -> None:
        self.ends: defaultdict[FarRef, asyncio.Future[Exit]] = defaultdict(asyncio.get_running_loop().create_future)
        self.waiting: list[tuple[FarRef, Ref[Actor] | None]] = []

    def ref(self, path: str) -> FarRef:
        return FarRef("n1.other:1", path, self)

    async def end_of(self, ref: FarRef, linked: Ref[Actor] | None = None) -> Exit:
        self.waiting.append((ref, linked))
        try:
            return await asyncio.shield(self.ends[ref])
        finally:
            self.waiting.remove((ref, linked))


class Nurse(Echo):
    """Notes down how those she watches end."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[object, Exit]] = []

    def watch(self, ref: FarRef) -> None:
        self.monitor(ref)

    def watch_and_stop_watching(self, ref: FarRef) -> None:
        self.monitor(ref).cancel()

    def join(self, ref: FarRef) -> None:
        self.link(ref)

    def join_and_part(self, ref: FarRef) -> None:
        self.link(ref).cancel()

    def on_down(self, ref: Ref[Actor] | FarRef, reason: Exit) -> None:
        self.notes.append((ref, reason))

    def read(self) -> list[tuple[object, Exit]]:
        return self.notes


class SlowNurse(Nurse, AsyncEcho):
    """The same on the other engine."""


def ward(nurse: type[Nurse] = Nurse, restart: Restart = Restart.TEMPORARY) -> Supervisor:
    return Supervisor([Child(nurse, id="nurse", restart=restart)], intensity=9)


@pytest.mark.parametrize("nurse", [Nurse, SlowNurse])
@pytest.mark.parametrize("reason", [Normal(), *ABNORMAL])
def test_a_monitor_hears_of_the_end_once_with_its_reason(nurse: type[Nurse], reason: Exit) -> None:
    @virtual
    async def scenario() -> None:
        telegraph = Telegraph()
        async with running(ward(nurse)) as system:
            ref, far = system.ref("nurse", Nurse), telegraph.ref("patient")
            await ref.ask(Nurse.watch, far)
            assert await ref.ask(Nurse.read) == []
            telegraph.ends[far].set_result(reason)
            await asyncio.sleep(1)
            assert await ref.ask(Nurse.read) == [(far, reason)]
            assert telegraph.waiting == []

    scenario()


@virtual
async def test_every_monitor_of_an_actor_is_told_for_itself() -> None:
    telegraph = Telegraph()
    async with running(ward()) as system:
        nurse, far = system.ref("nurse", Nurse), telegraph.ref("patient")
        for _ in range(3):
            await nurse.ask(Nurse.watch, far)
        telegraph.ends[far].set_result(NoConnection())
        await asyncio.sleep(1)
        assert await nurse.ask(Nurse.read) == [(far, NoConnection())] * 3


@virtual
async def test_a_cancelled_monitor_hears_nothing_and_nobody_waits_for_it() -> None:
    telegraph = Telegraph()
    async with running(ward()) as system:
        nurse, far = system.ref("nurse", Nurse), telegraph.ref("patient")
        await nurse.ask(Nurse.watch_and_stop_watching, far)
        await asyncio.sleep(1)
        assert telegraph.waiting == []
        telegraph.ends[far].set_result(Killed())
        await asyncio.sleep(1)
        assert await nurse.ask(Nurse.read) == []


@virtual
async def test_a_monitor_that_is_cancelled_when_the_news_has_just_come_hears_nothing() -> None:
    class Fickle(Nurse):
        def init(self) -> None:
            self.watching = self.monitor(far)

        def give_up(self) -> None:
            telegraph.ends[far].set_result(Killed())
            telegraph.ends[far].add_done_callback(lambda _: asyncio.get_running_loop().call_soon(self.watching.cancel))

    telegraph = Telegraph()
    far = telegraph.ref("patient")
    async with running(ward(Fickle)) as system:
        await system.ref("nurse", Fickle).ask(Fickle.give_up)
        await asyncio.sleep(1)
        assert await system.ref("nurse", Fickle).ask(Nurse.read) == []


@virtual
async def test_monitors_of_a_life_that_has_ended_are_forgotten() -> None:
    telegraph = Telegraph()
    async with running(ward(restart=Restart.PERMANENT)) as system:
        nurse, far = system.ref("nurse", Nurse), telegraph.ref("patient")
        await nurse.ask(Nurse.watch, far)
        nurse.tell(Echo.boom)
        await asyncio.sleep(1)
        assert telegraph.waiting == []
        telegraph.ends[far].set_result(Killed())
        await asyncio.sleep(1)
        assert await nurse.ask(Nurse.read) == []


@pytest.mark.parametrize("reason", ABNORMAL)
def test_a_linked_life_ends_for_the_same_reason(reason: Exit) -> None:
    @virtual
    async def scenario() -> None:
        telegraph = Telegraph()
        async with running(ward()) as system:
            nurse, far = system.ref("nurse", Nurse), telegraph.ref("patient")
            await nurse.ask(Nurse.join, far)
            await asyncio.sleep(0)
            assert telegraph.waiting == [(far, nurse)], "the herald is told who is linked"
            ending = nurse.down()
            telegraph.ends[far].set_result(reason)
            assert await ending == reason

    scenario()


@virtual
async def test_a_normal_end_leaves_the_linked_one_alive() -> None:
    telegraph = Telegraph()
    async with running(ward()) as system:
        nurse, far = system.ref("nurse", Nurse), telegraph.ref("patient")
        await nurse.ask(Nurse.join, far)
        telegraph.ends[far].set_result(Normal())
        await asyncio.sleep(1)
        assert nurse.is_alive


@virtual
async def test_a_cancelled_link_pulls_nobody() -> None:
    telegraph = Telegraph()
    async with running(ward()) as system:
        nurse, far = system.ref("nurse", Nurse), telegraph.ref("patient")
        await nurse.ask(Nurse.join_and_part, far)
        telegraph.ends[far].set_result(Killed())
        await asyncio.sleep(1)
        assert nurse.is_alive


@virtual
async def test_a_herald_can_tell_a_link_that_is_undone_from_one_whose_life_ends() -> None:
    lived: list[bool] = []

    class Attentive(Telegraph):
        async def end_of(self, ref: FarRef, linked: Ref[Actor] | None = None) -> Exit:
            try:
                return await super().end_of(ref, linked)
            except asyncio.CancelledError:
                assert linked is not None
                lived.append(linked.is_alive)
                raise

    class Fickle(Nurse):
        def join(self, ref: FarRef) -> None:
            self.joined = self.link(ref)

        def part(self) -> None:
            self.joined.cancel()

    telegraph = Attentive()
    async with running(ward(Fickle, Restart.PERMANENT)) as system:
        nurse, far = system.ref("nurse", Fickle), telegraph.ref("patient")
        await nurse.ask(Fickle.join, far)
        await nurse.ask(Fickle.part)
        await asyncio.sleep(1)
        await nurse.ask(Fickle.join, far)
        nurse.tell(Echo.boom)
        await asyncio.sleep(1)
        assert lived == [True, False]


@virtual
async def test_a_tied_life_ends_with_what_it_is_tied_to_unless_that_ends_normally() -> None:
    telegraph = Telegraph()
    async with running(ward()) as system:
        nurse, (one, other) = system.ref("nurse", Nurse), map(telegraph.ref, ("one", "other"))
        tie(nurse, telegraph.end_of(one))
        tie(nurse, telegraph.end_of(other))
        telegraph.ends[one].set_result(Normal())
        await asyncio.sleep(1)
        assert nurse.is_alive
        ending = nurse.down()
        telegraph.ends[other].set_result(Shutdown("x"))
        assert await ending == Shutdown("x")
        tie(nurse, telegraph.end_of(other))  # nobody is there any more: nothing happens
        assert telegraph.waiting == []


@virtual
async def test_a_herald_that_fails_is_the_crash_of_who_waits_and_never_silence() -> None:
    class Broken(Telegraph):
        async def end_of(self, ref: FarRef, linked: Ref[Actor] | None = None) -> Exit:
            raise Boom

    async with running(ward()) as system:
        nurse = system.ref("nurse", Nurse)
        ending = nurse.down()
        nurse.tell(Nurse.watch, Broken().ref("patient"))
        reason = await ending
        assert isinstance(reason, Crash)
        assert isinstance(reason.error, Boom)


@virtual
async def test_what_a_dead_life_still_watches_is_not_watched() -> None:
    telegraph = Telegraph()

    class Undertaker(Nurse):
        def terminate(self, reason: Exit) -> None:
            self.monitor(telegraph.ref("patient")).cancel()
            self.link(telegraph.ref("patient"))

    recorder = Recorder()
    async with running(ward(Undertaker), hook=recorder) as system:
        await system.root.ask(Supervisor.terminate_child, "nurse")
    assert recorder.exits()["nurse"] == Shutdown()
    assert telegraph.waiting == []


@virtual
async def test_a_transient_child_comes_back_when_a_lost_connection_has_ended_it() -> None:
    telegraph, recorder = Telegraph(), Recorder()
    async with running(ward(restart=Restart.TRANSIENT), hook=recorder) as system:
        nurse, far = system.ref("nurse", Nurse), telegraph.ref("patient")
        await nurse.ask(Nurse.join, far)
        telegraph.ends[far].set_result(NoConnection())
        await asyncio.sleep(1)
        assert recorder.exits() == {"nurse": NoConnection()}
        assert nurse.is_alive


@virtual
async def test_two_addresses_are_one_when_they_say_the_same_of_the_same_process() -> None:
    telegraph, another = Telegraph(), Telegraph()
    assert telegraph.ref("patient") == another.ref("patient")
    assert telegraph.ref("patient") != telegraph.ref("nurse")
    assert telegraph.ref("patient") != FarRef("n1.other:2", "patient", telegraph), "a successor is somebody else"
