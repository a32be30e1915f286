"""What may happen to a machine, as data: drawn from a seed, done to a host, and undone after so many seconds."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nodes.rehearsal.hosted import HostedNode
from nodes.rehearsal.hosts import Hosts
from nodes.rehearsal.victims import ANY, choose


class FaultKind(StrEnum):
    """Kinds of faults."""

    PROCESS = "process"
    """One process of the node ends by SIGKILL; its launcher has another one ready, or starts it."""
    LAUNCHER = "launcher"
    """The node's launcher ends by SIGKILL, and all of it at once: the host lives, and resets its connections."""
    POWER = "power"
    """The host is without power: all of it ends, and nobody hears of it."""
    PAUSE = "pause"
    """Everything on the host stands still, as a virtual machine that is moved."""
    CUT = "cut"
    """The host neither hears nor is heard."""
    DEAF = "deaf"
    """The host hears nobody, and is heard."""
    MUTE = "mute"
    """The host is not heard, and hears."""
    BAD = "bad"
    """What the host sends comes late, and some of it never."""
    DISK = "disk"
    """The host's disk is full."""
    CLOCK = "clock"
    """The host's wall clock is stepped, and back again."""


INSTANT: Final = frozenset({FaultKind.PROCESS})
"""Over as soon as they are done."""
BAD_S: Final = 0.05
BAD_LOSS: Final = 0.05
"""A bad line: a packet takes 50 to 100 ms longer, one of twenty is lost."""
STEPS_S: Final = (-7200.0, -3.0, 3.0, 7200.0)
"""Of wall clocks: what a time server puts right, and a wrong zone."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a host. `peer`: a cut is from this host only; empty: from all.

    `role`, `number`: whose process, and which of several (`victims`). `step_s`: how far a clock is set ahead.
    """

    kind: FaultKind
    host: str
    seconds: float = 0.0
    peer: str = ""
    role: str = ""
    step_s: float = 0.0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Inflicted:
    """A fault that was, from when to when: our monotonic seconds. `hit`: whether there was anything to hit."""

    fault: Fault
    began_s: float
    ended_s: float
    hit: bool = True


def draw(
    dice: random.Random, hosts: Sequence[str], kinds: Sequence[FaultKind], seconds: float, roles: Sequence[str] = ()
) -> Fault:
    """Return a fault of one of these kinds at one of these hosts; a process's is of one of `roles`.

    >>> draw(random.Random(1), ["n1", "n2"], [FaultKind.PAUSE], 4.0)
    Fault(kind=<FaultKind.PAUSE: 'pause'>, host='n1', seconds=4.0, peer='', role='', step_s=0.0, number=0)
    """
    kind, host = dice.choice(kinds), dice.choice(hosts)
    if kind is FaultKind.PROCESS:
        return Fault(kind, host, role=dice.choice(roles), number=dice.randrange(ANY))
    if kind is FaultKind.CLOCK:
        return Fault(kind, host, seconds, step_s=dice.choice(STEPS_S))
    return Fault(kind, host, seconds)


async def inflict(fault: Fault, hosts: Hosts, nodes: Mapping[str, HostedNode]) -> Inflicted:
    """Do it, wait its seconds, undo it. A node whose launcher or power went is started again. Raises: NotRun.

    Cancelled before its time, it is undone as well.
    """
    began_s = time.monotonic()
    if fault.kind is FaultKind.BAD:
        async with hosts.bad(fault.host, fault.peer, BAD_S, BAD_S, BAD_LOSS):
            await asyncio.sleep(fault.seconds)
        return Inflicted(fault, began_s, time.monotonic())
    hit = await _begin(fault, hosts, nodes)
    try:
        await asyncio.sleep(0.0 if fault.kind in INSTANT else fault.seconds)
    finally:
        await _end(fault, hosts, nodes)
    return Inflicted(fault, began_s, time.monotonic(), hit)


async def _begin(fault: Fault, hosts: Hosts, nodes: Mapping[str, HostedNode]) -> bool:
    host = hosts[fault.host]
    match fault.kind:
        case FaultKind.PROCESS:
            node = nodes[fault.host]
            found = choose(fault.role, {fault.host: node.roster()}, fault.number, lambda _: node.server)
            if found:
                host.kill(found.pid)
            return found is not None
        case FaultKind.LAUNCHER:
            await nodes[fault.host].kill_launcher()
        case FaultKind.POWER:
            if fault.host in nodes:
                nodes[fault.host].is_wanted = False
            await host.power_off()
        case FaultKind.PAUSE:
            host.pause()
        case FaultKind.CUT | FaultKind.DEAF | FaultKind.MUTE:
            for from_, to in _cuts(fault):
                await hosts.cut(from_, to)
        case FaultKind.BAD:
            raise AssertionError("a context of its own")
        case FaultKind.DISK:
            host.fill_disk()
        case FaultKind.CLOCK:
            host.step_clock(fault.step_s)
    return True


async def _end(fault: Fault, hosts: Hosts, nodes: Mapping[str, HostedNode]) -> None:
    host = hosts[fault.host]
    match fault.kind:
        case FaultKind.PROCESS | FaultKind.BAD:
            pass
        case FaultKind.LAUNCHER:
            await nodes[fault.host].start()
        case FaultKind.POWER:
            await host.power_on()
            if fault.host in nodes:
                await nodes[fault.host].start()
        case FaultKind.PAUSE:
            host.resume()
        case FaultKind.CUT | FaultKind.DEAF | FaultKind.MUTE:
            for from_, to in _cuts(fault):
                await hosts.mend(from_, to)
        case FaultKind.DISK:
            host.free_disk()
        case FaultKind.CLOCK:
            host.step_clock(0.0)


def _cuts(fault: Fault) -> list[tuple[str, str]]:
    heard, hears = (fault.host, fault.peer), (fault.peer, fault.host)
    return {FaultKind.MUTE: [heard], FaultKind.DEAF: [hears]}.get(fault.kind, [heard, hears])


__all__ = ["INSTANT", "Fault", "FaultKind", "Inflicted", "draw", "inflict"]
