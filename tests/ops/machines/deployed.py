"""Machines that Ansible deploys to, as an operator does: from the controller, by ssh, with the playbooks of a checkout.

An inventory of the checkout is taken as it is; a second one, laid over it, says where its hosts are on this network,
and what makes them small: five whole nodes share the cores of one machine here.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nodes.rehearsal.remote import Done
from tests.ops.machines.base import ROOT
from tests.ops.machines.machine import Machine, Machines

ANSIBLE: Final = ROOT / "ops/ansible"
BIN: Final = ROOT / ".venv/bin"
SMALL: Final[Mapping[str, Any]] = {
    "ringmaster_node_media_channels": 40,
    "ringmaster_node_own_settings": {"speech": {"processes": 1}, "edge": {"processes": 1}},
}
"""What makes a node small: an engine in place of two, and sockets for a few calls."""
RECAP: Final = re.compile(r"^(\S+)\s+: (ok=.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Played:
    """A playbook that has ended. `counts`: host -> ok, changed, failed, ..."""

    status: int
    said: str
    counts: dict[str, dict[str, int]]
    took_s: float

    @property
    def changed(self) -> int:
        """How many tasks have changed something, on all hosts."""
        return sum(one["changed"] for one in self.counts.values())

    @property
    def end(self) -> str:
        """Its last words, for who has to find out why."""
        return "\n".join(self.said.splitlines()[-60:])


class Controller:
    """Where Ansible is run, for one of the inventories.

    `hosts`: name in it -> machine; none: each by its own. `also`: group -> hosts that it has, too.
    """

    def __init__(
        self,
        made: Machines,
        inventory: str,
        directory: Path,
        all_vars: Mapping[str, Any],
        hosts: Mapping[str, Machine] | None = None,
        also: Mapping[str, Sequence[str]] = {},
    ) -> None:
        self._made, self._own = made, directory / "inventory"
        self.secrets = directory / "secrets"
        self._inventory = ANSIBLE / "inventories" / inventory
        (self._own / "group_vars").mkdir(parents=True)
        own = {**all_vars, "ringmaster_secrets": str(self.secrets)}
        (self._own / "group_vars/all.json").write_text(json.dumps(own))
        reached = {name: _reached(machine.address, machine.ssh) for name, machine in (hosts or made).items()}
        groups = {group: {"hosts": {name: {} for name in names}} for group, names in also.items()}
        (self._own / "hosts.json").write_text(json.dumps({"all": {"hosts": reached}, **groups}))
        password = directory / "vault.password"
        password.write_text("rehearsal\n")
        self.env = {
            "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
            "ANSIBLE_HOME": str(directory / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": "/tmp/ringmaster-ops-" + directory.name[-8:],
            "ANSIBLE_VAULT_PASSWORD_FILE": str(password),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOG_PATH": str(directory / "ansible.log"),
            "LC_ALL": "C.UTF-8",
            "PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin",
        }

    async def play(self, book: str, *more: str, **extra: object) -> Played:
        """Run a playbook to its end; `extra`: variables. Raises: NotRun."""
        began = time.monotonic()
        argv = [BIN / "ansible-playbook", "-i", self._inventory, "-i", self._own, ANSIBLE / book, *more]
        argv += ["-e", json.dumps(extra)] if extra else []
        done = await self.run(*map(str, argv))
        counts = {
            host: {key: int(n) for key, n in (pair.split("=") for pair in pairs.split())}
            for host, pairs in RECAP.findall(done.out)
        }
        return Played(done.status, done.out + done.err, counts, time.monotonic() - began)

    async def run(self, *argv: str) -> Done:
        """Run a command on the controller. Raises: NotRun."""
        return await self._made.controller.run(list(argv), env=self.env)


def _reached(address: str, ssh: tuple[str, ...]) -> dict[str, str]:
    """Return how Ansible reaches a machine, from the words by which we do."""
    return {
        "ansible_host": address,
        "ansible_user": "root",
        "ansible_ssh_common_args": shlex.join(ssh[1:-1]),
    }


__all__ = ["ANSIBLE", "BIN", "SMALL", "Controller", "Played"]
