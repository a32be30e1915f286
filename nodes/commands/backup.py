"""`ringmaster backup`: what a node and its cluster know, into a directory with hashes of all of it, while they run."""

from __future__ import annotations

import argparse
import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from nodes import backup
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.central import snapshot
from nodes.central.memory import SNAPSHOT
from nodes.central.restoring import CAMPAIGNS, FORGOTTEN
from nodes.commands.client import Client, configured, connected
from nodes.commands.forget import forgotten, read_list
from nodes.commands.terminal import ENDING, emit
from nodes.config import Config
from nodes.errors import NodeError
from nodes.links.contact_key import FILE as KEY
from nodes.links.contact_key import contact_key, fingerprint
from nodes.links.errors import BusAway, LinkError, ObjectBroken
from nodes.links.kept_list import FILE as DO_NOT_CALL
from nodes.links.kept_list import KeptList
from nodes.links.settings import FILE as SETTINGS
from protocols.wire.campaigns import TakeSnapshot
from protocols.wire.forgetting import Person
from protocols.wire.reports import Export
from protocols.wire.roles import Role

ASK_S: Final = 600.0
TRIES: Final = 5
STATE: Final = (KEY, DO_NOT_CALL, SETTINGS, "users.json", "audit.jsonl")
"""Files of the state directory that are in every backup, as far as they are there."""


class NotBackedUp(NodeError):
    """Somebody who has a part of it does not answer, or it changed again and again meanwhile. There is no backup."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Where to, and what."""
    parser.add_argument("to", metavar="DIRECTORY", help="where backups are; each is a directory of its own in it")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--node-only", action="store_true", help="what this machine alone has: users, recordings, tables")
    only.add_argument("--forgotten-only", action="store_true", help="only the list beside backups of who was forgotten")
    parser.add_argument("--no-recordings", action="store_true", help="without recordings")
    parser.add_argument("--cluster-keys", action="store_true", help="with the cluster's keys: who has them is any node")
    parser.add_argument("--key", metavar="FILE", help="encrypt it: 64 hexadecimal digits, mode 0600")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when the backup is there, whole."""
    Path(args.to).mkdir(parents=True, exist_ok=True, mode=0o700)
    return ENDING.run(carry_out(args))


async def carry_out(args: argparse.Namespace) -> int:
    """Make a backup, and print where it is. Raises: NodeError, OSError."""
    config, at = configured(args), datetime.now(UTC)
    to, seal = Path(args.to), _sealing(args.key)
    async with connected(config) as client:
        people = [] if args.node_only else await forgotten(client)
        if args.forgotten_only:
            return _listed(args, to, people)
        writing = backup.Writing(to, f"{config.node.id}-{at:%Y%m%dT%H%M%SZ}")
        try:
            rows: dict[str, int] = {}
            if not args.node_only:
                await _campaigns(client, config, writing.path / CAMPAIGNS)
            if not args.node_only or "recorder" in config.node.roles:
                rows = await _database(client, writing.path / "database", writing.final.name)
            if not args.node_only:
                await asyncio.to_thread(_note, to / FORGOTTEN, people)
            key = fingerprint(contact_key(config.paths.state))
            made = backup.Manifest(
                backup.FORMAT, version("ringmaster"), config.node.id, at.isoformat(), key, (), rows, not args.node_only
            )
            made = await asyncio.to_thread(_files, args, config, writing, made, len(people))
            if seal is not None:
                made = await asyncio.to_thread(seal, writing.path, made)
            done = await asyncio.to_thread(writing.finish, made)
        except BaseException:
            shutil.rmtree(writing.path, ignore_errors=True)
            raise
    if args.json:
        emit({"backup": str(done), "rows": rows, "holds": made.holds, "key": made.key, "is_whole": made.is_whole})
    else:
        print(f"{done}: {sum(rows.values())} rows; it names people: keep it as you keep the lists")
    return 0


def _sealing(file: str | None) -> Callable[[Path, backup.Manifest], backup.Manifest] | None:
    """Return what encrypts a backup; None: nothing does. Raises: BadKey, OSError."""
    if file is None:
        return None
    from nodes.backup_sealed import seal_all
    from nodes.storage.sealing import Key

    return partial(seal_all, Key.read(Path(file)))


def _listed(args: argparse.Namespace, to: Path, people: list[Person]) -> int:
    _note(to / FORGOTTEN, people)
    if args.json:
        emit({"forgotten": len(people)})
    else:
        print(f"{to / FORGOTTEN}: {len(people)} people were forgotten")
    return 0


async def _campaigns(client: Client, config: Config, to: Path) -> None:
    """Copy central's newest snapshot and the lists that it names. Raises: NotBackedUp."""
    bus = await Bus.connect(login(config, Role.CENTRAL), name=client.mesh.identity, node_id=config.node.id)
    why = ""
    try:
        for _ in range(TRIES):
            try:
                await client.ask("central", TakeSnapshot(), ASK_S)
                return await _copied(bus, to)
            except (BusAway, ObjectBroken) as error:
                why = str(error)  # it was replaced meanwhile
        raise NotBackedUp(f"campaigns: {why}")
    except LinkError as error:
        raise NotBackedUp(f"campaigns: central does not say what it knows: {error}") from error
    finally:
        await bus.close()


