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
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from nodes.tables import ConfigError, Reader, toml
from protocols.wire.ids import NodeId

ENVIRONMENT: Final = "RINGMASTER_CONFIG"
"""The environment variable that names the file."""
PINNED: Final = "RINGMASTER_PINNED_CONFIG"
"""The environment variable that holds the text of that file, as the launcher has read it."""
_MOST_BYTES: Final = 100_000
"""Of the file: what one variable of an environment can hold (execve(2), MAX_ARG_STRLEN), with room."""
_MODELS: Final = Path(__file__).resolve().parent / "speech" / "models"
_HOST_OR_NETWORK: Final = re.compile(r"[A-Za-z0-9_.-]+(/\d{1,2})?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/\d{1,3})?")
_RUN_PATH: Final = 107 - 32
"""Bytes of the run directory's path: a Unix socket has 107 (unix(7), sun_path), its own name up to 32 of them."""


def _within(default: float, low: float, high: float) -> Any:
    """A number and its range, both ends allowed."""
    return field(default=default, metadata={"range": (low, high)})


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _port(default: int) -> Any:
    return _within(default, 0, 65535)


def _check_hosts(allow: tuple[str, ...]) -> None:
    for each in allow:
        if not _HOST_OR_NETWORK.fullmatch(each):
            raise ValueError(f"allow: {each!r} is no host, address or network such as 10.1.0.0/16")


@dataclass(frozen=True, slots=True)
class Node:
    """This machine among the others."""

    id: NodeId = NodeId("n1")

    def __post_init__(self) -> None:
        if not self.id or not self.id.replace("-", "").replace("_", "").isalnum() or not self.id.isascii():
            raise ValueError("id: letters, digits, - and _ only, because it is part of subjects and keys")


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
        return self.state / "calls" / "checkpoint"

    @property
    def nats(self) -> Path:
        """The embedded nats-server's configuration and store."""
        return self.state / "nats"

    def endpoint(self, identity: str) -> str:
        """Return where the process with this identity (`node.process:epoch`) listens for messages (`Mesh.start`)."""
        return f"ipc://{self.run}/{identity.partition('.')[2]}"


REFUSED_NUMBERS: Final = (
    "+1900", "+1xxx976",  # pay-per-call of North America (47 CFR 64.1501; 976 is an exchange of each area)
    "+449", "+49900",  # premium rate (Ofcom, National Telephone Numbering Plan, part A1; BNetzA, 0900)
    "+979",  # international premium rate (ITU-T E.169.2)
    "+87x", "+881", "+882", "+883",  # satellites and international networks (ITU-T E.164 assigned country codes)
    "911", "112", "999", "000",  # emergency lines: no automated voice may call them (47 CFR 64.1200(a)(1)(i))
)  # fmt: skip
"""What a trunk refuses unless its own `refuse` says something else."""
_PREFIX: Final = re.compile(r"\+[0-9x]{1,15}|[0-9x]{2,15}")


@dataclass(frozen=True, slots=True)
class Trunk:
    """A SIP line to a carrier."""

    name: str
    host: str
    port: int = _port(5060)
    user: str = ""
    password: str = field(default="", repr=False)
    register: bool = False
    realms: tuple[str, ...] = ()
    """Who may ask for the password, as the carrier's challenges say. Empty: whoever challenges at the carrier's address
    before a phone rings, which may be somebody behind it: say them."""
    without_qop: bool = False
    """Answer challenges in the old form without qop, too: some old servers know no other."""
    cps: float = _within(5.0, 0.1, 1000)
    """Calls per second that the carrier takes."""
    strict_rtp: bool = False
    """Hear callees from the address in their SDP only, which is right where nobody translates addresses on the way."""
    allow: tuple[str, ...] = ()
    """How numbers begin that may be dialled (`+1202`; `x`: any digit); without `+` a whole one. Empty: any with `+`."""
    refuse: tuple[str, ...] = REFUSED_NUMBERS
    """How numbers begin that may not, whatever is allowed."""
    prices: dict[str, float] = field(default_factory=dict)
    """What a minute costs, by how the number begins; the longest that fits counts."""
    spend_per_day: float = _within(0.0, 0, 1e9)
    """What campaigns may cost in a day, by `prices`; beyond that none of their calls begins (`held: spend`). 0: any."""

    def __post_init__(self) -> None:
        for each in (*self.allow, *self.refuse, *self.prices):
            if not _PREFIX.fullmatch(each):
                raise ValueError(
                    f"{each!r} is no beginning of a number such as +1900 or +1xxx976, and no number such as 911"
                )


@dataclass(frozen=True, slots=True)
class Sip:
    """Signalling. `bind` is the address the far end answers to."""

    bind: str = "127.0.0.1"
    port: int = _port(5060)
    trunks: tuple[Trunk, ...] = ()
    allow: tuple[str, ...] = ()
    """Hosts, addresses and networks that are not public, and may be called all the same; trunks need not be here."""

    def __post_init__(self) -> None:
        _check_hosts(self.allow)


@dataclass(frozen=True, slots=True)
class Rtp:
    """Media sockets: one for each channel, `ports` from first to last."""

    bind: str = "127.0.0.1"
    ports: tuple[int, int] = (40000, 40199)

    def __post_init__(self) -> None:
        first, last = self.ports
        if not 1024 <= first <= last - first % 2 <= 65535:
            raise ValueError("ports: first and last, between 1024 and 65535, and an even one among them")


@dataclass(frozen=True, slots=True)
class Media:
    """Media processes, one a core, and the channels of each."""

    processes: int = _within(1, 1, 256)
    channels: int = _within(100, 1, 1000)


