"""The load of this edge: what engines and media tell of it, and what its capacity learns from that, on a beat.

What it does: gathers, steps `Capacity`, says whether a further call is taken and what is given up. What it does not:
decide either (`capacity`, `degradation`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

from nodes.call.record import CallRecord
from nodes.config import Config
from nodes.edge.capacity import PROVEN_S, Capacity, Seen
from nodes.edge.degradation import FIRST, next_given_up
from nodes.edge_names import capacity_of, edges
from nodes.links.load import TELL_S
from nodes.links.roster import NOBODY, Roster
from nodes.machine import Machine, cores, memory
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.wire.ids import Identity, process_of
from protocols.wire.load import GivesUp, MediaLoad, SpeechLoad
from supervisors.silence import Silence

SILENT_S: Final = 2.0
"""An engine that lives, and has said nothing for so long, hears nothing either."""

log = logs.get(__name__)


def of_edge(mesh: Mesh, records: Callable[[], Collection[CallRecord]], config: Config) -> Load:
    """Return the load of the edge whose mesh this is."""
    fixed, n_edges = capacity_of(process_of(mesh.identity), config), len(edges(config))
    return Load(mesh, records, cores(), Machine(), fixed=fixed, n_edges=n_edges)


class Load:
    """One edge's. `records`: of all calls that it holds, of any phase. `roster`: the launcher's last word."""

    def __init__(
        self,
        mesh: Mesh,
        records: Callable[[], Collection[CallRecord]],
        n_cores: int,
        machine: Machine,
        clock: Callable[[], float] = time.monotonic,
        fixed: int = 0,
        n_edges: int = 1,
    ) -> None:
        """`fixed`: so many calls are taken, whatever is learnt, and nothing is given up; 0: as many as that says.

        `n_edges`: so many share the machine, and each counts on its part of the cores and of media's channels. How busy
        the machine is they all see, and from its own calls each works out its own part of what that can carry.
        """
        self._records, self._n_cores, self._machine, self._n_edges = records, n_cores, machine, n_edges
        self._capacity, self._fixed = Capacity(n_cores / n_edges), fixed
        self._engines: dict[Identity, list[SpeechLoad]] = {}
        self._silences: dict[Identity, Silence] = {}
        self._media: dict[Identity, MediaLoad] = {}
        self._clock, self._stepped_s = clock, clock()
        self.gives_up = GivesUp.NOTHING
        self.n_told = 0
        self.n_over = 0
        """Calls that have ended, counted by the owner."""
        self._n_over_seen = 0
        self.roster: Roster = NOBODY
        mesh.serve(SpeechLoad, self._speech_told)
        mesh.serve(MediaLoad, self._media_told)

    def takes(self) -> bool:
        """Say whether one more call may be taken now."""
        n_held = len(self._records())
        if self._fixed:
            return n_held < self._fixed
        return self.gives_up < GivesUp.CALLS and self._capacity.takes(n_held)

    @property
    def limit(self) -> int:
        """How many calls it takes, as far as is known."""
        return self._capacity.limit

    def activate(self) -> None:
        """Be the edge: the calls that were taken over are held, whatever is known of the others."""
        self._capacity = Capacity(self._n_cores / self._n_edges, len(self._records()))

    async def run(self) -> None:
        """Learn, until cancelled."""
        self.activate()
        while True:
            await asyncio.sleep(TELL_S)
            self.step(self._clock())

    def figures(self) -> dict[str, float]:
        """What an operator sees of it. `room`: for campaigns, until something would have to be given up."""
        n_held = len(self._records())
        return {
            "cores": self._n_cores / self._n_edges,
            "capacity": float(self._fixed or self._capacity.limit),
            "room": float(max(0, self._fixed - n_held) if self._fixed else self._capacity.room(n_held, FIRST)),
            "used": round(self._capacity.used, 3),
            "late_ms": round(self._capacity.late_s * 1000, 1),
            "gives_up": float(self.gives_up),
            **self._of_machine(),
        }

    def _of_machine(self) -> dict[str, float]:
        found = {} if self._capacity.busy is None else {"machine_busy": round(self._capacity.busy, 3)}
        if said := memory():
            found |= {"memory": float(said[0]), "memory_free": float(said[1])}
        return found

    def step(self, now: float) -> None:
        """Learn from what was told since the last step."""
        self._capacity.step(self._seen(now), now)
        gives_up = GivesUp.NOTHING if self._fixed else next_given_up(self.gives_up, self._capacity.used)
        if gives_up is not self.gives_up:
            self.gives_up = gives_up
            log.warning("load.gives_up", what=gives_up.name.lower(), **self.figures())

    def _seen(self, now: float) -> Seen:
        past_s, self._stepped_s = now - self._stepped_s, now
        records = self._records()
        over, self._n_over_seen = self.n_over - self._n_over_seen, self.n_over
        told = [load for loads in self._engines.values() for load in loads]
        self._engines = {}
        media = [load for identity, load in self._media.items() if self._lives("media", identity)]
        ours_s = sum(load.decode_cpu_s for load in told) + sum(load.busy for load in media) * past_s
        return Seen(
            held=len(records),
            proven=sum(bool(record.answered_s) and record.answered_s <= now - PROVEN_S for record in records),
            over=over,
            waiting_s=max([self._silent_s(now), *(load.usual_age_s for load in told)]),
            beat_s=max((load.late_s for load in media), default=0.0),
            busy=self._machine.busy(),
            ours=ours_s / max(past_s, TELL_S) / self._n_cores,
            channels=(n := sum(load.channels for load in media)) and max(1, n // self._n_edges),
            up=sum(bool(record.answered_s) for record in records),
        )

    def _silent_s(self, now: float) -> float:
        """How long the most silent of the engines that live has said nothing, beyond what may happen."""
        self._silences = {one: silence for one, silence in self._silences.items() if self._lives("speech", one)}
        return max((silence.silent_s for silence in self._silences.values() if silence.look(now) is None), default=0.0)

    def _lives(self, role: str, identity: Identity) -> bool:
        return any(peer.identity == identity for peer in self.roster.active(role))

    def _speech_told(self, load: SpeechLoad, sender: Identity) -> None:
        now, self.n_told = self._clock(), self.n_told + 1
        self._engines.setdefault(sender, []).append(load)
        self._silences.setdefault(sender, Silence(SILENT_S, now)).heard(now)

    def _media_told(self, load: MediaLoad, sender: Identity) -> None:
        self._media[sender], self.n_told = load, self.n_told + 1


__all__ = ["Load", "of_edge"]
