"""A node and its callees, set up for a rehearsal and gone after it: `demo`, `campaign rehearse` and `bench` play on it.

Everything is a child of this command, so that nothing is left when it ends, however it ends. Ports are free ones, state
is in a directory of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from nodes import lock
from nodes.commands.client import Client, connected
from nodes.config import ENVIRONMENT, Config, load
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
EDGE = '[edge]\ngives_up = ["recordings"]\n'
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
) -> AsyncIterator[Stage]:
    """Set up a node with its state in `state`, which is emptied first, and callees who know `scripts` (name -> text).

    `needed`: how many processes of which role must be active before the block begins. `settings`: further keys of the
    table `edge` of its configuration, then further tables, as TOML. `agents`: who sits at its desk, as
    `ann:service+billing,ben:service`. `channels`: how many sockets media has. `n_phrases`: callees have so many answers
    of each meaning, spoken before the block begins; 0: they say what they like. `restarts`: so often may the launcher
    die, and is started again as a supervisor of the machine would do it. Raises: NodeError.
    """
    file = _configuration(state, settings, channels)
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


def _configuration(state: Path, settings: str, channels: int) -> Path:
    """Write a configuration with free ports into an empty state directory. Raises: NotAStage."""
    file = emptied(state)
    first = _free_block(2 * channels)
    file.write_text(
        f'{MARK}[node]\nid = "demo"\n[paths]\nstate = "."\n[sip]\nport = {_free_port()}\n'
        f"[rtp]\nports = [{first}, {first + 2 * channels - 1}]\n[nats]\nport = {_free_port(socket.SOCK_STREAM)}\n"
        f"[desk]\nport = {_free_port(socket.SOCK_STREAM)}\n{EDGE}{settings}"
    )
    return file


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
    sock = _bound(socket.SOCK_DGRAM)
    sock.setblocking(False)
    return sock


def _bound(kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    return sock


def _free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """Return a port that is free now; the node's own, so that whoever calls it, or comes back to it, knows it."""
    with _bound(kind) as sock:
        port: int = sock.getsockname()[1]
        return port


def _free_block(n_ports: int) -> int:
    """Return the first port of a block whose even ports are all free now.

    Below those that the kernel gives to sockets that ask for any (32768 and up on Linux), which come and go. Where the
    search begins is this process's own, so that two stages that are set up at once do not find the same block.
    """
    blocks = list(range(10_000, 32_000 - n_ports, n_ports))
    own = os.getpid() % len(blocks)
    for first in blocks[own:] + blocks[:own]:
        if all(_is_free(port) for port in range(first, first + n_ports, 2)):
            return first
    raise NodeError("no free block of RTP ports between 10000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


__all__ = ["LOG", "MARK", "READY_S", "SETTINGS", "NotAStage", "Stage", "StageDown", "alone", "emptied", "stage"]
