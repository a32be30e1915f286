"""The launcher: starts the node's processes, restarts them, and says who lives. Its death is the node's death.

So there is nothing in it that can fail for a caller's sake: it carries no call, reads no socket, and imports the
kernel, the configuration and the standard library. A process is just another child: the same supervisor restarts it,
with the configuration that the node began with, whatever has been written into the file since. All of ours are forked
from a `zygote`, and run as long as there is none: no start waits long for it, and no node needs it.

SIP and RTP sockets are bound here, once (`holdings`), and inherited by every incarnation: what arrives while one dies
waits in the kernel's buffer for the next. A service manager that has started us (`service_manager`) keeps them for the
launcher's own next life, too, and ends a launcher whose event loop hangs. Where the node's control group is its own,
each process is put into that of its class (`control_groups`).

In a cluster there is a door, too (`doorway`), at which other machines see at once that the launcher has died. Each
change of who lives is told to every process as the roster, and written to `<state>/run/roster.json` for the command
line. A process that the roster does not name has been waited for: it is gone. How often, when and why is in the roster
too (`histories`).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from operator import itemgetter
from typing import Final

from nodes import priority, watch
from nodes.bus.server import check_reach, embedded, url
from nodes.config import ROLES, Config, ConfigError, load, pinned
from nodes.control_groups import NONE, divided
from nodes.doorway import Doorway
from nodes.edge_names import edges
from nodes.errors import DEBUG, NodeError, in_words
from nodes.files import write_private
from nodes.first_process import step_aside
from nodes.first_start import begin, is_chance
from nodes.greeting import greeting, ready
from nodes.histories import History, how, last_words
from nodes.holdings import epoch, run_directory, sip_of, udp_sockets
from nodes.kept_log import keeping
from nodes.service_manager import ServiceManager
from nodes.sink import Spooled, line_of
from supervisors import (
    Backoff,
    Child,
    Dynamic,
    Event,
    Gone,
    Ref,
    Restart,
    StartFailed,
    Supervisor,
    System,
    TreeDown,
    eventloop,
    running,
)
from supervisors.process import OsProcess, Pair, ProcessReport, Program, Standing
from supervisors.zygote import Zygote

PAIRED: Final = ("edge", "media")
"""The roles whose death a caller would hear: each has warm spares."""
SPARES: Final = 2
"""One that takes over and, for the second or two in which the next one starts, another with all records."""
INTENSITY: Final = 10
PERIOD_S: Final = 60.0
BACKOFF: Final = Backoff(first_s=0.05, top_s=6.0)
"""Ten deaths a minute are faults of the moment; these pauses keep more from coming any faster."""
NEVER: Final = 1_000_000
"""As an intensity: what cannot live is tried for ever, for a recorder whose disk is broken must not end a call."""
START_S: Final = 60.0
"""So long may a process take until it is ready: ten times what it needs on an idle machine."""
LOAD_S: Final = 30.0
"""So long may the zygote load, in time in which it has a processor; the node's start waits for it."""
RETRY_S: Final = 1.0
"""After this the roster's file is tried again, when the disk was full."""
GREETS: Final = "RINGMASTER_GREETS"
"""The environment variable with which `ringmaster up` asks for `greeting`; a stage's node says nothing."""
ZYGOTE: Final = "zygote"
PROCESS: Final = "RINGMASTER_PROCESS"
"""The environment variable that tells a process its name and role: `media-0 media`."""
ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CannotStart(NodeError):
    """A process of the node does not come up."""


def roles(config: Config) -> dict[str, str]:
    """Return process name -> role of what this node does, in the order of starting.

    >>> from nodes.config import Edge
    >>> list(roles(Config(edge=Edge(processes=1))))
    ['nats-0', 'recorder-0', 'speech-0', 'speech-1', 'media-0', 'edge-0', 'central-0', 'desk-0']
    """
    several = {
        "recorder": config.recorder.n_databases, "speech": config.speech.n_processes, "media": config.media.processes,
        "edge": len(edges(config)),
    }  # fmt: skip
    kept = {"storage-0": "storage"} if config.keeps_recordings else {}
    here = [role for role in ROLES if role in config.node.roles and (role != "nats" or config.has_server)]
    return {f"{role}-{n}": role for role in here for n in range(several.get(role, 1))} | kept


