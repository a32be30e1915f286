"""What is done to a cluster in a soak: faults by a clock and a seed, each when the last one is healed, or late."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from nodes.rehearsal.faults import Fault, FaultKind, Inflicted, inflict
from nodes.rehearsal.hosted import NATS, HostedNode
from nodes.rehearsal.hosts import Hosts

ROLES: Final = (
    "edge", "media", "speech", "central", "desk", "recorder", "nats", "edge spare", "media spare",
)  # fmt: skip
PROCESS_S: Final = 5.0
HOST_S: Final = 60.0
DOWN_S: Final = 3.0
"""So long a host is without its launcher, or its power."""
PAUSE_S: Final = 4.0
PART_S: Final = 8.0
HEALED_S: Final = 5.0
"""The next fault waits so long for the last one to be healed, and no longer."""
LOOK_S: Final = 0.1
LEADERS: Final = (0.3, 0.65)
"""When the leader of NATS is killed, as shares of the whole; and so on."""
PAUSES: Final = (0.2, 0.8)
PARTITIONS: Final = (0.45, 0.9)


@dataclass(frozen=True, slots=True)
class Due:
    """A fault and its time, from the beginning; `is_leader`: whoever leads NATS then is hit."""

    at_s: float
    fault: Fault
    is_leader: bool = False


def plan(seconds: float, n_machines: int, seed: int) -> list[Due]:
    """Return what is to happen in so many seconds, in order; every role dies before one dies again.

    Hosts are numbers: a machine may be one host in each of several clusters.

    >>> [(due.at_s, due.fault.kind.value, due.fault.role) for due in plan(16.0, 3, 1)][:2]
    [(3.2, 'pause', ''), (4.8, 'process', 'nats')]
    """
    dice, hosts = random.Random(seed), [*map(str, range(n_machines))]
    due = [Due(share * seconds, Fault(FaultKind.PAUSE, dice.choice(hosts), PAUSE_S)) for share in PAUSES]
    due += [Due(share * seconds, Fault(FaultKind.CUT, dice.choice(hosts), PART_S)) for share in PARTITIONS]
    leader = Fault(FaultKind.PROCESS, hosts[0], role=NATS)
    due += [Due(share * seconds, leader, is_leader=True) for share in LEADERS]
    for n in range(1, int(seconds / HOST_S) + 1):
        kind = FaultKind.LAUNCHER if n % 2 else FaultKind.POWER
        due.append(Due(n * HOST_S - HOST_S / 2, Fault(kind, dice.choice(hosts), DOWN_S)))
    bag: list[str] = []
    for n in range(1, int(seconds / PROCESS_S)):
        bag = bag or dice.sample(ROLES, len(ROLES))
        due.append(Due(n * PROCESS_S, Fault(FaultKind.PROCESS, dice.choice(hosts), role=bag.pop(), number=n)))
    return sorted(due, key=lambda each: each.at_s)


@dataclass(slots=True)
class Havoc:
    """Does what is due to the machines of one cluster. `names`: its hosts, by their numbers."""

    hosts: Hosts
    names: Sequence[str]
    nodes: Mapping[str, HostedNode]
    is_healed: Callable[[], Awaitable[bool]]
    leader: Callable[[], Awaitable[str]]
    done: list[Inflicted] = field(default_factory=list)
    healed_ms: list[float] = field(default_factory=list)
    """How long it took until every call had an heir again, from each fault's end."""
    unhealed: int = 0
    """Faults that came while the last one was not healed: their losses are nobody's promise."""

    async def run(self, due: Sequence[Due], seconds: float, *, overlaps: bool) -> None:
        """Do all of it: one after another, or each when it is due, whatever goes on."""
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for each in due:
                await asyncio.sleep(max(0.0, began_s + each.at_s - time.monotonic()))
                if overlaps:
                    group.create_task(self._inflict(each))
                else:
                    await self._do(each)
        await asyncio.sleep(max(0.0, began_s + seconds - time.monotonic()))

    async def _do(self, due: Due) -> None:
        await self._inflict(due)
        began_s = time.monotonic()
        while not await self.is_healed():
            if time.monotonic() - began_s > HEALED_S:
                self.unhealed += 1
                break
            await asyncio.sleep(LOOK_S)
        self.healed_ms.append(round((time.monotonic() - began_s) * 1000, 1))

    async def _inflict(self, due: Due) -> None:
        host = await self.leader() if due.is_leader else self.names[int(due.fault.host)]
        fault = replace(due.fault, host=host)
        if not self.hosts[host].is_on:
            return
        if fault.kind is FaultKind.CUT:
            await self._part(fault)
        else:
            self.done.append(await inflict(fault, self.hosts, self.nodes))

    async def _part(self, fault: Fault) -> None:
        """Part a host from the other nodes; its callees still hear it."""
        others = [name for name in self.names if name != fault.host]
        began_s = time.monotonic()
        await self.hosts.part([fault.host], others)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            await self.hosts.join([fault.host], others)
        self.done.append(Inflicted(fault, began_s, time.monotonic()))

    def told(self) -> list[str]:
        """Return what was done when, by the wall clock: to be laid beside the nodes' logs."""
        ahead_s = time.time() - time.monotonic()
        return [
            f"{datetime.fromtimestamp(one.began_s + ahead_s, UTC):%H:%M:%S.%f} {one.ended_s - one.began_s:5.1f} s "
            f"{one.fault.host} {one.fault.kind.value} {one.fault.role}{'' if one.hit else ' (nobody there)'}"
            for one in self.done
        ]

    def kinds(self) -> dict[str, int]:
        """Return how often what happened."""
        return dict(Counter(one.fault.role or one.fault.kind.value for one in self.done if one.hit))


__all__ = ["Due", "Havoc", "plan"]
