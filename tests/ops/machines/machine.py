"""Machines: Debian, booted by systemd on test hosts of the product, reached by ssh, and gone with who has them.

A machine is a host of `nodes/rehearsal/hosts.py`, with its network, router and partitions, on which systemd-nspawn
boots an overlay over the base (`base.py`). One more host, the controller, has this machine's files: there people and
Ansible sit. Machines reach the controller and each other, and nothing else. They need root; `missing` says what else.

    our process --> ground --> controller (our files)
                          +--> host --> nspawn --> systemd, sshd, ...          one each

Whatever happens to us, the ground ends, and all its processes, mounts and namespaces with it; files and control groups
are swept (`sweep.py`). `hold.py` is for people who want to look at some.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile, mkdtemp
from typing import Final
from uuid import uuid4

from nodes.rehearsal.hosts import Host, Hosts, hosts
from nodes.rehearsal.remote import Done, Running
from tests.ops.machines.base import KEPT, base

CONTROLLER: Final = "controller"
SWEEP: Final = Path(__file__).with_name("sweep.py")
NEEDED: Final = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ssh": "openssh-client",
}
"""Program -> the Debian package that brings it."""
BOOT_S: Final = 120.0
"""The longest that a machine may take until it has started everything; one alone takes two seconds."""
CONNECT_S: Final = 5
LOOK_S: Final = 0.1
N_LINES: Final = 30
LAYERS: Final = {
    "upper": 0o755, "upper/etc": 0o755, "upper/root": 0o700, "upper/root/.ssh": 0o700, "work": 0o755, "root": 0o755,
}  # fmt: skip
NO_CONNECTION: Final = 255
"""ssh(1)'s own exit status: whatever was to be run has not been, or nobody knows."""

# nspawn leaves marks in /run, which on this host are its alone; every host has a control group, or two systemds would
# share one. What it boots sees control groups of version 2 only, as on Debian 12, whatever this machine has. Without
# CAP_SYS_RESOURCE systemd sets no limit above its own, and says nothing (LimitRTPRIO, LimitNICE).
BOOT: Final = """
mount -t tmpfs -o mode=0755 none /run
for group in {groups}; do mkdir -p $group; echo 0 > $group/cgroup.procs; done
mount -t overlay -o lowerdir={base},upperdir={own}/upper,workdir={own}/work none {own}/root
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --boot --register=no --keep-unit --directory={own}/root --machine={name} \
    --network-namespace-path=/proc/self/ns/net --capability=CAP_NET_ADMIN,CAP_SYS_RESOURCE \
    --resolv-conf=off --timezone=off --link-journal=no {binds}
"""


class NotBooted(Exception):
    """A machine has ended instead of booting, or does not answer; the text is the end of what it said."""


@dataclass(frozen=True, slots=True)
class State:
    """What systemd says of a machine that has booted: `running`, or `degraded` and the units that failed."""

    word: str
    failed: tuple[str, ...]
    after_s: float


class Machine:
    """One machine. Its disk outlives its power; `boot` begins it, also again after `host.power_on`."""

    def __init__(self, host: Host, controller: Host, script: str, ssh: Sequence[str]) -> None:
        self.host, self.name, self.address = host, host.name, host.address
        self.ssh = (*ssh, f"root@{host.address}")
        """What runs a command on it from the controller: the command's words follow."""
        self.console = host.directory / "console.log"
        self._controller, self._script = controller, script
        self._nspawn: Running | None = None

    async def boot(self) -> State:
        """Boot it; return what has come of it once all is started. Raises: NotBooted."""
        began = time.monotonic()
        with self.console.open("a") as log:
            self._nspawn = await self.host.start(["sh", "-ec", self._script], log)
        try:
            async with asyncio.timeout(BOOT_S):
                word = await self._settled()
        except TimeoutError:
            raise NotBooted(f"{self.name} is not up after {BOOT_S} s:\n{self.said()}") from None
        after_s = time.monotonic() - began
        failed = await self.run("systemctl list-units --failed --plain --no-legend")
        return State(word, tuple(line.split()[0] for line in failed.out.splitlines()), after_s)

    async def run(self, command: str, given: str = "") -> Done:
        """Run a command of the shell there as root. `status` NO_CONNECTION: it cannot be reached."""
        return await self._controller.run([*self.ssh, command], given)

    async def copy(self, ours: Path, there: str) -> None:
        """Copy a file of ours there. Raises: OSError, where it cannot be reached or has no room."""
        with ours.open("rb") as file, TemporaryFile("w+") as said:
            running = await self._controller.init.start(
                [*self.ssh, f"cat > {shlex.quote(there)}"], Path("/"), said, said, file
            )
            status = await running.wait()
            said.seek(0)
            if status:
                raise OSError(f"{ours.name} to {self.name}: {said.read().strip() or f'status {status}'}")

    def said(self) -> str:
        """Return the last lines on its console."""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-N_LINES:])

    async def _settled(self) -> str:
        assert self._nspawn
        while (done := await self.run("systemctl is-system-running --wait")).status == NO_CONNECTION:
            if (status := self._nspawn.status) is not None:
                raise NotBooted(f"{self.name} has ended with {status}:\n{self.said()}")
            await asyncio.sleep(LOOK_S)
        return done.out.strip()


