"""The one configuration: a TOML file read into frozen dataclasses, checked whole before anything starts.

Every setting has a default that works on one machine, with everything on 127.0.0.1; an empty file is a good file.
A key that is not known, a value of the wrong type or out of its range ends the start with file, key and reason.
Relative paths are relative to the file (without one: to the working directory). The launcher reads it, so it needs
the standard library only.

    [sip]
    bind = "192.0.2.10"
    [[sip.trunks]]
    name = "carrier"
    host = "sip.example.net"
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from nodes.config_cluster import Cluster, Nats, is_loopback
from nodes.config_groups import Groups
from nodes.config_scale import Scale
from nodes.config_speech import Speech
from nodes.config_storage import Owner, Storage, check_owners
from nodes.config_telemetry import Telemetry
from nodes.config_trunks import REFUSED_NUMBERS, Sip, Trunk, check_hosts
from nodes.tables import ConfigError, Reader, a_port, toml, within
from protocols.wire.ids import NodeId
from protocols.wire.subjects import STREAM_COUNTS

ENVIRONMENT: Final = "RINGMASTER_CONFIG"
"""The environment variable that names the file."""
PINNED: Final = "RINGMASTER_PINNED_CONFIG"
"""The environment variable that holds the text of that file, as the launcher has read it."""
_MOST_BYTES: Final = 100_000
"""Of the file: what one variable of an environment can hold (execve(2), MAX_ARG_STRLEN), with room."""
MAX_ZONE: Final = 64
_MODELS: Final = Path(__file__).resolve().parent / "speech" / "models"
_RUN_PATH: Final = 107 - 32
"""Bytes of the run directory's path: a Unix socket has 107 (unix(7), sun_path), its own name up to 32 of them."""


RoleName: TypeAlias = Literal["nats", "recorder", "speech", "media", "edge", "central", "desk"]
"""What a node may do, in the order in which its processes are started."""
ROLES: Final[tuple[RoleName, ...]] = get_args(RoleName)
FIRST_EDGE: Final = "edge-0"
"""The name of a node's first edge, which most nodes have alone (`nodes.edge_names`)."""
_TOGETHER: Final[tuple[RoleName, ...]] = ("edge", "media", "speech")
"""One call's, on one machine: audio does not cross the network on its way to who decides."""


@dataclass(frozen=True, slots=True)
class Node:
    """This machine among the others."""

    id: NodeId = NodeId("n1")
    zone: str = ""
    """Where it stands, in a word of yours: calls stay in the zone of their trunk when they can."""
    roles: tuple[RoleName, ...] = ROLES
    """What it does; what it does not is found in the cluster."""

    def __post_init__(self) -> None:
        if not self.id or not self.id.replace("-", "").replace("_", "").isalnum() or not self.id.isascii():
            raise ValueError("id: letters, digits, - and _ only, because it is part of subjects and keys")
        if len(self.zone) > MAX_ZONE or not self.zone.isprintable():
            raise ValueError(f"zone: a word of up to {MAX_ZONE} characters")
        if not self.roles or len(set(self.roles)) < len(self.roles):
            raise ValueError("roles: at least one, and each once")
        if 0 < len(here := [role for role in _TOGETHER if role in self.roles]) < len(_TOGETHER):
            raise ValueError(f"roles: {', '.join(_TOGETHER)} go together, and only {', '.join(here)} is here")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the machine's state lies; all else is below it."""

    state: Path = Path("var")

    @property
    def run(self) -> Path:
        """Sockets and the roster: gone with the processes."""
        return self.state / "run"

    @property
    def prompts(self) -> Path:
        """Rendered prompts, `<hash>.ulaw`."""
        return self.state / "prompts"

    @property
    def recordings(self) -> Path:
        """Two-channel recordings."""
        return self.state / "recordings"

    @property
    def spool(self) -> Path:
        """Events that the cluster has not taken yet."""
        return self.state / "spool"

    @property
    def checkpoint(self) -> Path:
        """The records of the edge's calls, for the next edge when none is left that has them in memory."""
        return self.checkpoint_of(FIRST_EDGE)

    def checkpoint_of(self, edge: str) -> Path:
        """Return where an edge of this name writes them, and its successor reads them: each of several has its own."""
        name = "checkpoint" if edge == FIRST_EDGE else f"checkpoint-{edge}"
        return self.state / "calls" / name

    @property
    def log(self) -> Path:
        """The newest lines of the log of all its processes."""
        return self.state / "log"

    @property
    def cluster(self) -> Path:
        """What makes this node one of its cluster: its keys, and whom servers know."""
        return self.state / "cluster"

    @property
    def nats(self) -> Path:
        """The embedded nats-server's configuration and store."""
        return self.state / "nats"

    def endpoint(self, identity: str) -> str:
        """Return where the process with this identity (`node.process:epoch`) listens for messages (`Mesh.start`)."""
        return f"ipc://{self.run}/{identity.partition('.')[2]}"


