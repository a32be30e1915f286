"""A bare Debian becomes a node by one command, and a second run of it changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ops.machines.deployed import SMALL, Controller
from tests.ops.machines.machine import machines
from tests.ops.machines.releases import release

MOST = 2.5
"""Of exposure, of ten (`systemd-analyze security`)."""


@pytest.mark.timeout(1800)
async def test_a_bare_machine_becomes_a_node_and_a_second_run_changes_nothing(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    made = release()
    async with machines(["lab-1"]) as those:
        machine = those["lab-1"]
        await machine.boot()
        controller = Controller(those, "lab", tmp_path, {**SMALL, "ringmaster_node_release": str(made)})
        first = await controller.play("deploy.yml")
        assert first.status == 0, first.end
        say(f"lab: deployed within {first.took_s:.0f} s: {first.counts}")

        second = await controller.play("deploy.yml")
        assert second.status == 0, second.end
        say(f"lab: a second run took {second.took_s:.0f} s, changed={second.changed}")
        assert second.changed == 0, second.said

        readiness = await machine.run(
            "/usr/bin/python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8080/readyz\").read().decode())'"
        )
        assert json.loads(readiness.out)["ready"]
        said = (await machine.run("systemd-analyze security ringmaster.service --no-pager")).out
        exposure = re.search(r"exposure level for ringmaster.service: ([\d.]+)", said)
        assert exposure, said
        say(f"lab: exposure of the unit on the machine: {exposure[1]}")
        assert float(exposure[1]) <= MOST
