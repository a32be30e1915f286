"""Nkeys for NATS servers of one's own: a seed is made once and given away, and what stays here is whom it belongs to.

    <state>/cluster/users.json    {"n1": {"edge": public key, ...}, "ann": {"viewer": public key}}

Nothing here lets anybody in. `nodes/bus/nats_config.py` makes the servers' users of it. A node's seeds travel in the
file that it joins with (`cluster_keys`), a person's in a file of their own. Whoever has lost theirs is removed, and
given others.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import nkeys  # type: ignore[import-untyped]

from nodes.files import write_private
from nodes.links import cluster_state
from nodes.links.cluster_keys import BadKeys
from nodes.reading import read_json
from protocols.wire.ids import NodeId
from protocols.wire.roles import PEOPLE, Role

Users: TypeAlias = dict[NodeId, dict[str, str]]
"""Who is let in: a node or a person, their roles, and the public key of each."""

FILE: Final = "users.json"
SYSTEM: Final = "system"
"""No role of ours: a person who looks at the servers themselves, and at nothing that is stored there."""
OF_PEOPLE: Final = (*PEOPLE, SYSTEM)
_PUBLIC: Final = re.compile(r"U[A-Z2-7]{55}")


def seed() -> str:
    """Return a new user's seed."""
    made: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return made.decode()


def public(seed: str) -> str:
    """Return the public key of a seed."""
    key: bytes = nkeys.from_seed(bytearray(seed.encode())).public_key
    return key.decode()


def read(state: Path) -> Users:
    """Return who is let in. Raises: `BadKeys` for a file that is damaged or another release's, `OSError`."""
    path = state / cluster_state.DIRECTORY / FILE
    try:
        users = read_json(path.read_bytes(), dict[NodeId, dict[str, str]])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise BadKeys(str(path), "", f"is not what ringmaster cluster keys writes: {error}") from error
    for name, keys in users.items():
        if not cluster_state.NODE.fullmatch(name):
            raise BadKeys(str(path), "", f"{name!r:.40} is no name")
        for role, key in keys.items():
            if role not in (*Role, SYSTEM):
                raise BadKeys(str(path), name, f"{role!r:.40} is no role that this release knows")
            if not _PUBLIC.fullmatch(key):
                raise BadKeys(str(path), f"{name}.{role}", "is no public key")
    return users


def give(state: Path, name: NodeId, roles: Iterable[str], hand_over: Callable[[dict[str, str]], object]) -> None:
    """Make a seed for each of these roles that has none yet, have it let in from now on, and hand it over.

    `hand_over`: is given role -> seed, while nobody else changes who is let in; when it fails, nobody was. A kill
    meanwhile leaves public keys to which nobody has a seed, and never a seed that lets nobody in. Raises: `BadKeys`
    when there is a seed for each, `OSError`.
    """
    with cluster_state.alone(state):
        users = read(state)
        before = users.get(name, {})
        seeds = {str(role): seed() for role in roles if role not in before}
        if not seeds:
            mend = f"whoever has lost them: ringmaster cluster remove {name}, and then this"
            raise BadKeys("", "", f"{name} was given nkeys already, and seeds are made once; {mend}")
        _write(state, users | {name: before | {role: public(made) for role, made in seeds.items()}})
        try:
            hand_over(seeds)
        except BaseException:
            _write(state, users)
            raise


def remove(state: Path, name: NodeId) -> None:
    """Have a node or a person let in no more. Raises: `BadKeys` when they are not, `OSError`."""
    with cluster_state.alone(state):
        users = read(state)
        if name not in users:
            told = "with passwords, each machine of the cluster could be any of its nodes, and none is shut out alone"
            raise BadKeys("", "", f"{name} was given no nkeys here; {told}")
        _write(state, {one: keys for one, keys in users.items() if one != name})


def _write(state: Path, users: Mapping[NodeId, Mapping[str, str]]) -> None:
    write_private(state / cluster_state.DIRECTORY / FILE, json.dumps(users, indent=1).encode() + b"\n")


__all__ = ["OF_PEOPLE", "SYSTEM", "Users", "give", "public", "read", "remove", "seed"]