@dataclass(frozen=True, slots=True)
class Rtp:
    """Media sockets: one for each channel, `ports` from first to last."""

    bind: str = "127.0.0.1"
    ports: tuple[int, int] = (20000, 20199)  # below those that the kernel gives to whoever asks for any

    def __post_init__(self) -> None:
        first, last = self.ports
        if not 1024 <= first <= last - first % 2 <= 65535:
            raise ValueError("ports: first and last, between 1024 and 65535, and an even one among them")


@dataclass(frozen=True, slots=True)
class Media:
    """Media processes, one a core, and the channels of each."""

    processes: int = within(1, 1, 256)
    channels: int = within(100, 1, 1000)


@dataclass(frozen=True, slots=True)
class Edge:
    """Signalling and conversations."""

    processes: int = within(0, 0, 64)
    """So many that are active, each with spares and a SIP port of its own (`sip.further_ports`); 0: one for every ten
    cores of the machine, and one for what is left. Each registers at a trunk that wants it, with its own port: where
    the carrier allows one contact, or one source port, say 1. It is changed with a restart of the node."""
    capacity: int = within(0, 0, 100_000)
    """So many calls at one time, in all; 0: as many as it learns that this machine carries."""
    gives_up: tuple[Literal["transcripts", "recordings"], ...] = ("transcripts", "recordings")
    """What it may give up, in this order, before it refuses calls."""

    def __post_init__(self) -> None:
        if 0 < self.capacity < self.processes:
            raise ValueError(f"processes: are {self.processes}, for {self.capacity} calls (capacity)")


@dataclass(frozen=True, slots=True)
class Models:
    """Directories of the engines' models; the defaults come with the package."""

    recogniser: Path = _MODELS / "asr-en-8k"
    voice: Path = _MODELS / "voices" / "en_US" / "ringmaster_low"


