"""`ringmaster config`: settings that change while nodes run, in versions: check one, apply it, see who applied which.

A version is a TOML file with the keys of `nodes.config_running.AT_ONCE`; what it does not name is as each node's file
says. It replaces the one before: to go back, apply an older one again. `ringmaster config show` prints the newest as
such a file, with its number in it; then it is applied only if nobody has applied another meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

from nodes.commands.actions import actions, ask_central, operator
from nodes.commands.client import Client, NotUp, configured, connected
from nodes.commands.terminal import ENDING, emit
from nodes.config import Config
from nodes.config_running import Body, differences, named_trunks, read, written
from nodes.errors import NodeError
from nodes.links.errors import LinkError
from nodes.links.settings import FOLLOWERS, NONE
from nodes.links.settings import versions as versions_in
from nodes.mesh.mesh import Request
from protocols.wire.cluster import NodeState
from protocols.wire.messages import GetStatus
from protocols.wire.settings import ApplySettings, GetSettings, Version

R = TypeVar("R")

TAKEN_S: Final = 5.0
"""So long is waited until every process says that it goes by a new version; a tenth of a second is usual."""
LOOK_S: Final = 0.05
ACTIONS: Final = {
    "check": "what is wrong with a file, and what it would change",
    "apply": "have a file hold, everywhere and at once; or an older version, again",
    "show": "print the newest version as a file",
    "history": "who applied which version when, and what it changed",
}


class NotApplied(NodeError):
    """Central says no, or does not answer."""


class BadSettings(NodeError):
    """A file, or a version, that cannot be applied."""


def describe(parser: argparse.ArgumentParser) -> None:
    """What is done, with which file."""
    for name, one in actions(parser, ACTIONS):
        if name == "check":
            one.add_argument("file", metavar="FILE", type=Path)
        if name == "apply":
            what = one.add_mutually_exclusive_group(required=True)
            what.add_argument("file", metavar="FILE", type=Path, nargs="?")
            what.add_argument("--version", type=int, metavar="N", help="one of `ringmaster config history`")
            one.add_argument("--why", default="", help="a note that is kept with the version")
        if name != "show":
            one.add_argument("--json", action="store_true", help="JSON")


def run(args: argparse.Namespace) -> int:
    """Do it. Raises: NodeError, OSError."""
    return ENDING.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    config = configured(args)
    match args.action:
        case "check":
            return await _check(config, args)
        case "apply":
            async with connected(config) as client:
                return await _apply(client, args)
        case "show":
            async with connected(config) as client:
                newest = (await versions(client))[-1]
            print(written(newest.settings, newest.version))
        case _:
            async with connected(config) as client:
                _tell(await versions(client), args.json)
    return 0


async def _check(config: Config, args: argparse.Namespace) -> int:
    """Say what a file would change; where no node is up, beside the files alone."""
    base, settings = _file(args.file)
    trunks: Mapping[str, Sequence[str]] = {config.node.id: [trunk.name for trunk in config.sip.trunks]}
    is_all = True
    try:
        async with connected(config) as client:
            trunks = await _trunks(client)
            now = (await versions(client))[-1]
    except NotUp:
        now, is_all = NONE, not config.cluster.is_joined
    partly, changes = partly_known(args.file, settings, trunks, is_all), differences(now.settings, settings)
    if args.json:
        emit({"version": now.version, "made_on": base, "changes": changes, "partly_known": partly})
        return 0
    print(f"{args.file}: can be applied" + (f" in place of version {now.version}" if now.version else ""))
    _print(changes)
    for line in partly:
        print(line)
    if base not in (None, now.version):
        print(f"it was made on version {base}, and would be refused: ringmaster config show has the newest")
    return 0


async def _apply(client: Client, args: argparse.Namespace) -> int:
    known = await versions(client)
    now, why, partly = known[-1], args.why, list[str]()
    if args.version is None:
        base, settings = _file(args.file)
        partly = partly_known(args.file, settings, await _trunks(client))
    else:
        base, settings = None, _older(known, args.version).settings
        why = why or f"as version {args.version}"
    return await put(client, now, base, settings, why, is_json=args.json, partly=partly)


async def put(
    client: Client,
    now: Version,
    base: int | None,
    settings: Body,
    why: str,
    *,
    is_json: bool,
    partly: Sequence[str] = (),
) -> int:
    """Have settings hold in place of `now`, wait until everybody goes by them, and say so; return an exit status.

    `base`: the version that they were made on. Raises: NotApplied, NotUp.
    """
    asked = ApplySettings(now.version if base is None else base, json.dumps(settings), _who(client.config), why)
    done = await _ask(client, asked)
    changes = differences(now.settings, settings)
    behind = await _behind(client, done.version)
    if is_json:
        emit({"version": done.version, "is_new": done.is_new, "changes": changes, "behind": behind,
              "partly_known": list(partly)})  # fmt: skip
    else:
        print(f"version {done.version} holds" if done.is_new else f"version {done.version} says that already")
        _print(changes)
        for line in partly:
            print(line)
        for each in behind:
            print(f"{each} does not say that it goes by it")
    return 1 if behind else 0


async def _behind(client: Client, version: int) -> list[str]:
    """Return which edges and centrals do not go by a version, once all do, or it has taken too long."""
    give_up_s = asyncio.get_running_loop().time() + TAKEN_S
    while True:
        peers = [peer.identity for role in FOLLOWERS for peer in await client.everywhere(role)]
        figures = await asyncio.gather(*(_figure(client, peer) for peer in peers))
        behind = [peer for peer, taken in zip(peers, figures, strict=True) if taken < version]
        if not behind or asyncio.get_running_loop().time() > give_up_s:
            return [str(peer) for peer in behind]
        await asyncio.sleep(LOOK_S)


async def _figure(client: Client, peer: str) -> float:
    try:
        return (await client.mesh.ask(peer, GetStatus(), timeout_s=2.0)).figures.get("settings", 0.0)  # type: ignore[arg-type]
    except LinkError:
        return -1.0


async def versions(client: Client) -> list[Version]:
    """Return the versions that there were, from one in which there is nothing on."""
    told = await _ask(client, GetSettings())
    return versions_in(told)


async def _ask(client: Client, message: Request[R]) -> R:
    """Ask central. Raises: NotApplied, NotUp."""

    def in_words(word: str, more: str) -> NotApplied:
        said = {
            "changed_meanwhile": f"nothing was changed: {more} (ringmaster config history)",
            "unknown_trunk": f"sip.trunks: {more} is no trunk in the file of any node that lives",
            "bad_settings": more,
            "nats_away": f"NATS does not answer, so whether it holds is not known: {more}",
        }
        return NotApplied(said.get(word, ": ".join(filter(None, (word, more)))))

    return await ask_central(client, message, in_words)


def _file(path: Path) -> tuple[int | None, Body]:
    """Return a file's version and what that was made on. Raises: ConfigError, BadSettings, OSError."""
    try:
        return read(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise BadSettings(f"{path}: is not UTF-8: {error.reason} at byte {error.start}") from error


async def _trunks(client: Client) -> dict[str, Sequence[str]]:
    """Return the trunks of each node that lives, as their files have them, this one's first."""
    trunks: dict[str, Sequence[str]] = {client.config.node.id: [trunk.name for trunk in client.config.sip.trunks]}
    if client.config.cluster.is_joined:
        words = [one.member.word for one in (await client.cluster()).nodes if one.member.state is NodeState.ALIVE]
        trunks |= {word.node: word.trunks for word in words if not FOLLOWERS.isdisjoint(word.roles)}
    return trunks


def partly_known(path: Path, settings: Body, trunks: Mapping[str, Sequence[str]], is_all: bool = True) -> list[str]:
    """Return a line for each trunk that some nodes do not have. Raises: BadSettings for one that nobody has.

    `is_all`: whether `trunks` has every node that there is.
    """
    lines = []
    for name in named_trunks(settings):
        having = [node for node, names in trunks.items() if name in names]
        if not having and not is_all:
            lines.append(f"sip.trunks.{name} is no trunk of this node, and none is up to ask whether another has it")
            continue
        if not having:
            where = "of any node that lives" if len(trunks) > 1 else "of this node"
            raise BadSettings(f"{path}: sip.trunks: {name} is no trunk in the file {where}")
        if len(having) < len(trunks):
            without = ", ".join(node for node in trunks if node not in having)
            lines.append(f"sip.trunks.{name} is a trunk of {', '.join(having)}; for {without} it says nothing")
    return lines


def _older(versions: Sequence[Version], wanted: int) -> Version:
    for one in versions:
        if one.version == wanted:
            return one
    there = ", ".join(str(one.version) for one in versions)
    raise BadSettings(f"--version {wanted}: there is none such any more; there are {there}")


def _who(config: Config) -> str:
    return f"{operator()}@{config.node.id}"


def _tell(versions: Sequence[Version], is_json: bool) -> None:
    """Print what each version changed, the newest first."""
    pairs = list(pairwise(versions))
    for before, one in reversed(pairs):
        changes = differences(before.settings, one.settings)
        if is_json:
            emit({"version": one.version, "wall": one.wall, "by": one.by, "why": one.why, "changes": changes,
                  "settings": one.settings})  # fmt: skip
            continue
        print(f"version {one.version}, {one.wall}, by {one.by}" + (f": {one.why}" if one.why else ""))
        _print(changes if before.version or one.version == 1 else [f"{len(changes)} settings: what was before is gone"])
    if not pairs and not is_json:
        print("no version was applied: each node goes by its file alone")


def _print(changes: Sequence[str]) -> None:
    for change in changes or ["nothing is changed"]:
        print(f"  {change}")


__all__ = ["BadSettings", "describe", "partly_known", "put", "run", "versions"]
