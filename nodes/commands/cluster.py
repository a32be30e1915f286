"""`ringmaster cluster`: make a cluster, give machines and people their keys, have this one join, and see who is in it.

Keys travel as one file, made for one node on a machine of the cluster and unpacked on the new one: only there, and only
when nothing speaks against it, is anything written. Whoever has such a file can be any node, so it is written for its
owner only, and never to a terminal.

Where NATS servers are one's own, `keys --nkeys` has seeds in that file, `person` makes one for somebody with the NATS
CLI, and `nats-config` tells the servers of them all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from nodes import lock
from nodes.bus import nats_config, server, server_settings
from nodes.commands import cluster_status
from nodes.commands.client import configured
from nodes.commands.terminal import ENDING
from nodes.config import Config, ConfigError, Nats
from nodes.config_cluster import is_loopback
from nodes.errors import NodeError
from nodes.files import write_private
from nodes.links import cluster_keys, cluster_state, nats_keys
from nodes.links.cluster_keys import BadKeys, ClusterKeys
from nodes.links.neighbours import NobodyAnswers, neighbours
from nodes.links.settings import FILE as SETTINGS
from protocols.joining import Candidate, barred
from protocols.wire.envelope import VERSION
from protocols.wire.ids import NodeId
from protocols.wire.roles import PROCESSES, Role, inbox

_EVERYWHERE: Final = ("0.0.0.0", "::")
_RELOAD: Final = "bring the servers what ringmaster cluster nats-config says, and have each reload (SIGHUP)"


class NotThat(NodeError):
    """What was asked of the command makes no sense, or not here."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    what = parser.add_subparsers(dest="what", required=True, metavar="init|keys|person|remove|nats-config|join|status")
    told = "make a cluster, of which this machine is the first"
    init = what.add_parser("init", help=told, description=told)
    init.add_argument("name", help="letters, digits, - and _")
    told = "let a node into the cluster, and write the file that it joins with"
    keys = what.add_parser("keys", help=told, description=told)
    keys.add_argument("node", help="its node.id")
    where = "write it there, for its owner only; default: to a pipe"
    keys.add_argument("--to", type=Path, metavar="FILE", help=where)
    address = "where it reaches NATS, again for each server; default: where the one here listens"
    keys.add_argument("--nats", action="append", default=[], metavar="URL", help=address)
    own = "with an nkey for each of its roles that has none, for NATS servers of one's own (nats-config)"
    keys.add_argument("--nkeys", action="store_true", help=own)
    told = "let somebody with the NATS CLI in at NATS servers of one's own, and write their seed"
    person = what.add_parser("person", help=told, description=told)
    person.add_argument("name", help="letters, digits, - and _")
    person.add_argument("role", choices=[str(role) for role in nats_keys.OF_PEOPLE], help="%(choices)s")
    person.add_argument(
        "--to", type=Path, metavar="FILE", help="write it there, for its owner only; default: to a pipe"
    )
    told = "let a node, or a person, who was given nkeys in no more"
    remove = what.add_parser("remove", help=told, description=told)
    remove.add_argument("name", help="the node's id, or the person's name")
    told = "print the accounts and users that the configuration of NATS servers of one's own includes"
    what.add_parser("nats-config", help=told, description=told)
    told = "have this machine join, with the file that was made for it"
    join = what.add_parser("join", help=told, description=told)
    join.add_argument("file", type=Path)
    unasked = "join also when NATS is not reached, and so nobody is asked about the node's id and clock"
    join.add_argument("--unasked", action="store_true", help=unasked)
    told = "who is in the cluster, how each node is, and who is not let in"
    status = what.add_parser("status", help=told, description=told)
    status.add_argument("--json", action="store_true", help="one JSON object a node")


def run(args: argparse.Namespace) -> int:
    """Do it. Raises: NodeError, OSError."""
    config = configured(args)
    match args.what:
        case "init":
            return _init(config, args.name)
        case "keys":
            return _keys(config, args.node, args.nats, args.to, args.nkeys)
        case "person":
            return _person(config, args.name, args.role, args.to)
        case "remove":
            return _remove(config, args.name)
        case "nats-config":
            return _nats_config(config)
        case "status":
            return ENDING.run(cluster_status.show(config, args.json))
        case _:
            return ENDING.run(_join(config, args.file, args.unasked))


def _init(config: Config, name: str) -> int:
    if not cluster_state.NAME.fullmatch(name):
        raise NotThat(f"{name!r} is no name: letters, digits, - and _, at most 64")
    _check_down(config)
    made = cluster_keys.make(config.paths.state, name, config.node.id)
    print(f"cluster {name} ({made.id[:8]}) is made, and {config.node.id} is its first node")
    if not config.cluster.is_joined:
        print("set cluster.bind, and nats.bind or nats.url, to addresses of this machine that the others reach")
    print("for each other machine, here: ringmaster cluster keys NODE --to FILE")
    return 0