class Machines(Mapping[str, Machine]):
    """The machines by name, and the network between them."""

    def __init__(self, net: Hosts, made: Sequence[Machine]) -> None:
        self.net = net
        """For partitions and bad networks; the controller has a place in it."""
        self.controller = net[CONTROLLER]
        self._machines = {machine.name: machine for machine in made}

    def __getitem__(self, name: str) -> Machine:
        return self._machines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._machines)

    def __len__(self) -> int:
        return len(self._machines)

    async def boot(self) -> dict[str, State]:
        """Boot all of them at once. Raises: NotBooted."""
        states = await asyncio.gather(*(machine.boot() for machine in self.values()))
        return dict(zip(self, states, strict=True))


@asynccontextmanager
async def machines(names: Sequence[str], binds: Sequence[Path] = ()) -> AsyncIterator[Machines]:
    """Have machines of these names for the length of the block, with power and not yet booted.

    `binds`: directories of ours that they see, and may not write. Raises: NoHosts; CalledProcessError of the base.
    """
    lower = await asyncio.to_thread(base)
    with _swept() as (directory, groups):
        key = directory / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)  # noqa: ASYNC221
        async with hosts([CONTROLLER, *names], directory) as net:
            keys = [(lower / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]] * len(names)
            known = [" ".join((net[name].address, *key)) for name, key in zip(names, keys, strict=True)]
            (directory / "known").write_text("\n".join(known) + "\n")
            ssh = (
                "ssh", "-F", "none", "-i", str(key), "-o", f"UserKnownHostsFile={directory / 'known'}",
                "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}", "-o", "LogLevel=ERROR",
            )  # fmt: skip
            made = []
            for name in names:
                own = net[name].directory
                _prepare(own, name, key.with_suffix(".pub").read_text())
                script = BOOT.format(
                    groups=" ".join(str(group / name) for group in groups), base=lower, own=own, name=name,
                    binds=" ".join(f"--bind-ro={path}" for path in binds),
                )  # fmt: skip
                made.append(Machine(net[name], net[CONTROLLER], script, ssh))
            yield Machines(net, made)


def missing() -> list[str]:
    """Return what machines need and this machine has not, each as a sentence."""
    said = [
        f"no program {program}: it is in Debian's package {package}"
        for program, package in NEEDED.items()
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    ]
    return said if not os.geteuid() else [*said, "only root can make a root directory, and boot it"]


def _prepare(own: Path, name: str, public: str) -> None:
    """Make the layers of a machine's disk, with what makes it this machine and nobody else."""
    for part, mode in LAYERS.items():
        (own / part).mkdir(parents=True)
        (own / part).chmod(mode)
    upper = own / "upper"
    (upper / "root/.ssh/authorized_keys").write_text(public)
    (upper / "etc/hostname").write_text(f"{name}\n")
    (upper / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
    (upper / "etc/machine-id").write_text(f"{uuid4().hex}\n")


@contextmanager
def _swept() -> Iterator[tuple[Path, list[Path]]]:
    """Have a directory, and a control group in each hierarchy that systemd uses; nothing of them is left behind."""
    (KEPT / "runs").mkdir(parents=True, exist_ok=True)
    directory = Path(mkdtemp(prefix="ringmaster-ops-", dir=KEPT / "runs"))
    groups = [mount / directory.name for mount in hierarchies(Path("/proc/self/mountinfo").read_text())]
    argv = [sys.executable, str(SWEEP), str(directory), *map(str, groups)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True, cwd="/") as sweeper:
        assert sweeper.stdin
        try:
            for group in groups:
                group.mkdir()
            yield directory, groups
        finally:
            sweeper.stdin.close()
            left = sweeper.wait()
    if left:
        raise OSError(f"something of the machines is left below {directory}, or in the control group {directory.name}")


def hierarchies(mountinfo: str) -> list[Path]:
    """Return where on this machine systemd would keep its control groups: version 2, and the named one of version 1."""
    mounts = [(line.split(), *line.partition(" - ")[2].split()) for line in mountinfo.splitlines()]
    found = (Path(fields[4]) for fields, kind, _, options in mounts if kind == "cgroup2" or "name=systemd" in options)
    return sorted(set(found))
