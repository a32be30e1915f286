"""Which processes there are, as the launcher last said: the proof of who lives.

What it does: reads the roster and answers questions about it. What it does not: watch anything. A process that the
roster does not hold has ended; the launcher has waited for its exit before it said so. What became of those stands in
the histories, for people: nothing is decided by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from nodes.reading import read_json
from protocols.errors import RemoteProtocolError
from protocols.wire.ids import Identity
from protocols.wire.inspection import Failure


class State(StrEnum):
    """What a process is for at the moment."""

    ACTIVE = "active"
    SPARE = "spare"


@dataclass(frozen=True, slots=True)
class Peer:
    """One process. `endpoint`: where its ZeroMQ ROUTER listens (`ipc://...`, `tcp://...`).

    `address`: where it listens for other machines (`tcp://...`); empty on a node that is alone.
    """

    role: str
    name: str
    identity: Identity
    endpoint: str
    pid: int
    state: State
    address: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """What became of the processes that bore a name, one after another (`nodes.histories`, where it is written).

    `state`: `starting`, `running` or `restarting` (waits to be brought back). `since_s`: when the active one became
    that, None when there is none. `n_ended`, `ended_s`: how many have ended, and the moments of the last of them.
    Moments are seconds on the monotonic clock.
    """

    name: str
    kind: str
    state: str
    since_s: float | None
    n_ended: int
    ended_s: tuple[float, ...]
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Launcher:
    """The launcher itself, and its children by name, in the order of starting. `period_s`: of its restart intensity.

    `epoch`: when it began, in nanoseconds of the wall clock: greater at each start of the node. `door`: where other
    machines see whether it lives (`10.0.0.2:7400`); empty on a node that is alone. `ready_s`: how long it took until
    the node was ready for the first time; `scale_up_s`: the same since the machine was begun. 0: not yet, not known.
    """

    pid: int
    since_s: float
    period_s: float
    histories: tuple[History, ...]
    epoch: int = 0
    door: str = ""
    ready_s: float = 0.0
    scale_up_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Roster:
    """All processes of one revision, in the launcher's order; and the launcher, where it is the launcher's word."""

    revision: int
    processes: tuple[Peer, ...]
    launcher: Launcher | None = None

    @classmethod
    def of(cls, body: object) -> Roster:
        """Build it from the launcher's word (`told["roster"]`). Raises: `RemoteProtocolError` with the field's path."""
        try:
            return msgspec.convert(body, cls)
        except (ValueError, RecursionError) as error:
            raise RemoteProtocolError("malformed_roster", str(error)) from error

    @classmethod
    def read(cls, path: Path) -> Roster:
        """Read `<state>/run/roster.json`, as the command line does. Raises: `OSError`, `RemoteProtocolError`."""
        try:
            return cls.of(read_json(path.read_bytes()))
        except msgspec.DecodeError as error:
            raise RemoteProtocolError("malformed_roster", str(error)) from error

    def active(self, role: str) -> list[Peer]:
        """Return the active processes of a role, in the launcher's order."""
        return self._with(role, State.ACTIVE)

    def spare(self, role: str) -> list[Peer]:
        """Return the spares of a role, in the launcher's order."""
        return self._with(role, State.SPARE)

    def n_wanted(self, role: str) -> int:
        """Return how many processes of a role are active when all are there, as the launcher says."""
        names = [one.name for one in self.launcher.histories] if self.launcher else []
        return sum(name.rpartition("-")[0] == role for name in names)

    def has_all(self, role: str) -> bool:
        """Say whether there are as many as are wanted, and one at least."""
        return len(self.active(role)) >= max(1, self.n_wanted(role))

    def by_identity(self, identity: Identity) -> Peer | None:
        """Return the process with this identity; None says that it has ended."""
        return next((peer for peer in self.processes if peer.identity == identity), None)

    def _with(self, role: str, state: State) -> list[Peer]:
        return [peer for peer in self.processes if peer.role == role and peer.state is state]


NOBODY: Final = Roster(0, ())


def make_identity(node_id: str, process: str, boot_epoch: str) -> Identity:
    """Return the identity of one incarnation of a process; `boot_epoch` is new at each start.

    >>> make_identity("n1", "media-0", "5f3a")
    'n1.media-0:5f3a'
    """
    return Identity(f"{node_id}.{process}:{boot_epoch}")


__all__ = ["NOBODY", "History", "Launcher", "Peer", "Roster", "State", "make_identity"]
