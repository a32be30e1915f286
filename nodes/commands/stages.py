"""Several nodes of one cluster on this machine, and their callees: each node has a loopback address of its own.

One node is the hub: NATS, recorder, central and desk. The others have the calls: edge, media and speech each, and the
first of them a central that stands by. Keys, doors and the mesh between them are those of machines; the network is not.
Everything is a child of this command, as on a `stage`, so that nothing is left when it ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.commands.client import Client, connected
from nodes.commands.stage import LOG, MARK, READY_S, SETTINGS, StageDown, alone, emptied
from nodes.config import ENVIRONMENT, Config, load
from nodes.errors import NodeError
from nodes.launcher import PROCESS
from nodes.links import cluster_keys, cluster_state
from nodes.links.roster import NOBODY, Roster
from protocols.errors import RemoteProtocolError
from protocols.wire.ids import NodeId
from supervisors import StartFailed, TreeDown
from supervisors.process import Program

HUB: Final = "hub"
NAME: Final = "stages"
HUB_ROLES: Final = ("nats", "recorder", "central", "desk")
CALL_ROLES: Final = ("edge", "media", "speech")
CHANNELS: Final = 2
"""Sockets for media, which nobody uses where media is stood in for."""
AT_ONCE: Final = 2
"""Nodes that start at the same time: each imports all it has in a dozen processes."""
LOOK_S: Final = 0.2
SIP_PORT: Final = 5060
DESK_PORT: Final = 8080
NATS_PORT: Final = 4222


@dataclass(frozen=True, slots=True)
class Stages:
    """Running nodes by their ids, the callees' SIP port, and a guest's way in at the hub."""

    client: Client
    callees_port: int
    nodes: Mapping[str, Config]
    log: Path

    @property
    def config(self) -> Config:
        """The hub's configuration."""
        return self.client.config

    def callee(self, user: str) -> str:
        """Return the SIP URI of a callee."""
        return f"sip:{user}@127.0.0.1:{self.callees_port}"

    def rosters(self) -> dict[str, Roster]:
        """Return who lives, node by node, as each launcher has last said."""
        return {name: roster_of(config) for name, config in self.nodes.items()}


def roster_of(config: Config) -> Roster:
    """Return a node's roster; nobody where there is none."""
    try:
        return Roster.read(config.paths.run / "roster.json")
    except (OSError, RemoteProtocolError):
        return NOBODY


@asynccontextmanager
async def stages(state: Path, n_nodes: int, settings: str) -> AsyncIterator[Stages]:
    """Set up a hub and so many nodes with calls, their states in `state`, which is emptied first; and their callees.

    `settings`: tables of all their configurations, as TOML. Raises: NodeError.
    """
    emptied(state)
    names = [HUB, *(f"n{n}" for n in range(1, n_nodes + 1))]
    configs = {name: _configuration(state / name, name, n, settings) for n, name in enumerate(names, 1)}
    _share_keys(configs)
    ended: list[str] = []
    log = state / LOG
    callees = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    callees.bind(("127.0.0.1", 0))
    callees.setblocking(False)
    try:
        with log.open("a", buffering=1) as lines, redirect_stderr(lines):
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(alone(HUB, _node(state / HUB), ended))
                client = await stack.enter_async_context(connected(configs[HUB], READY_S))
                await client.ready(dict.fromkeys(HUB_ROLES[1:], 1), READY_S)
                others = names[1:]
                for first in range(0, len(others), AT_ONCE):
                    for name in others[first : first + AT_ONCE]:
                        await stack.enter_async_context(alone(name, _node(state / name), ended))
                    for name in others[first : first + AT_ONCE]:
                        await _up(name, configs[name])
                await stack.enter_async_context(alone("callees", _people(state / HUB, callees), ended))
                yield Stages(client, callees.getsockname()[1], configs, log)
    except (TreeDown, StartFailed, NodeError) as error:
        if isinstance(error, NodeError) and not ended:
            raise
        raise StageDown(f"{ended[0] if ended else error} (log: {log})") from error
    finally:
        callees.close()


async def _up(name: str, config: Config) -> None:
    """Return when a node's processes are there. Raises: StageDown."""
    until_s = time.monotonic() + READY_S
    while not all(roster_of(config).active(role) for role in CALL_ROLES):
        if time.monotonic() > until_s:
            raise StageDown(f"{name} is not up after {READY_S:g} s")
        await asyncio.sleep(LOOK_S)


def _node(state: Path) -> Program:
    env = {ENVIRONMENT: str(state / SETTINGS)}
    return Program(argv=(sys.executable, "-m", "nodes.launcher"), env=env, speaks=False, stop_s=15.0)


def _people(hub: Path, sock: socket.socket) -> Program:
    env = {ENVIRONMENT: str(hub / SETTINGS), PROCESS: "rehearsal-0 rehearsal"}
    return Program(argv=(sys.executable, "-m", "nodes.child"), env=env, sockets={"sip": sock}, ready_s=READY_S)


def _configuration(state: Path, name: str, n: int, settings: str) -> Config:
    """Write a node's configuration, with an address that no other stage of this machine has (127.0.0.0/8)."""
    own = os.getpid()
    host, hub = (f"127.{64 + own // 250 % 128}.{own % 250}.{each}" for each in (n, 1))
    roles = [*CALL_ROLES, *(["central"] if n == 2 else [])]
    text, nats = _list(roles), f'url = "nats://{hub}:{NATS_PORT}"'
    if name == HUB:
        text, nats = _list(HUB_ROLES), f'bind = "{host}"\nport = {NATS_PORT}'
    state.mkdir(parents=True)
    (state / SETTINGS).write_text(
        f'{MARK}[node]\nid = "{name}"\nroles = {text}\n[paths]\nstate = "."\n[cluster]\nbind = "{host}"\n'
        f'[nats]\n{nats}\n[sip]\nbind = "{host}"\nport = {SIP_PORT}\n[media]\nchannels = {CHANNELS}\n'
        f'[rtp]\nbind = "{host}"\nports = [20000, {20000 + 2 * CHANNELS - 1}]\n'
        f'[desk]\nbind = "{host}"\nport = {DESK_PORT}\n{settings}'
    )
    return load(state / SETTINGS)


def _list(words: tuple[str, ...] | list[str]) -> str:
    return "[{}]".format(", ".join(f'"{word}"' for word in words))


def _share_keys(configs: Mapping[str, Config]) -> None:
    """Do what `ringmaster cluster init`, `keys` and `join` do."""
    hub = configs[HUB].paths.state
    cluster_keys.make(hub, NAME, NodeId(HUB))
    others = [NodeId(name) for name in configs if name != HUB]
    cluster_state.add(hub, others)
    for name in others:
        url = configs[name].nats.url
        cluster_keys.unpack(cluster_keys.keys_for(hub, name, (url,)), configs[name].paths.state)


__all__ = ["HUB", "Stages", "roster_of", "stages"]