async def _copied(bus: Bus, to: Path) -> None:
    await asyncio.to_thread(_emptied, to)
    objects, reading = bus.objects(), snapshot.Reading()
    with (to / SNAPSHOT).open("wb") as file:
        async for chunk in objects.read(SNAPSHOT):
            reading.feed(chunk)
            file.write(chunk)
    fold, _ = reading.whole()
    for campaign in fold.campaigns.values():
        assert campaign.stored is not None
        with (to / campaign.stored.name).open("wb") as file:
            async for chunk in objects.read(campaign.stored.name, campaign.stored.digest):
                file.write(chunk)


def _emptied(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


async def _database(client: Client, to: Path, name: str) -> dict[str, int]:
    """Have the recorders of this node export their tables, and take them. Raises: NotBackedUp."""
    try:
        told = await client.ask("recorder", Export(name), ASK_S)
    except LinkError as error:
        raise NotBackedUp(f"database: the recorder does not export it: {error}") from error
    first = Path(told.directory)
    parts = {number: first.with_name(name + (f"_{number}" if number else "")) for number in range(8)}
    if not await asyncio.to_thread(_moved, parts, to):
        raise NotBackedUp("database: this machine has no recorder that answers, and another one's files are not here")
    return told.rows


def _moved(parts: Mapping[int, Path], to: Path) -> int:
    """Move what there is of an export; return of how many recorders."""
    there = {number: part for number, part in parts.items() if part.is_dir()}
    for number, part in there.items():
        shutil.move(part, to / str(number))
    return len(there)


def _files(
    args: argparse.Namespace, config: Config, writing: backup.Writing, made: backup.Manifest, n_forgotten: int
) -> backup.Manifest:
    """Copy what lies in files; return the manifest with how much there is of everything."""
    state = config.paths.state
    names = [name for name in STATE if (state / name).is_file()]
    if args.cluster_keys:
        names += [str(path.relative_to(state)) for path in config.paths.cluster.rglob("*") if path.is_file()]
    for name in names:
        writing.copy(state / name, f"state/{name}")
    n_recordings = 0
    for number, root in enumerate(() if args.no_recordings else config.recording_roots):
        for path in backup.regular(root) if root.is_dir() else ():
            if path.suffix != ".part":  # what is being written is in the next one
                writing.copy(path, f"recordings/{number}/{path.relative_to(root)}")
                n_recordings += 1
    listed = KeptList(writing.path / "state" / DO_NOT_CALL, made.key)
    lists = [path for path in (writing.path / CAMPAIGNS).glob("*") if path.name != SNAPSHOT]
    holds = {
        "rows": sum(made.rows.values()),
        "contact_lists": len(lists),
        "do_not_call": len({one.contact_id for one in listed.all()}),
        "forgotten": n_forgotten,
        "recordings": n_recordings,
        **{name: int(name in names) for name in (SETTINGS, "users.json", "audit.jsonl")},
    }
    return replace(made, holds=holds)


def _note(path: Path, people: list[Person]) -> None:
    """Have a list beside all backups, of everybody who was ever forgotten."""
    every = {one.contact_id: one for one in (read_list(path) if path.exists() else [])}
    for one in people:
        every[one.contact_id] = one.over(every.get(one.contact_id, one))
    write_list(path, list(every.values()))


def write_list(path: Path, people: list[Person]) -> None:
    """Write a list that `read_list` reads. Raises: OSError."""
    draft = path.with_name(f".{path.name}")
    lines = (msgspec.json.encode({"contact_id": one.contact_id, **one.body()}) + b"\n" for one in people)
    draft.write_bytes(b"".join(lines))
    draft.replace(path)


__all__ = ["STATE", "NotBackedUp", "carry_out", "describe", "run", "write_list"]
