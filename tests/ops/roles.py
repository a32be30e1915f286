"""What Ansible's roles write, as a test gets it: rendered by Ansible, in a process of its own (`render.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
ANSIBLE: Final = ROOT / "ops/ansible"
_RENDER: Final = Path(__file__).with_name("render.py")
_LIMIT_S: Final = 300.0


def inventory(place: Path, hosts: Mapping[str, Mapping[str, object]]) -> Path:
    """Write an inventory whose hosts, with these variables, are in all groups and have every role."""
    place.mkdir()
    groups = ("ringmaster", "central", "edge", "kamailio", "telemetry")
    (place / "hosts.json").write_text(json.dumps({group: {"hosts": dict(hosts)} for group in groups}))
    return place / "hosts.json"


def rendered(home: Path, inventories: Sequence[Path], role: str = "") -> list[dict[str, Any]]:
    """Return what `render.py` tells. `home`: where Ansible may keep what it keeps. `role`: of this one only."""
    env = {**os.environ, "ANSIBLE_HOME": str(home), "ANSIBLE_LOCALHOST_WARNING": "false"}
    command = [sys.executable, _RENDER, f"--role={role}", *inventories]
    said = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    assert said.returncode == 0, said.stderr
    told: list[dict[str, Any]] = json.loads(said.stdout)
    return told


__all__ = ["ANSIBLE", "ROOT", "inventory", "rendered"]
