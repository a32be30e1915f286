"""`ringmaster restore`: a backup onto a machine that has nothing yet; its first start brings the campaigns back."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from nodes import backup, lock
from nodes.central.restoring import CAMPAIGNS, FORGOTTEN, RESTORED
from nodes.commands.backup import write_list
from nodes.commands.client import configured
from nodes.commands.forget import read_list
from nodes.commands.terminal import emit
from nodes.config import Config
from nodes.errors import NodeError
from nodes.links.contact_key import FILE as KEY
from nodes.links.contact_key import contact_key, fingerprint
from nodes.recorder.restoring import Differs, restored
from protocols.wire.forgetting import Person

NEW: Final = (KEY, "do_not_call.jsonl", RESTORED)
"""What a machine that has nothing does not have below its state directory."""


class NotEmpty(NodeError):
    """There is something already, which a backup would take the place of."""


def describe(parser: argparse.ArgumentParser) -> None:
    """From where."""
    parser.add_argument("backup", metavar="BACKUP", help="the directory of one backup")
    parser.add_argument(
        "--forgotten", action="append", default=[], metavar="FILE", help="a list of who was forgotten since, as well"
    )
    parser.add_argument("--key", metavar="FILE", help="what it is encrypted with")
    parser.add_argument("--check", action="store_true", help="restore nothing: is it whole, and what has it")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when all of it is there, and is what was backed up."""
    source = Path(args.backup)
    told = backup.read(source)
    if args.check:
        return _told(args, told)
    config = configured(args)
    _check(config, told)
    lists = [source.parent / FORGOTTEN, *map(Path, args.forgotten)]
    people = [one for path in lists if path.exists() or path != lists[0] for one in read_list(path)]
    with _readable(args.key, source, told) as files:
        rows = _restore(config, files, told, people)
    if args.json:
        emit({"node": told.node, "at": told.at, "rows": rows, "forgotten_since": len(people)})
    else:
        print(f"{told.node} as of {told.at}: {sum(rows.values())} rows, each as it was; start it: ringmaster up")
        print("campaigns that were running are paused then: start each when you know who has been called since")
    return 0


def _told(args: argparse.Namespace, told: backup.Manifest) -> int:
    row = {"node": told.node, "at": told.at, "version": told.version, "key": told.key, "is_whole": told.is_whole}
    row |= {"sealed": told.sealed, "files": len(told.files), "rows": told.rows, "holds": told.holds}
    if args.json:
        emit(row)
    else:
        holds = ", ".join(f"{name} {n}" for name, n in told.holds.items() if n)
        print(f"{told.node} as of {told.at}: {len(told.files)} files, each as it was written; {holds or 'nothing'}")
    return 0


@contextmanager
def _readable(key: str | None, source: Path, told: backup.Manifest) -> Iterator[Path]:
    """Have the files of a backup, opened if it is sealed. Raises: BadBackup, BadKey, NotSealed, OSError."""
    if not told.sealed:
        yield source
        return
    if key is None:
        raise backup.BadBackup(f"{source}: is encrypted: --key, with the file of key {told.sealed}")
    from nodes.backup_sealed import opened
    from nodes.storage.sealing import Key

    with opened(Key.read(Path(key)), source, told) as files:
        yield files


def _check(config: Config, told: backup.Manifest) -> None:
    """Refuse what cannot be restored here. Raises: NotEmpty, BadBackup."""
    state = config.paths.state
    if (pid := lock.holder(state)) is not None:
        raise NotEmpty(f"{state}: a node (process {pid}) is up with it")
    assert config.recorder.database is not None
    if is_joined := config.cluster.is_joined and (state / KEY).exists():  # a cluster's key came with the others
        if fingerprint(contact_key(state)) != told.key:
            raise NotEmpty(f"{state / KEY}: is of another cluster than the backup: nobody that it names would be known")
    new = [name for name in NEW if not (is_joined and name == KEY)]
    there = [state / name for name in new] + [config.recorder.database, *config.recording_roots, config.paths.nats]
    for path in there:
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise NotEmpty(f"{path}: is there already: a backup is restored onto a machine that has nothing")
    if _numbers(told.version) > _numbers(version("ringmaster")):
        raise backup.BadBackup(f"it was made by version {told.version}: upgrade first")


def _restore(config: Config, source: Path, told: backup.Manifest, people: Sequence[Person]) -> dict[str, int]:
    """Put everything in its place, the contact key at last. Raises: NodeError, OSError."""
    state, database = config.paths.state, config.recorder.database
    assert database is not None
    rows: dict[str, int] = {}
    for part in sorted((source / "database").glob("*")):
        stem = database.stem + ("" if part.name == "0" else f"_{part.name}")
        for table, n in restored(database.with_stem(stem), config.recorder.archive, part).items():
            rows[table] = rows.get(table, 0) + n
    if rows != told.rows:
        raise Differs(f"{source}: {told.rows} rows were backed up, and {rows} are here")
    for number, root in enumerate(config.recording_roots):
        if (lying := source / "recordings" / str(number)).is_dir():
            shutil.copytree(lying, root, dirs_exist_ok=True)
    if told.is_whole:
        shutil.copytree(source / CAMPAIGNS, state / RESTORED / CAMPAIGNS)
        write_list(state / RESTORED / FORGOTTEN, list(people))
    for path in sorted((source / "state").rglob("*"), key=lambda path: path.name == KEY):
        if path.is_file():
            target = state / path.relative_to(source / "state")
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(path, target)
            target.chmod(0o600)
    return rows


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("+")[0].split(".") if part.isdigit())


__all__ = ["NotEmpty", "describe", "run"]
