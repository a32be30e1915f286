"""A running node as a journey uses it: place calls, follow their events, kill processes, read what callees report."""

from __future__ import annotations

import asyncio
import os
import signal
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.commands.call import new_order
from nodes.commands.client import NotUp
from nodes.commands.stage import Stage
from nodes.config_speech import KALDI
from nodes.links.roster import Peer, Roster
from protocols.wire.events import CallEvent, Kind, from_body
from protocols.wire.messages import EndCall, GetStatus, PlaceCall
from protocols.wire.roles import Role
from protocols.wire.subjects import ALL_EVENTS, Stream

PATIENCE_S = 100.0
"""How long a journey waits for what must come; reached only when it will not."""
LOOK_S = 0.05
SECOND = "pocketsphinx"
"""The node's other recogniser, where it is installed: it hears nobody whom a journey does not give to it."""
HAS_SECOND = find_spec(SECOND) is not None
WHOLE = {"speech": 2 + HAS_SECOND, "media": 1, "edge": 1, "central": 1, "recorder": 1}


@dataclass(slots=True)
class Followed:
    """One call and what its node has told of it so far, each event once, in the order of arrival."""

    order: PlaceCall
    events: list[CallEvent] = field(default_factory=list)
    _waiting: list[tuple[Callable[[], object], asyncio.Future[None]]] = field(default_factory=list)

    async def event(self, kind: Kind, n: int = 1, **fields: object) -> CallEvent:
        """Return the n-th event of this kind that carries these fields, as soon as it has been told."""
        told = asyncio.get_running_loop().create_future()
        self._waiting.append((lambda: len(self.all(kind, **fields)) >= n, told))
        self._look()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await told
        except TimeoutError:
            kinds = [str(event.kind) for event in self.events]
            raise AssertionError(f"no {kind} {fields} ({n}) in {PATIENCE_S:g} s; there was {kinds}") from None
        return self.all(kind, **fields)[n - 1]

    def take(self, event: CallEvent) -> None:
        """Add what was told; once, however often it was."""
        if all(event.event_id != known.event_id for known in self.events):
            self.events.append(event)
            self._look()

    def _look(self) -> None:
        for what, told in self._waiting:
            if not told.done() and what():
                told.set_result(None)

    async def ended(self) -> CallEvent:
        """Return the last event."""
        return await self.event(Kind.ENDED)

    def all(self, kind: Kind, **fields: object) -> list[CallEvent]:
        """Return the events of one kind that carry these fields."""
        return [e for e in self.events if e.kind is kind and fields.items() <= e.fields.items()]

    def spoken(self) -> list[str]:
        """Return what the bot has said, prompt by prompt."""
        return [str(event.fields["spoken"]) for event in self.all(Kind.PROMPT_STARTED)]


class Node:
    """The node that all journeys share."""

    bus: Bus

    def __init__(self, stage: Stage, script: str) -> None:
        self.stage, self._script = stage, script
        self.playing: asyncio.Task[Any] | None = None
        """Calls in which no process is to die; `whole` waits for their end."""
        self._calls: dict[str, Followed] = {}

    async def listen(self) -> None:
        """Follow the events of all calls, of this life of the node: its NATS has an address of its own in each."""
        config = self.stage.config
        self.bus = await Bus.connect(login(config, Role.OPERATOR), name="journeys", node_id=config.node.id)
        await self.bus.subscribe(ALL_EVENTS, lambda body, _: self._take(from_body(body)))

    async def die_and_come_back(self) -> None:
        """Kill the launcher, and every process with it; return when it is up again, and has told what it told since."""
        roster = self.stage.client.roster()
        assert roster.launcher
        self.kill_pid(roster.launcher.pid)
        await self.until(lambda: not any(map(_runs, (peer.pid for peer in roster.processes))))
        self.is_dead()
        await self.bus.close()
        await self.until(lambda: self._is_up_since(roster))
        await self.listen()
        async for received in self.bus.replay(Stream.EVENTS):
            self._take(from_body(received.body))

    def is_dead(self) -> None:
        """Do what a test wants done while nobody lives."""

    def _is_up_since(self, before: Roster) -> bool:
        try:
            roster = self.stage.client.roster()
        except NotUp:
            return False
        is_new = roster.launcher is not None and roster.launcher != before.launcher
        return is_new and all(len(roster.active(role)) >= n for role, n in WHOLE.items())

    def _take(self, event: CallEvent) -> None:
        if call := self._calls.get(event.call_id):
            call.take(event)

    async def call(self, target: str, ring_s: float = 30.0, script: str = "") -> Followed:
        """Have the edge call a SIP URI, with this script or everybody's; return the call once the edge owns it."""
        call = Followed(new_order(target, script or self._script, {}, ring_s, is_recorded=True))
        self._calls[call.order.call_id] = call
        await self.stage.client.mesh.ask(self.active("edge").identity, call.order)
        return call

    async def call_callee(self, user: str) -> Followed:
        """Have the edge call a rehearsal callee, whose manner is the part of `user` before the dash."""
        return await self.call(self.stage.callee(user))

    async def end(self, call: Followed) -> None:
        """Have the edge hang up."""
        await self.stage.client.mesh.ask(self.active("edge").identity, EndCall(call.order.call_id))

    async def lived(self, call: Followed) -> dict[str, object]:
        """Return the callee's own report of a call, written when it hangs up."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for report in self.stage.lived():
                    if report["call_id"] == call.order.call_id:
                        return report
                await asyncio.sleep(LOOK_S)

    def active(self, role: str, name: str = "") -> Peer:
        """Return the active process of a role."""
        return next(peer for peer in self.stage.client.roster().active(role) if name in ("", peer.name))

    def engines(self, call_id: str, recogniser: str = KALDI) -> list[Peer]:
        """Return the processes that hear with it, in the order in which this call asks them (`Engines.ordered`)."""
        all_of_them = self.stage.client.roster().active("speech")
        first = zlib.crc32(call_id.encode()) % len(all_of_them)
        kind = self.stage.config.speech.of_process
        return [peer for peer in (*all_of_them[first:], *all_of_them[:first]) if kind(peer.name).name == recogniser]

    def kill(self, peer: Peer) -> None:
        """End a process as nothing but SIGKILL can."""
        self.kill_pid(peer.pid)

    def kill_pid(self, pid: int) -> None:
        """The same, of a process that is in no roster."""
        os.kill(pid, signal.SIGKILL)

    async def until(self, what: Callable[[], object]) -> None:
        """Return once `what()` holds; for what is on disk and tells nobody."""
        async with asyncio.timeout(PATIENCE_S):
            while not what():
                await asyncio.sleep(LOOK_S)

    async def whole(self) -> None:
        """Return when somebody may die: each process is up, the paired ones have their spares, nobody minds."""
        if self.playing:
            await asyncio.wait([self.playing])
        roster = self.stage.client.roster
        await self.until(
            lambda: (
                all(len(roster().active(role)) >= n for role, n in WHOLE.items())
                and all(roster().spare(role) for role in ("edge", "media"))
            )
        )

    async def figures(self, role: str) -> dict[str, float]:
        """Return the counters of the active process of a role."""
        return (await self.stage.client.mesh.ask(self.active(role).identity, GetStatus())).figures


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
