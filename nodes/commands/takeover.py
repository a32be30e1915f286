"""Calls on a cluster of test hosts while its processes and machines are ended: what the callees hear of it.

What it does: places calls, ends what has them, waits until all is whole again, and reads the callees' reports. What it
does not: print, or say what is good enough. The pure part, from reports and moments to figures, is `gaps` and `lost`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from nodes.call.record import UP
from nodes.commands.call import new_order
from nodes.commands.client import Client, NotUp
from nodes.commands.judge import percentile
from nodes.errors import NodeError
from nodes.links.anywhere import ask_each
from nodes.links.errors import LinkError
from nodes.rehearsal.hosted import COMMAND, Callees, HostedNode
from nodes.rehearsal.hosts import Hosts
from nodes.rehearsal.remote import Running
from nodes.rehearsal.victims import choose
from protocols.wire.ids import AttemptId, CallId
from protocols.wire.messages import EndCall, PlaceCall

LOOK_S: Final = 0.2
ORDER_S: Final = 1.0
"""So often those are ordered again that a node has refused."""
RAMP_S: Final = 90.0
WHOLE_S: Final = 90.0
"""So long may it take until everything that was ended is there again."""
CALM_S: Final = 2.0
"""One fault at a time: those who have just found each other again hear a few words of each other before the next."""
SPARES: Final = 2
HANG_UP_S: Final = 20.0
ECHO_S: Final = 6.0
"""What a callee hears of a fault, it hears within this."""
SILENT_S: Final = 1.0
"""A call that ends after so long without a packet had no owner any more."""


class NotWhole(NodeError):
    """The cluster does not come back to where it can be disturbed again."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One fault: what kind, whose calls were hit, and when (our monotonic seconds, which are the callees' too).

    `lasts_s`: what a callee hears of it, it hears within this.
    """

    kind: str
    node: str
    at_s: float
    lasts_s: float = ECHO_S


@dataclass(slots=True)
class Side:
    """One node, and a guest's way into it."""

    node: HostedNode
    client: Client

    async def figures(self) -> dict[str, float]:
        """Return what its active edges say of themselves, added. Raises: NotUp, LinkError."""
        return await self.client.figures("edge")

    async def up(self) -> int:
        """Return how many calls are up here; 0 while nobody can tell."""
        try:
            figures = await self.figures()
        except (NotUp, LinkError):
            return 0
        return int(sum(figures.get(f"calls_{phase.value}", 0.0) for phase in UP))

    async def is_whole(self) -> bool:
        """Return whether each edge and media has its spares, and every call here somebody who would go on with it."""
        try:
            roster = self.client.roster()
            figures = await self.figures()
        except (NotUp, LinkError):
            return False
        has_spares = all(
            len(roster.spare(role)) >= SPARES * roster.n_wanted(role) and roster.has_all(role)
            for role in ("edge", "media")
        )
        return has_spares and not any(figures.get(name) for name in ("calls_without_heir", "unkept_afar"))


