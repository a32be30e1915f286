"""The service manager that has started the launcher, systemd for one: it hears how the node is, and keeps its sockets.

    manager = ServiceManager.of(os.environ)
    with manager.beating(), udp_sockets(config, manager) as sockets:
        ...
        manager.ready("up after 6.2 s")

What is said is a datagram each, as sd_notify(3) has it. A socket that the manager has is open however the launcher
ends, and its next life begins with it (sd_listen_fds(3)): what has come meanwhile waits in it. What this does not: say
which sockets those are (`holdings`).

Nothing is said where nobody has asked for it, and nothing raises: a node runs on whatever becomes of its manager. A
part of the launcher: the standard library.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final

OURS: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
"""Environment variables between the manager and the process that it has started, and nobody's whom that starts."""
FIRST: Final = 3
"""The first descriptor that is handed over (sd-daemon.h, SD_LISTEN_FDS_START)."""
PATIENCE_S: Final = 5.0
"""For a manager that must have taken something before the node goes on, and does not. systemd takes it at once."""
BEATS: Final = 3
"""In the time after which silence counts: one may be late, and one may find the manager busy."""


def _nobody(*words: object, **fields: object) -> None:
    """Write no line."""


class ServiceManager:
    """What is said to it, and what it keeps. `kept`: sockets by name that it has, and has given us or had from us."""

    def __init__(
        self, address: str = "", silence_s: float = 0.0, kept: Mapping[str, socket.socket] | None = None
    ) -> None:
        """`address`: its socket; empty: there is none. `silence_s`: the longest that it waits for a beat; 0: it does
        not.
        """
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # unix(7): an abstract name
        self._silence_s = silence_s
        self.kept = dict(kept or {})
        self.log: Callable[..., object] = _nobody
        """Is told when the manager does not hear."""
        self._timer: asyncio.TimerHandle | None = None
        self._hears = True

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> ServiceManager:
        """Return who has started this process, and take out of the environment what is between the two."""
        address, silence, watched, n, given, names = (environment.pop(name, "") for name in OURS)
        us = str(os.getpid())
        is_watched = silence.isdecimal() and watched in ("", us)
        kept = _taken(int(n), names.split(":")) if given == us and n.isdecimal() else {}
        return cls(address, int(silence) / 1e6 if is_watched else 0.0, kept)

    # ---- how the node is --------------------------------------------------------------------------------------------

    def status(self, text: str) -> None:
        """Say how the node is, in one line for people."""
        self._say(_status(text))

    def ready(self, text: str) -> None:
        """Say that the node is up."""
        self._say(f"READY=1\n{_status(text)}")

    def stopping(self) -> None:
        """Say that the node ends, and is meant to."""
        self._say(f"STOPPING=1\n{_status('stops')}")

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Say again and again that the running event loop runs, for the length of the block, if that is waited for."""
        self._beat()
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _beat(self) -> None:
        if self._silence_s:
            self._say("WATCHDOG=1")
            self._timer = asyncio.get_running_loop().call_later(self._silence_s / BEATS, self._beat)

    # ---- what it keeps ----------------------------------------------------------------------------------------------

    def keep(self, sockets: Mapping[str, socket.socket]) -> None:
        """Have it keep these, as long as the unit is not stopped; what it has already is not given again.

        `FDPOLL=0`: else it lets go of a socket when the kernel reports an error at it, an ICMP refusal for one.
        """
        for name, sock in sockets.items():
            if self.kept.get(name) is not sock:
                if not self._say(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", [sock.fileno()], waits=True):
                    return
                self.kept[name] = sock

    def drop(self, names: Iterable[str]) -> None:
        """Close these, and have it let go of them; return when their ports are free.

        Where it hangs, it has them still, and is waited for once.
        """
        dropped = [*names]
        for name in dropped:
            self.kept.pop(name).close()
        if dropped and all(self._say(f"FDSTOREREMOVE=1\nFDNAME={name}", waits=True) for name in dropped):
            self._has_taken_all()

    def _has_taken_all(self) -> None:
        """Return when it has taken all that was said: it closes what comes with the word (sd_notify_barrier(3))."""
        ours, theirs = os.pipe()
        try:
            is_said = self._say("BARRIER=1", [theirs], waits=True)
            os.close(theirs)
            closed = select.poll()
            closed.register(ours, 0)  # POLLHUP is always told
            if is_said and not closed.poll(PATIENCE_S * 1000):
                self.log("manager.unheard", error=f"has not taken all within {PATIENCE_S:g} s")
        finally:
            os.close(ours)

    def _say(self, words: str, descriptors: Sequence[int] = (), *, waits: bool = False) -> bool:
        """Send one datagram; False when nobody has it. `waits`: for room, `PATIENCE_S` at the most."""
        if not self._address:
            return False
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        flags = socket.MSG_NOSIGNAL | (0 if waits else socket.MSG_DONTWAIT)
        try:
            # A socket for each: the manager may be another one the next time (systemctl daemon-reexec).
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", *_split(PATIENCE_S)))
                sock.sendmsg([words.encode()], rights, flags, self._address)
        except OSError as error:
            if self._hears:
                self.log("manager.unheard", error=error.strerror)
            self._hears = False
            return False
        self._hears = True
        return True


NOBODY: Final = ServiceManager()
"""No manager: a node on a terminal."""


def _taken(n: int, names: Sequence[str]) -> dict[str, socket.socket]:
    """Return the first `n` of what was handed over, by name; what is no socket is closed."""
    found: dict[str, socket.socket] = {}
    for number, name in zip(range(FIRST, FIRST + n), names, strict=False):
        try:
            os.set_inheritable(number, False)
            sock = socket.socket(fileno=number)
        except OSError:
            with suppress(OSError):
                os.close(number)
            continue
        if name in found:  # it has two of a name, and both go when that is dropped
            found[name].close()
        found[name] = sock
    return found


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}"


def _split(seconds: float) -> tuple[int, int]:
    """Return seconds as a struct timeval has them."""
    return int(seconds), int(seconds % 1 * 1e6)


__all__ = ["BEATS", "FIRST", "NOBODY", "OURS", "PATIENCE_S", "ServiceManager"]
