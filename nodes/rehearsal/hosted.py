"""What runs on test hosts: nodes, each with its real launcher; a nats-server for all; callees.

Configurations are written here, with the host's addresses, and read by what runs there; logs are files of ours. A
node's processes are named by its roster, whose process ids are those of its host.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nodes.bus.server import find
from nodes.config import ENVIRONMENT
from nodes.errors import NodeError
from nodes.links.roster import NOBODY, Peer, Roster
from nodes.rehearsal import agent, far_end
from nodes.rehearsal.hosts import NETWORK, Host
from nodes.rehearsal.process import PHRASES, REPORTS, SCRIPTS, SEED
from nodes.rehearsal.remote import Running
from nodes.rehearsal.stepped import sitecustomize
from protocols.errors import RemoteProtocolError

Settings = Mapping[str, Mapping[str, object]]
"""Tables of a configuration: name -> key -> value."""

NOTHING: Final[Settings] = {}
NO_VARIABLES: Final[Mapping[str, str]] = {}
COMMAND: Final = (sys.executable, "-m", "nodes.cli")
"""`ringmaster`, for whoever runs it on a host."""
READY_S: Final = 60.0
RESTART_S: Final = 1.0
STOP_S: Final = 20.0
LOOK_S: Final = 0.05
SIP_PORT: Final = 5060
NATS: Final = "nats"
NATS_PORT: Final = 4222
STATE: Final = "state"
"""In a host's directory: the node's, or the callees'."""
STORE: Final = "10GB"
"""What streams may be promised, whatever the disk has: they ask for more than a rehearsal fills."""
DESK_PORT: Final = 8080
CHANNELS: Final = 50
_ASKS: Final = """
import sys, time, urllib.error, urllib.request
url, until_s = sys.argv[1], time.monotonic() + float(sys.argv[2])
while True:
    try:
        urllib.request.urlopen(url, timeout=5).read()
        sys.exit(0)
    except urllib.error.HTTPError as error:
        said = error.read().decode()
    except OSError as error:
        said = str(error)
    if time.monotonic() > until_s:
        print(said)
        sys.exit(1)
    time.sleep(0.2)
"""
"""Asks an address again and again until it answers with 200; else tells what it has said last."""


class NotReady(NodeError):
    """What was started on a host has ended, or takes too long; `log` says why."""


def toml(settings: Settings, more: str = "") -> str:
    """Return tables as TOML, then `more` as it is. JSON's strings, numbers, booleans and lists are TOML's.

    >>> toml({"node": {"id": "n1", "roles": ["edge", "nats"]}})
    '[node]\\nid = "n1"\\nroles = ["edge", "nats"]\\n'
    """
    lines = [
        line
        for name, table in settings.items()
        for line in (f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()))
    ]
    return "\n".join([*lines, more])


def merged(settings: Settings, over: Settings) -> dict[str, dict[str, object]]:
    """Return tables with the keys of `over` in place of those of `settings`."""
    names = dict.fromkeys((*settings, *over))
    return {name: {**settings.get(name, {}), **over.get(name, {})} for name in names}


