"""How long a change takes until another process sees it: a real nats-server, a writer in a process of its own.

What it does: for each view, changes things so many times a second, as edges and desks do, and measures in this process
from the moment of the change to the moment in which the view has it. What it does not: print; that is a command's.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from nodes.bus.bucket import Body
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.bus.server import embedded
from nodes.config import Config, Nats, Paths
from nodes.links.cluster_view import ClusterView
from nodes.links.do_not_call import DoNotCall
from nodes.links.kept_list import FILE, KeptList
from nodes.links.tasks import Tasks
from nodes.links.view import View
from nodes.telemetry import logs
from protocols.wire.campaigns import ContactId
from protocols.wire.roles import Role
from protocols.wire.subjects import Bucket
from supervisors import eventloop


class _Of(NamedTuple):
    bucket: Bucket
    writer: Role
    reader: Role


VIEWS: Final = {
    "calls": _Of(Bucket.CALLS, Role.EDGE, Role.DESK),
    "agents": _Of(Bucket.AGENTS, Role.DESK, Role.DESK),
    "nodes": _Of(Bucket.NODES, Role.DESK, Role.DESK),
    "opt_outs": _Of(Bucket.DNC, Role.EDGE, Role.EDGE),
}
"""Who changes what a view shows, and who sees it."""
THINGS: Final = 100
"""So many calls, agents or nodes change, one after the other."""
SETTLE_S: Final = 0.3
UP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """One view: how many milliseconds each change took until it was seen; `of` so many changes."""

    view: str
    took_ms: tuple[float, ...]
    of: int


async def measure(per_second: float, seconds: float, views: Iterable[str] = VIEWS) -> list[Row]:
    """Return a row for each view: changed so many times a second, for so long."""
    with TemporaryDirectory(prefix="rm-sync-") as state:
        config = _config(Path(state))
        server = await asyncio.create_subprocess_exec(*embedded(config).argv, stderr=subprocess.DEVNULL)
        try:
            await _lay(config)
            return [await _one(config, view, per_second, seconds) for view in views]
        finally:
            server.kill()
            await server.wait()


def _config(state: Path) -> Config:
    return replace(Config(), paths=Paths(state), nats=Nats(port=0))


async def _lay(config: Config) -> None:
    """Make the buckets, as central does."""
    async with _bus(config, Role.CENTRAL, "central-0") as bus:
        await bus.ensure_layout()


@asynccontextmanager
async def _bus(config: Config, role: Role, name: str) -> AsyncIterator[Bus]:
    """Log in, once NATS is there."""
    bus = await Bus.connect(login(config, role), name=f"{config.node.id}.{name}:1", node_id=config.node.id)
    try:
        async with asyncio.timeout(UP_S):
            await bus.up()
        yield bus
    finally:
        await bus.close()


async def _one(config: Config, view: str, per_second: float, seconds: float) -> Row:
    seen: dict[str, float] = {}

    def see(name: str) -> None:
        seen.setdefault(name, time.monotonic())

    async with _bus(config, VIEWS[view].reader, "reader-0") as bus, Tasks() as tasks:
        _watch(config, bus, tasks, view, see)
        await asyncio.sleep(SETTLE_S)
        command = (sys.executable, "-m", __name__, str(config.paths.state), view, str(per_second), str(seconds))
        writer = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        said, _ = await writer.communicate()
        await asyncio.sleep(SETTLE_S)
    changed = dict(line.split() for line in said.decode().splitlines())
    took = ((seen[name] - float(at)) * 1000 for name, at in changed.items() if name in seen)
    return Row(view, tuple(round(ms, 2) for ms in took), len(changed))


def _watch(config: Config, bus: Bus, tasks: Tasks, view: str, see: Callable[[str], None]) -> None:
    if view == "opt_outs":
        listed = DoNotCall(bus.kv(Bucket.DNC), KeptList(config.paths.state / f"seen-{FILE}", ""))
        listed.forbidden = see
        tasks.spawn(listed.follow())
    else:
        ClusterView(bus, lambda thing: see(str(thing.get("n")))).open(tasks)


# ---- the writer ------------------------------------------------------------------------------------------------------


async def _write(config: Config, view: str, per_second: float, seconds: float) -> None:
    """Change things, evenly; print the name of each change and its moment."""
    changed: list[tuple[str, float]] = []
    async with _bus(config, VIEWS[view].writer, "writer-0") as bus, Tasks() as tasks:
        change = _opt_out(bus, tasks) if view == "opt_outs" else _show(bus, tasks, view)
        began_s = time.monotonic()
        for n in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, began_s + n / per_second - time.monotonic()))
            changed.append((_name(view, n), time.monotonic()))
            change(n)
        await asyncio.sleep(SETTLE_S)
    sys.stdout.write("".join(f"{name} {at}\n" for name, at in changed))


def _name(view: str, n: int) -> str:
    """Return the name of a change, in the form of a contact's: no view takes another's for its own."""
    return f"{list(VIEWS).index(view):x}{n:031x}"


def _show(bus: Bus, tasks: Tasks, view: str) -> Callable[[int], object]:
    shown = View(bus, VIEWS[view].bucket)
    tasks.spawn(shown.run(lambda body: False))

    def show(n: int) -> None:
        body: Body = {"node": "n1", "state": "ready", "n": _name(view, n)}
        shown.show(f"thing-{n % THINGS}", body)

    return show


def _opt_out(bus: Bus, tasks: Tasks) -> Callable[[int], object]:
    listed = DoNotCall(bus.kv(Bucket.DNC), KeptList(Path(sys.argv[1]) / FILE, ""))

    def say(n: int) -> None:
        tasks.spawn(listed.publish(listed.entry(ContactId(_name("opt_outs", n)), "callee", "bench")))

    return say


if __name__ == "__main__":
    logs.configure("error", "n1", "writer")
    eventloop.run(_write(_config(Path(sys.argv[1])), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))

__all__ = ["Row", "measure"]
