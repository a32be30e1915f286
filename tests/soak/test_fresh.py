"""A bare Debian 12 in a directory, in which `make demo` and `make test` must bring all they need.

    make soak SOAK=fresh             as root; about 20 minutes, most of them the two commands

A machine on which people work hides what an installation lacks. This one has what debootstrap calls minimal, `make`,
and how to reach the package registries, as this machine reaches them. What is tested is the last commit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.ops.machines.base import lend

ROOT: Final = Path(__file__).parents[2]
RELEASE: Final = "bookworm"
COMMANDS: Final = ("make demo", "make test")
REACH_WORDS: Final = ("PIP_", "UV_", "SSL_", "PROXY", "_CA_BUNDLE")
"""How this machine reaches the registries, in the environment: what has one of these in its name."""
LIMIT_S: Final = 3600.0
MOUNTS: Final = (
    "mount -t proc proc {0}/proc && mount --rbind /dev {0}/dev && mount -t tmpfs shm {0}/dev/shm && "
    "mount -t tmpfs tmp {0}/tmp && exec chroot {0} /usr/bin/env -i {1} sh -c 'cd /src && exec {2}'"
)
"""In a mount and process namespace of its own: nothing is left mounted or running, however it ends."""


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Path]:
    """A bare machine's root directory."""
    if os.geteuid():
        pytest.skip("only root can make a root directory")
    root = tmp_path / "root"
    subprocess.run(["debootstrap", "--variant=minbase", "--include=make", RELEASE, root], check=True, timeout=LIMIT_S)
    lend(root)
    subprocess.run(["git", "clone", "--quiet", ROOT, root / "src"], check=True)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.mark.timeout(2 * LIMIT_S)
def test_a_bare_machine_runs_the_demo_and_the_tests(bare: Path, say: Callable[[str], None], tmp_path: Path) -> None:
    results = {}
    for command in COMMANDS:
        began_s, log = time.monotonic(), tmp_path / f"{command.replace(' ', '-')}.log"
        with log.open("w") as out:
            done = subprocess.run(inside(bare, command), stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=False)
        results[command] = {"status": done.returncode, "seconds": round(time.monotonic() - began_s)}
        say(f"{command}: status {done.returncode} after {results[command]['seconds']} s")
        for line in log.read_text(errors="replace").splitlines()[-40 if done.returncode else -3 :]:
            say(f"    {line[:200]}")
    say(json.dumps(results))
    assert [result["status"] for result in results.values()] == [0, 0]


def inside(root: Path, command: str) -> list[str]:
    """Return what runs a command in the bare machine."""
    words = {key: value for key, value in os.environ.items() if any(word in key.upper() for word in REACH_WORDS)}
    words |= {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
    }
    environment = " ".join(f"{key}={value!r}" for key, value in words.items())
    script = MOUNTS.format(root, environment, command)
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