@dataclass(slots=True)
class HostedNode:
    """A node on a host, with the host's wall clock.

    After its launcher, or its host, was killed `start` begins it again, with its state.
    """

    host: Host
    file: Path
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    running: Running | None = None
    is_wanted: bool = False
    """Whether `keep` is to start it."""

    @property
    def state(self) -> Path:
        """Its state directory, as we find it."""
        return self.host.path(self.host.directory / STATE)

    async def start(self) -> None:
        """Start its launcher. Raises: NotRun."""
        self.is_wanted = True
        with self.log.open("a") as log:
            self.running = await self.host.start(
                (*COMMAND, "up", "--config", str(self.file)), log, {**steps(self.host), **self.env}
            )

    async def keep(self) -> None:
        """Start it again whenever it has ended by itself, as who supervises a machine's services does."""
        while True:
            await asyncio.sleep(RESTART_S)
            if self.is_wanted and self.host.is_on and self.running and self.running.status is not None:
                await self.start()

    async def ready(self, needed: Mapping[str, int], within_s: float = READY_S) -> Roster:
        """Return its roster once so many processes of each role are active. Raises: NotReady."""

        def missing() -> list[str]:
            roster = self.roster()
            return [role for role, n in needed.items() if len(roster.active(role)) < n]

        await _until(lambda: not missing(), self.running, self.log, within_s)
        return self.roster()

    async def takes_calls(self, within_s: float = READY_S) -> None:
        """Return once its desk says that calls can be placed here (`/readyz`). Raises: NotReady, NotRun."""
        await self.ready({"desk": 1}, within_s)
        ask = (sys.executable, "-S", "-c", _ASKS, f"http://{self.host.address}:{DESK_PORT}/readyz", str(within_s))
        done = await self.host.run(ask)
        if done.status:
            raise NotReady(
                f"{self.host.name} takes no calls after {within_s:g} s: {done.out.strip()} (log: {self.log})"
            )

    def roster(self) -> Roster:
        """Return who lives on it as its launcher has last said; nobody, where it has said nothing or is gone."""
        if self.running is None or self.running.status is not None:
            return NOBODY
        try:
            return Roster.read(self.state / "run/roster.json")
        except (OSError, RemoteProtocolError):
            return NOBODY

    @property
    def server(self) -> int:
        """Its nats-server, by its id on its host; 0: it has none just now."""
        found = [pid for pid, line in self.host.processes().items() if _program(line) == "nats-server"]
        return next(iter(found), 0)

    def kill(self, peer: Peer) -> None:
        """End one of its processes as nothing but SIGKILL can. Raises: NotRun."""
        self.host.kill(peer.pid)

    async def kill_launcher(self) -> None:
        """End its launcher, and so all of it; the host's kernel resets its connections. Returns when it has ended."""
        self.is_wanted = False
        if self.running:
            self.running.kill()
            await self.running.wait()

    async def stop(self) -> int:
        """Have it end in order; return its exit status."""
        assert self.running
        self.is_wanted = False
        return await self.running.stop(STOP_S)


@asynccontextmanager
async def node(
    host: Host,
    settings: Settings = NOTHING,
    more: str = "",
    channels: int = CHANNELS,
    env: Mapping[str, str] = NO_VARIABLES,
) -> AsyncIterator[HostedNode]:
    """Have a node on a host, started; with these settings beside those that its address asks for, and variables.

    Its id is the host's name. Wait for `ready` with what you need of it. Raises: NotRun.
    """
    own: Settings = {
        "node": {"id": host.name},
        "paths": {"state": STATE},
        "sip": {"bind": host.address, "port": SIP_PORT, "allow": [NETWORK]},
        "rtp": {"bind": host.address, "ports": [20_000, 20_000 + 2 * channels - 1]},
        "media": {"channels": channels},
        "edge": {"processes": 1},
        "desk": {"bind": host.address, "port": DESK_PORT, "insecure": True},
    }
    file = host.directory / "ringmaster.toml"
    host.path(file).write_text(toml(merged(own, settings), more))
    made = HostedNode(host, file, _log(host, "node"), env)
    await made.start()
    try:
        yield made
    finally:
        if host.is_on and made.running and made.running.status is None:
            host.resume()
            await made.stop()


@asynccontextmanager
async def nats(host: Host, port: int = NATS_PORT) -> AsyncIterator[str]:
    """Have a nats-server with JetStream on a host, for whoever reaches it, and yield its address. Raises: NotReady."""
    file, log = host.directory / "nats.conf", _log(host, "nats")
    store = host.directory / "jetstream"
    host.path(file).write_text(
        f'listen: "{host.address}:{port}"\nmax_payload: 1MB\n'
        f"jetstream {{ store_dir: {json.dumps(str(store))}, max_file_store: {STORE} }}\n"
    )
    with log.open("a") as lines:
        running = await host.start((str(find()), "--config", str(file)), lines)
    await _until(lambda: "Server is ready" in log.read_text(errors="replace"), running, log, READY_S)
    try:
        yield f"nats://{host.address}:{port}"
    finally:
        running.kill()
        await running.wait()


