"""What makes this machine one of a cluster: the secrets below `<state>/cluster/`, for the node's owner only.

    cluster.json   {"cluster": id, "name": ..., "urls": [...]}   which one, and where its NATS was when we joined
    curve.key      the mesh's key between machines (`nodes/mesh/curve.py`)
    nats.secret    what every NATS password of the cluster is worked out from, so that each server knows each node's
    nodes          whom the embedded NATS server lets in: one node's id a line
    nkeys/         at NATS servers of one's own, instead of passwords: this node's seeds, `<role>.nk`
    users.json     where they are made: whom those servers let in (`nats_keys`)

`ringmaster cluster` writes them. A node without them is alone. The secret that names contacts stays where a single
node has it (`contact_key`). Standard library only, because the launcher imports it.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nodes.bounds import is_too_deep
from nodes.errors import NodeError
from nodes.files import write_private
from protocols.wire.ids import NodeId
from protocols.wire.roles import Role, user_of

DIRECTORY: Final = "cluster"
DESCRIPTION: Final = "cluster.json"
CURVE: Final = "curve.key"
SECRET: Final = "nats.secret"
NODES: Final = "nodes"
SEEDS: Final = "nkeys"

ID: Final = re.compile(r"[0-9a-f]{32}")
"""A cluster's id: 128 bits."""
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A cluster's name."""
NODE: Final = re.compile(r"[A-Za-z0-9_-]+")
"""A node's id (`config.Node`)."""
NATS_SECRET: Final = re.compile(r"[0-9a-f]{64}")
SEED: Final = re.compile(r"SU[A-Z2-7]{56}")
"""An nkey's, of a user."""
_ROUTES: Final = "routes"
"""What the servers' own password is worked out from: no user's name, each of which has a `-`."""


class BadClusterState(NodeError):
    """A file of the cluster's cannot be used: it was cut short, or is another file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}. Bring the machine's keys anew: ringmaster cluster keys, then join")


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The cluster that this machine is of. `urls`: where to find its NATS, for a node that has no server of its own.

    `nkeys`: the seeds of this node's roles, where its NATS servers know nkeys and no passwords.
    """

    id: str
    name: str
    urls: tuple[str, ...] = ()
    nats: bytes = field(default=b"", repr=False)
    nkeys: Mapping[str, str] = field(default_factory=dict, repr=False)

    def password(self, node: NodeId, role: Role) -> str:
        """Return a user's password at every NATS server of the cluster."""
        return self._derived(user_of(node, role))

    def routes(self) -> str:
        """Return the password that the cluster's NATS servers ask of each other."""
        return self._derived(_ROUTES)

    def _derived(self, whose: str) -> str:
        return hmac.digest(self.nats, whose.encode(), "sha256").hex()


def read(state: Path) -> ClusterState | None:
    """Return which cluster this machine is of; None when it is of none. Raises: `OSError`, `BadClusterState`."""
    directory = state / DIRECTORY
    try:
        text = (directory / DESCRIPTION).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    secret = (directory / SECRET).read_text(encoding="utf-8", errors="replace").strip()
    if not NATS_SECRET.fullmatch(secret):
        raise BadClusterState(directory / SECRET, "is not 64 hexadecimal digits")
    try:
        told = json.loads(text) if not is_too_deep(text) else None
    except ValueError:
        told = None
    match told:
        case {"cluster": str() as id, "name": str() as name, "urls": [*urls]} if (
            ID.fullmatch(id) and NAME.fullmatch(name) and all(isinstance(url, str) for url in urls)
        ):
            return ClusterState(id, name, tuple(map(str, urls)), bytes.fromhex(secret), _seeds(directory / SEEDS))
    raise BadClusterState(directory / DESCRIPTION, "does not say which cluster this is")


def _seeds(directory: Path) -> dict[str, str]:
    seeds = {}
    for role in Role:
        path = directory / f"{role}.nk"
        try:
            seeds[str(role)] = path.read_text(encoding="utf-8", errors="replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not SEED.fullmatch(seeds[role]):
            raise BadClusterState(path, "is no nkey's seed")
    return seeds


def curve_key(state: Path) -> Path:
    """Return where the mesh's key between machines is."""
    return state / DIRECTORY / CURVE


def write(state: Path, made: ClusterState, curve: bytes, nodes: Iterable[NodeId]) -> None:
    """Make this machine one of a cluster. What says so comes last, so that half of it is nothing. Raises: `OSError`."""
    directory = state / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(directory / CURVE, curve)
    write_private(directory / SECRET, made.nats.hex().encode())
    _write_seeds(directory / SEEDS, made.nkeys)
    add(state, nodes)
    described = {"cluster": made.id, "name": made.name, "urls": list(made.urls)}
    write_private(directory / DESCRIPTION, json.dumps(described, indent=1).encode() + b"\n")


def _write_seeds(directory: Path, seeds: Mapping[str, str]) -> None:
    """Have these seeds, and no other one: a node without any logs in with passwords."""
    if seeds:
        directory.mkdir(exist_ok=True, mode=0o700)
    for role in Role:
        path = directory / f"{role}.nk"
        if role in seeds:
            write_private(path, seeds[role].encode() + b"\n")
        else:
            path.unlink(missing_ok=True)


def known(state: Path) -> list[NodeId]:
    """Return whom the servers of the cluster let in, as far as this machine knows. Raises: `OSError`."""
    try:
        lines = (state / DIRECTORY / NODES).read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [NodeId(line) for line in lines if NODE.fullmatch(line)]


def add(state: Path, nodes: Iterable[NodeId]) -> list[NodeId]:
    """Have nodes let in, and return those that were not. Raises: `OSError`."""
    file = state / DIRECTORY / NODES
    with alone(state):
        before = known(state)
        new = [node for node in dict.fromkeys(nodes) if node not in before]
        if new:
            write_private(file, "".join(f"{node}\n" for node in (*before, *new)).encode())
    return new


def remove(state: Path, node: NodeId) -> None:
    """Have a node let in no more, as far as this machine knows. Raises: `OSError`."""
    with alone(state):
        rest = [one for one in known(state) if one != node]
        write_private(state / DIRECTORY / NODES, "".join(f"{one}\n" for one in rest).encode())


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Be the only one who changes who is let in, for the length of the block; not for one within another.

    Raises: `OSError` on a machine that is of no cluster.
    """
    number = os.open(state / DIRECTORY, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


__all__ = [
    "ID",
    "NAME",
    "NATS_SECRET",
    "NODE",
    "SEED",
    "BadClusterState",
    "ClusterState",
    "add",
    "alone",
    "curve_key",
    "known",
    "read",
    "remove",
    "write",
]
