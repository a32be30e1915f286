"""Renders every template of every role as Ansible does, for each host that `site.yml` gives the role; writes JSON.

    render.py [--role=ROLE] INVENTORY...

    [{"inventory", "role", "host", "files": {template: text}, "wrong": [...]}, ...]

An inventory without a `group_vars` beside it is one of a test: each of its hosts has every role. `wrong`: what a role's
argument specification says against the variables. A process of its own, for Ansible is one with everything it imports.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible import context
from ansible.inventory.host import Host
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

HERE = Path(__file__).parents[2] / "ops/ansible"
ROLES = sorted(path.parents[1].name for path in HERE.glob("roles/*/tasks/main.yml"))
FACTS = {
    "default_ipv4": {"address": "192.0.2.77", "interface": "eth0"},
    "distribution": "Debian",
    "distribution_major_version": "12",
    "hostname": "machine",
    "memtotal_mb": 8000,
    "processor_vcpus": 4,
}
"""What a machine says of itself, as far as templates ask."""


def given(inventory: Path) -> Iterator[tuple[str, str]]:
    """Yield which hosts have which role: a pattern, and the role's name."""
    if not (inventory.parent / "group_vars").exists():
        yield from (("all", role) for role in ROLES)
        return
    for play in yaml.safe_load((HERE / "site.yml").read_text()):
        for role in play.get("roles", ()):
            yield play["hosts"], role["role"] if isinstance(role, dict) else role
        for task in play.get("tasks", ()):
            for word in ("import_role", "include_role"):
                if f"ansible.builtin.{word}" in task:
                    yield play["hosts"], task[f"ansible.builtin.{word}"]["name"]


def rendered(inventory: Path, only: str) -> Iterator[dict[str, object]]:
    loader = DataLoader()
    loader.set_basedir(str(HERE))
    hosts = InventoryManager(loader, sources=[str(inventory)])
    variables = VariableManager(loader, hosts)
    HostVars(hosts, variables, loader)  # gives itself to `variables`
    for pattern, role in given(inventory):
        if only and role != only:
            continue
        for host in hosts.get_hosts(pattern):
            variables.set_host_facts(host, FACTS)
            known = of(role, pattern, host, variables, loader)
            templar = Templar(loader, variables=known)
            yield {
                "inventory": inventory.parent.name,
                "role": role,
                "host": host.name,
                "files": {
                    path.name: templar.template(trust_as_template(path.read_text()))
                    for path in sorted((HERE / "roles" / role / "templates").glob("*.j2"))
                },
                "wrong": wrong(role, templar, known),
            }


def of(role: str, pattern: str, host: Host, variables: VariableManager, loader: DataLoader) -> dict[str, Any]:
    """Return the variables that a task of the role has on a host."""
    play = Play.load(
        {"hosts": pattern, "gather_facts": False, "roles": [str(HERE / "roles" / role)]},
        variable_manager=variables,
        loader=loader,
    )
    task = next(task for block in play.compile() for task in block.block if getattr(task, "_role", None))
    return {**variables.get_vars(play=play, host=host, task=task), "ansible_managed": "Ansible managed"}


def wrong(role: str, templar: Templar, known: dict[str, Any]) -> list[str]:
    specs = yaml.safe_load((HERE / "roles" / role / "meta/argument_specs.yml").read_text())
    options = specs["argument_specs"]["main"].get("options", {})
    arguments = {name: templar.template(known[name]) for name in options if name in known}
    return list(ArgumentSpecValidator(options).validate(arguments).error_messages)


if __name__ == "__main__":
    init_plugin_loader()
    context.CLIARGS = ImmutableDict()
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", default="")
    parser.add_argument("inventories", nargs="+", type=Path)
    args = parser.parse_args()
    json.dump([one for path in args.inventories for one in rendered(path, args.role)], sys.stdout)