@dataclass(frozen=True, slots=True)
class Callees:
    """Callees on a host."""

    host: Host

    def target(self, user: str) -> str:
        """Return the SIP URI of one; the part before the dash is the persona."""
        return f"sip:{user}@{self.host.address}:{SIP_PORT}"

    def lived(self) -> list[dict[str, Any]]:
        """Return what the callees of calls that are over have lived through (`nodes.rehearsal.callee`, `Report`)."""
        return self._lines(REPORTS)

    def served(self) -> list[dict[str, Any]]:
        """Return what the agents beside them have lived through (`nodes.rehearsal.agent`, `Served`)."""
        return self._lines(agent.REPORTS)

    def _lines(self, name: str) -> list[dict[str, Any]]:
        with suppress(FileNotFoundError):
            lines = self.host.path(self.host.directory / STATE / name).read_text().splitlines()
            return [json.loads(line) for line in lines]
        return []


@asynccontextmanager
async def callees(
    host: Host,
    nats_url: str,
    scripts: Mapping[str, str],
    seed: int = 1,
    n_phrases: int = 0,
    env: Mapping[str, str] = NO_VARIABLES,
    settings: Settings = NOTHING,
) -> AsyncIterator[Callees]:
    """Have callees on a host who know `scripts` (name -> text), and are told of their calls over NATS.

    `n_phrases`: as on a stage (`nodes/commands/stage.py`). `env`: further variables, `settings`: such as how NATS is
    reached. Raises: NotReady, NotRun.
    """
    paths = [_written(host, f"{name}.yaml", text) for name, text in scripts.items()]
    own: Settings = {"node": {"id": host.name}, "paths": {"state": STATE}, "nats": {"url": nats_url}}
    host.path(host.directory / STATE).mkdir(exist_ok=True)
    file, log = _written(host, "callees.toml", toml(merged(own, settings))), _log(host, "callees")
    environment = {
        ENVIRONMENT: str(file),
        SCRIPTS: ":".join(map(str, paths)),
        SEED: str(seed),
        PHRASES: str(n_phrases),
        **env,
    }
    with log.open("a") as lines:
        running = await host.start(
            (sys.executable, "-m", "nodes.rehearsal.far_end", host.address, str(SIP_PORT)), lines, environment
        )  # fmt: skip
    is_ready = f"{far_end.READY}\n"
    await _until(lambda: is_ready in log.read_text(errors="replace"), running, log, READY_S)
    try:
        yield Callees(host)
    finally:
        await running.stop(STOP_S)


def steps(host: Host) -> dict[str, str]:
    """Return what to add to an environment so that wall clocks follow the host's."""
    return {"PYTHONPATH": str(Path(sitecustomize.__file__).parent), sitecustomize.CLOCK: str(host.clock)}


def _program(line: str) -> str:
    return line.partition(" ")[0].rpartition("/")[2]


def _written(host: Host, name: str, text: str) -> Path:
    file = host.directory / name
    host.path(file).write_text(text, encoding="utf-8")
    return file


def _log(host: Host, name: str) -> Path:
    """Return where we keep what something on a host writes: beside the host's directory, so that it stays."""
    return host.directory.parent / f"{host.name}-{name}.log"


async def _until(is_so: Callable[[], object], running: Running | None, log: Path, within_s: float) -> None:
    """Return once `is_so()`; another process tells it by a file. Raises: NotReady."""
    give_up_s = time.monotonic() + within_s
    while not is_so():
        if running is None or running.status is not None:
            raise NotReady(f"has ended: {_last_line(log)} (log: {log})")
        if time.monotonic() > give_up_s:
            raise NotReady(f"not ready after {within_s:g} s (log: {log})")
        await asyncio.sleep(LOOK_S)


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").splitlines() or ["without a word"])[-1][:500]


__all__ = [
    "COMMAND",
    "DESK_PORT",
    "NATS",
    "NATS_PORT",
    "NOTHING",
    "NO_VARIABLES",
    "STATE",
    "Callees",
    "HostedNode",
    "NotReady",
    "Settings",
    "callees",
    "merged",
    "nats",
    "node",
    "steps",
    "toml",
]
