"""Supervision trees over a real mesh: what a process tells of its own, and what the roster tells of the launcher's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.links import trees
from nodes.links.roster import History, Launcher, Peer, Roster, State, make_identity
from nodes.mesh.mesh import Mesh
from protocols.wire.inspection import Failure, TreeRow
from supervisors import Child, Dynamic, Supervisor, System, running
from supervisors.testing import AsyncEcho, Echo

EDGE, DESK, CLI = (make_identity("n1", name, "1") for name in ("edge-0", "desk-0", "cli"))
OVER_S = 0.2


class Rig:
    """An edge with actors, a desk without, and a guest who looks."""

    def __init__(self, system: System, guest: Mesh, roster: Roster) -> None:
        self.system, self.guest, self.roster = system, guest, roster

    async def rows(self, over_s: float = 0.0) -> dict[str, TreeRow]:
        """Look; return the edge's rows by id."""
        (_, rows), (_, none) = await trees.look(self.guest, self.roster, over_s)
        assert none == ()
        return {row.id: row for row in rows}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """All of it."""
    edge, desk = [await Mesh.start(one, f"ipc://{tmp_path}/{one.partition('.')[2]}") for one in (EDGE, DESK)]
    guest = await Mesh.start(CLI)
    peers = [
        Peer(role, f"{role}-0", mesh.identity, mesh.endpoint, 7, State.ACTIVE)
        for role, mesh in (("edge", edge), ("desk", desk))
    ]
    roster = Roster(1, tuple(peers))
    guest.roster(roster)
    tree = Supervisor([Child(AsyncEcho, id="echo"), Dynamic(Echo, id="calls")], intensity=9, period_s=60.0)
    async with running(tree) as system:
        trees.serve(edge, system.census)
        yield Rig(system, guest, roster)
    for mesh in (guest, desk, edge):
        await mesh.close()


async def test_a_process_tells_its_tree_a_parent_before_its_children(rig: Rig) -> None:
    await rig.system.dynamic("calls", Echo).start()
    rows = await rig.rows()
    assert [(row.depth, row.id, row.kind, row.state) for row in rows.values()] == [
        (0, "/", "Supervisor", "running"),
        (1, "echo", "AsyncEcho", "running"),
        (1, "calls", "Dynamic", "running"),
        (2, "1", "Echo", "running"),
    ]


async def test_a_failure_is_told_with_its_error_and_the_message_that_caused_it(rig: Rig) -> None:
    echo = rig.system.ref("echo", AsyncEcho)
    echo.tell(Echo.boom)
    await echo.down()
    while not echo.is_alive:
        await asyncio.sleep(0)
    rows = await rig.rows()
    assert rows["echo"].failure == Failure("Boom", "Echo.boom")
    assert (rows["echo"].restarts, rows["/"].restarts_in_window, rows["calls"].failure) == (1, 1, None)


async def test_messages_that_wait_are_counted(rig: Rig) -> None:
    echo = rig.system.ref("echo", AsyncEcho)
    napping = echo.ask(AsyncEcho.nap, 0.5)
    for _ in range(3):
        echo.tell(Echo.add)
    await asyncio.sleep(0)
    assert (await rig.rows())["echo"].waiting == 3
    await napping


async def test_handled_per_second_is_measured_over_the_time_that_was_asked_for(rig: Rig) -> None:
    echo = rig.system.ref("echo", AsyncEcho)
    for _ in range(5):
        await echo.ask(Echo.add)
    looking = asyncio.ensure_future(rig.rows(OVER_S))
    await asyncio.sleep(OVER_S / 2)
    for _ in range(4):
        await echo.ask(Echo.add)
    rows = await looking
    assert (rows["echo"].handled, rows["echo"].handled_per_s) == (9, 4 / OVER_S)
    assert (await rig.rows())["echo"].handled_per_s == 0.0


async def test_a_child_that_came_meanwhile_has_handled_all_of_it_meanwhile(rig: Rig) -> None:
    looking = asyncio.ensure_future(rig.rows(OVER_S))
    await asyncio.sleep(OVER_S / 2)
    child = await rig.system.dynamic("calls", Echo).start()
    await child.ask(Echo.add)
    assert (await looking)["1"].handled_per_s == 1 / OVER_S


async def test_a_process_that_has_gone_has_no_rows(rig: Rig) -> None:
    await rig.rows()
    gone = Peer("edge", "edge-1", make_identity("n1", "edge-1", "1"), "ipc:///nowhere", 8, State.ACTIVE)
    ((_, rows),) = await trees.look(rig.guest, Roster(2, (gone,)))
    assert rows == ()


def test_the_launchers_tree_is_a_row_a_name_as_it_is_now() -> None:
    failure = Failure("ended with signal 9", "", ("bye",))
    running = History("edge-0", "Pair", "running", 140.0, 3, (50.0, 95.0, 139.0), failure)
    waiting = History("desk-0", "OsProcess", "restarting", None, 1, (149.0,), None)
    top, edge, desk = trees.of_launcher(Launcher(1, 100.0, 60.0, (running, waiting)), now=150.0)
    assert (top.depth, top.id, top.uptime_s) == (0, "/", 50.0)
    assert (edge.depth, edge.id, edge.kind, edge.state, edge.uptime_s) == (1, "edge-0", "Pair", "running", 10.0)
    assert (edge.restarts, edge.restarts_in_window, edge.last, edge.failure) == (3, 2, "ended with signal 9", failure)
    assert (desk.state, desk.uptime_s, desk.restarts_in_window, desk.failure) == ("restarting", 0.0, 1, None)
