"""The cluster as this process sees it: calls, agents and nodes, or some of them, kept as dictionaries.

A view and no authority: what has changed is told at once (`rm.state.<kind>.<id>`), and put right from the buckets
(`nodes/bus/replica.py`). While NATS is away it stays as it was, and says for how long nobody has told it anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from nodes.bus.bucket import Body
from nodes.bus.bus import Bus
from nodes.bus.replica import Replica
from nodes.links.tasks import Tasks
from protocols.wire.subjects import Bucket, states

ALL: Final = (Bucket.CALLS, Bucket.AGENTS, Bucket.NODES)
SWEEP_S: Final = 1.0


class ClusterView:
    """What everybody may see. `open` begins to watch.

    `changed`: told of each change, with the thing as it is then; a deletion in the bucket alone is seen in `things`.
    `watched`: what is looked at; the others are not known.
    """

    def __init__(
        self, bus: Bus, changed: Callable[[Body], object] = lambda thing: None, watched: Sequence[Bucket] = ALL
    ) -> None:
        self._bus, self._changed = bus, changed
        self._replicas = {bucket: Replica() for bucket in watched}
        self._told_s = time.monotonic()

    def open(self, tasks: Tasks) -> None:
        """Keep the views from now on."""
        for bucket in self._replicas:
            tasks.spawn(self._follow(bucket))
            tasks.spawn(self._hear(bucket))
        tasks.spawn(self._sweep())

    def things(self, bucket: Bucket) -> dict[str, Body]:
        """Return key -> what everybody may see of it."""
        return self._replicas[bucket].things

    @property
    def stale_s(self) -> float:
        """For how long nobody could tell us anything: 0.0 while NATS is there."""
        return 0.0 if self._bus.connected else time.monotonic() - self._told_s

    async def _hear(self, bucket: Bucket) -> None:
        replica, subject = self._replicas[bucket], states(bucket.removeprefix("rm_"))

        def take(body: Body, about: str) -> None:
            if replica.delta(about.rpartition(".")[2], body, time.monotonic()):
                self._changed(body)

        await self._bus.subscribe(subject, take)

    async def _follow(self, bucket: Bucket) -> None:
        replica = self._replicas[bucket]
        async for entry in self._bus.kv(bucket).watch():
            if entry is not None and replica.copy(entry.key, entry.value, time.monotonic()) and entry.value is not None:
                self._changed(entry.value)

    async def _sweep(self) -> None:
        """Forget what was never confirmed, for ever; while NATS is away nothing can be."""
        while True:
            await asyncio.sleep(SWEEP_S)
            if self._bus.connected:
                self._told_s = time.monotonic()
                for replica in self._replicas.values():
                    replica.sweep(self._told_s)


__all__ = ["ClusterView"]
