"""What is in a backup, row by row, to compare it with another."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from nodes import backup
from nodes.backup_sealed import opened
from nodes.central import roll, snapshot
from nodes.central.memory import SNAPSHOT
from nodes.central.restoring import CAMPAIGNS
from nodes.recorder.store import TABLES
from nodes.storage.sealing import Key
from protocols.wire.journal import CampaignPhase


@dataclass(frozen=True, slots=True)
class Kept:
    """What a backup has, piece by piece; that of one machine alone has no campaigns.

    `rows`: table -> each row as text; `contacts`: campaign -> their names.
    """

    rows: dict[str, list[str]]
    contacts: dict[str, list[str]]
    campaigns: dict[str, Any]
    phases: dict[str, CampaignPhase]
    recordings: dict[str, bytes]
    users: bytes
    do_not_call: set[bytes]

    def without(self, name: str) -> Kept:
        """Return what is left of it without one person: the same rows, in the same order."""
        return replace(
            self,
            rows={table: [row for row in rows if name not in row] for table, rows in self.rows.items()},
            contacts={one: ["" if each == name else each for each in told] for one, told in self.contacts.items()},
            recordings={file: data for file, data in self.recordings.items() if name not in file},
        )

    def __str__(self) -> str:
        rows = ", ".join(f"{len(rows)} {table}" for table, rows in self.rows.items() if rows)
        lists = sum(len(names) for names in self.contacts.values())
        return f"{rows}, {lists} contacts, {len(self.recordings)} recordings, {len(self.do_not_call)} lines of the list"


def kept(path: Path, key: Key) -> Kept:
    """Read a backup of one machine, each row of it. Raises: BadBackup, NotSealed."""
    with opened(key, path, backup.read(path)) as root:
        contacts, campaigns = dict[str, list[str]](), dict[str, Any]()
        fold = _campaigns(root / CAMPAIGNS / SNAPSHOT)
        for name, campaign in fold.items():
            assert campaign.stored
            told = roll.read([(root / CAMPAIGNS / campaign.stored.name).read_bytes()])
            contacts[name] = [one.contact_id for one in told]
            campaigns[name] = (campaign.plan, campaign.script, campaign.n_done, campaign.dispositions)
        listed = (line for one in root.glob("state/do_not_call.jsonl") for line in one.read_bytes().splitlines())
        return Kept(
            {table: _rows(root / "database/0", table) for table in TABLES}, contacts, campaigns,
            {name: campaign.phase for name, campaign in fold.items()},
            {one.name: one.read_bytes() for one in root.glob("recordings/0/*")},
            b"".join(one.read_bytes() for one in root.glob("state/users.json")),
            {line for line in listed if b"listing" in line},
        )  # fmt: skip


def new_key(path: Path) -> Key:
    """Make a key to encrypt backups with, in a file of its own."""
    path.touch(0o600)
    path.write_text(secrets.token_hex(32))
    return Key.read(path)


def restored(said: str) -> str:
    """Return what restore.yml says in the end."""
    (msg,) = (line for line in said.splitlines() if "each as it was" in line)
    return str(json.loads("{" + msg.strip() + "}")["msg"])


def _campaigns(file: Path) -> Mapping[str, Any]:
    if not file.exists():
        return {}
    reading = snapshot.Reading()
    reading.feed(file.read_bytes())
    return reading.whole()[0].campaigns


def _rows(export: Path, table: str) -> list[str]:
    files = list(export.glob(f"{table}/**/*.parquet")) if table == "events" else list(export.glob(f"{table}.parquet"))
    if not files:
        return []
    with duckdb.connect() as connection:
        connection.execute("SET timezone = 'UTC'")
        source = f"SELECT {', '.join(TABLES[table])} FROM read_parquet(?, hive_partitioning = false)"
        told = connection.execute(f"SELECT to_json(t) FROM ({source}) t", [[str(one) for one in files]]).fetchall()
    return sorted(str(one) for (one,) in told)


__all__ = ["Kept", "kept", "new_key", "restored"]
