"""`ringmaster doctor`: what this machine lacks for a node, and how to mend each."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nodes.commands.client import configured
from nodes.config import Config, ConfigError
from nodes.links.errors import ServerTooOld
from nodes.links.server import check, find

ENGINES = ("kaldi_active_grammar", "pynini", "onnxruntime", "duckdb", "zmq", "nats")
FREE_MB = 500
"""Below it recordings and events have no room to speak of."""
FILES = 4096
"""Open files: two a channel and process, and room."""


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
    """0 when a node can start here."""
    findings = list(examine(configured(args)))
    for one in findings:
        if args.json:
            print(json.dumps({"what": one.what, "found": one.found, "mend": one.mend, "fatal": one.fatal}))
        else:
            mark = "ok  " if not one.mend else "FAIL" if one.fatal else "note"
            print(f"{mark}  {one.what:<22} {one.found}" + (f"\n      -> {one.mend}" if one.mend else ""))
    return 1 if any(one.fatal and one.mend for one in findings) else 0


def examine(config: Config) -> Iterator[Finding]:
    """Look at everything a node needs, one finding each."""
    looks: tuple[Callable[[Config], Iterator[Finding]], ...] = (_packages, _models, _nats, _ports, _limits, _disk)
    for look in looks:
        yield from look(config)


def _packages(config: Config) -> Iterator[Finding]:
    for name in ENGINES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield Finding(name, str(error), "run `make setup`", fatal=True)
        else:
            yield Finding(name, "imports")
    flite = shutil.which("flite")
    yield Finding("flite", flite or "not found", "" if flite else "apt-get install flite (last-resort voice)")


def _models(config: Config) -> Iterator[Finding]:
    for what, path, file in (
        ("models.recogniser", config.models.recogniser, "final.mdl"),
        ("models.voice", config.models.voice, "generator.onnx"),
    ):
        there = (path / file).is_file()
        yield Finding(what, str(path), "" if there else f"there is no {file} in it: name another directory", fatal=True)


def _nats(config: Config) -> Iterator[Finding]:
    if config.nats.url:
        yield Finding("nats", config.nats.url)
        return
    try:
        program = find(config.nats.server)
        yield Finding("nats-server", f"{program} {'.'.join(map(str, check(program)))}")
    except (ConfigError, ServerTooOld) as error:
        yield Finding("nats-server", str(error), "apt-get install nats-server, or name one in nats.server", fatal=True)


def _ports(config: Config) -> Iterator[Finding]:
    for key, kind, address in (
        ("sip.port", socket.SOCK_DGRAM, (config.sip.bind, config.sip.port)),
        ("rtp.ports", socket.SOCK_DGRAM, (config.rtp.bind, config.rtp.ports[0])),
        ("desk.port", socket.SOCK_STREAM, (config.desk.bind, config.desk.port)),
    ):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(address)
                yield Finding(key, f"{address[0]}:{address[1]} is free")
            except OSError as error:
                yield Finding(
                    key, f"{address[0]}:{address[1]}: {error.strerror}", f"set {key} to a free one", fatal=True
                )


def _limits(config: Config) -> Iterator[Finding]:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield Finding("open files", str(files), "" if files >= FILES else f"ulimit -n {FILES}, or LimitNOFILE= of the unit")
    priority = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    may = os.geteuid() == 0 or priority >= 1
    yield Finding(
        "real-time scheduling", "allowed" if may else "not allowed",
        "" if may else "LimitRTPRIO=5 of the unit, or rtprio in limits.conf: audio is paced worse without it",
    )  # fmt: skip


def _disk(config: Config) -> Iterator[Finding]:
    path = config.paths.state
    while not path.exists():
        path = Path(path).parent
    free = shutil.disk_usage(path).free // 2**20
    mend = "" if free >= FREE_MB else "make room, or set paths.state to another disk"
    if not os.access(path, os.W_OK):
        mend = "not writable: set paths.state"
    yield Finding("paths.state", f"{config.paths.state}: {free} MB free", mend, fatal=True)


__all__ = ["Finding", "describe", "examine", "run"]
