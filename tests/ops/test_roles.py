"""Ansible's part: roles are whole, and what they write is what the programs that read it want.

Templates are rendered by Ansible itself, with each role's defaults and with the values of each inventory. A template
has a row in `CHECKS`: the real program that says whether it could be started with it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodes.bus import nats_config
from nodes.config import parse
from nodes.links import nats_keys
from protocols.wire.ids import NodeId
from tests.conftest import NEWEST, OLDEST
from tests.ops.roles import ANSIBLE, ROOT, inventory, rendered

ROLES = sorted(path.parents[1] for path in ANSIBLE.glob("roles/*/tasks/main.yml"))
TEMPLATES = sorted(path for role in ROLES for path in (role / "templates").glob("*"))
INVENTORIES = sorted(ANSIBLE.glob("inventories/*/hosts.yml"))
PLAYBOOKS = sorted([*ANSIBLE.glob("*.yml"), *ANSIBLE.glob("playbooks/*.yml")])
BIN = Path(sys.executable).parent
PARTS = ("preflight", "install", "configure", "run")
LINT_S = 240
"""It wants half a minute, and this much where others want the processors, too."""
MOST = 2.5
"""Of exposure, of ten (`systemd-analyze security`); a unit that says nothing has 9.2."""
CARRIERS = [
    {"name": "plain", "host": "192.0.2.50", "sources": ["192.0.2.50"]},
    {"name": "secure", "host": "sip.example.net", "transport": "tls", "sources": ["198.51.100.0/24", "2001:db8::/32"]},
]
TOLD: Mapping[str, object] = {
    "telemetry_dead_man": "https://192.0.2.60/alive?n=1",
    "telemetry_receiver": {"webhook_configs": [{"url": "https://192.0.2.60/"}]},
    "telemetry_desk_scheme": "https",
    "telemetry_desk_ca": "ca.pem",
}
SITES: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "alone": {"n1": {"ansible_host": "192.0.2.10"}},
    "three": {
        f"n{number}": {"ansible_host": address, "kamailio_carriers": CARRIERS, **TOLD}
        for number, address in enumerate(("192.0.2.11", "192.0.2.12", "fd00::3"), 1)
    },
}
"""Inventories whose hosts have every role: with nothing but defaults, and with what makes templates longest."""


def named(path: Path) -> str:
    return path.relative_to(ANSIBLE).parts[1] if path in ROLES else "/".join(path.relative_to(ANSIBLE).parts[1::2])


def must(*words: str | Path) -> str:
    """Run a program that has to agree; return what it says."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What all roles write, for all inventories."""
    place = tmp_path_factory.mktemp("inventories")
    ours = [inventory(place / name, hosts) for name, hosts in SITES.items()]
    return rendered(place / "home", [*ours, *INVENTORIES])


# ---- the programs --------------------------------------------------------------------------------------------------


def nats_server(text: str, place: Path) -> None:
    """With its certificates, and with users as the product prints them; the oldest and the newest server."""
    for name, ours in (("ca.pem", "ca.pem"), ("server.pem", "server.pem"), ("server.key", "server.key")):
        shutil.copy(ROOT / "tests/nodes/bus/tls" / ours, place / name)
    users = {NodeId("n1"): {"edge": nats_keys.public(nats_keys.seed()), "desk": nats_keys.public(nats_keys.seed())}}
    (place / "users.json").write_text(nats_config.text(users))
    file = place / "nats-server.conf"
    file.write_text(text.replace("/etc/nats", str(place)))
    for program in filter(Path.exists, (OLDEST, NEWEST)):
        assert "is valid" in must(program, "-t", "-c", file)
    file.write_text(file.read_text().replace("max_payload", "max_playload"))
    with pytest.raises(AssertionError, match="max_playload"):
        must(NEWEST, "-t", "-c", file)


