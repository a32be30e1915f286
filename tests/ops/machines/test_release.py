"""The release: made here once, installed on a machine that reaches no registry and has no compiler."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Final

import pytest

from tests.ops.machines.machine import machines
from tests.ops.machines.releases import release

INSTALL: Final = """
set -e
tar -xf /root/release.tar -C /var/tmp
apt-get install -y -qq --no-install-recommends $(cat /var/tmp/ringmaster-*/packages) >/dev/null
/var/tmp/ringmaster-*/install.sh
"""
RELEASES: Final = "/opt/ringmaster/releases"


@pytest.mark.timeout(900)
async def test_a_machine_that_reaches_nobody_installs_the_release(say: Callable[[str], None]) -> None:
    made_here = await asyncio.to_thread(release)
    async with machines(["a"]) as made:
        machine = made["a"]
        await machine.boot()
        began = time.monotonic()
        await machine.copy(made_here, "/root/release.tar")
        done = await machine.run(INSTALL)
        assert done.status == 0, done.out + done.err
        say(f"installed after {time.monotonic() - began:.1f} s: {done.out.strip()}")
        (version,) = (await machine.run(f"ls {RELEASES}")).out.split()
        assert version in (await machine.run(f"{RELEASES}/{version}/bin/ringmaster --version")).out

        findings = await machine.run(f"{RELEASES}/{version}/bin/ringmaster doctor --json")
        fatal = [one for line in findings.out.splitlines() if (one := json.loads(line))["mend"] and one["fatal"]]
        assert fatal == [], findings.err
        shebang = await machine.run(f"head -1 {RELEASES}/{version}/bin/ringmaster")
        assert shebang.out.strip() == f"#!{RELEASES}/{version}/bin/python", "what runs stays of this release"
