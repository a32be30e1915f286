"""`ringmaster backup`: what a node and its cluster know, into a directory with hashes of all of it, while they run."""

from __future__ import annotations

import argparse
import asyncio
import shutil
from datetime import UTC, datetime
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
    parser.add_argument("--node-only", action="store_true", help="what this machine alone has: users, recordings")
    parser.add_argument("--no-recordings", action="store_true", help="without recordings")
    parser.add_argument("--cluster-keys", action="store_true", help="with the cluster's keys: who has them is any node")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when the backup is there, whole."""
    Path(args.to).mkdir(parents=True, exist_ok=True, mode=0o700)
    return ENDING.run(carry_out(args))


async def carry_out(args: argparse.Namespace) -> int:
    """Make a backup, and print where it is. Raises: NodeError, OSError."""
    config, at = configured(args), datetime.now(UTC)
    to = Path(args.to)
    async with connected(config) as client:
        writing = backup.Writing(to, f"{config.node.id}-{at:%Y%m%dT%H%M%SZ}")
        try:
            rows: dict[str, int] = {}
            if not args.node_only:
                people = await forgotten(client)
                await _campaigns(client, config, writing.path / CAMPAIGNS)
                rows = await _database(client, writing.path / "database", writing.final.name)
                await asyncio.to_thread(_note, to / FORGOTTEN, people)
            key = fingerprint(contact_key(config.paths.state))
            made = backup.Manifest(
                backup.FORMAT, version("ringmaster"), config.node.id, at.isoformat(), key, (), rows, not args.node_only
            )
            done = await asyncio.to_thread(_files, args, config, writing, made)
        except BaseException:
            shutil.rmtree(writing.path, ignore_errors=True)
            raise
    if args.json:
        emit({"backup": str(done), "rows": rows})
    else:
        print(f"{done}: {sum(rows.values())} rows; it names people: keep it as you keep the lists")
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
    for number in range(8):
        part = first.with_name(name + (f"_{number}" if number else ""))
        if part.is_dir():
            await asyncio.to_thread(shutil.move, part, to / str(number))
    return told.rows


def _files(args: argparse.Namespace, config: Config, writing: backup.Writing, made: backup.Manifest) -> Path:
    state = config.paths.state
    names = [name for name in STATE if (state / name).is_file()]
    if args.cluster_keys:
        names += [str(path.relative_to(state)) for path in config.paths.cluster.rglob("*") if path.is_file()]
    for name in names:
        writing.copy(state / name, f"state/{name}")
    for number, root in enumerate(() if args.no_recordings else config.recording_roots):
        for path in backup.regular(root) if root.is_dir() else ():
            if path.suffix != ".part":  # what is being written is in the next one
                writing.copy(path, f"recordings/{number}/{path.relative_to(root)}")
    return writing.finish(made)


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