def unit(text: str, place: Path) -> None:
    """systemd knows every word of it; it is exposed to little, and says why to each."""
    file = place / "one.service"
    file.write_text(re.sub(r"^(Exec\w+=[-+!:@]*)/\S+", r"\1/bin/true", text, flags=re.MULTILINE))
    assert "one.service" not in must("systemd-analyze", "verify", "--man=no", file)
    said = must("systemd-analyze", "security", "--offline=true", f"--threshold={MOST * 10:.0f}", "--json=short", file)
    rows: list[dict[str, Any]] = json.loads(said[: said.rindex("]") + 1])
    found = {row["name"] for row in rows if row["exposure"] and float(row["exposure"]) > 0}
    assert found == {*re.findall(r"^# open: (\S+) \S", text, flags=re.MULTILINE)}


def kamailio(text: str, place: Path) -> None:
    """It knows every word; that it does what it should is what tests/journeys/test_through_a_proxy.py is about."""
    file = place / "kamailio.cfg"
    file.write_text(text)
    assert "config file ok" in must("kamailio", "-c", "-f", file)
    file.write_text(text.replace("loose_route()", "lose_route()"))
    with pytest.raises(AssertionError, match="unknown command"):
        must("kamailio", "-c", "-f", file)


def prometheus(text: str, place: Path) -> None:
    """With our alerts, and with the bearers that it names."""
    shutil.copy(ROOT / "ops/telemetry/rules.yml", place)
    shutil.copy(ROOT / "tests/nodes/bus/tls/ca.pem", place / "desk-ca.pem")
    for name in ("n1", "n2", "n3"):
        (place / f"{name}.bearer").write_text("prometheus.secret")
    for name in re.findall(r"/([^/]+)\.bearer", text):
        (place / f"{name}.bearer").touch()
    file = place / "prometheus.yml"
    file.write_text(text.replace("/etc/prometheus/ringmaster", str(place)))
    assert "rules found" in must("promtool", "check", "config", file)
    file.write_text(file.read_text().replace("scrape_interval", "scrap_interval"))
    with pytest.raises(AssertionError, match="scrap_interval"):
        must("promtool", "check", "config", file)


def alertmanager(text: str, place: Path) -> None:
    file = place / "alertmanager.yml"
    file.write_text(text)
    assert "2 receivers" in must("amtool", "check-config", file)
    assert "dead_man" in must("amtool", "config", "routes", "test", f"--config.file={file}", "alertname=Watchdog")
    assert "people" in must("amtool", "config", "routes", "test", f"--config.file={file}", "alertname=NodeSilent")


def tmpfiles(text: str, place: Path) -> None:
    """As systemd-tmpfiles(8) does it, below a root of our own."""
    (place / "etc").mkdir(exist_ok=True)
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", place / "etc")
    (place / "one.conf").write_text(text)
    must("systemd-tmpfiles", f"--root={place}", "--create", place / "one.conf")


def journal(text: str, place: Path) -> None:
    """Each word stands in the file that Debian's package brings, where all are, as comments."""
    section, *told = re.findall(r"^(?:\[(\w+)\]|(\w+)=)", text, flags=re.MULTILINE)
    debian = Path(f"/etc/systemd/journal-{section[0].lower()}.conf").read_text()
    assert f"[{section[0]}]" in debian
    for _, word in told:
        assert f"# {word}=" in debian, word


def grafana(text: str, place: Path) -> None:
    """There is no Grafana to be had: its shape only."""
    assert yaml.safe_load(text)["apiVersion"] == 1


def in_journeys(text: str, place: Path) -> None:
    """A real one reads it in tests/journeys/test_through_a_proxy.py, and nothing says whether it could before that."""


def settings(text: str, place: Path) -> None:
    """The product reads them, and they are what was wanted."""
    read = parse(text, "ringmaster.toml", place)
    assert read.paths.state == Path("/var/lib/ringmaster")
    assert read.media.channels == 100