@dataclass(slots=True)
class Trial:
    """The calls of a bench, and what was done to those who have them."""

    hosts: Hosts
    sides: Mapping[str, Side]
    callees: Callees
    script: str
    say: Callable[[str], None]
    hits: list[Hit] = field(default_factory=list)
    placed: dict[CallId, str] = field(default_factory=dict)
    """Every call, and the kind of fault that it was placed for."""
    left_s: float = float("inf")
    """When we began to hang up."""
    _users: Iterator[int] = field(default_factory=lambda: count(1))

    async def owner(self) -> str:
        """Return which node has most of the calls."""
        counts = {name: await side.up() for name, side in self.sides.items()}
        return max(counts, key=lambda name: counts[name])

    async def want(self, n: int, on: str, kind: str, persona: str = "cooperative") -> None:
        """Have `n` calls up on a node. Raises: NotWhole."""
        side, pattern = self.sides[on], new_order("sip:nobody", self.script, {})
        give_up_s = time.monotonic() + RAMP_S
        while (there := await side.up()) < n:
            if time.monotonic() > give_up_s:
                raise NotWhole(f"{on}: {there} of {n} calls are up after {RAMP_S:g} s")
            with suppress(NotUp, LinkError):  # between two lives: again in a second
                for _ in range(n - int((await side.figures())["calls"])):
                    await self._order(side, pattern, kind, persona)
            await asyncio.sleep(ORDER_S)

    async def _order(self, side: Side, pattern: PlaceCall, kind: str, persona: str) -> None:
        name = CallId(uuid4().hex)
        target = self.callees.target(f"{persona}-{next(self._users)}")
        order = replace(pattern, attempt_id=AttemptId(name), call_id=name, target=target)
        await side.client.mesh.ask(side.client.one("edge", name).identity, order)
        self.placed[name] = kind

    async def whole(self) -> None:
        """Return once every node has its spares, and every call its heir. Raises: NotWhole."""
        give_up_s = time.monotonic() + WHOLE_S
        while not all([await side.is_whole() for side in self.sides.values()]):
            if time.monotonic() > give_up_s:
                raise NotWhole(f"not whole after {WHOLE_S:g} s")
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(CALM_S)

    async def end_process(self, role: str, kind: str) -> None:
        """End the active process of a role where the calls are."""
        name = await self.owner()
        side = self.sides[name]
        if (found := choose(role, {name: side.client.roster()})) is None:
            raise NotWhole(f"{name} has no {role}")
        self._hit(kind, name)
        side.node.host.kill(found.pid)
        await asyncio.sleep(ECHO_S / 3)
        await self.whole()

    async def end_node(self, kind: str) -> None:
        """End the launcher of the node that has the calls, and so all of it; start it again when they have moved."""
        name = await self.owner()
        node = self.sides[name].node
        self._hit(kind, name)
        await node.kill_launcher()
        await asyncio.sleep(ECHO_S)
        await node.start()
        await self.whole()

    async def silence_node(self, kind: str) -> None:
        """Cut the node that has the calls off from everybody, without its death; let it come back."""
        name = await self.owner()
        self._hit(kind, name)
        await self.hosts.cut(name, "")
        await self.hosts.cut("", name)
        await asyncio.sleep(ECHO_S)
        await self.hosts.mend(name, "")
        await self.hosts.mend("", name)
        await self.whole()

    async def upgrade(self, kind: str) -> None:
        """Have the node that has the calls upgraded from the other machine, as an operator would. Raises: NotWhole."""
        name = await self.owner()
        node = self.sides[name].node
        by = next(side.node for other, side in self.sides.items() if other != name)
        began_s = time.monotonic()
        self.say(f"{kind}: {name}")
        log = by.log.with_name(f"{name}-{kind}-{len(self.hits)}.log")
        with log.open("w") as lines:
            command = await by.host.start((*COMMAND, "node", "--config", str(by.file), "upgrade", name), lines)
        try:
            await self._told(log, "is empty", command)
            self.say(f"{name} is empty after {time.monotonic() - began_s:.1f} s")
            await node.stop()
            await node.start()
            await self._told(log, "takes calls", command)
        finally:
            command.kill()
            await command.wait()
        self.hits.append(Hit(kind, name, began_s, time.monotonic() - began_s))
        await self.whole()

    async def _told(self, log: Path, word: str, command: Running) -> None:
        """Return once a command has said this. Raises: NotWhole."""
        give_up_s = time.monotonic() + WHOLE_S
        while word not in (said := await asyncio.to_thread(log.read_text, errors="replace")):
            if time.monotonic() > give_up_s or command.status is not None:
                raise NotWhole(f"node upgrade: {said.strip() or 'not a word'} (log: {log})")
            await asyncio.sleep(LOOK_S)

    async def leave(self) -> None:
        """Hang up everywhere; return when every callee has told how it was, or some do not."""
        self.left_s = time.monotonic()
        for side in self.sides.values():
            for call_id in self.placed:
                try:
                    await ask_each(side.client.mesh, side.client.all("edge"), EndCall(call_id))
                except (LinkError, NotUp):
                    break
        for _ in range(round(HANG_UP_S / LOOK_S)):
            if not self.placed.keys() - {report["call_id"] for report in self.callees.lived()}:
                return
            await asyncio.sleep(LOOK_S)

    def _hit(self, kind: str, node: str) -> None:
        self.hits.append(Hit(kind, node, time.monotonic()))
        self.say(f"{kind}: {node}")


def gaps(reports: Iterable[Mapping[str, Any]], hits: Sequence[Hit], kind: str) -> list[float]:
    """Return how long each callee heard nothing around each fault of a kind, in ms: of each pair of both one number.

    Of calls that were up before the fault and after what is heard of it. The numbers of a second without a gap are what
    packets take from one to the next, 20 ms.

    >>> report = {"first_packet_s": 1.0, "last_packet_s": 30.0, "longest": [(9.5, 20.5), (10.4, 380.0), (11.9, 21.0)]}
    >>> gaps([report], [Hit("node", "n1", 10.1), Hit("edge", "n1", 20.0)], "node")
    [380.0]
    """
    found = []
    for hit in hits:
        for report in reports:
            if hit.kind == kind and 0.0 < report["first_packet_s"] < hit.at_s and report["last_packet_s"] > hit.at_s:
                around = [ms for at_s, ms in report["longest"] if hit.at_s <= at_s <= hit.at_s + hit.lasts_s]
                found.append(max(around, default=ECHO_S * 1000))
    return found


def lost(
    reports: Sequence[Mapping[str, Any]], hits: Sequence[Hit], placed: Iterable[CallId], left_s: float
) -> list[CallId]:
    """Return the calls that were lost: never ended, silent at their end, or hung up on where a fault was.

    `left_s`: whoever is hung up on after that was hung up on by us.

    >>> fine = {"call_id": "a", "answered": True, "cause": "", "last_packet_s": 19.99, "ended_s": 20.0}
    >>> silent, cut = fine | {"call_id": "b", "last_packet_s": 11.0}, fine | {"call_id": "c", "ended_s": 11.0}
    >>> lost([fine, silent, cut], [Hit("node", "n1", 10.0)], [CallId(one) for one in "abcd"], 20.0)
    ['b', 'c', 'd']
    """
    by_call = {report["call_id"]: report for report in reports}
    return [call for call in placed if call not in by_call or _is_lost(by_call[call], hits, left_s)]


def _is_lost(report: Mapping[str, Any], hits: Sequence[Hit], left_s: float) -> bool:
    if not report["answered"]:
        return False
    ended_s = report["ended_s"]
    is_silent = report["last_packet_s"] < ended_s - SILENT_S
    is_cut = ended_s < left_s and any(0 <= ended_s - hit.at_s <= hit.lasts_s for hit in hits)
    return report["cause"] == "never_ended" or is_silent or is_cut


def figures(gaps_ms: Sequence[float]) -> dict[str, float | int | None]:
    """Return them as `{p50, max, n}`.

    >>> figures([40.0, 20.0, 60.0])
    {'p50': 40.0, 'max': 60.0, 'n': 3}
    """
    return {"p50": percentile(gaps_ms, 50), "max": max(gaps_ms, default=None), "n": len(gaps_ms)}


__all__ = ["ECHO_S", "Hit", "NotWhole", "Side", "Trial", "figures", "gaps", "lost"]
