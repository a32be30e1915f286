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
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nodes.commands.client import Client, connected
from nodes.config import ENVIRONMENT, Config, load
from nodes.errors import NodeError
from nodes.launcher import PROCESS
from nodes.rehearsal.process import REPORTS, SCRIPTS, SEED
from supervisors import Supervisor, TreeDown, running
from supervisors.process import OsProcess, Program

READY_S = 60.0
RTP_PORTS = 400
"""Even ones of them are used: 200 channels."""


class StageDown(NodeError):
    """The node ended while it was needed."""


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
    state: Path, scripts: Mapping[str, str], seed: int, needed: Mapping[str, int], settings: str = ""
) -> AsyncIterator[Stage]:
    """Set up a node with its state in `state`, which is emptied first, and callees who know `scripts` (name -> text).

    `needed`: how many processes of which role must be active before the block begins. `settings`: further tables of
    its configuration, as TOML. Raises: NodeError.
    """
    file = _configuration(state, settings)
    config = load(file)
    callees = _udp_socket()
    paths = _written(scripts, state)
    log = state / "node.log"
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
        },
        sockets={"sip": callees},
        ready_s=READY_S,
    )
    with _stderr_into(log):
        try:
            async with (
                running(Supervisor([OsProcess.child("node", node)], intensity=0)),
                connected(config, READY_S) as client,
            ):
                await client.ready(needed, READY_S)
                async with running(Supervisor([OsProcess.child("callees", people)], intensity=0)):
                    yield Stage(client, callees.getsockname()[1], log)
        except TreeDown as down:
            raise StageDown(f"{down.reason}; its log is {log}") from down
        finally:
            callees.close()


def _configuration(state: Path, settings: str) -> Path:
    """Write a configuration with free ports into an empty state directory."""
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    first = _free_block()
    file = state / "ringmaster.toml"
    file.write_text(
        f'[node]\nid = "demo"\n[paths]\nstate = "."\n[sip]\nport = {_free_port()}\n'
        f"[rtp]\nports = [{first}, {first + RTP_PORTS - 1}]\n[nats]\nport = 0\n[desk]\nport = 0\n{settings}"
    )
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


def _free_port() -> int:
    """Return a port that is free now; the node's own, so that whoever calls it knows it."""
    with _udp_socket() as sock:
        port: int = sock.getsockname()[1]
        return port


def _free_block() -> int:
    """Return the first port of a block whose even ports are all free now.

    Below those that the kernel gives to sockets that ask for any (32768 and up on Linux), which come and go. Where the
    search begins is this process's own, so that two stages that are set up at once do not find the same block.
    """
    blocks = list(range(10_000, 32_000, RTP_PORTS))
    own = os.getpid() % len(blocks)
    for first in blocks[own:] + blocks[:own]:
        if all(_is_free(port) for port in range(first, first + RTP_PORTS, 2)):
            return first
    raise NodeError("no free block of RTP ports between 10000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class _stderr_into:  # noqa: N801  reads as a verb where it is used
    """Let the node's log lines go to a file while the block runs, so that the terminal belongs to the captions."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        sys.stderr.flush()
        self._saved = os.dup(2)
        with self._path.open("ab") as file:
            os.dup2(file.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)


__all__ = ["Stage", "StageDown", "stage"]