CHECKS: Mapping[str, Callable[[str, Path], None]] = {
    "alertmanager.yml.j2": alertmanager,
    "carriers.list.j2": in_journeys,
    "edges.list.j2": in_journeys,
    "grafana-dashboards.yaml.j2": grafana,
    "grafana-datasource.yaml.j2": grafana,
    "journal-remote.conf.j2": journal,
    "journal-upload.conf.j2": journal,
    "kamailio.cfg.j2": kamailio,
    "kamailio.service.j2": unit,
    "nats-server.conf.j2": nats_server,
    "nats-server.service.j2": unit,
    "prometheus-alertmanager.service.j2": unit,
    "prometheus.service.j2": unit,
    "prometheus.yml.j2": prometheus,
    "ringmaster-journals.conf.j2": tmpfiles,
    "ringmaster.service.j2": unit,
    "systemd-journal-upload.service.j2": unit,
    "tls.cfg.j2": in_journeys,
    "ringmaster.toml.j2": settings,
}
"""Template -> who says whether what is made of it is good."""


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
def test_what_a_template_makes_is_good_for_the_program_that_reads_it(
    template: Path, made: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert template.name in CHECKS, "no program says whether what it makes is good: add a row"
    role = template.parents[1].name
    texts = {one["files"][template.name] for one in made if one["role"] == role}
    assert texts
    for text in texts:
        CHECKS[template.name](text, tmp_path)


# ---- roles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES, ids=named)
def test_a_role_looks_before_it_installs_configures_and_runs(role: Path) -> None:
    steps = yaml.safe_load((role / "tasks/main.yml").read_text())
    told = [(step["ansible.builtin.import_tasks"], step["tags"]) for step in steps]
    assert told == [(f"{part}.yml", [part]) for part in PARTS]
    for part in ("README.md", "defaults/main.yml", "handlers/main.yml", *(f"tasks/{part}.yml" for part in PARTS)):
        assert (role / part).exists(), part


@pytest.mark.parametrize("role", ROLES, ids=named)
def test_every_variable_of_a_role_has_its_name_in_it_and_says_what_it_is(role: Path) -> None:
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text()) or {}
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    options = specs["main"].get("options", {})
    assert defaults.keys() == {name for name, option in options.items() if not option.get("required")}
    assert all(option["description"] for option in options.values())
    assert all(name.startswith(f"{role.name}_") for name in options)


def test_the_values_of_every_inventory_are_what_the_roles_take(made: list[dict[str, Any]]) -> None:
    assert {one["role"] for one in made} == {role.name for role in ROLES}
    assert [(one["inventory"], one["host"], one["wrong"]) for one in made if one["wrong"]] == []


# ---- all of it -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def lint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], tuple[int, str]]]:
    """Returns how ansible-lint ends, and what it says. It is begun before all tests: it takes as long as they do."""
    home = tmp_path_factory.mktemp("lint")
    env = {**os.environ, "ANSIBLE_HOME": str(home), "NO_COLOR": "1", "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = [sys.executable, BIN / "ansible-lint", "--offline", "--profile=production", "--project-dir=."]
    with (home / "said").open("w") as said:
        run = subprocess.Popen(command, cwd=ANSIBLE, env=env, stdout=said, stderr=subprocess.STDOUT)
    try:
        yield lambda: (run.wait(LINT_S), (home / "said").read_text())
    finally:
        run.kill()
        run.wait()


@pytest.mark.parametrize("where", INVENTORIES, ids=lambda path: path.parent.name)
def test_ansible_understands_every_playbook(where: Path, tmp_path: Path) -> None:
    env = {**os.environ, "ANSIBLE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, BIN / "ansible-playbook", "--syntax-check", "-i", where, *PLAYBOOKS],
        cwd=ANSIBLE, env=env, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(LINT_S + 20)
def test_ansible_lint_finds_nothing_by_its_strictest_profile(lint: Callable[[], tuple[int, str]]) -> None:
    status, said = lint()
    assert status == 0, said
