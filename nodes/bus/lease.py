"""A lease: at most one holder in the cluster, as long as it renews, and a token that tells an earlier one's late words.

A lease is a key of the bucket `rm_leases`, which forgets it `ttl_s` after the last renewal. The holder trusts only its
own clock: it counts from *before* it asked for the renewal, and stops `MARGIN_S` early, so it has stopped before the
server lets anybody else begin. Before that only the proof that the holder's process has ended (`incarnation`) lets
another one of the same machine take it. The token is the revision at which the lease was taken: it only grows, so
whoever is commanded remembers the highest and refuses lower ones (a fencing token: Kleppmann, Designing Data-Intensive
Applications, ch. 8).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from nodes.bus.bucket import Bucket
from nodes.links import incarnation

TTL_S: Final = 15.0
"""The bucket's age limit (`layout.py`). An election of a JetStream leader (4 to 7 s) must fit with room to spare."""
RENEW_S: Final = 4.0
"""How often to `keep` it."""
MARGIN_S: Final = 1.0
"""Against clocks that run apart, and a decision taken just before the end."""


class Lease:
    """One name that one process of the cluster may hold. `holder` must be new at each start (an `Identity`)."""

    def __init__(
        self,
        bucket: Bucket,
        name: str,
        holder: str,
        ttl_s: float = TTL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket, self._name = bucket, name
        self._value = {"holder": holder, "process": incarnation.own()}
        self._ttl_s, self._clock = ttl_s, clock
        self._token: int | None = None
        self._revision = 0
        self._until = self._others_until = float("-inf")

    @property
    def is_another_s(self) -> bool:
        """Whether somebody else held it when we last asked, not longer ago than a lease lasts."""
        return self._clock() < self._others_until

    @property
    def token(self) -> int | None:
        """The fencing token while the lease is held; None as soon as it may not be, whatever the server thinks.

        Read it again before each act: it is the permission.
        """
        return self._token if self._clock() < self._until else None

    async def keep(self) -> int | None:
        """Renew the lease if it is ours, else try to take it; returns `token`. To be called every `RENEW_S`.

        Raises: `BusAway`; the lease is then held on until its time is up.
        """
        asked = self._clock()
        if self._token is None:
            revision = await self._bucket.create(self._name, self._value)
        else:
            revision = await self._bucket.update(self._name, self._value, self._revision)
        if revision is None:
            revision = await self._reclaim()
        self._hold(revision, asked)
        return self.token

    async def give_back(self) -> None:
        """Let somebody else have it now. Raises: `BusAway`; then it ends by itself."""
        was_held, self._until = self.token is not None, float("-inf")
        if was_held:
            await self._bucket.delete(self._name)
        self._token = None

    async def _reclaim(self) -> int | None:
        """Take what has expired, or is a dead process's; renew what is ours, at a revision that we do not know because
        an answer was lost.
        """
        found = await self._bucket.get(self._name)
        if found is None:
            return await self._bucket.create(self._name, self._value)
        if found.value != self._value and not incarnation.is_gone(str((found.value or {}).get("process", ""))):
            return None
        return await self._bucket.update(self._name, self._value, found.revision)

    def _hold(self, revision: int | None, asked: float) -> None:
        if revision is None:
            self._token, self._until, self._others_until = None, float("-inf"), asked + self._ttl_s
            return
        self._others_until = float("-inf")
        self._token = revision if self.token is None else self._token
        self._revision, self._until = revision, asked + self._ttl_s - MARGIN_S


__all__ = ["Lease", "MARGIN_S", "RENEW_S", "TTL_S"]
