"""The launcher: binds the sockets, starts the node's processes, and says who lives. Its death is the node's death.

So there is nothing in it that can fail for a caller's sake: it carries no call, reads no socket, and imports the
kernel, the configuration and the standard library. A process is just another child: the same supervisor restarts it.

SIP and RTP sockets are bound here, once, and inherited by every incarnation: what arrives while one dies waits in the
kernel's buffer for the next. Each change of who lives is told to every process as the roster, and written to
`<state>/run/roster.json` for the command line. A process that the roster does not name has been waited for: it is gone.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from nodes.config import ENVIRONMENT, Config, load
from nodes.errors import NodeError
from nodes.links.server import embedded
from supervisors import Child, Dynamic, Event, Ref, Restart, StartFailed, Supervisor, TreeDown, running
from supervisors.process import OsProcess, Pair, ProcessReport, Program, Standing

PAIRED: Final = ("edge", "media")
"""The roles whose death a caller would hear: each has a warm spare."""
INTENSITY: Final = 10
PERIOD_S: Final = 60.0
"""Ten deaths a minute are faults of the moment; more are a fault of the installation, and the node says so and ends."""
START_S: Final = 60.0
"""So long may a process take until it is ready: ten times what it needs on an idle machine."""
PROCESS: Final = "RINGMASTER_PROCESS"
"""The environment variable that tells a process its name and role: `media-0 media`."""


class PortTaken(NodeError):
    """A port that the configuration names is in use."""


class AlreadyUp(NodeError):
    """Another node runs with the same state directory."""


def roles(config: Config) -> dict[str, str]:
    """Return process name -> role, in the order of starting.

    >>> list(roles(Config()))
    ['nats-0', 'recorder-0', 'speech-0', 'speech-1', 'media-0', 'edge-0', 'central-0']
    """
    return {
        **({} if config.nats.url else {"nats-0": "nats"}),
        "recorder-0": "recorder",
        **{f"speech-{n}": "speech" for n in range(config.speech.processes)},
        **{f"media-{n}": "media" for n in range(config.media.processes)},
        "edge-0": "edge",
        "central-0": "central",
    }


class Launcher:
    """One node's processes."""

    def __init__(self, config: Config, config_file: Path | None) -> None:
        self._config = config
        self._environment = {ENVIRONMENT: str(config_file)} if config_file else {}
        self._roles = roles(config)
        self._alive: dict[int, ProcessReport] = {}
        self._revision = 0
        self._processes: list[Ref[OsProcess] | Ref[Pair]] = []

    async def run(self) -> int:
        """Start everything; stop it in the opposite order on SIGINT or SIGTERM. Returns the exit status.

        Raises: PortTaken, AlreadyUp.
        """
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        with ExitStack() as stack:
            stack.enter_context(_run_directory(self._config.paths.run))
            sockets = stack.enter_context(_sockets(self._config))
            return await self._until(stop, sockets)

    async def _until(self, stop: asyncio.Event, sockets: Mapping[str, socket.socket]) -> int:
        def one_process(name: str) -> Supervisor:
            return Supervisor([self._child(name, self._roles[name], sockets)], intensity=INTENSITY, period_s=PERIOD_S)

        processes = Dynamic(
            one_process, id="processes", restart=Restart.PERMANENT, start_timeout_s=START_S, intensity=3
        )
        first = [self._child(name, role, sockets) for name, role in self._roles.items() if role == "nats"]
        try:
            async with running(
                Supervisor([*first, processes], intensity=INTENSITY, period_s=PERIOD_S), hook=_say
            ) as system:
                start = system.dynamic("processes", one_process).start
                names = [name for name, role in self._roles.items() if role != "nats"]
                # All at once: each spends its start on its own imports, and none needs another to be ready.
                refs = await asyncio.gather(*map(start, names))
                for name, ref in zip(names, refs, strict=True):
                    path = f"{ref.path}/{name}"
                    paired = self._roles[name] in PAIRED
                    self._processes.append(system.ref(path, Pair) if paired else system.ref(path, OsProcess))
                self._announce()
                await stop.wait()
        except (StartFailed, TreeDown) as error:
            print(f"ringmaster up: {error}", file=sys.stderr)
            return 1
        return 0

    def _child(self, name: str, role: str, sockets: Mapping[str, socket.socket]) -> Child[OsProcess] | Child[Pair]:
        if role == "nats":
            server = Program(argv=embedded(self._config).argv, speaks=False)
            return OsProcess.child(name, server, on_change=self._changed)
        program = Program(
            argv=(sys.executable, "-m", "nodes.child"),
            env={**self._environment, PROCESS: f"{name} {role}"},
            sockets=_inherited(name, role, sockets, self._config),
            ready_s=START_S,
        )
        if role in PAIRED:
            return Pair.child(name, program, on_change=self._changed)
        return OsProcess.child(name, program, on_change=self._changed)

    def _changed(self, report: ProcessReport) -> None:
        if report.standing is Standing.GONE:
            self._alive.pop(report.pid, None)
        else:
            self._alive[report.pid] = report
        self._announce()

    def _announce(self) -> None:
        """Tell everybody who lives: every process itself, and the command line through a file."""
        self._revision += 1
        roster = {
            "revision": self._revision,
            "processes": [row for one in self._alive.values() if (row := self._row(one))],
        }
        for process in self._processes:
            process.tell(OsProcess.inform, {"roster": roster})
        _write(self._config.paths.run / "roster.json", json.dumps(roster, indent=1))

    def _row(self, report: ProcessReport) -> dict[str, object] | None:
        if report.standing is Standing.STARTING or "identity" not in report.info:
            return None
        state = "spare" if report.standing is Standing.SPARE else "active"
        role = self._roles[report.id]
        return {"role": role, "name": report.id, "pid": report.pid, "state": state, **report.info}


