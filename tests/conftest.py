"""What tests of several rooms need: a real nats-server, oldest or newest, on a free port, with its own store."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nodes import config, control_groups
from nodes.bus import server
from nodes.launcher import PROCESS
from supervisors.program import Program

NEWEST = Path(sys.executable).with_name("nats-server")
OLDEST = Path("/usr/sbin/nats-server")
BOTH = [
    pytest.param(program, id=name, marks=pytest.mark.skipif(not program.exists(), reason=f"no {program}"))
    for name, program in (("oldest", OLDEST), ("newest", NEWEST))
]

HERE = Path(__file__).parent
PASSED = pytest.StashKey[bool]()
N_LINES = 20
GONE_S = 30.0
LOOK_S = 0.02
LONGEST = ("tests/journeys", "tests/nodes/commands", "tests/ops", "tests/nodes", "tests/supervisors")
"""Where tests take longest, the longest first."""


# Hundreds of processes are started, and where no bytecode is kept each compiles all of it again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A busy machine is no fault of what is tested: no example is judged by how long it took.
settings.register_profile("ringmaster", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ringmaster")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Temporary files lie where paths are short: a Unix socket's has 107 bytes."""
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        config.option.basetemp = tempfile.mkdtemp(prefix="rm-")
        config.add_cleanup(lambda: config.stash.get(PASSED, False) and shutil.rmtree(config.option.basetemp))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What failed leaves its files: the logs of its nodes are among them."""
    session.config.stash[PASSED] = exitstatus == 0


@pytest.hookimpl(wrapper=True)  # around pytest-xdist, which reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """A file's tests share a worker, and so do those that share what lives as long as the run: it is set up once.

    What takes longest comes first, so that no worker is idle in the end while another has a long group before it.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_shared_by(item)))
    items.sort(key=lambda item: _turn(item.nodeid))
    yield
    for item in items:  # pytest 9.2 has ids elsewhere than pytest-xdist 3.8 writes them, with the group
        if grouped := getattr(item, "_nodeid", ""):
            item._id = type(item.id).parse(grouped)


def _shared_by(item: pytest.Item) -> str:
    """Return the folder of what a test shares with other files, or else its own file."""
    infos = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    folders = {one.baseid for defined in infos.values() for one in defined if one.scope == "session"}
    return min(filter(None, folders), key=len, default=item.nodeid.partition("::")[0])


def _turn(name: str) -> int:
    return next((turn for turn, begins in enumerate(LONGEST) if name.startswith(begins)), len(LONGEST))


def must_run(process: subprocess.Popen[bytes], said: Path) -> None:
    """Fail when a process has ended that should run, with the last lines of the file that has what it has said."""
    status = process.poll()
    assert status is None, f"{process.args} has ended with {status}:\n{last_lines(said)}"


def last_lines(file: Path) -> str:
    """Return enough of a log to see why there are no more lines in it."""
    return "\n".join(file.read_text(errors="replace").splitlines()[-N_LINES:])


@contextmanager
def control_group() -> Iterator[Path | None]:
    """Have a control group of version 2 on this machine, without processes in the end; None: none can be made here."""
    try:
        made = control_groups.own() / f"ringmaster-test-{os.getpid()}"
        made.mkdir()
    except (control_groups.NoGroups, OSError):
        yield None
        return
    try:
        yield made
    finally:
        for place in [*(one for one in made.iterdir() if one.is_dir()), made]:
            _remove(place)


def _remove(group: Path) -> None:
    """Remove a control group; the kernel may take a moment after the last of its processes was waited for."""
    end_s = time.monotonic() + GONE_S
    while group.exists():
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > end_s:
                raise
            time.sleep(LOOK_S)


ANYBODY = "anybody"


class NatsServer:
    """A nats-server that tests may stop, kill and start again; its port and its store stay."""

    def __init__(self, program: Path, state: Path, more: str = "") -> None:
        """`more`: further settings of `[nats]`, and further tables."""
        text = f"[paths]\nstate = {str(state)!r}\n[nats]\nport = 0\nserver = {str(program)!r}\n{more}"
        self.config = config.parse(text, "test", state)
        self.plan = server.embedded(self.config)
        self.url = self.plan.url.replace("//", f"//{ANYBODY}:{ANYBODY}@")
        """The address for somebody who may do everything: most tests are not about rights."""
        anybody = f'"users": [{{user: {ANYBODY}, password: {ANYBODY}}}, '
        self.configure(lambda text: text.replace('"users": [', anybody))
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Return when it answers."""
        said = self.config.paths.nats / "said"
        with said.open("w") as err:
            self._process = subprocess.Popen(self.plan.argv, stderr=err)  # noqa: ASYNC220  a millisecond
        host, port = self.plan.url.partition("://")[2].split(":")
        async with asyncio.timeout(60):
            while not await _greets(host, int(port)):
                must_run(self._process, said)

    def configure(self, change: Callable[[str], str]) -> None:
        """Change its configuration, for the next start."""
        settings = Path(self.plan.argv[-1])
        settings.write_text(change(settings.read_text()))

    def freeze(self) -> None:
        """Have it hang: it keeps its connections and answers nobody. Returns when it does."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        """Have it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would, and wait for its end."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


def child_of_ours(name: str, config: Path, sockets: Mapping[str, socket.socket] | None = None) -> Program:
    """A process of a node, as its launcher runs it (`edge-0`), but with the patience of tests that run beside others.

    On a machine with ten times as much to do as it can, a process that is as it should be beats after seconds only, and
    ends in order after the five in which a launcher would have killed it.
    """
    env = {"RINGMASTER_CONFIG": str(config), PROCESS: f"{name} {name.rpartition('-')[0]}"}
    argv = (sys.executable, "-m", "nodes.child")
    return Program(argv, env, sockets or {}, ready_s=90.0, stop_s=60.0, silence_s=60.0)


async def _greets(host: str, port: int) -> bool:
    """Whether somebody says INFO there; waits until it says so, or for the next try."""
    with suppress(OSError):
        reader, writer = await asyncio.open_connection(host, port)
        greeting = await reader.readline()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return greeting.startswith(b"INFO")
    await asyncio.sleep(0.01)
    return False


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A running nats-server, of the version that a development machine has."""
    async for running in _run(NEWEST if NEWEST.exists() else OLDEST, tmp_path):
        yield running


@pytest.fixture(params=BOTH)
async def each_nats_server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A running nats-server, once of the oldest version that we support and once of the newest."""
    async for running in _run(request.param, tmp_path):
        yield running


async def _run(program: Path, state: Path) -> AsyncIterator[NatsServer]:
    async with running(NatsServer(program, state)) as made:
        yield made


@pytest.fixture(params=BOTH)
def each_server(request: pytest.FixtureRequest) -> Path:
    """The program of a nats-server, the oldest that we support and the newest."""
    program: Path = request.param
    return program


@asynccontextmanager
async def running(made: NatsServer) -> AsyncIterator[NatsServer]:
    """Have a server run for the length of the block."""
    try:
        await made.start()
        yield made
    finally:
        made.kill()
