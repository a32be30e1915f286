"""The running tree as a whole: its body, its hook, its census, its paths."""

import asyncio
import subprocess
import sys
from functools import partial

import pytest

from supervisors import (
    AutoShutdown,
    Child,
    ChildExited,
    Crash,
    Dynamic,
    Normal,
    NoSuchChild,
    Restart,
    Shutdown,
    Supervisor,
    TreeDown,
    running,
)
from supervisors.testing import Boom, Echo, LastWords, NothingWillHappen, Recorder, SlowStillborn, run_virtual, virtual


async def give_up(body_s: float) -> None:
    async with running(Supervisor([Child(Echo, id="a")], intensity=0)) as system:
        system.ref("a", Echo).tell(Echo.boom)
        await asyncio.sleep(body_s)


@virtual
async def test_a_root_that_gives_up_cancels_the_body_and_raises() -> None:
    with pytest.raises(TreeDown):
        await give_up(body_s=3600.0)
    assert asyncio.get_running_loop().time() < 1
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@virtual
async def test_a_cancellation_from_outside_passes_through() -> None:
    async def run() -> None:
        async with running(Supervisor([Child(Echo, id="a")])):
            await asyncio.sleep(3600)

    task = asyncio.create_task(run())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@virtual
async def test_a_tree_whose_start_is_cancelled_is_undone_before_that_returns() -> None:
    recorder = Recorder()
    children = [Child(partial(LastWords, 3.0), id="a"), Child(partial(SlowStillborn, [1]), id="b")]

    async def run() -> None:
        async with running(Supervisor(children), hook=recorder):
            raise AssertionError

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await run()
    assert list(recorder.exits()) == ["b", "a", "/"]
    assert asyncio.get_running_loop().time() == pytest.approx(3.5)


@virtual
async def test_an_error_in_the_body_stops_the_tree_and_passes_through() -> None:
    recorder = Recorder()

    async def run() -> None:
        async with running(Supervisor([Child(Echo, id="a")]), hook=recorder):
            raise Boom

    with pytest.raises(Boom):
        await run()
    assert recorder.exits()["a"] == Shutdown()


@virtual
async def test_a_root_that_shuts_itself_down_says_why() -> None:
    child = Child(Echo, id="a", restart=Restart.TEMPORARY, significant=True)

    async def run() -> None:
        async with running(Supervisor([child], auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)) as system:
            system.ref("a", Echo).tell(Echo.end, Normal())
            await asyncio.sleep(3600)

    with pytest.raises(TreeDown) as down:
        await run()
    assert down.value.reason == Shutdown("auto_shutdown")


@virtual
async def test_a_hook_that_raises_harms_nobody_and_is_reported() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def hook(event: object) -> None:
        raise Boom

    async with running(Supervisor([Child(Echo, id="a")]), hook=hook) as system:
        assert await system.ref("a", Echo).ask(Echo.add) == 1
    assert {type(error) for error in reported} == {Boom}


@virtual
async def test_a_crash_is_reported_with_the_handler_it_happened_in() -> None:
    recorder = Recorder()
    async with running(Supervisor([Child(Echo, id="a")]), hook=recorder) as system:
        system.ref("a", Echo).tell(Echo.boom)
        crash = await recorder.until(ChildExited, "a")
    assert isinstance(crash.reason, Crash)
    assert crash.during == "Echo.boom"


@virtual
async def test_the_census_is_the_tree_as_data() -> None:
    tree = Supervisor([Supervisor([Child(Echo, id="zmq")], id="links"), Dynamic(Echo, id="calls")])
    async with running(tree) as system:
        await system.dynamic("calls", Echo).start()
        zmq = system.ref("links/zmq", Echo)
        zmq.tell(Echo.boom)
        await zmq.down()
        await asyncio.sleep(10)
        zmq.tell(Echo.add)
        census = system.census()
        assert [below.path for below in census.children] == ["links", "calls"]
        (row,) = census.children[0].children
        assert (row.path, row.kind, row.state, row.restarts) == ("links/zmq", "Echo", "running", 1)
        assert (row.n_waiting, row.last) == (1, "Boom")
        assert row.uptime_s == pytest.approx(10.0)
        assert "    zmq Echo running up 10 s, 1 restarts, 1 waiting" in str(census).splitlines()


@virtual
async def test_a_path_that_leads_nowhere_is_refused() -> None:
    async with running(Supervisor([Child(Echo, id="a")])) as system:
        for path in ("b", "a/b", ""):
            with pytest.raises(NoSuchChild):
                system.ref(path, Echo)


def test_waiting_for_nothing_in_virtual_time_is_found_out() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingWillHappen):
        run_virtual(wait())


def test_the_room_imports_nothing_but_the_standard_library() -> None:
    code = """
import sys
before = set(sys.modules)
import supervisors, supervisors.process, supervisors.parent, supervisors.statem, supervisors.testing
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
strangers = roots - sys.stdlib_module_names - {"supervisors"}
sys.exit(f"imported: {strangers}" if strangers else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
