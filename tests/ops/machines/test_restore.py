"""A machine that had calls is backed up, and a fresh one takes its place: all is there, but who was forgotten since."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest

from nodes import backup
from nodes.backup_sealed import opened
from nodes.central import roll, snapshot
from nodes.central.memory import SNAPSHOT
from nodes.central.restoring import CAMPAIGNS
from nodes.recorder.store import TABLES
from nodes.rehearsal.hosted import Callees
from nodes.storage.sealing import Key
from protocols.wire.journal import CampaignPhase
from tests.ops.machines.base import ROOT
from tests.ops.machines.deployed import SMALL, Controller
from tests.ops.machines.machine import Machine, Machines, machines
from tests.ops.machines.rehearsed import COMMAND, begin, command, until
from tests.ops.machines.releases import release

NAME: Final = "lab-1"
"""Of both machines: the one takes the other's place."""
SURVEY: Final = (
    (ROOT / "grammars/scripts/survey.yaml")
    .read_text()
    .replace("from {company}.", "from {company}. This call is recorded.")
)
PORT: Final = 5070
GONE: Final = "cooperative-2"
USERS: Final = ["cooperative-1", GONE, "refuses-1", "busy-1"]
WORDS: Final = "Zephyrine"
"""What only the list has of them, and the bot says to them."""
NUMBER: Final = "+493012345678"
CALLEES: Final = (
    "systemd-run --quiet --unit=callees --uid=ringmaster --setenv=RINGMASTER_CONFIG=/etc/ringmaster/ringmaster.toml "
    "--setenv=RINGMASTER_REHEARSAL_SCRIPTS=/tmp/survey.yaml --setenv=RINGMASTER_REHEARSAL_PHRASES=3 "
    "/opt/ringmaster/current/bin/python -m nodes.rehearsal.far_end {} {}"
)
HEARD: Final = "/var/lib/ringmaster/rehearsal.jsonl"
"""What callees have lived through: no node has such a file."""


class Beside(Callees):
    """Callees on the node's own machine, whose NATS nobody else reaches."""

    def target(self, user: str) -> str:
        """As there, at another port: the node has the usual one."""
        return f"sip:{user}@{self.host.address}:{PORT}"


