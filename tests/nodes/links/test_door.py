"""Whether another machine's launcher lives: a process with a real door is killed, paused and crowded."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, closing

import pytest

from nodes import doorway, ports
from nodes.doorway import DoorTaken, Doorway
from nodes.links import door
from nodes.links.door import Door
from nodes.links.tasks import Tasks

HOLDER = """
import asyncio, subprocess, sys
from nodes.doorway import Doorway

async def main():
    door = Doorway("127.0.0.1", 0, int(sys.argv[1]))
    door.open()
    child = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL)
    print(door.address, child.pid, flush=True)
    await asyncio.Future()

asyncio.run(main())
"""
Start = Callable[..., Awaitable[tuple[int, str]]]
Watch = Callable[[str], "Seen"]


class Seen:
    """A door, watched; and whether it was proved that its launcher is dead."""

    def __init__(self, address: str) -> None:
        self.dead = asyncio.Event()
        self.door = Door(address, self.dead.set)

    async def met(self) -> Seen:
        async with asyncio.timeout(60):
            while not self.door.is_met:
                await asyncio.sleep(0.01)
        return self

    async def proved(self) -> None:
        async with asyncio.timeout(60):
            await self.dead.wait()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a process that holds a door and has a child, as a launcher: (its pid, the door)."""
    holders: list[subprocess.Popen[str]] = []
    children: list[int] = []

    async def start(backlog: int = 4096) -> tuple[int, str]:
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(backlog)], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220  it takes no time
        holders.append(holder)
        assert holder.stdout
        address, child = (await asyncio.to_thread(holder.stdout.readline)).split()
        children.append(int(child))
        return holder.pid, address

    yield start
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for holder in holders:
        with holder:
            holder.kill()


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    """Watch a door until the test ends."""
    tasks = Tasks()
    await tasks.open()

    def watch(address: str) -> Seen:
        seen = Seen(address)
        tasks.spawn(seen.door.watch())
        return seen

    yield watch
    await tasks.close()


def connect(address: str, timeout_s: float = 5.0) -> socket.socket | None:
    """Connect as a stranger; None when nobody answers in time."""
    host, port = address.split(":")
    try:
        return socket.create_connection((host, int(port)), timeout_s)
    except TimeoutError:
        return None


async def test_a_launcher_that_is_killed_is_proved_dead_at_once_though_a_child_of_it_lives(start, watch, monkeypatch):
    monkeypatch.setattr(door, "RETRY_S", 3600)
    pid, address = await start()
    seen = await watch(address).met()
    os.kill(pid, signal.SIGKILL)
    await seen.proved()


async def test_a_launcher_that_is_paused_is_not_dead_and_its_kernel_answers_for_it(start, watch):
    pid, address = await start()
    first = await watch(address).met()
    os.kill(pid, signal.SIGSTOP)
    second = await watch(address).met()
    assert not first.dead.is_set()
    os.kill(pid, signal.SIGKILL)
    await first.proved()
    await second.proved()


async def test_a_door_that_is_full_proves_nothing_and_who_was_there_before_still_learns_of_the_death(
    start, watch, monkeypatch
):
    monkeypatch.setattr(door, "CONNECT_S", 0.2)
    pid, address = await start(backlog=4)
    first = await watch(address).met()
    os.kill(pid, signal.SIGSTOP)
    with ExitStack() as crowd:
        while (one := await asyncio.to_thread(connect, address, 0.3)) is not None:
            crowd.enter_context(closing(one))
        late = watch(address)
        await asyncio.sleep(3 * door.CONNECT_S)  # it has tried in vain by then
        assert not late.door.is_met
        assert not late.dead.is_set()
        os.kill(pid, signal.SIGKILL)
        await first.proved()
    assert not late.dead.is_set()


async def test_however_many_come_and_go_the_door_stays_open(start, watch):
    _, address = await start(backlog=8)
    for _ in range(50):
        with closing(await asyncio.to_thread(connect, address)):
            pass
    await watch(address).met()


async def test_where_nobody_was_ever_met_a_refusal_is_no_proof(watch):
    host, port = "127.0.0.1", ports.take()
    seen = watch(f"{host}:{port}")
    await asyncio.sleep(3 * door.RETRY_S)
    assert not seen.dead.is_set()
    with closing(Doorway(host, port)) as opened:
        opened.open()
        await seen.met()
    await seen.proved()


async def test_a_connection_that_somebody_on_the_way_resets_is_made_again(watch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        host, port = listener.getsockname()
        seen = watch(f"{host}:{port}")
        loop = asyncio.get_running_loop()
        for _ in range(8):
            taken, _ = await asyncio.wait_for(loop.sock_accept(listener), 60)
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            taken.close()
        kept, _ = await asyncio.wait_for(loop.sock_accept(listener), 60)
        await seen.met()
        assert not seen.dead.is_set()
        kept.close()


# ---- the door itself ------------------------------------------------------------------------------------------------


@pytest.fixture
async def ours() -> AsyncIterator[Doorway]:
    with closing(Doorway("127.0.0.1", 0)) as opened:
        opened.open()
        yield opened


async def hung_up(sock: socket.socket) -> bool:
    """Whether the other end has let a connection go."""
    sock.setblocking(False)
    try:
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1), 60) == b""
    except ConnectionError:
        return True


async def test_who_says_something_is_let_go_and_nobody_else(ours, watch):
    seen = await watch(ours.address).met()
    with closing(await asyncio.to_thread(connect, ours.address)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert await hung_up(stranger)
    assert seen.door.is_met


async def test_one_machine_does_not_take_all_places(ours, monkeypatch):
    monkeypatch.setattr(doorway, "MOST_FROM_ONE", 2)
    with ExitStack() as crowd:
        for _ in range(2):
            crowd.enter_context(closing(await asyncio.to_thread(connect, ours.address)))
        try:
            with closing(await asyncio.to_thread(connect, ours.address)) as third:
                assert await hung_up(third)
        except ConnectionResetError:
            pass  # so soon


async def test_beyond_what_it_holds_the_kernel_holds_them_until_somebody_leaves(ours, watch, monkeypatch):
    monkeypatch.setattr(doorway, "MOST", 1)
    first = await asyncio.to_thread(connect, ours.address)
    second = await watch(ours.address).met()
    first.close()
    with closing(await asyncio.to_thread(connect, ours.address)):
        assert second.door.is_met
    assert not second.dead.is_set()


async def test_a_port_that_is_taken_is_named(ours):
    host, port = ours.address.split(":")
    with pytest.raises(DoorTaken, match=f"cluster.port: TCP {host}:{port}: Address already in use"):
        Doorway(host, int(port))
