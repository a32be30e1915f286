"""A pair under random deaths, in virtual time: who is ready takes over, once, and nothing keeps them from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisors import ChildExited, Crash, Supervisor, running
from supervisors import process as module
from supervisors.process import Pair, ProcessExit, Program, Standing
from supervisors.testing import Recorder, run_virtual

START_S, START_TIMEOUT_S = 2.0, 20.0
PROGRAM = Program(("x",), ready_s=START_TIMEOUT_S)
_pids = count(1)


class FakeLeash:
    """A process that starts in `START_S`, obeys, and dies when the test says so."""

    all: list[FakeLeash]

    def __init__(self, program: Program, *, is_spare: bool, changed: Callable[[Any], None]) -> None:
        self.pid, self.info, self.exit = next(_pids), dict[str, object](), None
        self.standing = Standing.STARTING
        self.n_activated = 0
        self._is_spare, self._changed_to, self._changed = is_spare, asyncio.Event(), changed
        self.all.append(self)
        self._become(Standing.STARTING)
        self._timer = asyncio.get_running_loop().call_later(START_S, self._ready)

    @property
    def is_gone(self) -> bool:
        return self.standing is Standing.GONE

    async def ready(self) -> None:
        while self.standing is Standing.STARTING:
            await self._changed_to.wait()
        assert self.exit is None, "nobody is killed before the pair is up"

    async def gone(self) -> None:
        while not self.is_gone:
            await self._changed_to.wait()

    def activate(self) -> None:
        assert self.standing is Standing.SPARE
        self.n_activated += 1
        self._become(Standing.ACTIVE)

    async def stop(self) -> None:
        self.kill()

    def kill(self, why: str = "") -> None:
        if not self.is_gone:
            self._timer.cancel()
            self.exit = ProcessExit(None, 9, why, ())
            self._become(Standing.GONE)

    def _ready(self) -> None:
        self._become(Standing.SPARE if self._is_spare else Standing.ACTIVE)

    def _become(self, standing: Standing) -> None:
        self.standing = standing
        self._changed_to.set()
        self._changed_to = asyncio.Event()
        self._changed(self)


deaths = st.lists(
    st.tuples(st.sampled_from(["active", "ready spare", "starting spare"]), st.floats(0.0, 3.0)), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(deaths=deaths, spares=st.integers(1, 3), intensity=st.integers(0, 5))
def test_a_spare_that_is_ready_takes_over_at_once_and_the_pair_lives_while_any_process_does(
    deaths: list[tuple[str, float]], spares: int, intensity: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Leash", FakeLeash)
        run_virtual(scenario(deaths, spares, intensity))


async def scenario(deaths: list[tuple[str, float]], spares: int, intensity: int) -> None:
    FakeLeash.all, recorder = [], Recorder()
    tree = Supervisor([Pair.child("edge", PROGRAM, spares=spares, intensity=intensity)], intensity=1000)
    async with running(tree, hook=recorder) as system:
        for whom, after_s in deaths:
            await asyncio.sleep(after_s)
            if victim := next((one for one in FakeLeash.all if is_a(one, whom)), None):
                n_ends, others = len(ends(recorder)), any(not one.is_gone for one in FakeLeash.all if one is not victim)
                victim.kill()
                check()
                await asyncio.sleep(0.001)
                assert len(ends(recorder)) == n_ends + (not others), "it ends with its last process, and only then"
        await asyncio.sleep(120.0)  # longer than any pause
        check()
        (active,) = [one for one in FakeLeash.all if one.standing is Standing.ACTIVE]
        assert [one.standing for one in FakeLeash.all if not one.is_gone and one is not active] == (
            [Standing.SPARE] * spares
        )
        assert system.ref("edge", Pair).is_alive


def check() -> None:
    living = [one.standing for one in FakeLeash.all]
    assert living.count(Standing.ACTIVE) <= 1
    assert living.count(Standing.ACTIVE) == 1 or Standing.SPARE not in living, "who is ready does not stand by"
    assert all(one.n_activated <= 1 for one in FakeLeash.all)


def is_a(leash: FakeLeash, whom: str) -> bool:
    standing = {"active": Standing.ACTIVE, "ready spare": Standing.SPARE, "starting spare": Standing.STARTING}[whom]
    return leash.standing is standing


def ends(recorder: Recorder) -> list[ChildExited]:
    return [event for event in recorder.of(ChildExited, "edge") if isinstance(event.reason, Crash)]
