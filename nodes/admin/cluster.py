"""The cluster as this process sees it: the buckets of calls, agents and nodes, kept as dictionaries.

A view and no authority: a moment old, empty until NATS has told it, and whole again after NATS was away.
"""

from __future__ import annotations

from typing import Final

from nodes.links.bucket import Body
from nodes.links.bus import Bus
from nodes.links.tasks import Tasks
from protocols.wire.subjects import Bucket

WATCHED: Final = (Bucket.CALLS, Bucket.AGENTS, Bucket.NODES)


class Cluster:
    """What is in the buckets. `open` begins to watch."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._things: dict[Bucket, dict[str, Body]] = {bucket: {} for bucket in WATCHED}

    def open(self, tasks: Tasks) -> None:
        """Keep the views from now on."""
        for bucket in WATCHED:
            tasks.spawn(self._follow(bucket))

    def things(self, bucket: Bucket) -> dict[str, Body]:
        """Return key -> what everybody may see of it."""
        return self._things[bucket]

    async def _follow(self, bucket: Bucket) -> None:
        things = self._things[bucket]
        async for entry in self._bus.kv(bucket).watch():
            if entry is None:
                continue
            if entry.value is None:
                things.pop(entry.key, None)
            else:
                things[entry.key] = entry.value


__all__ = ["Cluster"]
