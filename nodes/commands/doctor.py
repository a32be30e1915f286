"""`ringmaster doctor`: what this machine lacks for a node, and how to mend each."""

from __future__ import annotations

import argparse
import errno
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.text import Text

from grammars.lang.en.lexicon import Indexed, index_gruut
from nodes import lock
from nodes.bus.login import login
from nodes.bus.server import check, check_company, context, find, url
from nodes.commands import small_writes
from nodes.commands.client import configured
from nodes.commands.terminal import console, emit, hang
from nodes.config import FIRST_EDGE, Config, ConfigError
from nodes.control_groups import CONTROLLERS, LAUNCHER, offered, own
from nodes.edge_names import sip_ports
from nodes.errors import NodeError, in_words
from nodes.links import cluster_state
from nodes.links.cluster_state import ClusterState
from nodes.media import realtime
from nodes.ports import is_given
from nodes.speech import model_dir
from nodes.speech.errors import BrokenModel
from protocols.wire.roles import PROCESSES, Role

PYTHON = (3, 11)
ADAPTERS = {
    "recogniser": "nodes.speech.kag",
    "voice": "nodes.speech.mimic",
    "rules": "grammars.fst",
    "database": "nodes.recorder.store",
    "messages": "nodes.mesh.mesh",
}
"""What must be importable, by what it gives; each in a process of its own, for not all of them get on together."""
IMPORT_S = 60.0
FREE_MB = 500
"""Below it recordings and events have no room to speak of."""
MEMORY_MB = 1500
"""Two engines of 230 MB, six processes of 60 to 100 MB, and room for prompts, records and the page cache."""
FILES = 4096
"""Open files: two a channel and process, and room."""
PROGRAMS = {
    "flite": "install flite, the voice of last resort and the callees' of a rehearsal: apt-get install flite",
    "espeak-ng": "install espeak-ng, the voice of scripts in Mandarin: apt-get install espeak-ng",
}
"""What is found on PATH, and what to do where it is not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `mend` is empty when it is well; `fatal` says that a node cannot start without it."""

    what: str
    found: str
    mend: str = ""
    fatal: bool = False


def describe(parser: argparse.ArgumentParser) -> None:
    """A table for people, or JSON for machines."""
    parser.add_argument("--json", action="store_true", help="one JSON object a finding")


def run(args: argparse.Namespace) -> int:
    """0 when a node can start here, or runs."""
    to, is_well = console(), True
    for one in examine(configured(args)):
        is_well &= not (one.fatal and one.mend)
        if args.json:
            emit(asdict(one))
            continue
        mark, style = ("ok", "green") if not one.mend else ("FAIL", "bold red") if one.fatal else ("note", "yellow")
        hang(to, Text.assemble((f"{mark:<4}", style), f"  {one.what:<20}  "), Text(one.found))
        if one.mend:
            hang(to, Text(" " * 28), Text(one.mend, style))
    return 0 if is_well else 1


def examine(config: Config) -> Iterator[Finding]:
    """Look at everything a node needs, one finding each."""
    looks: tuple[Callable[[Config], Iterator[Finding]], ...] = (
        _python, _packages, _models, _lexicon, _cluster, _nats, _ports, _limits, _groups, _memory, _disk,
        _small_writes, _storage,
    )  # fmt: skip
    for look in looks:
        yield from look(config)


def _python(_: Config) -> Iterator[Finding]:
    is_old = sys.version_info < PYTHON
    mend = "run `make setup` with Python 3.11 or later" if is_old else ""
    yield Finding("python", f"{platform.python_version()} in {sys.prefix}", mend, fatal=True)


def _packages(_: Config) -> Iterator[Finding]:
    with ExitStack() as stack:
        trying = {what: stack.enter_context(_importing(module)) for what, module in ADAPTERS.items()}
        for what, process in trying.items():
            reason = _complaint(process)
            mend = "run `make setup`" if reason else ""
            yield Finding(what, reason or f"{ADAPTERS[what]} loads", mend, fatal=True)
    for program, mend in PROGRAMS.items():
        found = shutil.which(program)
        yield Finding(program, found or "not on PATH", "" if found else mend)


