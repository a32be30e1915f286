"""Test hosts: machines in all that a node can notice, made of Linux namespaces and gone with who has them.

Each has a network of its own (loopback, and `eth0` to a router between them), its own process ids, host name, mounts
and monotonic clock (the first has ours, the others are an hour apart each), a wall clock that can be stepped, and if
wanted a disk of limited size. The files of this machine are everybody's. The router forwards; what it must not is a
rule `from A to B blackhole`, which drops packets and tells nobody: a partition has directions, and a host that is
switched off is first cut off, so that nothing of its dying is heard.

    ours -- socket --> ground (network, PID and mount namespaces: the router; for who is not root a user one, too)
                         +-- host (network, PID, mount, UTS, IPC and time namespaces), one each

The ground is the init of all, and ends when the socket closes, however we end: nothing is left, no process, no link.
From outside nothing of it was ever to be seen. Kernels without netem and packet filters do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from nodes.errors import NodeError
from nodes.rehearsal.ground import NETWORK, SPACES, Ground, ip
from nodes.rehearsal.remote import EVERYBODY, INIT, Done, Failed, NotRun, RemoteInit, Running, sockets
from nodes.rehearsal.stepped.sitecustomize import AHEAD
from supervisors.leash import die_with

CAP_SYS_ADMIN: Final = 21
START_S: Final = 30.0
REFUSALS: Final = ("unshare:", "not permitted", "not supported", "Unknown device type")
"""What those say whom the kernel gives no namespaces, or no links between them. Anything else is a fault of ours."""
AHEAD_S: Final = 3600
"""Between the monotonic clocks of one host and the next: machines were not started together."""
BALLAST: Final = "ballast"
"""What fills a full disk."""
MB: Final = 1024 * 1024


class NoHosts(NodeError):
    """This machine gives us no namespaces; the reason is the text."""


class Host:
    """One host. Begun by `hosts`, and again by `power_on`."""

    def __init__(self, ground: Ground, number: int, name: str, directory: Path) -> None:
        self.name, self.directory = name, directory
        self.address = f"10.77.{number + 1}.2"
        self.ahead_s = number * AHEAD_S
        """What to take from this host's monotonic times to have ours."""
        self._ground, self._number = ground, number
        self._init: RemoteInit | None = None
        self._life: Running | None = None
        self._init_pid = 0
        self._was_off = False

    @property
    def clock(self) -> Path:
        """The file that says how far ahead its wall clock is (`stepped/sitecustomize.py`)."""
        return self.directory / "clock"

    def step_clock(self, seconds: float) -> None:
        """Set its wall clock ahead of ours by so much from now on, for the Python processes that follow `clock`."""
        with self.path(self.clock).open("r+b") as file:
            file.write(AHEAD.pack(seconds))

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._init is not None

    @property
    def init(self) -> RemoteInit:
        """Who starts commands here. Raises: NotRun while the host is off."""
        if self._init is None:
            raise NotRun(f"host {self.name} is off")
        return self._init

    def path(self, inside: Path) -> Path:
        """Return where we find one of its files."""
        return self._ground.path(inside)

    async def start(self, argv: Sequence[str], log: IO[Any], env: Mapping[str, str] = {}) -> Running:
        """Start a command that writes to `log`. Raises: NotRun."""
        return await self.init.start(argv, self.directory, log, log, env=env)

    async def run(self, argv: Sequence[str], given: str = "", env: Mapping[str, str] = {}) -> Done:
        """Run a command to its end. Raises: NotRun."""
        return await self.init.run(argv, self.directory, given, env)

    def kill(self, pid: int, which: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one of its processes, by its id there. Raises: NotRun."""
        self.init.kill(pid, which)

    def pause(self) -> None:
        """Stop everything on it, as a virtual machine is stopped. Raises: NotRun."""
        self.init.kill(EVERYBODY, signal.SIGSTOP)

    def resume(self) -> None:
        """Let everything on it go on. Raises: NotRun."""
        self.init.kill(EVERYBODY, signal.SIGCONT)

    async def power_off(self) -> None:
        """Take its power: nothing more leaves it, then everything on it is dead. Its disk keeps what it has.

        Raises: NotRun, where it is off.
        """
        init, life = self.init, self._life
        await self._ground.cut(self.address, "")
        await self._ground.cut("", self.address)
        self._init, self._was_off = None, True
        init.end()
        assert life
        await life.wait()
        await self._ground.unwire(self._number)

    async def power_on(self) -> None:
        """Give it power: a new machine with the old disk, name and address, on which nothing runs.

        Raises: NotRun, Failed.
        """
        self._life, init = await self._ground.life(self.name, self.ahead_s)
        await self._ground.wire(self._number, self._life.pid)
        await ip(
            init,
            "link set lo up", f"addr add {self.address}/24 dev eth0", "link set eth0 up",
            f"route add default via 10.77.{self._number + 1}.1",
        )  # fmt: skip
        self._init, self._init_pid = init, await init.here()
        if self._was_off:
            await self._ground.mend(self.address, "")
            await self._ground.mend("", self.address)

    def processes(self) -> dict[int, str]:
        """Return what runs on it but its init: process id there -> command line, words apart by spaces."""
        found: dict[int, str] = {}
        for file in Path(f"/proc/{self._init_pid}/root/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended
                found[int(file.parent.name)] = file.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        found.pop(1, None)
        return found

    def fill_disk(self) -> None:
        """Leave no room on its disk. Raises: ValueError for hosts whose disk is ours."""
        if not self._ground.has_disks:
            raise ValueError("the disk is everybody's: name disk_mb")
        with self.path(self.directory / BALLAST).open("ab") as file, suppress(OSError):
            while room := (disk := os.statvfs(file.fileno())).f_bavail * disk.f_frsize:
                os.posix_fallocate(file.fileno(), file.tell(), room)
                file.seek(0, os.SEEK_END)

    def free_disk(self) -> None:
        """Give the room back."""
        self.path(self.directory / BALLAST).unlink(missing_ok=True)


class Hosts(Mapping[str, Host]):
    """The hosts by name, and the network between them."""

    def __init__(self, ground: Ground, made: Sequence[Host]) -> None:
        self._ground = ground
        self._hosts = {host.name: host for host in made}

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)

    async def cut(self, from_: str, to: str) -> None:
        """Let nothing more that `from_` sends reach `to`; the other direction stays. An empty name: everybody."""
        await self._ground.cut(self._address(from_), self._address(to))

    async def mend(self, from_: str, to: str) -> None:
        """Undo one `cut`; two of the same want two."""
        await self._ground.mend(self._address(from_), self._address(to))

    async def part(self, ones: Sequence[str], others: Sequence[str]) -> None:
        """Cut two groups off from each other, both ways."""
        for one in ones:
            for other in others:
                await self.cut(one, other)
                await self.cut(other, one)

    async def join(self, ones: Sequence[str], others: Sequence[str]) -> None:
        """Undo one `part`."""
        for one in ones:
            for other in others:
                await self.mend(one, other)
                await self.mend(other, one)

    @asynccontextmanager
    async def bad(
        self, from_: str, to: str, delay_s: float = 0.0, jitter_s: float = 0.0, loss: float = 0.0, seed: int = 1
    ) -> AsyncIterator[None]:
        """Have a bad network from one to the other, for the length of the block: each packet late, or lost.

        Raises: NotRun, where TUN devices are not to be had.
        """
        async with self._ground.bad(self._address(from_), self._address(to), delay_s, jitter_s, loss, seed):
            yield

    def _address(self, name: str) -> str:
        return self[name].address if name else ""


@asynccontextmanager
async def hosts(names: Sequence[str], directory: Path, disk_mb: int = 0) -> AsyncIterator[Hosts]:
    """Have hosts of these names for the length of the block, each with a directory of its own below `directory`.

    `disk_mb`: how large the disk of each is, which is then gone with the hosts; 0: a directory of ours, which stays.
    Raises: NoHosts, where the machine does not give namespaces, with its reason; NotRun, Failed, TimeoutError.
    """
    with TemporaryFile("w+") as log:
        unshare, ours = _unshare(log)
        gone = asyncio.Event()
        init = RemoteInit(ours, gone.set)
        try:
            ground, made = await _begun(init, log, names, directory, disk_mb)
            yield Hosts(ground, made)
        finally:
            try:
                init.end()
                await asyncio.shield(gone.wait())
            finally:  # also for who does not wait: with it the ground ends
                unshare.kill()
                unshare.wait()


def _unshare(log: IO[str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the init of the ground; return the process that waits for it, and our end of it. Raises: NoHosts."""
    user = () if _may_make_namespaces(Path("/proc/self/status").read_text()) else ("--map-root-user",)
    ours, theirs = sockets()
    with theirs:
        try:
            made = subprocess.Popen(
                ["unshare", *SPACES, *user, *INIT], stdin=theirs.fileno(), stdout=log, stderr=log, cwd="/",
                preexec_fn=partial(die_with, os.getpid()),
            )  # fmt: skip
        except OSError as error:
            ours.close()
            raise NoHosts(f"unshare: {error.strerror}") from error
    return made, ours


async def _begun(
    init: RemoteInit, log: IO[Any], names: Sequence[str], directory: Path, disk_mb: int
) -> tuple[Ground, list[Host]]:
    """Return the ground once it routes, and the hosts once they are on. Raises: as `hosts`."""
    try:
        async with asyncio.timeout(START_S):
            ground = Ground(init, log, await init.here(), disk_mb)
            await ground.routes()
            made = [Host(ground, number, name, directory / name) for number, name in enumerate(names)]
            for host in made:
                os.makedirs(host.directory, exist_ok=True)
                await ground.disk(host.directory)
                host.path(host.clock).write_bytes(AHEAD.pack(0.0))
            await asyncio.gather(*(host.power_on() for host in made))
            return ground, made
    except (NotRun, Failed) as error:
        log.seek(0)
        reason = log.read().strip() or str(error)
        if any(word in reason for word in REFUSALS):
            raise NoHosts(f"no test hosts here: {reason}") from error
        raise


def _may_make_namespaces(status: str) -> bool:
    """Return whether /proc/self/status grants CAP_SYS_ADMIN; who has it not needs a user namespace, too.

    >>> _may_make_namespaces("CapEff:\\t0000000000200000"), _may_make_namespaces("CapEff:\\t0000000000000000")
    (True, False)
    """
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(mask, 16) >> CAP_SYS_ADMIN & 1)


__all__ = ["NETWORK", "Host", "Hosts", "NoHosts", "hosts"]