def check_ports(config: Config) -> None:
    """See that there is a port for other machines for each process, spares too. Raises: ConfigError."""
    first, last = config.cluster.ports
    wanted = sum(1 + SPARES * (role in PAIRED) for role in roles(config).values() if role != "nats")
    if config.cluster.is_joined and first and last - first + 1 < wanted:
        raise ConfigError(
            "configuration", "cluster.ports", f"are {last - first + 1}, and the processes here want {wanted}"
        )


class Launcher:
    """One node's processes."""

    def __init__(self, config: Config, environment: Mapping[str, str], manager: ServiceManager | None = None) -> None:
        """`environment`: what a process needs beside this one's own to find the same configuration (`pinned`).

        `manager`: who has started this one; None: nobody who wants to hear of it.
        """
        self._config = config
        self._manager = manager or ServiceManager()
        self._environment = environment
        self._roles = roles(config)
        self._histories = {
            name: History(name, (Pair if role in PAIRED else OsProcess).__name__) for name, role in self._roles.items()
        }
        self._since_s = time.monotonic()
        self._epoch = time.time_ns()
        self._door = ""
        self._alive: dict[int, ProcessReport] = {}
        self._revision = 0
        self._groups = NONE
        self._loading: asyncio.Future[None] | None = None
        """The start of the zygote."""
        self._processes: list[Ref[OsProcess] | Ref[Pair]] = []
        self._faults: list[tuple[bool, str]] = []
        """What processes said that ended while the node was starting: why it cannot start, if it cannot. Those that a
        signal ended, which may be tried again, are True."""
        self._unfit = ""
        """The same of one that says nothing when it is ready, and has ended by itself: nobody knows that it is."""
        self._is_up = self._is_stopping = False
        self._started: dict[str, float] = {}
        """How long it took until the node was ready, as its desk has found it."""

    async def run(self) -> None:
        """Start everything; stop it in the opposite order at the first SIGINT, SIGTERM or SIGHUP.

        Raises: NodeError, which says what cannot be had or started; CancelledError at a signal.
        """
        self._stop_at_signals()
        check_reach(self._config)
        check_ports(self._config)
        self._manager.log = partial(self._log, "warning")
        with ExitStack() as stack:
            stack.enter_context(self._manager.beating())
            stack.enter_context(run_directory(self._config.paths))
            stack.enter_context(keeping(self._config.paths.log, self._config.telemetry.log_mb, "launcher"))
            sockets = stack.enter_context(udp_sockets(self._config, self._manager))
            if (cluster := self._config.cluster).is_joined:
                door = stack.enter_context(closing(Doorway(cluster.bind, cluster.port)))
                door.open()
                self._door, self._epoch = door.address, epoch(self._config.paths)
            self._groups = divided(self._config.groups, self._log)  # a node that cannot start has one line to say
            program = Program(argv=(sys.executable, "-m", "nodes.zygote"), ready_s=LOAD_S, beat_s=0.5, silence_s=1.5)
            zygote = stack.enter_context(closing(Zygote(program)))
            try:
                await self._until_stopped(sockets, zygote)
            except (StartFailed, TreeDown, Gone) as error:
                raise CannotStart(self._why_not() or str(error)) from error

    def _why_not(self) -> str:
        """Return what the first process said that cannot start; else how the first has ended, if one has."""
        return min(self._faults, key=itemgetter(0), default=(False, ""))[1]

    def _stop_at_signals(self) -> None:
        """Cancel this task once: whoever presses Ctrl-C twice does not want half of the processes stopped."""
        body = asyncio.current_task()
        assert body is not None

        def stop() -> None:
            if not self._is_stopping:
                self._is_stopping = True
                self._manager.stopping()
                body.cancel()

        for number in ENDS:
            asyncio.get_running_loop().add_signal_handler(number, stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)  # `ringmaster up` has held them back until somebody hears

    async def _until_stopped(self, sockets: Mapping[str, socket.socket], zygote: Zygote) -> None:
        def one_process(name: str) -> Supervisor:
            if name == ZYGOTE:
                child: Child[OsProcess] | Child[Pair] = zygote.child(
                    name, on_change=lambda report: self._log_end(self._groups.seen(report, ZYGOTE))
                )
            else:
                child = self._child(name, self._roles[name], sockets, zygote)
            return Supervisor([child], id=name, intensity=INTENSITY, period_s=PERIOD_S, backoff=BACKOFF)

        processes = Dynamic(
            one_process, id="processes", restart=Restart.PERMANENT, start_timeout_s=START_S, intensity=NEVER
        )
        zygotes = Dynamic(one_process, id="zygotes", start_timeout_s=START_S)  # one that cannot live is done without
        first = [one_process(name) for name, role in self._roles.items() if role == "nats"]
        tree = Supervisor([*first, zygotes, processes], intensity=NEVER)
        watchdog = watch.over_launcher(partial(self._log, "warning"))
        async with running(tree, hook=self._say, watchdog=watchdog) as system:
            self._loading = asyncio.ensure_future(self._load(system.dynamic("zygotes", one_process).start))
            start = system.dynamic("processes", one_process).start
            names = [name for name, role in self._roles.items() if role != "nats"]
            # All at once: they wait for the zygote to have loaded, but none needs another to be ready.
            refs = await asyncio.gather(*(begin(start, name) for name in names))
            self._processes = [self._ref(system, f"{ref.path}/{name}") for name, ref in zip(names, refs, strict=True)]
            if self._unfit:  # whoever else has ended meanwhile is there again, and may have calls
                raise CannotStart(self._unfit)
            self._is_up = True
            self._announce()
            after_s = time.monotonic() - self._since_s
            self._log("info", "node.up", after_ms=round(after_s * 1000))
            self._manager.ready(f"up after {after_s:.1f} s")
            if os.environ.get(GREETS):
                sip = [one.getsockname()[1] for name, one in sockets.items() if name.startswith("sip-")]
                self._greet(sip, after_s)
            await asyncio.get_running_loop().create_future()

    def _greet(self, sip_ports: Sequence[int], after_s: float) -> None:
        """Say on standard output where everything is; nobody waits until it is read."""
        desk_url = next((str(one.info["url"]) for one in self._alive.values() if "url" in one.info), "")
        text = greeting(self._config, desk_url, sip_ports, url(self._config), after_s)
        Spooled(1, "launcher").write(text)

    async def _load(self, start: Callable[[str], Awaitable[object]]) -> None:
        """Begin the zygote. Nobody needs it: until it is there, and if it cannot be, programs are run."""
        try:
            await start(ZYGOTE)
        except (StartFailed, Gone) as error:
            if not self._is_stopping:
                self._log("warning", "zygote.failed", error=str(error))

    def _ref(self, system: System, path: str) -> Ref[OsProcess] | Ref[Pair]:
        is_pair = self._roles[path.rpartition("/")[2]] in PAIRED
        return system.ref(path, Pair) if is_pair else system.ref(path, OsProcess)

    def _child(
        self, name: str, role: str, sockets: Mapping[str, socket.socket], zygote: Zygote
    ) -> Child[OsProcess] | Child[Pair]:
        if role == "nats":
            server = Program(argv=embedded(self._config).argv, speaks=False)
            return OsProcess.child(name, server, on_change=self._changed)
        program = Program(
            argv=(sys.executable, "-m", "nodes.child"),
            env={**self._environment, PROCESS: f"{name} {role}"},
            sockets=_inherited(name, role, sockets, self._config),
            ready_s=START_S,
            zygote=zygote,
        )
        if role in PAIRED:
            return Pair.child(name, program, on_change=self._changed, spares=SPARES)
        return OsProcess.child(name, program, on_change=self._changed)

    def _changed(self, report: ProcessReport) -> None:
        report = self._groups.seen(report, self._roles[report.id])
        self._histories[report.id].take(report, time.monotonic())
        self._log_end(report)
        if report.standing is Standing.GONE:
            self._alive.pop(report.pid, None)
            if report.exit and not self._is_up:
                fault = f"{report.id}: {last_words(report.exit)}"
                self._faults.append((is_chance(report.exit), fault))
                if self._roles[report.id] == "nats" and report.exit.signal is None:
                    self._unfit = self._unfit or fault
        else:
            self._alive[report.pid] = report
            self._first_ready(report.info)
        self._announce()

    def _first_ready(self, info: Mapping[str, object]) -> None:
        """Take the desk's word that calls can be placed: the first time, whatever becomes of the desk."""
        after_s, scale_up_s = info.get("ready_s"), info.get("scale_up_s", 0.0)
        if self._started or not isinstance(after_s, float) or not isinstance(scale_up_s, float):
            return
        self._started = {"ready_s": after_s, "scale_up_s": scale_up_s}
        self._log("info", "node.ready", after_ms=round(after_s * 1000), scale_up_ms=round(scale_up_s * 1000))
        self._manager.status(f"ready after {after_s:.1f} s")
        if os.environ.get(GREETS):
            Spooled(1, "launcher").write(ready(after_s))

    def _log_end(self, report: ProcessReport) -> None:
        if report.exit and report.exit.code != 0 and not self._is_stopping:
            self._log("warning", "process.ended", name=report.id, pid=report.pid, why=how(report.exit))

    def _announce(self) -> None:
        """Tell everybody who lives, and what became of the others: every process, and the command line by a file."""
        self._revision += 1
        roster = {
            "revision": self._revision,
            "processes": [row for one in self._alive.values() if (row := self._row(one))],
            "launcher": {
                "pid": os.getpid(),
                "since_s": self._since_s,
                "epoch": self._epoch,
                "door": self._door,
                **self._started,
                "period_s": PERIOD_S,
                "histories": [history.row() for history in self._histories.values()],
            },
        }
        for process in self._processes:
            process.tell(OsProcess.inform, {"roster": roster})
        self._publish(self._revision, json.dumps(roster, indent=1))

    def _publish(self, revision: int, roster: str) -> None:
        """Write the roster for the command line; again and again while the disk is full, unless it has changed."""
        if revision != self._revision or self._is_stopping:
            return
        try:
            write_private(self._config.paths.run / "roster.json", roster.encode(), lasts=False)
        except OSError as error:
            self._log("error", "roster.not_written", error=in_words(error))
            asyncio.get_running_loop().call_later(RETRY_S, self._publish, revision, roster)

    def _row(self, report: ProcessReport) -> dict[str, object] | None:
        if report.standing is Standing.STARTING or "identity" not in report.info:
            return None
        state = "spare" if report.standing is Standing.SPARE else "active"
        role = self._roles[report.id]
        return {"role": role, "name": report.id, "pid": report.pid, "state": state, **report.info}

    def _say(self, event: Event) -> None:
        if not watch.is_told(event):
            self._log("info", "supervision", what=type(event).__name__, detail=str(event))

    def _log(self, level: str, event: str, **fields: object) -> None:
        """Write a log line; in one piece, for the watchdog's thread writes, too."""
        sys.stderr.write(line_of("launcher", level, event, node_id=self._config.node.id, **fields))