@contextmanager
def _importing(module: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", f"import {module}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _complaint(process: subprocess.Popen[str]) -> str:
    """Return the last thing that a process has said before it failed; empty when it did not fail."""
    try:
        said = process.communicate(timeout=IMPORT_S)[1].strip().splitlines()
    except subprocess.TimeoutExpired:
        return f"not loaded after {IMPORT_S:g} s"
    if not process.returncode:
        return ""
    return said[-1] if said else f"ended by signal {-process.returncode}"


def _models(config: Config) -> Iterator[Finding]:
    key, path = "models.recogniser", config.models.recogniser
    try:
        model_dir.check(path)
        yield Finding(key, str(path))
    except (BrokenModel, OSError) as error:
        yield Finding(key, str(error), f"name another directory in {key}, or none for the shipped one", fatal=True)
    key, path = "models.voice", config.models.voice
    wrong = [name for name in ("config.json", "generator.onnx") if not (path / name).is_file()]
    mend = f"name another directory in {key}, or none for the shipped one: flite speaks meanwhile" if wrong else ""
    yield Finding(key, f"{path / wrong[0]}: missing" if wrong else str(path), mend)


def _lexicon(_: Config) -> Iterator[Finding]:
    slow = index_gruut() is Indexed.READ_ONLY
    mend = "run this once as who may write it, or words new to the node take 40 ms each" if slow else ""
    yield Finding("lexicon", "not indexed, and not writable" if slow else "indexed", mend)


def _cluster(config: Config) -> Iterator[Finding]:
    """Say of which cluster the machine is, where it is meant to be of one, or is."""
    found, mend = "no keys of a cluster", "ringmaster cluster init, or join with a file of keys"
    cluster: ClusterState | None = None
    try:
        if cluster := cluster_state.read(config.paths.state):
            check_company(config, cluster.urls)
            found = f"{cluster.name} ({cluster.id[:8]}), {len(cluster_state.known(config.paths.state))} nodes known"
            mend = "" if config.cluster.is_joined else "set cluster.bind, or this node is alone"
    except (NodeError, OSError) as error:
        found, mend = in_words(error), "bring the machine's keys anew, or change what it says"
    if cluster or config.cluster.is_joined:
        yield Finding("cluster", found, mend, fatal=config.cluster.is_joined)


def _nats(config: Config) -> Iterator[Finding]:
    if not config.has_server:
        try:
            urls = url(config).split(",")
        except NodeError as error:
            yield Finding(
                "nats.url", str(error), "name it, or bring the cluster's keys: ringmaster cluster", fatal=True
            )
            return
        for where in map(urlsplit, urls):
            yield _reached("nats.url", str(where.hostname), where.port or 4222)
        for role in PROCESSES:
            try:
                login(config, role)
            except ConfigError as error:
                yield Finding(error.key, error.reason, f"bring it, or leave {error.key} out", fatal=True)
                return
        return
    try:
        program = find(config.nats.server)
        yield Finding("nats-server", f"{program} {'.'.join(map(str, check(program)))}")
        if context(config, Role.OPERATOR).exists():
            yield Finding("nats contexts", f"XDG_CONFIG_HOME={config.paths.state} nats --context viewer (or operator)")
    except NodeError as error:
        yield Finding("nats-server", str(error), "apt-get install nats-server, or name one in nats.server", fatal=True)


def _reached(key: str, host: str, port: int) -> Finding:
    try:
        with socket.create_connection((host, port), timeout=2.0):
            return Finding(key, f"{host}:{port} answers")
    except OSError as error:
        reason = error.strerror or "no answer within 2 s"
        mend = "start it there, or leave nats.url empty for one of the node's own"
        return Finding(key, f"{host}:{port}: {reason}", mend)


def _ports(config: Config) -> Iterator[Finding]:
    if pid := lock.holder(config.paths.state):
        yield Finding("ports", f"a node is up (process {pid}): they are its own")
        return
    tcp = {"desk.port": (config.desk.bind, config.desk.port)}
    if config.has_server:
        tcp["nats.port"] = (config.nats.bind, config.nats.port)
    if config.has_server and config.nats.routes:
        tcp["nats.route_port"] = (config.nats.bind, config.nats.route_port)
    if config.cluster.is_joined:
        tcp["cluster.port"] = (config.cluster.bind, config.cluster.port)
    yield from _sip_ports(config)
    first, last = config.rtp.ports
    ports = range(first + first % 2, last + 1, 2)[: config.media.processes * config.media.channels]
    yield _free("rtp.ports", socket.SOCK_DGRAM, config.rtp.bind, ports)
    for key, (host, port) in tcp.items():
        yield _free(key, socket.SOCK_STREAM, host, [port])


def _sip_ports(config: Config) -> Iterator[Finding]:
    try:
        ports = sip_ports(config)
    except ConfigError as error:
        yield Finding(error.key, error.reason, "set it, or edge.processes", fatal=True)
        return
    for edge, port in ports.items():
        key = "sip.port" if edge == FIRST_EDGE else "sip.further_ports"
        yield _free(key, socket.SOCK_DGRAM, config.sip.bind, [port])


def _free(key: str, kind: socket.SocketKind, host: str, ports: range | list[int]) -> Finding:
    name = "UDP" if kind is socket.SOCK_DGRAM else "TCP"
    for port in ports:
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            try:
                probe.bind((host, port))
            except OSError as error:
                mend = f"set {key} to a free one (`ss -lunpt` says who has it)"
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    mend = f"set {key.partition('.')[0]}.bind to an address of this machine (`ip address`)"
                return Finding(key, f"{name} {host}:{port}: {error.strerror}", mend, fatal=True)
    if not ports[0]:
        return Finding(key, f"{name} {host}, any port that is free")
    found = f"{ports[0]} is free" if len(ports) == 1 else f"{ports[0]} to {ports[-1]}, the even ones, are free"
    mend = ""
    if is_given(ports):
        mend = f"the kernel may give them to others: set {key} lower, or sysctl net.ipv4.ip_local_reserved_ports"
    return Finding(key, f"{name} {host}:{found}", mend)


def _limits(_: Config) -> Iterator[Finding]:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield Finding("open files", str(files), "" if files >= FILES else f"ulimit -n {FILES}, or LimitNOFILE= of the unit")
    with ThreadPoolExecutor(1) as trying:  # in a thread that ends: what it is raised to is its own
        may = trying.submit(realtime.claim).result()
    yield Finding(
        "real-time scheduling", "allowed" if may else "not allowed",
        "" if may else "LimitRTPRIO=5 of the unit, or rtprio in limits.conf: audio is paced worse without it",
    )  # fmt: skip


def _groups(config: Config) -> Iterator[Finding]:
    """Say whether classes of processes can be kept apart, and of a node that is up whether they are."""
    what, pid = "control groups", lock.holder(config.paths.state)
    try:
        lacking = set(CONTROLLERS) - {*offered()}
        mend = f"boot with systemd.unified_cgroup_hierarchy=1: {_apart(lacking)}" if lacking else ""
        found = f"version 2, with {', '.join(offered()) or 'nothing to share out'}"
        if pid:
            place = own(Path(f"/proc/{pid}"))
            found += f"; the node's are below {place.parent}" if place.name == LAUNCHER else "; the node has none"
        yield Finding(what, found, mend)
    except (NodeError, OSError) as error:
        yield Finding(what, in_words(error), _apart(set(CONTROLLERS)))


def _apart(lacking: set[str]) -> str:
    return f"only nice values keep engines and recorder from what callers hear ({', '.join(sorted(lacking))})"


def _memory(config: Config) -> Iterator[Finding]:
    if lock.holder(config.paths.state):
        return  # the node has taken it
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(told["MemAvailable"].split()[0]) // 1024
    wanted = MEMORY_MB + 250 * (config.speech.n_processes - 2)
    mend = f"a node of this size takes {wanted} MB: make room, or set speech.processes lower" if free < wanted else ""
    yield Finding("memory", f"{free} MB free", mend)


def _disk(config: Config) -> Iterator[Finding]:
    path = _there(config.paths.state)
    free = shutil.disk_usage(path).free // 2**20
    mend = "" if free >= FREE_MB else "make room, or set paths.state to another disk"
    if not (path.is_dir() and os.access(path, os.W_OK)):
        mend = "not a directory that may be written: set paths.state"
    yield Finding("paths.state", f"{config.paths.state}: {free} MB free", mend, fatal=True)


def _small_writes(config: Config) -> Iterator[Finding]:
    """Say how fast the recordings' disks are: for a second each has this to do, beside what else it does."""
    for path in dict.fromkeys(map(_there, config.recording_roots)):
        try:
            n = small_writes.per_second(path)
        except OSError as error:
            yield Finding(
                "small writes", f"{path}: {error.strerror}", "recordings are written there: set another place"
            )
            continue
        late = f"below {small_writes.ENOUGH:.0f} recordings and events of a busy node come late: have them on an SSD"
        yield Finding("small writes", f"{path}: {n:.0f} of 4 kB a second", late if n < small_writes.ENOUGH else "")


def _there(path: Path) -> Path:
    """Return the path, or the nearest above it that is there."""
    while not path.exists():
        path = path.parent
    return path


def _storage(config: Config) -> Iterator[Finding]:
    """Say whether recordings can be encrypted and stored, where they are to be."""
    if not (config.storage.is_wanted or config.owners):
        return
    try:
        from nodes.storage.sealing import Ring
        from nodes.storage.store import Store
    except ImportError as error:
        yield Finding("storage", f"{error.name} is missing", "run `make setup`", True)
        return
    keys = {"": config.storage.keys, **{name: one.keys for name, one in config.owners.items()}}
    try:
        ring = Ring.read(keys)
        yield Finding("storage.keys", f"{len(ring.by_id)} keys" if ring.by_id else "none: recordings are not encrypted")
    except (NodeError, OSError) as error:
        yield Finding("storage.keys", in_words(error), "bring the file that the cluster's nodes share", fatal=True)
    if not config.storage.bucket:
        return
    try:
        store = Store(config.storage)
        try:
            store.reach()
        finally:
            store.close()
        yield Finding("storage.bucket", f"{config.storage.bucket} answers")
    except (NodeError, OSError) as error:
        yield Finding("storage.bucket", in_words(error), "recordings wait on this disk until it is there")


__all__ = ["Finding", "describe", "examine", "run"]
