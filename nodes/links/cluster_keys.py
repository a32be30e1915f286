"""The file that brings a machine into a cluster: `ringmaster cluster keys` writes it, `cluster join` unpacks it.

JSON, one object, made for one node and worthless for another. Whoever reads it can be any node of the cluster: it
travels as a private key would (scp), and is removed when the machine has joined. With nkeys (`nats_keys`) it lets its
reader in at NATS as this one node only, and says nothing of which others' logins could be worked out.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from nodes.errors import NodeError
from nodes.files import make_private
from nodes.links import cluster_state, contact_key
from nodes.links.cluster_state import ClusterState
from nodes.mesh.curve import ClusterKey
from nodes.reading import read_json
from nodes.tables import ConfigError
from protocols.wire.envelope import VERSION
from protocols.wire.ids import NodeId

FORMAT: Final = 1
MOST_BYTES: Final = 1_000_000
_KIND: Final = "cluster keys"


class BadKeys(NodeError):
    """The file cannot be used, or must not be: `field` is empty when it is about the whole file."""

    def __init__(self, file: str, field: str, reason: str) -> None:
        super().__init__(": ".join(filter(None, (file, field, reason))))
        self.file, self.field, self.reason = file, field, reason


class ClusterKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Everything that `node` needs. `protocol`: the wire's version where it was made."""

    node: NodeId
    cluster: str
    name: str
    curve: str
    nats: str
    contact: str
    nodes: tuple[NodeId, ...]
    urls: tuple[str, ...]
    nkeys: dict[str, str] = {}
    protocol: int = VERSION
    format: int = FORMAT
    ringmaster: str = _KIND

    def __repr__(self) -> str:
        """Say nothing that is secret: objects find their way into logs."""
        return f"ClusterKeys({self.node!r}, {self.name!r})"


def make(state: Path, name: str, node: NodeId) -> ClusterState:
    """Make a cluster of which this machine is the first; a contact key that is here is the cluster's.

    Raises: `BadKeys` when the machine is of a cluster already, `OSError`, `BadContactKey`.
    """
    if found := cluster_state.read(state):
        raise BadKeys(str(state / cluster_state.DIRECTORY), "", f"this machine is of cluster {_told(found)} already")
    contact_key.contact_key(state)
    made = ClusterState(secrets.token_hex(16), name, (), secrets.token_bytes(32))
    cluster_state.write(state, made, ClusterKey.make().secret, [node])
    return made


def keys_for(
    state: Path, node: NodeId, urls: tuple[str, ...], nkeys: Mapping[str, str] = MappingProxyType({})
) -> ClusterKeys:
    """Return what a node needs. Raises: `BadKeys` when this machine is of no cluster, `OSError`, `ConfigError`."""
    if (ours := cluster_state.read(state)) is None:
        raise BadKeys(
            str(state / cluster_state.DIRECTORY), "", "this machine is of no cluster: ringmaster cluster init"
        )
    curve = ClusterKey.read(cluster_state.curve_key(state)).secret.decode()
    contact = contact_key.contact_key(state).hex()
    secret = secrets.token_bytes(32) if nkeys else ours.nats  # who has nkeys is to know nobody's password
    nodes = tuple(cluster_state.known(state))
    return ClusterKeys(node, ours.id, ours.name, curve, secret.hex(), contact, nodes, urls, dict(nkeys))


def read(file: Path) -> ClusterKeys:
    """Read a file of keys. Raises: `BadKeys`, with the field that is wrong; `OSError`."""
    with file.open("rb") as opened:
        text = opened.read(MOST_BYTES)
    try:
        found = read_json(text)
    except ValueError as error:
        raise BadKeys(str(file), "", f"is no file of keys, or was cut short: {error}") from error
    if not isinstance(found, dict) or found.get("ringmaster") != _KIND:
        raise BadKeys(str(file), "", "is no file of keys: ringmaster cluster keys makes one")
    if found.get("format") != FORMAT:
        raise BadKeys(str(file), "format", f"is {found.get('format')!r:.20}, and this release reads {FORMAT}")
    try:
        keys = msgspec.convert(found, ClusterKeys)
    except ValueError as error:
        raise BadKeys(str(file), "", str(error)) from error
    for field, is_good in (
        ("node", keys.node in keys.nodes),
        ("nodes", all(map(cluster_state.NODE.fullmatch, keys.nodes))),
        ("cluster", cluster_state.ID.fullmatch(keys.cluster)),
        ("name", cluster_state.NAME.fullmatch(keys.name)),
        ("curve", _is_curve(keys.curve)),
        ("nats", cluster_state.NATS_SECRET.fullmatch(keys.nats)),
        ("contact", cluster_state.NATS_SECRET.fullmatch(keys.contact)),
        ("nkeys", all(map(cluster_state.SEED.fullmatch, keys.nkeys.values()))),
    ):
        if not is_good:
            raise BadKeys(str(file), field, "is not what ringmaster cluster keys writes there")
    return keys


def refuse(keys: ClusterKeys, file: Path, state: Path, node: NodeId) -> None:
    """Refuse keys that this machine must not take. Raises: `BadKeys`, `BadClusterState`, `OSError`.

    What only the living nodes can tell is `protocols.joining`'s.
    """
    if keys.node != node:
        raise BadKeys(str(file), "node", f"the keys are for {keys.node}, and node.id of this machine is {node}")
    if keys.protocol != VERSION:
        told = f"the cluster speaks version {keys.protocol} of the protocol, and this release {VERSION}"
        raise BadKeys(str(file), "protocol", f"{told}: install the same release")
    if (found := cluster_state.read(state)) and found.id != keys.cluster:
        told = f"the keys are of cluster {keys.name} ({keys.cluster[:8]})"
        raise BadKeys(str(file), "cluster", f"{told}, and this machine is of cluster {_told(found)}")
    path = state / contact_key.FILE
    if path.exists() and contact_key.contact_key(state).hex() != keys.contact:
        told = f"{path} is another one, and whoever is on this machine's do-not-call list would be known to nobody"
        raise BadKeys(str(file), "contact", f"{told}: move it away, and import that list anew")


def unpack(keys: ClusterKeys, state: Path) -> ClusterState:
    """Make this machine one of the cluster. Raises: `OSError`."""
    state.mkdir(parents=True, exist_ok=True)
    make_private(state / contact_key.FILE, keys.contact.encode())
    made = as_state(keys, state)
    cluster_state.write(state, made, keys.curve.encode(), keys.nodes)
    return made


def as_state(keys: ClusterKeys, state: Path) -> ClusterState:
    """Return what the machine will know of its cluster with these keys. Raises: `OSError`, `BadClusterState`.

    Keys with seeds of some roles, which an upgrade has brought, leave it those of the others.
    """
    before = cluster_state.read(state) if keys.nkeys else None
    nkeys = {**(before.nkeys if before else {}), **keys.nkeys}
    return ClusterState(keys.cluster, keys.name, keys.urls, bytes.fromhex(keys.nats), nkeys)


def packed(keys: ClusterKeys) -> bytes:
    """Return the file's bytes."""
    return msgspec.json.format(msgspec.json.encode(keys), indent=1) + b"\n"


def _is_curve(text: str) -> bool:
    try:
        ClusterKey.of(text.encode(), "")
    except ConfigError:
        return False
    return True


def _told(cluster: ClusterState) -> str:
    return f"{cluster.name} ({cluster.id[:8]})"


__all__ = ["BadKeys", "ClusterKeys", "as_state", "keys_for", "make", "packed", "read", "refuse", "unpack"]
