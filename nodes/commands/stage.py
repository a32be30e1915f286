"""A node and its callees, set up for a rehearsal and gone after it: `demo`, `campaign rehearse` and `bench` play on it.

Everything is a child of this command, so that nothing is left when it ends, however it ends. Ports are nobody else's
(`nodes.ports`), state is in a directory of its own.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from nodes import lock, ports
from nodes.commands.client import Client, connected
from nodes.config import ENVIRONMENT, Config, load
from nodes.edge_names import APART
from nodes.errors import NodeError
from nodes.histories import last_words
from nodes.launcher import PROCESS
from nodes.rehearsal.agent import AGENTS
from nodes.rehearsal.process import PHRASES, REPORTS, SCRIPTS, SEED
from supervisors import StartFailed, Supervisor, System, TreeDown, running
from supervisors.process import OsProcess, ProcessReport, Program

READY_S = 60.0
CHANNELS = 200
"""Sockets for media, each on an even port of its own."""

SETTINGS = "ringmaster.toml"
LOG = "node.log"
MARK = "# A rehearsal's: the next one empties this directory.\n"
"""The first line of its configuration; a directory without such a file is somebody's own, and is not emptied."""
EDGE = '[edge]\nprocesses = {n_edges}\ngives_up = ["recordings"]\n'
"""Callees of a rehearsal know by the events of a turn what they are asked."""


class StageDown(NodeError):
    """The node or its callees ended while they were needed."""


class NotAStage(NodeError):
    """The directory for the state cannot be had: another rehearsal is in it, or what is not a rehearsal's."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A running node, its callees' SIP port, and a guest's way in."""

    client: Client
    callees_port: int
    log: Path

    @property
    def config(self) -> Config:
        """The node's configuration."""
        return self.client.config

    def callee(self, user: str) -> str:
        """Return the SIP URI of a callee; the part before the dash is the persona."""
        return f"sip:{user}@127.0.0.1:{self.callees_port}"

    def lived(self) -> list[dict[str, object]]:
        """Return what the callees of calls that are over have lived through."""
        path = self.config.paths.state / REPORTS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@asynccontextmanager
async def stage(
    state: Path,
    scripts: Mapping[str, str],
    seed: int,
    needed: Mapping[str, int],
    settings: str = "",
    agents: str = "",
    channels: int = CHANNELS,
    n_phrases: int = 0,
    restarts: int = 0,
    n_edges: int = 1,
) -> AsyncIterator[Stage]:
    """Set up a node with its state in `state`, which is emptied first, and callees who know `scripts` (name -> text).

    `needed`: how many processes of which role must be active before the block begins. `settings`: further keys of the
    table `edge` of its configuration, then further tables, as TOML. `agents`: who sits at its desk, as
    `ann:service+billing,ben:service`. `channels`: how many sockets media has. `n_phrases`: callees have so many answers
    of each meaning, spoken before the block begins; 0: they say what they like. `restarts`: so often may the launcher
    die, and is started again as a supervisor of the machine would do it. `n_edges`: active ones. Raises: NodeError.
    """
    with _configuration(state, settings, channels, n_edges) as file:
        config = load(file)
        callees = _udp_socket()
        paths = _written(scripts, state)
        log = state / LOG
        node = Program(
            argv=(sys.executable, "-m", "nodes.launcher"), env={ENVIRONMENT: str(file)}, speaks=False, stop_s=15.0
        )  # fmt: skip
        people = Program(
            argv=(sys.executable, "-m", "nodes.child"),
            env={
                ENVIRONMENT: str(file),
                PROCESS: "rehearsal-0 rehearsal",
                SCRIPTS: ":".join(map(str, paths)),
                SEED: str(seed),
                AGENTS: agents,
                PHRASES: str(n_phrases),
            },
            sockets={"sip": callees},
            ready_s=READY_S,
        )
        ended: list[str] = []
        with log.open("a", buffering=1) as lines, redirect_stderr(lines):  # the terminal belongs to the captions
            try:
                async with alone("node", node, ended, restarts), connected(config, READY_S) as client:
                    await client.ready(needed, READY_S)
                    async with alone("callees", people, ended):
                        yield Stage(client, callees.getsockname()[1], log)
            except (TreeDown, StartFailed, NodeError) as error:
                if isinstance(error, NodeError) and not ended:
                    raise
                raise StageDown(f"{ended[0] if ended else error} (log: {log})") from error
            finally:
                callees.close()
                if lock.holder(state) is None:
                    shutil.rmtree(config.paths.run, ignore_errors=True)  # what a killed launcher could not put away


def alone(id: str, program: Program, ended: list[str], restarts: int = 0) -> AbstractAsyncContextManager[System]:
    """Run a process whose end (after `restarts` others) is the end of everything; `ended` gets its last words."""

    def changed(report: ProcessReport) -> None:
        if report.exit and report.exit.code != 0:
            ended.append(f"the {id}: {last_words(report.exit).rpartition('ringmaster up: ')[2]}")

    return running(Supervisor([OsProcess.child(id, program, on_change=changed)], intensity=restarts, period_s=1e9))


@contextmanager
def _configuration(state: Path, settings: str, channels: int, n_edges: int) -> Iterator[Path]:
    """Write a configuration into an empty state directory, with ports that are its node's for the length of the block.

    They are in the file, so that whoever calls the node, or comes back to it, finds it after each of its restarts.
    Raises: NotAStage, NoPorts.
    """
    file = emptied(state)
    with ports.held(2 * channels + APART * n_edges + 2) as first:
        sip = first + 2 * channels
        nats = sip + APART * n_edges
        file.write_text(
            f'{MARK}[node]\nid = "demo"\n[paths]\nstate = "."\n[sip]\nport = {sip}\n'
            f"[rtp]\nports = [{first}, {sip - 1}]\n[nats]\nport = {nats}\n"
            f"[desk]\nport = {nats + 1}\n{EDGE.format(n_edges=n_edges)}{settings}"
        )
        yield file


def emptied(state: Path) -> Path:
    """Have a directory with nothing in it but a configuration that marks it: a new one, or what an earlier stage left.

    Nobody loses anything else. Returns the configuration's file. Raises: NotAStage.
    """
    file = state / SETTINGS
    try:
        if any(state.iterdir()) and not (file.is_file() and file.read_text(errors="replace").startswith(MARK)):
            raise NotAStage(f"--state {state}: is not empty, and not a rehearsal's: name another directory")
        if (pid := lock.holder(state)) is not None:
            raise NotAStage(f"--state {state}: another rehearsal (process {pid}) is using it")
        shutil.rmtree(state)
    except FileNotFoundError:
        pass
    state.mkdir(parents=True)
    file.write_text(MARK)
    return file


def _written(scripts: Mapping[str, str], state: Path) -> list[Path]:
    paths = [state / f"{name}.yaml" for name in scripts]
    for path, text in zip(paths, scripts.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def _udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


__all__ = ["LOG", "MARK", "READY_S", "SETTINGS", "NotAStage", "Stage", "StageDown", "alone", "emptied", "stage"]