def _inherited(name: str, role: str, sockets: Mapping[str, socket.socket], config: Config) -> dict[str, socket.socket]:
    if role == "edge":
        return {"sip": sockets[sip_of(name)]}
    if role != "media":
        return {}
    ports = [key for key in sockets if key.startswith("rtp-")]
    share = slice(int(name.rpartition("-")[2]), None, config.media.processes)
    return {key: sockets[key] for key in ports[share][: config.media.channels]}


def _end_in_order() -> None:
    """If we are to be killed with our parent, a command with a node of its own, have us told to stop instead.

    Then nothing is left in the state directory either. Source: prctl(2), PR_SET_PDEATHSIG.
    """
    libc, set_to = ctypes.CDLL(None), ctypes.c_int()
    libc.prctl(2, ctypes.byref(set_to))  # PR_GET_PDEATHSIG
    if set_to.value:
        libc.prctl(1, signal.SIGTERM)


def main() -> int:
    """Run the node that RINGMASTER_CONFIG describes, until a signal."""
    step_aside(ENDS)
    sys.stderr = Spooled(2, "launcher")
    _end_in_order()
    os.umask(0o077)  # what callers say is for nobody else on this machine
    priority.claim("launcher")
    manager = ServiceManager.of(os.environ)
    try:
        environment = pinned()
        eventloop.run(Launcher(load(environment={**os.environ, **environment}), environment, manager).run())
    except asyncio.CancelledError:
        return 0
    except (NodeError, OSError) as error:
        manager.status(in_words(error))
        if os.environ.get(DEBUG):
            raise
        print(f"ringmaster up: {in_words(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
