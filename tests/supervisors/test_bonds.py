"""Monitors and links: how one life hears of the end of another."""

import asyncio

import pytest

from supervisors import (
    Actor,
    Child,
    Crash,
    Exit,
    Killed,
    Name,
    NoProc,
    Normal,
    Ref,
    Restart,
    Shutdown,
    Supervisor,
    running,
)
from supervisors.testing import Boom, Echo, Recorder, virtual


class Nurse(Echo):
    """Notes down how those she watches end."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[str, Exit]] = []

    def watch(self, ref: Ref[Actor]) -> None:
        self.monitor(ref)

    def watch_and_stop_watching(self, ref: Ref[Actor]) -> None:
        self.monitor(ref).cancel()

    def join(self, ref: Ref[Actor]) -> None:
        self.link(ref)

    def on_down(self, ref: Ref[Actor], reason: Exit) -> None:
        self.notes.append((ref.id, reason))

    def read(self) -> list[tuple[str, Exit]]:
        return self.notes


def ward(restart: Restart = Restart.TEMPORARY) -> Supervisor:
    return Supervisor(
        [Child(Nurse, id="nurse", restart=restart), Child(Nurse, id="patient", restart=restart)], intensity=9
    )


@virtual
async def test_a_monitor_hears_of_one_end_once() -> None:
    async with running(ward(Restart.PERMANENT)) as system:
        nurse, patient = system.ref("nurse", Nurse), system.ref("patient", Nurse)
        await nurse.ask(Nurse.watch, patient)
        for _ in range(2):
            patient.tell(Echo.end, Normal())
            await asyncio.sleep(1)
        assert await nurse.ask(Nurse.read) == [("patient", Normal())]


@virtual
async def test_monitoring_the_dead_says_noproc() -> None:
    async with running(ward()) as system:
        nurse, patient = system.ref("nurse", Nurse), system.ref("patient", Nurse)
        await system.root.ask(Supervisor.terminate_child, "patient")
        await nurse.ask(Nurse.watch, patient)
        assert await nurse.ask(Nurse.read) == [("patient", NoProc())]


@virtual
async def test_a_cancelled_monitor_hears_nothing() -> None:
    async with running(ward()) as system:
        nurse, patient = system.ref("nurse", Nurse), system.ref("patient", Nurse)
        await nurse.ask(Nurse.watch_and_stop_watching, patient)
        patient.tell(Echo.boom)
        await asyncio.sleep(1)
        assert await nurse.ask(Nurse.read) == []


@virtual
async def test_monitors_of_a_life_that_has_ended_are_forgotten() -> None:
    async with running(ward(Restart.PERMANENT)) as system:
        nurse, patient = system.ref("nurse", Nurse), system.ref("patient", Nurse)
        await nurse.ask(Nurse.watch, patient)
        nurse.tell(Echo.boom)
        await asyncio.sleep(1)
        assert not patient._watchers
        patient.tell(Echo.boom)
        await asyncio.sleep(1)
        assert await nurse.ask(Nurse.read) == []


@pytest.mark.parametrize("which", ["nurse", "patient"])
@pytest.mark.parametrize("reason", [Shutdown("x"), Killed(), Crash(Boom())])
def test_linked_lives_end_together_for_the_same_reason(which: str, reason: Exit) -> None:
    @virtual
    async def scenario() -> None:
        recorder = Recorder()
        async with running(ward(), hook=recorder) as system:
            await system.ref("nurse", Nurse).ask(Nurse.join, system.ref("patient", Nurse))
            system.ref(which, Nurse).tell(Echo.end, reason)
            await asyncio.sleep(1)
            assert recorder.exits() == {"nurse": reason, "patient": reason}

    scenario()


@virtual
async def test_a_normal_end_leaves_the_linked_one_alive() -> None:
    recorder = Recorder()
    async with running(ward(), hook=recorder) as system:
        await system.ref("nurse", Nurse).ask(Nurse.join, system.ref("patient", Nurse))
        system.ref("patient", Nurse).tell(Echo.end, Normal())
        await asyncio.sleep(1)
        assert recorder.exits() == {"patient": Normal()}


@virtual
async def test_linking_to_the_dead_ends_with_noproc() -> None:
    recorder = Recorder()
    async with running(ward(), hook=recorder) as system:
        nurse, patient = system.ref("nurse", Nurse), system.ref("patient", Nurse)
        await system.root.ask(Supervisor.terminate_child, "patient")
        nurse.tell(Nurse.join, patient)
        assert await nurse.down() == NoProc()


@virtual
async def test_a_cancelled_link_pulls_nobody() -> None:
    class Fickle(Nurse):
        def join_and_part(self, ref: Ref[Actor]) -> None:
            self.link(ref).cancel()

    children = [Child(Fickle, id="a", restart=Restart.TEMPORARY), Child(Nurse, id="b", restart=Restart.TEMPORARY)]
    recorder = Recorder()
    async with running(Supervisor(children), hook=recorder) as system:
        await system.ref("a", Fickle).ask(Fickle.join_and_part, system.ref("b", Nurse))
        system.ref("a", Fickle).tell(Echo.boom)
        await asyncio.sleep(1)
        assert list(recorder.exits()) == ["a"]
        assert not system.ref("b", Nurse)._watchers


@virtual
async def test_who_gives_up_waiting_for_an_end_is_forgotten() -> None:
    async with running(ward()) as system:
        patient = system.ref("patient", Nurse)
        waiting = [patient.down() for _ in range(5)]
        for _ in range(100):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(patient.down(), timeout=1)
        assert isinstance(patient._watchers, dict)
        assert len(patient._watchers) <= 2 * len(waiting)
        patient.tell(Echo.boom)
        assert {type(await end) for end in waiting} == {Crash}


@virtual
async def test_what_a_dead_life_still_takes_is_taken_from_it_at_once() -> None:
    name: Name[Nurse] = Name("undertaker")

    class Undertaker(Nurse):
        def terminate(self, reason: Exit) -> None:
            self.register(name)
            self.after(0.0, Echo.add)
            self.monitor(self.system.ref("other", Nurse))

    async with running(Supervisor([Child(Undertaker, id="a"), Child(Nurse, id="other")])) as system:
        await system.root.ask(Supervisor.terminate_child, "a")
        assert system.find(name) is None
        assert not system.ref("other", Nurse)._watchers


@virtual
async def test_lives_that_link_to_each_other_as_they_begin_come_back_once_each() -> None:
    class Second(Echo):
        def init(self) -> None:
            self.link(self.sibling("a", Echo))

    class Third(Echo):
        def init(self) -> None:
            self.link(self.sibling("b", Echo))

    recorder = Recorder()
    children = [Child(Echo, id="a"), Child(Second, id="b"), Child(Third, id="c")]
    async with running(Supervisor(children, intensity=9), hook=recorder) as system:
        system.ref("a", Echo).tell(Echo.boom)
        await asyncio.sleep(10)
        assert sorted(recorder.started()) == ["/", *"aabbcc"]
