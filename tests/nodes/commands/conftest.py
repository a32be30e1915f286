"""The command as its users run it: real processes, what they print and how they end, and all that they leave behind.

Every process that a test starts carries the test's mark in its environment, and so do its children and theirs: what
still has the mark is left over. One node is shared by the tests that only need some node.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nodes import ports
from tests.conftest import last_lines, must_run

COMMAND = Path(sys.executable).with_name("ringmaster")
PATIENCE_S = 120.0
"""How long a test waits for what must come; reached only when it will not."""
LOOK_S = 0.02
MARK = "RINGMASTER_TEST_MARK"


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, object]]:
        """Standard output as JSON objects, one a line; nothing else may be there."""
        return [json.loads(line) for line in self.out.splitlines()]

    def refused(self) -> str:
        """Return the one line on standard error of a command that could not run."""
        assert (self.status, self.out) == (2, ""), self
        assert self.err.count("\n") == 1, self.err
        return self.err.strip()


@dataclass(slots=True)
class Place:
    """A directory of its own for commands: configuration, state, and an empty one for temporary files."""

    path: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def temporary(self) -> Path:
        """Where the commands' temporary files would be."""
        return self.path / "tmp"

    def configure(self, tables: str) -> Path:
        """Write a configuration that disturbs nobody on this machine, with further tables; return its file."""
        first = ports.take(20)
        file = self.path / "ringmaster.toml"
        file.write_text(
            f'[paths]\nstate = "state"\n[rtp]\nports = [{first}, {first + 19}]\n[media]\nchannels = 10\n'
            f"[desk]\nport = 0\n[speech]\nprocesses = 1\n[edge]\nprocesses = 1\n{tables}"
        )
        return file

    def environment(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        """Return the environment of this place's commands."""
        return {**os.environ, MARK: self.mark, "TMPDIR": str(self.temporary), **more}

    def run(self, *words: str, given: str = "", more: Mapping[str, str] = {}) -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            [COMMAND, *words], cwd=self.path, env=self.environment(more), input=given, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command, in a session of its own, as a terminal would; `out` and `err` have what it writes."""
        with (self.path / "out").open("w") as out, (self.path / "err").open("w") as err:
            return subprocess.Popen(
                [COMMAND, *words], cwd=self.path, env=self.environment(), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip

    def until(self, what: Callable[[], object], running: subprocess.Popen[bytes]) -> None:
        """Return once `what()` holds, as long as the command runs that was started last; or fail with its words."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not what():
            must_run(running, self.path / "err")
            assert time.monotonic() < give_up_s, f"not after {PATIENCE_S} s:\n{last_lines(self.path / 'err')}"
            time.sleep(LOOK_S)

    @property
    def out(self) -> str:
        """What the command that was started last has written to standard output."""
        return (self.path / "out").read_text()

    @property
    def err(self) -> str:
        """What the command that was started last has written to standard error."""
        return (self.path / "err").read_text()

    def alive(self) -> dict[int, str]:
        """Return the processes of this place that have not ended: id -> command line."""
        return {
            int(entry.name): (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and self._is_ours(entry)
        }

    def _is_ours(self, entry: Path) -> bool:
        try:
            is_zombie = ") Z " in (entry / "stat").read_text()
            return not is_zombie and f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes()
        except OSError:
            return False

    def sockets(self) -> list[str]:
        """Return the Unix sockets below this place that the kernel still has."""
        return [line for line in Path("/proc/net/unix").read_text().splitlines() if f"{self.path}/" in line]

    def nothing_is_left(self, state: str = "state") -> None:
        """Fail unless all processes and sockets of this place are gone within seconds, and all temporary files."""
        until(lambda: not self.alive())
        until(lambda: not self.sockets())  # the kernel has them a moment longer than their process has a command line
        assert list(self.temporary.iterdir()) == []
        assert not (self.path / state / "run").exists()


def until(what: Callable[[], object]) -> None:
    """Return once `what()` holds, for what other processes do and tell nobody."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < give_up_s, f"not after {PATIENCE_S} s"
        time.sleep(LOOK_S)


def make(path: Path) -> Place:
    """Return a new place."""
    (path / "tmp").mkdir(parents=True)
    return Place(path)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place for one test; what a failed one has left is killed."""
    made = make(tmp_path)
    yield made
    for pid in made.alive():
        os.kill(pid, signal.SIGKILL)


@dataclass(slots=True)
class Node:
    """A running node, started by `ringmaster up`."""

    place: Place
    config: Path
    up: subprocess.Popen[bytes]

    def run(self, *words: str, given: str = "") -> Done:
        """Run a command that is to find this node."""
        return self.place.run(*words, "--config", str(self.config), given=given)

    def processes(self) -> list[dict[str, object]]:
        """Return the roster's rows."""
        rows: list[dict[str, object]] = json.loads((self.place.path / "state/run/roster.json").read_text())["processes"]
        return rows

    def pid(self, role: str) -> int:
        """Return the process id of the active process of a role; 0 when there is none."""
        rows = [row for row in self.processes() if (row["role"], row["state"]) == (role, "active")]
        return int(str(rows[0]["pid"])) if rows else 0


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The node that tests share: its voice is missing on purpose, so that the last resort speaks."""
    place = make(tmp_path_factory.mktemp("node"))
    config = place.configure('[sip]\nport = 0\n[nats]\nport = 0\n[models]\nvoice = "missing"\n')
    made = Node(place, config, place.start("up", "--config", str(config)))
    place.until(lambda: all(word in place.err for word in ('"node.up"', '"central.leads"')), made.up)
    yield made
    made.up.send_signal(signal.SIGINT)
    assert made.up.wait(PATIENCE_S) == 0
    place.nothing_is_left()
