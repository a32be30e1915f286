"""The node's unit, as a host gets it, held against systemd's own judgement and against what a node asks of it."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from nodes.commands import doctor, node
from nodes.config import Config
from nodes.media.realtime import PRIORITY
from nodes.priority import NICE

ROLE = Path(__file__).parents[2] / "ops/ansible/roles/ringmaster_node"
MOST: float = 2.5
"""Of exposure, of ten (`systemd-analyze security`); a unit that says nothing has 9.2."""


def rendered(**wanted: object) -> str:
    """Return the unit's text, as ansible renders it."""
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    template = environment.from_string((ROLE / "templates/ringmaster.service.j2").read_text())
    return template.render({**defaults, **wanted})


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit on a machine where its release is installed."""
    command = tmp_path / "current/bin/ringmaster"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    made = tmp_path / "ringmaster.service"
    made.write_text(rendered(ringmaster_node_root=str(tmp_path), ringmaster_node_writes=["/srv/recordings"]))
    return made


def service(text: str) -> dict[str, str]:
    """Return the settings of `[Service]`; of one that is there twice the last."""
    read = ConfigParser(strict=False, interpolation=None, delimiters="=", comment_prefixes="#")
    read.optionxform = str  # type: ignore[assignment]
    read.read_string(text)
    return dict(read["Service"])


def told(*words: str | Path) -> tuple[int, str]:
    """Return how systemd-analyze ends, and all that it says."""
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_systemd_knows_every_word_of_the_unit(unit: Path) -> None:
    status, said = told("verify", "--man=no", unit)
    assert status == 0, said
    assert "ringmaster" not in said
    unit.write_text(unit.read_text().replace("WatchdogSec", "WatchdogSeconds"))
    assert "WatchdogSeconds" in told("verify", "--man=no", unit)[1], "it would say so"


def test_the_unit_is_exposed_to_little_and_says_why_to_each(unit: Path) -> None:
    """An item that is closed later loses its line, and one that is opened must get one."""
    status, said = told("security", "--offline=true", f"--threshold={MOST * 10:.0f}", unit)
    assert status == 0, said
    _, said = told("security", "--offline=true", "--json=short", unit)
    rows: list[dict[str, Any]] = json.loads(said[: said.rindex("]") + 1])
    found = {row["name"] for row in rows if row["exposure"] and float(row["exposure"]) > 0}
    assert found == {*re.findall(r"^# open: (\S+) \S", unit.read_text(), flags=re.MULTILINE)}


def test_the_unit_allows_what_a_node_asks_for() -> None:
    allows = service(rendered())
    assert int(allows["LimitRTPRIO"]) == PRIORITY
    assert int(allows["LimitNICE"]) == min(NICE.values())
    assert int(allows["LimitNOFILE"]) >= doctor.FILES
    assert (allows["Type"], allows["NotifyAccess"]) == ("notify", "main")


@pytest.mark.parametrize(("processes", "channels"), [(1, 100), (16, 1000)])
def test_every_socket_of_a_node_has_a_place_in_the_store(processes: int, channels: int) -> None:
    text = rendered(ringmaster_node_media_processes=processes, ringmaster_node_media_channels=channels)
    n_edges = 64  # the most that `edge.processes` may be
    assert int(service(text)["FileDescriptorStoreMax"]) >= processes * channels + n_edges
    assert int(service(text)["LimitNOFILE"]) >= 2 * (processes * channels + n_edges)


def test_the_sockets_that_the_role_reckons_with_are_the_product_s() -> None:
    defaults, media = yaml.safe_load((ROLE / "defaults/main.yml").read_text()), Config().media
    assert defaults["ringmaster_node_media_processes"] == media.processes
    assert defaults["ringmaster_node_media_channels"] == media.channels


def test_a_stop_drains_the_node_first_by_a_command_that_there_is_and_that_ends_in_time() -> None:
    allows = service(rendered())
    words = allows["ExecStop"].split()
    assert words[0].startswith("-"), "a node that cannot be drained is stopped all the same"
    assert words[0].lstrip("-") == allows["ExecStart"].split()[0]
    assert words[1] == "node"
    node.describe(parser := argparse.ArgumentParser())
    given = parser.parse_args(words[2:])
    assert (given.what, given.move) == ("drain", True)
    assert given.within + 60 < int(allows["TimeoutStopSec"])
