"""Where all test hosts stand: the namespaces of the router between them, and the way to have more.

Whatever the router does is a rule of its routing policy: what is cut off is dropped (`blackhole`, which tells nobody),
what is to have a bad network goes through a relay (`relay.py`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from nodes.rehearsal import relay
from nodes.rehearsal.remote import INIT, NotRun, RemoteInit, Running, sockets

SPACES: Final = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
HOST: Final = (*SPACES, "--uts", "--ipc", "--time")
NETWORK: Final = "10.77.0.0/16"
"""All addresses of hosts; settings that name what is not public (`sip.allow`, `fetch.allow`) want it."""
CUT, BACK, BAD = 100, 200, 300
"""Which rules come first: what is cut off is lost on a bad network, too; what a relay hands on goes the usual way."""
TABLES: Final = 1000
"""The first of the routing tables of relays."""
LOOK_S: Final = 0.01
ROUTES: Final = {"net/ipv4/ip_forward": 1, "net/ipv4/conf/all/rp_filter": 0, "net/ipv4/conf/default/rp_filter": 0}
"""Settings of the router: it forwards, also what comes from where it would not send the answer."""


class Ground:
    """Where all hosts stand: the namespaces of the router, and the way to have more."""

    def __init__(self, init: RemoteInit, log: IO[Any], pid: int, disk_mb: int) -> None:
        self.init, self._log, self._pid = init, log, pid
        self.has_disks = disk_mb > 0
        self._disk_mb = disk_mb
        self._cuts: Counter[tuple[str, str]] = Counter()
        self._relays = count()

    def path(self, inside: Path) -> Path:
        """Return where we find a file of a host."""
        return Path(f"/proc/{self._pid}/root{inside}") if self.has_disks else inside

    async def disk(self, directory: Path) -> None:
        """Have a directory of a host on a file system of its own, if its size is limited."""
        if self.has_disks:
            options = f"size={self._disk_mb}m,mode=0700"
            await self.init.must(["mount", "-t", "tmpfs", "-o", options, "none", str(directory)], Path("/"))

    async def life(self, name: str, ahead_s: int) -> tuple[Running, RemoteInit]:
        """Begin a host with a clock of its own; return what holds its namespaces, and who starts commands in it."""
        ours, theirs = sockets()
        clock = (f"--monotonic={ahead_s}", f"--boottime={ahead_s}")
        with theirs:
            life = await self.init.start(
                ("unshare", *HOST, *clock, *INIT, name), Path("/"), self._log, self._log, theirs.fileno()
            )  # fmt: skip
        init = RemoteInit(ours)
        await init.here()
        return life, init

    async def wire(self, number: int, pid: int) -> None:
        """Join a host, by the process that has made its network, to the router; always with the same address."""
        port = f"p{number}"
        await ip(
            self.init,
            f"link add {port} type veth peer name eth0 address 02:00:0a:4d:{number:02x}:02 netns {pid}",
            f"addr add 10.77.{number + 1}.1/24 dev {port}", f"link set {port} up",
        )  # fmt: skip

    async def unwire(self, number: int) -> None:
        """Take the link of a host that is gone, which the kernel does too, but in its own time."""
        await self.init.run(["ip", "link", "del", f"p{number}"], Path("/"))

    async def cut(self, from_: str, to: str) -> None:
        """Drop what goes from one address to another, until it is mended as often; an empty one is everybody's."""
        self._cuts[from_, to] += 1
        if self._cuts[from_, to] == 1:
            await ip(self.init, f"rule add pref {CUT} {_between(from_, to)} blackhole")

    async def routes(self) -> None:
        """Forward from now on. Raises: Failed."""
        settings = "; ".join(f"echo {value} > /proc/sys/{name}" for name, value in ROUTES.items())
        await self.init.must(["sh", "-ec", settings], Path("/"))
        await ip(self.init, "link set lo up")

    @asynccontextmanager
    async def bad(
        self, from_: str, to: str, delay_s: float, jitter_s: float, loss: float, seed: int
    ) -> AsyncIterator[None]:
        """Send what goes from one address to another through a relay, for the length of the block. Raises: Failed."""
        number = next(self._relays)
        name, table = f"bad{number}", TABLES + number
        with TemporaryFile("w+") as said:
            words = map(str, (name, delay_s, jitter_s, loss, seed))
            running = await self.init.start((*relay.COMMAND, *words), Path("/"), said, said)
            while relay.READY not in _all(said):
                if running.status is not None:
                    raise NotRun(f"no relay: {_all(said).strip()}")
                await asyncio.sleep(LOOK_S)
            rules = (f"pref {BACK} iif {name} lookup main", f"pref {BAD} {_between(from_, to)} lookup {table}")
            try:
                await ip(
                    self.init, f"link set {name} up", f"route add default dev {name} table {table}",
                    *(f"rule add {rule}" for rule in rules),
                )  # fmt: skip
                yield
            finally:
                await ip(self.init, *(f"rule del {rule}" for rule in rules))
                running.kill()
                await running.wait()

    async def mend(self, from_: str, to: str) -> None:
        """Undo one `cut`."""
        self._cuts[from_, to] -= 1
        if self._cuts[from_, to] == 0:
            await ip(self.init, f"rule del pref {CUT} {_between(from_, to)} blackhole")


def _between(from_: str, to: str) -> str:
    return f"from {from_ or 'all'} to {to or 'all'}"


def _all(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


async def ip(init: RemoteInit, *lines: str) -> None:
    """Have iproute2 do this where an init is. Raises: NotRun, Failed."""
    await init.must(["ip", "-batch", "-"], Path("/"), "\n".join(lines) + "\n")


__all__ = ["NETWORK", "SPACES", "Ground", "ip"]
