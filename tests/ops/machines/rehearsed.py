"""Campaigns on a deployed cluster: callees on the controller, let in as one more node, and an operator's commands."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from nodes.links import cluster_keys
from nodes.rehearsal import hosted
from nodes.rehearsal.hosted import Callees
from nodes.rehearsal.remote import Done
from tests.ops.machines.deployed import Controller
from tests.ops.machines.machine import CONTROLLER, Machine, Machines

COMMAND: Final = (
    "runuser -u ringmaster -- env RINGMASTER_CONFIG=/etc/ringmaster/ringmaster.toml "
    "/opt/ringmaster/current/bin/ringmaster "
)
PLAN: Final = """id = "{0}"
[plan]
zone = "Europe/London"
clock = "2026-03-03T10:00:00+00:00"
concurrency = {1}
spacing_s = 0.0
ring_s = 20.0
per_day = 100
retries = {{}}
recording = "{2}"
"""
PHRASES: Final = 3
LOOK_S: Final = 1.0


async def command(machine: Machine, *words: str) -> Done:
    """Run `ringmaster` on a machine, as its node's user."""
    return await machine.run(COMMAND + shlex.join(words))


async def until(machine: Machine, within_s: float, *words: str, is_so: Any) -> Any:
    """Ask again and again until an answer is as wanted, and return it. Raises: AssertionError with the last one."""
    end_s = time.monotonic() + within_s
    while True:
        done = await command(machine, *words, "--json")
        if done.status == 0 and is_so(found := json.loads(done.out)):
            return found
        assert time.monotonic() < end_s, done.out + done.err
        await asyncio.sleep(LOOK_S)


async def begin(
    machine: Machine,
    name: str,
    script: str,
    callees: Callees,
    users: list[str],
    at_once: int,
    companies: Mapping[str, str] = {},
    recording: str = "none",
) -> None:
    """Import a campaign, and start it. `companies`: user -> who they are told is calling. Raises: AssertionError."""
    rows = (f"{callees.target(user)},rehearsal,{companies.get(user, 'Acme')}\n" for user in users)
    contacts = "number,consent,company\n" + "".join(rows)
    place = f"/tmp/{name}"
    await machine.run(f"mkdir -p {place}")
    files = {"plan.toml": PLAN.format(name, at_once, recording), "list.csv": contacts, "talk.yaml": script}
    for file, text in files.items():
        await machine.run(f"cat > {place}/{file}", text)
    plan, people, talk = (f"{place}/{file}" for file in files)
    words = ("campaign", "import", plan, "--contacts", people, "--script", talk)
    end_s = time.monotonic() + 60
    while (done := await command(machine, *words)).status:
        assert time.monotonic() < end_s, done.out + done.err  # nobody leads yet
        await asyncio.sleep(LOOK_S)
    done = await command(machine, "campaign", "start", name)
    assert done.status == 0, done.out + done.err


@asynccontextmanager
async def callees(
    made: Machines, controller: Controller, urls: list[str], scripts: Mapping[str, str], directory: Path
) -> AsyncIterator[Callees]:
    """Have callees on the controller, who are let in with keys of their own (`ringmaster_secrets_also`)."""
    host = made.controller
    done = await controller.run("ansible-vault", "view", str(controller.secrets / f"{CONTROLLER}.keys"))
    assert done.status == 0, done.err
    file = directory / "callees.keys"
    file.write_text(done.out)
    cluster_keys.unpack(cluster_keys.read(file), host.path(host.directory / hosted.STATE))
    ca: hosted.Settings = {"nats": {"ca": str(controller.secrets / "nats/ca.pem")}}
    async with hosted.callees(host, ",".join(urls), scripts, n_phrases=PHRASES, settings=ca) as there:
        yield there


__all__ = ["begin", "callees", "command", "until"]
