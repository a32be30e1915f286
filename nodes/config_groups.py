"""`[groups]`: what each class of a node's processes may take of the machine, where its control groups can be set.

A class is the processes of one role, `recorder` also whoever keeps recordings (`nodes/storage`); `rest` is everybody
else: edges, central, the nats-server, the zygote. Weights count only while there is not enough for all, beside other
classes of this node. How: `nodes/control_groups.py`.

There is no quota of processors for `media` and `rest`: who has used one up stands still for the rest of a tenth of a
second, in the middle of a word. Nor a limit of their memory: who is over it is killed, and callers would hear it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nodes.tables import within

WEIGHTS = (1, 10_000)
"""cgroup v2, cpu.weight and io.weight; 100 is what everything else on the machine has."""


@dataclass(frozen=True, slots=True)
class CpuWeight:
    """Shares of the processors. Within a group nice values count, so these say the same as `nodes.priority` does."""

    media: int = within(1000, *WEIGHTS)
    speech: int = within(300, *WEIGHTS)
    desk: int = within(100, *WEIGHTS)
    recorder: int = within(50, *WEIGHTS)
    rest: int = within(1000, *WEIGHTS)


@dataclass(frozen=True, slots=True)
class CpuQuota:
    """The most of all processors together that a class gets: 0.5 of 16 are 8. 1: no quota."""

    speech: float = within(1.0, 0.01, 1.0)
    desk: float = within(1.0, 0.01, 1.0)
    recorder: float = within(1.0, 0.01, 1.0)


@dataclass(frozen=True, slots=True)
class Memory:
    """The most of the memory that a class gets. 1: no limit. Beyond it the kernel kills one process of the class."""

    speech: float = within(0.6, 0.01, 1.0)
    desk: float = within(0.3, 0.01, 1.0)
    recorder: float = within(0.4, 0.01, 1.0)


@dataclass(frozen=True, slots=True)
class IoWeight:
    """Shares of the disks, where the kernel shares them out by weight (BFQ, or io.cost)."""

    media: int = within(200, *WEIGHTS)
    speech: int = within(100, *WEIGHTS)
    desk: int = within(100, *WEIGHTS)
    recorder: int = within(50, *WEIGHTS)
    rest: int = within(200, *WEIGHTS)


@dataclass(frozen=True, slots=True)
class Groups:
    """Control groups of the classes of processes."""

    cpu_weight: CpuWeight = field(default_factory=CpuWeight)
    cpu_quota: CpuQuota = field(default_factory=CpuQuota)
    memory: Memory = field(default_factory=Memory)
    io_weight: IoWeight = field(default_factory=IoWeight)


__all__ = ["CpuQuota", "CpuWeight", "Groups", "IoWeight", "Memory"]