@asynccontextmanager
async def beside(machine: Machine) -> AsyncIterator[Beside]:
    """Have callees on a machine. Raises: AssertionError."""
    await machine.run("cat > /tmp/survey.yaml", SURVEY)
    done = await machine.run(CALLEES.format(machine.address, PORT))
    assert done.status == 0, done.err
    is_ready = "until journalctl -u callees -o cat | grep -qx ready; do sleep 1; done"
    done = await machine.run(f"timeout 120 sh -c '{is_ready}'")
    assert done.status == 0, (await machine.run("journalctl -u callees -o cat | tail -20")).out
    try:
        yield Beside(machine.host)
    finally:
        await machine.run(f"systemctl stop callees; rm -f {HEARD} /tmp/survey.yaml")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a backup has, piece by piece. `rows`: table -> each row as text; `contacts`: campaign -> their names."""

    rows: dict[str, list[str]]
    contacts: dict[str, list[str]]
    campaigns: dict[str, Any]
    phases: set[CampaignPhase]
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
    """Read a backup, each row of it. Raises: BadBackup, NotSealed."""
    with opened(key, path, backup.read(path)) as root:
        reading = snapshot.Reading()
        reading.feed((root / CAMPAIGNS / SNAPSHOT).read_bytes())
        fold = reading.whole()[0].campaigns
        contacts, campaigns = dict[str, list[str]](), dict[str, Any]()
        for name, campaign in fold.items():
            assert campaign.stored
            told = roll.read([(root / CAMPAIGNS / campaign.stored.name).read_bytes()])
            contacts[name] = [one.contact_id for one in told]
            campaigns[name] = (campaign.plan, campaign.script, campaign.n_done, campaign.dispositions)
        return Kept(
            {table: _rows(root / "database/0", table) for table in TABLES}, contacts, campaigns,
            {campaign.phase for campaign in fold.values()},
            {one.name: one.read_bytes() for one in (root / "recordings/0").iterdir()},
            (root / "state/users.json").read_bytes(),
            {line for line in (root / "state/do_not_call.jsonl").read_bytes().splitlines() if b"listing" in line},
        )  # fmt: skip


def _rows(export: Path, table: str) -> list[str]:
    files = list(export.glob(f"{table}/**/*.parquet")) if table == "events" else list(export.glob(f"{table}.parquet"))
    if not files:
        return []
    with duckdb.connect() as connection:
        connection.execute("SET timezone = 'UTC'")
        source = f"SELECT {', '.join(TABLES[table])} FROM read_parquet(?, hive_partitioning = false)"
        told = connection.execute(f"SELECT to_json(t) FROM ({source}) t", [[str(one) for one in files]]).fetchall()
    return sorted(str(one) for (one,) in told)


def controllers(made: Machines, place: Path) -> dict[str, Controller]:
    """Return for each machine where Ansible is run for it, under the one name; backups are the same for both."""
    key = place / "backup.key"
    key.touch(0o600)
    key.write_text(secrets.token_hex(32))
    variables = {
        **SMALL,
        "ringmaster_node_own_settings": {**SMALL["ringmaster_node_own_settings"], "sip": {"allow": ["10.77.0.0/16"]}},
        "ringmaster_node_release": str(release()),
        "ringmaster_backups": str(place / "backups"),
        "ringmaster_backup_key": str(key),
    }
    return {name: Controller(made, "lab", place / name, variables, {NAME: one}) for name, one in made.items()}


async def lived(machine: Machine) -> dict[str, Any]:
    """Have a campaign with recordings, somebody who must not be called, and an agent. Raises: AssertionError."""
    async with beside(machine) as callees:
        await begin(machine, "spring", SURVEY, callees, USERS, 2, {GONE: WORDS}, "notice")
        await until(machine, 300, "campaign", "status", "spring", is_so=lambda it: it["done"] == len(USERS))
        is_told = {"attempts": len(USERS), "answered": 3}
        report: dict[str, Any] = await until(
            machine, 60, "report", "--campaign", "spring", is_so=lambda it: is_told.items() <= it.items()
        )
    done = await command(machine, "dnc", "add", NUMBER, "--why", "asked")
    assert done.status == 0, done.err
    done = await machine.run(f"{COMMAND} user add ann --role agent", "correct horse battery staple\n")
    assert done.status == 0, done.err
    return report


@pytest.mark.timeout(2700)
async def test_a_fresh_machine_takes_the_place_of_a_lost_one_and_knows_nobody_who_was_forgotten_since(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    async with machines(["old", "new"]) as made:
        await made.boot()
        at = await asyncio.to_thread(controllers, made, tmp_path)
        old, new = made["old"], made["new"]
        for done in await asyncio.gather(*(one.play("deploy.yml") for one in at.values())):
            assert done.status == 0, done.end
        say(f"two machines of one name: deployed within {done.took_s:.0f} s")
        report = await lived(old)
        say(f"a campaign on the first: {report['dispositions']}, lost {report['lost']}")
        assert report["lost"] == 0

        done = await at["old"].play("backup.yml")
        assert done.status == 0, done.end
        key = Key.read(tmp_path / "backup.key")
        (path,) = (tmp_path / "backups").glob("20*/lab-1")
        before = await asyncio.to_thread(kept, path, key)
        say(f"backed up within {done.took_s:.0f} s: {before}")
        assert all(before.rows[table] for table in ("events", "ledger", "outcomes"))
        assert len(before.recordings) == 3
        assert (await old.run("ls /var/lib/ringmaster/backup /var/tmp/ringmaster-backup.*")).out == "", (
            "nothing is left"
        )

        target = f"sip:{GONE}@{old.address}:{PORT}"
        gone = await command(old, "forget", target)
        assert gone.status == 0, gone.out + gone.err
        name = gone.out.partition(":")[0]
        done = await at["old"].play("backup.yml", ringmaster_backup_only="forgotten")
        assert done.status == 0, done.end
        say(f"one person forgotten after it; the list beside it renewed within {done.took_s:.0f} s")

        refused = await at["old"].play("restore.yml")
        assert refused.status != 0
        assert "a backup takes nobody's place" in refused.said
        ready = await old.run("systemctl is-active ringmaster; test -e /var/lib/ringmaster/look || echo no look")
        assert ready.out == "active\nno look\n"

        done = await at["new"].play("restore.yml")
        assert done.status == 0, done.end
        say(f"restored onto the second within {done.took_s:.0f} s: {_line(done.said)}")
        proof = await command(new, "forget", target, "--only-prove", "--words", WORDS)
        say(f"the proof for who was forgotten since, on the second:\n{proof.out.rstrip()}")
        assert proof.status == 0, proof.out + proof.err

        done = await at["new"].play("backup.yml", ringmaster_backups=str(tmp_path / "after"))
        assert done.status == 0, done.end
        (path,) = (tmp_path / "after").glob("20*/lab-1")
        after = await asyncio.to_thread(kept, path, key)
        assert after.phases == {CampaignPhase.PAUSED}, "nobody is dialled before somebody says so"
        assert replace(after, phases=before.phases) == before.without(name)
        assert after.rows != before.rows, "there was something of them"
        say(f"row by row what it was but for one person: {after}")


def _line(said: str) -> str:
    (msg,) = (line for line in said.splitlines() if "each as it was" in line)
    return str(json.loads("{" + msg.strip() + "}")["msg"])