def _keys(config: Config, name: str, nats: Sequence[str], to: Path | None, has_nkeys: bool) -> int:
    if not cluster_state.NODE.fullmatch(name):
        raise NotThat(f"{name!r} is no node.id: letters, digits, - and _")
    _check_secret(to)
    if has_nkeys and config.has_server and not nats:
        raise NotThat("the nats-server here knows no nkeys: say where your own servers are, --nats URL for each")
    state, node, addresses = config.paths.state, NodeId(name), _addresses(config, nats)
    if has_nkeys:
        _check_new(to)
    elif node in nats_keys.read(state):
        raise NotThat(f"{name} has nkeys, and would lose them: --nkeys, or first: ringmaster cluster remove {name}")
    cluster_keys.keys_for(state, node, addresses)  # before anybody is let in
    cluster_state.add(state, [node])

    def write(seeds: Mapping[str, str]) -> None:
        packed = cluster_keys.packed(cluster_keys.keys_for(state, node, addresses, seeds))
        _write(to, packed, is_new=bool(seeds))

    if has_nkeys:
        nats_keys.give(state, node, PROCESSES, write)
        print(f"{_RELOAD} before {node} joins", file=sys.stderr)
    else:
        if config.has_server and server.let_in(config):
            print(f"the nats-server here lets {node} in now", file=sys.stderr)
        write({})
    if to:
        print(f"{to}: bring it to {node}, and there: ringmaster cluster join {to.name}", file=sys.stderr)
    return 0


def _person(config: Config, name: str, role: str, to: Path | None) -> int:
    if not cluster_state.NODE.fullmatch(name):
        raise NotThat(f"{name!r} is no name: letters, digits, - and _")
    _check_secret(to)
    _check_member(config)
    nats_keys.give(
        config.paths.state, NodeId(name), [role], lambda seeds: _write(to, f"{seeds[role]}\n".encode(), is_new=True)
    )
    own = "" if role == nats_keys.SYSTEM else f" --inbox-prefix {inbox(NodeId(name), Role(role))}"
    print(f"{_RELOAD}; then: nats --nkey {to or 'FILE'}{own} ...", file=sys.stderr)
    return 0


def _remove(config: Config, name: str) -> int:
    _check_member(config)
    nats_keys.remove(config.paths.state, NodeId(name))
    cluster_state.remove(config.paths.state, NodeId(name))
    print(f"{_RELOAD}, and {name} is let in no more", file=sys.stderr)
    return 0


def _nats_config(config: Config) -> int:
    if not (users := nats_keys.read(config.paths.state)):
        raise NotThat("nobody was given nkeys here: ringmaster cluster keys NODE --nkeys")
    sys.stdout.write(nats_config.text(users))
    return 0


def _write(to: Path | None, secret: bytes, *, is_new: bool) -> None:
    if to:
        if is_new:
            _check_new(to)
        write_private(to, secret)
    else:
        sys.stdout.write(secret.decode())
        sys.stdout.flush()  # who cannot be written to is given nothing


def _check_secret(to: Path | None) -> None:
    if to is None and sys.stdout.isatty():
        raise NotThat("keys are secret: say --to FILE, or send them where nobody reads them")


def _check_new(to: Path | None) -> None:
    """Refuse to write over seeds, which are nowhere else."""
    if to and to.exists():
        raise NotThat(f"{to} is there already, and may be the only file that has its seeds")


def _check_member(config: Config) -> None:
    if cluster_state.read(config.paths.state) is None:
        raise NotThat("this machine is of no cluster: ringmaster cluster init")


def _addresses(config: Config, given: Sequence[str]) -> tuple[str, ...]:
    """Return where a new node is to find NATS. Raises: `NotThat`, `ConfigError`."""
    if given:
        try:
            return Nats(",".join(given)).urls
        except ValueError as error:
            raise NotThat(f"--nats: {str(error).removeprefix('url: ')}") from error
    if not config.has_server:
        return tuple(server.url(config).split(","))
    bind, key = config.nats.bind, "nats.bind"
    if is_loopback(bind) or bind in _EVERYWHERE:
        reason = "which says no other machine where NATS is here: set an address of this machine, or say --nats URL"
        raise ConfigError("configuration", key, f"is {bind}, {reason}")
    if config.nats.port:
        return (server_settings.local_url(config, config.nats.port),)
    return (server.url(config),)


async def _join(config: Config, file: Path, is_unasked: bool) -> int:
    keys, state = cluster_keys.read(file), config.paths.state
    cluster_keys.refuse(keys, file, state, config.node.id)
    server.check_company(config, keys.urls)
    _check_down(config)
    told = await _asked(config, keys, is_unasked)
    (state / SETTINGS).unlink(missing_ok=True)  # what was applied here before is no version of the cluster's
    cluster_keys.unpack(keys, state)
    print(f"{config.node.id} is of cluster {keys.name} ({keys.cluster[:8]}) now: {told}; remove {file}")
    if not config.cluster.is_joined:
        print("set cluster.bind to an address of this machine that the others reach, then: ringmaster up")
    return 0


async def _asked(config: Config, keys: ClusterKeys, is_unasked: bool) -> str:
    """Ask the living nodes whether this one may join. Raises: `BadKeys`, `NobodyAnswers`."""
    try:
        found = await neighbours(config, keys)
    except NobodyAnswers as error:
        if not is_unasked:
            raise NotThat(f"{error}; to join without asking about id and clock: --unasked") from error
        return "nobody was asked about its id and clock, which is done at its start"
    if told := barred(Candidate(keys.cluster, config.node.id, VERSION), found):
        raise BadKeys("", "", told.reason)
    names = ", ".join(sorted(one.node for one in found))
    return f"{names} had nothing against it" if names else "no other node lives, so nobody could be asked"


def _check_down(config: Config) -> None:
    """Refuse to change the passwords of a node that runs: its processes would not be let in any more."""
    if (pid := lock.holder(config.paths.state)) is not None:
        raise NotThat(f"a node runs with this state directory (process {pid}): stop it first")


__all__ = ["describe", "run"]