def _inherited(name: str, role: str, sockets: Mapping[str, socket.socket], config: Config) -> dict[str, socket.socket]:
    if role == "edge":
        return {"sip": sockets["sip"]}
    if role != "media":
        return {}
    ports = [key for key in sockets if key.startswith("rtp-")]
    share = slice(int(name.rpartition("-")[2]), None, config.media.processes)
    return {key: sockets[key] for key in ports[share][: config.media.channels]}


@contextmanager
def _sockets(config: Config) -> Iterator[dict[str, socket.socket]]:
    """Bind what the configuration names: SIP, and the even RTP ports (RFC 3550 s.11: the odd ones are RTCP's)."""
    wanted = {"sip": (config.sip.bind, config.sip.port)}
    first, last = config.rtp.ports
    enough = config.media.processes * config.media.channels
    for port in [port for port in range(first, last + 1) if port % 2 == 0][:enough]:
        wanted[f"rtp-{port}"] = (config.rtp.bind, port)
    with ExitStack() as stack:
        bound = {}
        for name, address in wanted.items():
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                sock.bind(address)
            except OSError as error:
                key = "sip.port" if name == "sip" else "rtp.ports"
                raise PortTaken(f"{key}: UDP {address[0]}:{address[1]}: {error.strerror}") from error
            sock.setblocking(False)
            bound[name] = sock
        yield bound


@contextmanager
def _run_directory(run: Path) -> Iterator[None]:
    """Hold the directory of sockets and roster: empty at the start, gone at the end, ours alone in between."""
    run.mkdir(parents=True, exist_ok=True)
    with (run.parent / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyUp(f"{run.parent}: another node runs with this state directory") from error
        shutil.rmtree(run)
        run.mkdir(mode=0o700)
        try:
            yield
        finally:
            shutil.rmtree(run, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    """Write a file that its readers see whole or not at all."""
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


def _say(event: Event) -> None:
    line = {"event": "launcher", "what": type(event).__name__, "detail": str(event)}
    print(json.dumps(line), file=sys.stderr)


def main() -> int:
    """Run the node that RINGMASTER_CONFIG describes, until a signal."""
    named = os.environ.get(ENVIRONMENT)
    try:
        return asyncio.run(Launcher(load(), Path(named) if named else None).run())
    except (NodeError, OSError) as error:
        print(f"ringmaster up: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