@dataclass(frozen=True, slots=True)
class Speech:
    """Engines that listen and speak; two, so that one may die."""

    processes: int = _within(2, 1, 256)


@dataclass(frozen=True, slots=True)
class Models:
    """Directories of the engines' models; the defaults come with the package."""

    recogniser: Path = _MODELS / "asr-en-8k"
    voice: Path = _MODELS / "voices" / "en_US" / "ringmaster_low"


@dataclass(frozen=True, slots=True)
class Nats:
    """The cluster's bus. Without `url` a nats-server is started here, on `port` (0: any free one).

    With one, `nkey` or `creds` says who we are there: a file for all processes, or a directory with one a role
    (`edge.nk`, `edge.creds`; the roles are those of `protocols.wire.roles`). `tls://` is encrypted or refused.
    """

    url: str = ""
    nkey: Path | None = None
    """An nkey's seed."""
    creds: Path | None = None
    """A JWT and its seed, as `nsc` writes them."""
    ca: Path | None = None
    """Who has signed the server's certificate; None: whom this machine trusts."""
    cert: Path | None = None
    key: Path | None = None
    """Our own certificate and its key, where the server wants one."""
    port: int = _port(4222)
    server: Path | None = None
    """The nats-server to start; None: the one beside this Python, then the one on PATH."""
    replicas: int = _within(1, 1, 5)
    store_mb: int = _within(8192, 1, 100_000_000)
    """What all streams may take on its disk; less where the disk has less."""
    events_share: float = _within(0.7, 0.05, 0.9)
    """Of that, for the events of calls: beyond it the oldest go. The rest is kept for the journal, the leases and the
    do-not-call list, without which nobody is dialled."""

    def __post_init__(self) -> None:
        scheme = urlsplit(self.url).scheme
        if self.url and not (scheme in ("nats", "tls") and urlsplit(self.url).hostname):
            raise ValueError(f"url: {self.url!r} is not nats://HOST:PORT or tls://HOST:PORT")
        if self.nkey and self.creds:
            raise ValueError("creds: there is nkey, too, and one login is enough")
        if (self.cert is None) != (self.key is None):
            raise ValueError(f"{'key' if self.cert else 'cert'}: is missing, and one is of no use without the other")
        for name in ("nkey", "creds", "ca", "cert"):
            if getattr(self, name) and not self.url:
                raise ValueError(f"{name}: is for a server that url names")
        if (self.ca or self.cert) and scheme != "tls":
            raise ValueError(f"{'ca' if self.ca else 'cert'}: is for tls://, and url is {scheme}://")


@dataclass(frozen=True, slots=True)
class Central:
    """Limits on new calls."""

    base: float = _within(0.0, 0, 10000)
    """Base of the token bucket; 0: twice the machine's cores."""
    max_concurrent: int = _within(100, 1, 1_000_000)


@dataclass(frozen=True, slots=True)
class Desk:
    """The machine's one HTTP server."""

    bind: str = "127.0.0.1"
    port: int = _port(8080)
    connections: int = _within(1000, 16, 100_000)
    """In all; an agent's page holds one."""
    connections_per_address: int = _within(200, 4, 100_000)
    """A proxy's, or an office's, have one address together."""
    session_h: float = _within(12.0, 0.01, 24 * 30)
    """Hours for which somebody who has signed in stays so: a shift."""
    certificate: Path | None = None
    """PEM, with its chain; and `key`. With both, the server speaks TLS and nothing else."""
    key: Path | None = None
    insecure: bool = False
    """Be reached from beyond this machine without TLS: where a proxy or a private network has it."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError(f"{'certificate' if self.key else 'key'}: is missing, the other is there")
        if not (self.certificate or self.insecure or _is_loopback(self.bind)):
            raise ValueError(
                f"bind: {self.bind} is reached from beyond this machine, and secrets would travel in the clear: "
                "set certificate and key, or insecure = true"
            )


@dataclass(frozen=True, slots=True)
class Recorder:
    """The events' database; None: `ringmaster.duckdb` in the state directory."""

    database: Path | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """What scripts may ask. `allow`: hosts, addresses and networks that are not public (metadata services never).

    `examples`: ask nobody, and answer with the examples that scripts give; for rehearsals.
    """

    allow: tuple[str, ...] = ()
    examples: bool = False

    def __post_init__(self) -> None:
        _check_hosts(self.allow)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Log lines from this level up."""

    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one machine."""

    node: Node = field(default_factory=Node)
    paths: Paths = field(default_factory=Paths)
    sip: Sip = field(default_factory=Sip)
    rtp: Rtp = field(default_factory=Rtp)
    media: Media = field(default_factory=Media)
    speech: Speech = field(default_factory=Speech)
    models: Models = field(default_factory=Models)
    nats: Nats = field(default_factory=Nats)
    central: Central = field(default_factory=Central)
    desk: Desk = field(default_factory=Desk)
    recorder: Recorder = field(default_factory=Recorder)
    fetch: Fetch = field(default_factory=Fetch)
    telemetry: Telemetry = field(default_factory=Telemetry)


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
    if config.recorder.database is None:
        return replace(config, recorder=Recorder(config.paths.state / "ringmaster.duckdb"))
    return config


__all__ = [
    "Config", "ConfigError", "ENVIRONMENT", "PINNED", "load", "parse", "pinned",
    "Node", "Paths", "Trunk", "Sip", "Rtp", "Media", "Speech", "Models", "Nats", "Central", "Desk", "Recorder",
    "Fetch", "Telemetry",
]  # fmt: skip
