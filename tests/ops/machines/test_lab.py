"""A bare Debian becomes a node by one command; a fresh one takes its place: all is there, but who was forgotten since.

Two machines are deployed at once, and tests follow each other on them in the order in which they stand here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from nodes.rehearsal.hosted import Callees
from nodes.storage.sealing import Key
from protocols.wire.journal import CampaignPhase
from tests.ops.machines.backed_up import kept, new_key, restored
from tests.ops.machines.base import ROOT
from tests.ops.machines.deployed import SMALL, Controller, Played
from tests.ops.machines.machine import Machine, Machines, machines
from tests.ops.machines.rehearsed import COMMAND, begin, command, until
from tests.ops.machines.releases import release

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1500)]

NAME: Final = "lab-1"
"""Of both machines: the one takes the other's place."""
SURVEY: Final = (
    (ROOT / "grammars/scripts/survey.yaml")
    .read_text()
    .replace("from {company}.", "from {company}. This call is recorded.")
)
PORT: Final = 5070
MOST: Final = 2.5
"""Of exposure, of ten (`systemd-analyze security`)."""
READY: Final = (
    "/usr/bin/python3 -c "
    "'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8080/readyz\").read().decode())'"
)
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


def controllers(made: Machines, place: Path) -> dict[str, Controller]:
    """Return for each machine where Ansible is run for it, under the one name; backups are the same for both."""
    variables = {
        **SMALL,
        "ringmaster_node_own_settings": {**SMALL["ringmaster_node_own_settings"], "sip": {"allow": ["10.77.0.0/16"]}},
        "ringmaster_node_release": str(release()),
        "ringmaster_backups": str(place / "backups"),
        "ringmaster_backup_key": str(place / "backup.key"),
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


@dataclass(slots=True)
class Pair:
    """What the tests have in common: two machines of one name, and where Ansible is run for each."""

    made: Machines
    at: dict[str, Controller]
    deployed: Played
    place: Path
    key: Key


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Both machines, deployed."""
    place = tmp_path_factory.mktemp("pair")
    async with machines(["old", "new"]) as made:
        await made.boot()
        key = new_key(place / "backup.key")
        at = await asyncio.to_thread(controllers, made, place)
        for done in await asyncio.gather(*(one.play("deploy.yml") for one in at.values())):
            assert done.status == 0, done.end
        yield Pair(made, at, done, place, key)


async def test_a_bare_machine_becomes_a_node_and_a_second_run_changes_nothing(
    pair: Pair, say: Callable[[str], None]
) -> None:
    machine = pair.made["old"]
    say(f"lab: two machines at once: deployed within {pair.deployed.took_s:.0f} s: {pair.deployed.counts}")
    second = await pair.at["old"].play("deploy.yml")
    assert second.status == 0, second.end
    say(f"lab: a second run took {second.took_s:.0f} s, changed={second.changed}")
    assert second.changed == 0, second.said
    assert json.loads((await machine.run(READY)).out)["ready"]
    said = (await machine.run("systemd-analyze security ringmaster.service --no-pager")).out
    exposure = re.search(r"exposure level for ringmaster.service: ([\d.]+)", said)
    assert exposure, said
    say(f"lab: exposure of the unit on the machine: {exposure[1]}")
    assert float(exposure[1]) <= MOST


async def test_a_fresh_machine_takes_the_place_of_a_lost_one_and_knows_nobody_who_was_forgotten_since(
    pair: Pair, say: Callable[[str], None]
) -> None:
    at, old, new = pair.at, pair.made["old"], pair.made["new"]
    report = await lived(old)
    say(f"a campaign on the first: {report['dispositions']}, lost {report['lost']}")
    assert report["lost"] == 0

    done = await at["old"].play("backup.yml")
    assert done.status == 0, done.end
    (path,) = (pair.place / "backups").glob("20*/lab-1")
    before = await asyncio.to_thread(kept, path, pair.key)
    say(f"backed up within {done.took_s:.0f} s: {before}")
    assert all(before.rows[table] for table in ("events", "ledger", "outcomes"))
    assert len(before.recordings) == 3
    assert (await old.run("ls /var/lib/ringmaster/backup /var/tmp/ringmaster-backup.*")).out == "", "nothing is left"

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
    say(f"restored onto the second within {done.took_s:.0f} s: {restored(done.said)}")
    proof = await command(new, "forget", target, "--only-prove", "--words", WORDS)
    say(f"the proof for who was forgotten since, on the second:\n{proof.out.rstrip()}")
    assert proof.status == 0, proof.out + proof.err

    done = await at["new"].play("backup.yml", ringmaster_backups=str(pair.place / "after"))
    assert done.status == 0, done.end
    (path,) = (pair.place / "after").glob("20*/lab-1")
    after = await asyncio.to_thread(kept, path, pair.key)
    assert {*after.phases.values()} == {CampaignPhase.PAUSED}, "nobody is dialled before somebody says so"
    assert replace(after, phases=before.phases) == before.without(name)
    assert after.rows != before.rows, "there was something of them"
    say(f"row by row what it was but for one person: {after}")
