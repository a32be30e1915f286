"""The node's unit under systemd: its processes are in the groups of their classes, and a stop finds and ends them all.

The product runs from this checkout, which the machine sees; engines are stand-ins, for nobody is called. Whether
weights and limits take effect is not shown where the kernel delegates no controller; which do is printed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from nodes.child import STAND_INS
from nodes.rehearsal.scripted.pace import VARIABLE, Pace
from tests.ops.machines.base import ROOT
from tests.ops.machines.machine import Machine, machines
from tests.ops.test_unit import rendered

UNIT: Final = "/sys/fs/cgroup/system.slice/ringmaster.service"
SETTINGS: Final = """
[node]
roles = ["speech", "media", "edge"]
[paths]
state = "/var/lib/ringmaster"
[nats]
url = "nats://127.0.0.1:1"
[media]
channels = 4
[speech]
processes = 1
[groups.memory]
speech = 0.5
"""
WITHIN_S: Final = 120.0
LOOK_S: Final = 0.2


async def until(machine: Machine, command: str) -> str:
    """Return what a command says as soon as it succeeds."""
    async with asyncio.timeout(WITHIN_S):
        while (done := await machine.run(command)).status:
            await asyncio.sleep(LOOK_S)
    return done.out


async def groups(machine: Machine) -> dict[str, list[str]]:
    """Return the names of the processes in each group of the unit; the unit's own is `.`."""
    told = await machine.run(
        f"cd {UNIT} && for g in . */; do for p in $(cat $g/cgroup.procs); do echo $g $(cat /proc/$p/comm); done; done"
    )
    found: dict[str, list[str]] = {}
    for line in told.out.splitlines():
        group, name = line.split(maxsplit=1)
        found.setdefault(group.rstrip("/"), []).append(name)
    return {group: sorted(names) for group, names in found.items()}


@pytest.mark.timeout(900)
async def test_a_node_s_processes_are_in_the_groups_of_their_classes(say: Callable[[str], None]) -> None:
    python = Path(sys.executable)
    async with machines(["a"], [ROOT]) as made:
        machine = made["a"]
        await machine.boot()
        unit = rendered(ringmaster_node_root="/opt/ringmaster", ringmaster_node_drains_s=1).replace(
            "[Service]",
            f'[Service]\nEnvironment="{STAND_INS}=speech=nodes.rehearsal.scripted.speech" "{VARIABLE}={Pace()}"',
        )
        await machine.run("cat > /etc/systemd/system/ringmaster.service", unit)
        await machine.run("mkdir -p /etc/ringmaster && cat > /etc/ringmaster/ringmaster.toml", SETTINGS)
        done = await machine.run(
            "useradd --system ringmaster; mkdir -p /opt/ringmaster/current/bin"
            f" && ln -s {python.with_name('ringmaster')} /opt/ringmaster/current/bin/ringmaster"
            " && systemctl daemon-reload && systemctl start ringmaster"
        )
        assert done.status == 0, (await machine.run("journalctl -u ringmaster -o cat | tail -40")).out
        journal = await until(machine, "journalctl -u ringmaster -o cat | grep groups.made")
        told = json.loads(journal.splitlines()[0])
        say(f"groups below {told['place']}; not to be set here: {told['lacking'] or 'nothing'}")
        assert told["place"] == UNIT

        await until(machine, f"test $(cat {UNIT}/media/cgroup.procs | wc -l) = 3")
        await until(machine, f"test $(cat {UNIT}/rest/cgroup.procs | wc -l) = 4")
        wanted = {
            "launcher": ["python"],
            "media": ["media-0"] * 3,
            "rest": ["edge-0"] * 3 + ["zygote"],
            "speech": ["speech-0"],
        }
        found = await groups(machine)
        assert {**found, "launcher": ["python"]} == wanted
        assert len(found["launcher"]) == 1

        await machine.run(f"kill -9 $(head -1 {UNIT}/media/cgroup.procs)")
        await until(machine, "journalctl -u ringmaster -o cat | grep process.ended")
        await until(machine, f"test $(cat {UNIT}/media/cgroup.procs | wc -l) = 3")
        for controller, file in (("cpu", "cpu.weight"), ("io", "io.weight"), ("memory", "memory.max")):
            value = await machine.run(f"cat {UNIT}/speech/{file}")
            assert (value.status == 0) == (controller not in told["lacking"]), (controller, value)
            say(f"{controller}: {value.out.strip() or told['lacking'][controller]}")

        await machine.run("systemctl kill --signal=KILL --kill-who=main ringmaster")
        await until(machine, "test $(journalctl -u ringmaster -o cat | grep -c node.up) = 2")
        await until(machine, f"test $(cat {UNIT}/rest/cgroup.procs | wc -l) = 4")
        assert len((await groups(machine))["launcher"]) == 1, "the next launcher has divided the group anew"

        assert (await machine.run("systemctl stop ringmaster")).status == 0
        state = await machine.run("systemctl show ringmaster -p Result -p ActiveState; ls " + UNIT)
        assert "Result=success" in state.out, state.out
        assert "ActiveState=inactive" in state.out, state.out
        assert "media" not in state.out, "systemd has taken the groups away"