@dataclass(frozen=True, slots=True)
class Central:
    """Limits on new calls."""

    base: float = within(0.0, 0, 10000)
    """Base of the token bucket; 0: twice the cores of all machines that have an edge."""
    max_concurrent: int = within(0, 0, 1_000_000)
    """Calls of campaigns at one time, to each edge; 0: as many as they take."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The machine's one HTTP server."""

    bind: str = "127.0.0.1"
    port: int = a_port(8080)
    connections: int = within(1000, 16, 100_000)
    """In all; an agent's page holds one."""
    connections_per_address: int = within(200, 4, 100_000)
    """A proxy's, or an office's, have one address together."""
    session_h: float = within(12.0, 0.01, 24 * 30)
    """Hours for which somebody who has signed in stays so: a shift."""
    certificate: Path | None = None
    """PEM, with its chain; and `key`. With both, the server speaks TLS and nothing else."""
    key: Path | None = None
    insecure: bool = False
    """Be reached from beyond this machine without TLS: where a proxy or a private network has it."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError(f"{'certificate' if self.key else 'key'}: is missing, the other is there")
        if not (self.certificate or self.insecure or is_loopback(self.bind)):
            raise ValueError(
                f"bind: {self.bind} is reached from beyond this machine, and secrets would travel in the clear: "
                "set certificate and key, or insecure = true"
            )


@dataclass(frozen=True, slots=True)
class Recorder:
    """The events' database; None: `ringmaster.duckdb` in the state directory. Beside it: `archive`, `exports`.

    `archive`: another directory for the events of days that are over, on a larger disk. What is there already is moved
    by hand, while the node is down.
    """

    database: Path | None = None
    archive: Path | None = None
    streams: int = 1
    """Streams of events of new calls, each with a recorder and a database of its own: 1, 2, 4 or 8. The same on all
    nodes: it is changed in all files, and nodes are started anew one by one, first those with central. Calls that are
    up stay in their streams. Databases of streams that are no more stay in reports; to be rid of one, move it away."""
    keep_days: int = within(30, 0, 36500)
    """After so many days events leave the database; reports read them from the archive then. 0: never."""
    hourly: bool = True
    """The day that goes on has its file in the archive, too, written anew hour by hour, and so its copy in the store.
    False: it is written when it is over. For nodes with tens of millions of events a day, whose file takes long."""

    def __post_init__(self) -> None:
        if self.streams not in STREAM_COUNTS:
            raise ValueError(f"streams: one of {', '.join(map(str, STREAM_COUNTS))}")

    @property
    def n_databases(self) -> int:
        """How many databases there are to read and to fill: one a stream, and those that there are of former ones."""
        if self.database is None:
            return self.streams
        archived = self.archive or self.database.parent / "archive"
        stems = {path.stem for path in archived.glob("day=*/*.parquet")}
        former = (self.database.with_stem(f"{self.database.stem}_{number}") for number in range(STREAM_COUNTS[-1]))
        there = [n for n, path in enumerate(former, 1) if path.exists() or path.stem in stems]
        return max([self.streams, *there])


@dataclass(frozen=True, slots=True)
class Fetch:
    """What scripts may ask. `allow`: hosts, addresses and networks that are not public (metadata services never).

    `examples`: ask nobody, and answer with the examples that scripts give; for rehearsals.
    """

    allow: tuple[str, ...] = ()
    examples: bool = False

    def __post_init__(self) -> None:
        check_hosts(self.allow)


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one machine."""

    node: Node = field(default_factory=Node)
    paths: Paths = field(default_factory=Paths)
    sip: Sip = field(default_factory=Sip)
    rtp: Rtp = field(default_factory=Rtp)
    media: Media = field(default_factory=Media)
    speech: Speech = field(default_factory=Speech)
    edge: Edge = field(default_factory=Edge)
    models: Models = field(default_factory=Models)
    cluster: Cluster = field(default_factory=Cluster)
    nats: Nats = field(default_factory=Nats)
    central: Central = field(default_factory=Central)
    scale: Scale = field(default_factory=Scale)
    desk: Desk = field(default_factory=Desk)
    recorder: Recorder = field(default_factory=Recorder)
    fetch: Fetch = field(default_factory=Fetch)
    telemetry: Telemetry = field(default_factory=Telemetry)
    groups: Groups = field(default_factory=Groups)
    storage: Storage = field(default_factory=Storage)
    owners: dict[str, Owner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_owners(self.owners)

    def recordings_of(self, owner: str) -> Path:
        """Return where recordings of an owner's campaigns are written; empty: nobody's. Raises: KeyError."""
        return self.owners[owner].directory or self.paths.recordings / owner if owner else self.paths.recordings

    @property
    def recording_roots(self) -> tuple[Path, ...]:
        """All directories in which this machine has recordings; the first is that of those without an owner."""
        return tuple(self.recordings_of(owner) for owner in ("", *self.owners))

    @property
    def keeps_recordings(self) -> bool:
        """Whether this node has a process that keeps them (`nodes/storage`)."""
        has_some = any(role in self.node.roles for role in ("media", "recorder"))
        return has_some and (self.storage.is_wanted or bool(self.owners))

    @property
    def has_server(self) -> bool:
        """Whether this node starts a nats-server of its own."""
        return "nats" in self.node.roles and not self.nats.url


def load(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Config:
    """Read the file, else the one that RINGMASTER_CONFIG names, else none. Raises: `ConfigError`."""
    named = environment.get(ENVIRONMENT)
    if path is None and not named:
        return parse("", "defaults", Path.cwd())
    if path is None and PINNED in environment:
        text, path = environment[PINNED], Path(str(named))
    else:
        path = path or Path(str(named))
        text = _read(path)
    return parse(text, str(path), path.resolve().parent)


def pinned(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what to add to an environment so that `load` finds in it the file that it names, as that is now.

    So the processes of a node agree, also the one that is started again after the file was edited, wrongly perhaps.
    Raises: `ConfigError`.
    """
    named = environment.get(ENVIRONMENT)
    return {PINNED: _read(Path(named))} if named else {}


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(str(path), "", f"has more than {_MOST_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), "", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "", f"is not UTF-8: {error.reason} at byte {error.start}") from error


def parse(text: str, file: str, base: Path) -> Config:
    """Read a configuration's text; `file` is named in errors, relative paths are below `base`. Raises: `ConfigError`.

    >>> parse("[sip]\\nport = 99999", "x.toml", Path("/srv"))
    Traceback (most recent call last):
    nodes.tables.ConfigError: x.toml: sip.port: 99999 is not between 0 and 65535
    """
    config = Reader(file, base).table(Config, toml(text, file), "")
    if (n_bytes := len(os.fsencode(config.paths.run))) > _RUN_PATH:
        raise ConfigError(file, "paths.state", f"is too long for the sockets below it by {n_bytes - _RUN_PATH} bytes")
    if config.nats.ca and config.has_server and not config.nats.cert:
        raise ConfigError(file, "nats.ca", "is for a server that url names, or for one here that has cert and key")
    if "nats" not in config.node.roles and not (config.nats.url or config.cluster.is_joined):
        raise ConfigError(file, "nats.url", "is missing, and node.roles starts no nats-server here")
    if config.speech.strangers:
        there = ", ".join(config.speech.names)
        raise ConfigError(
            file, "speech.use", f"{config.speech.strangers[0]} is none of speech.engines; there are {there}"
        )
    if config.recorder.database is None:
        database = config.paths.state / "ringmaster.duckdb"
        return replace(config, recorder=replace(config.recorder, database=database))
    return config


__all__ = [
    "Config", "ConfigError", "ENVIRONMENT", "FIRST_EDGE", "PINNED", "REFUSED_NUMBERS", "ROLES", "load", "parse",
    "pinned", "RoleName", "Node", "Paths", "Trunk", "Sip", "Rtp", "Media", "Speech", "Edge", "Models", "Cluster",
    "Nats", "Central", "Desk", "Recorder", "Fetch", "Telemetry", "Groups", "Storage",
    "Owner",
]  # fmt: skip
