"""An agent who is no person: signs in at the desk through its WebSocket as a page would, and serves calls.

Ready, probed, context on the screen, a moment's thought, accept; hears the caller and says something of its own, then
finishes. What it notes is what a person at the desk would notice: how long after their yes the caller's first sound
came, whether they knew the context before, and gaps in the voice. One line of JSON for each call.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np

from nodes.audio import g711
from nodes.rehearsal.earpiece import FRAME, FRAME_S, LOUD, QUIET
from nodes.rehearsal.voices import speak
from nodes.telemetry import logs

AGENTS: Final = "RINGMASTER_REHEARSAL_AGENTS"
"""Environment variable: the agents' names, joined with `,`; `ann:service+billing` gives Ann two skills."""
DESKS: Final = "RINGMASTER_REHEARSAL_DESKS"
"""Environment variable: the run directories of the nodes at whose desks they sit, in turn, joined with `:`."""
REPORTS: Final = "agents.jsonl"
"""In the state directory."""
ACCEPT_S: Final = 1.0
TALK_S: Final = 4.0
BEAT_S: Final = 10.0
LOOK_S: Final = 0.1
SAYS: Final = "hello this is the service desk i have read what you said thank you i will look after it goodbye"
VOICE: Final = "awb"

log = logs.get(__name__)


@dataclass(slots=True)
class Served:
    """One call as the agent has lived it. Times in milliseconds; -1: it never came."""

    agent: str
    call_id: str
    context: dict[str, Any] = field(default_factory=dict)
    context_before_bridge: bool = False
    heard_ms: float = -1.0
    """From the agent's yes to the first frame of the call."""
    voice_ms: float = -1.0
    """From the agent's yes to the first frame in which somebody speaks."""
    frames: int = 0
    worst_gap_ms: float = 0.0
    ended: str = ""
    """`finished`: by the agent; `released`: by the others."""


class Agent:
    """One agent for the length of a rehearsal. `run` comes back to a desk that went away."""

    def __init__(self, name: str, skills: tuple[str, ...], desk: Path, reports: Path) -> None:
        """`desk`: the run directory of the node at whose desk they sit."""
        self.desk = desk
        self._name, self._skills, self._reports = name, skills, reports
        self._served: Served | None = None
        self._accepted_s = self._last_frame_s = 0.0

    async def run(self) -> None:
        """Serve calls until cancelled."""
        while True:
            try:
                await self._sit_down()
            except (aiohttp.ClientError, OSError) as error:
                log.info("agent.waits", agent=self._name, reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def _sit_down(self) -> None:
        address = (self.desk / "desk.url").read_text()
        token = (self.desk / "token").read_text()
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}socket") as socket:
            hello = {"token": token, "agent": self._name, "skills": self._skills, "ready": True}
            await _say(socket, "hello", **hello)
            async with asyncio.TaskGroup() as group:
                beat = group.create_task(_beat(socket))
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        self._hear(message.data, time.monotonic())
                    elif message.type is aiohttp.WSMsgType.TEXT:
                        await self._told(socket, json.loads(message.data), group)
                beat.cancel()

    async def _told(
        self, socket: aiohttp.ClientWebSocketResponse, told: dict[str, Any], group: asyncio.TaskGroup
    ) -> None:
        match told:
            case {"type": "probe", "call": call}:
                await _say(socket, "probed", call=call)
            case {"type": "context", "call": call, "context": context}:
                self._served = Served(self._name, call, context)
                await _say(socket, "shown", call=call)
            case {"type": "offer", "call": call}:
                group.create_task(self._serve(socket, call))
            case {"type": "bridged"} if self._served:
                self._served.context_before_bridge = bool(self._served.context)
            case {"type": "released", "call": call} if self._served and self._served.call_id == call:
                self._write("released")
            case {"type": "state", "state": "wrapup"}:
                await _say(socket, "wrapped_up")
            case _:
                pass

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse, call: str) -> None:
        """Think, accept, talk, finish."""
        words = await speak(SAYS, VOICE)
        await asyncio.sleep(ACCEPT_S)
        self._accepted_s, self._last_frame_s = time.monotonic(), 0.0
        await _say(socket, "accept", call=call)
        began = time.monotonic()
        for number in range(round(TALK_S / FRAME_S)):
            if self._served is None or socket.closed:
                return
            with suppress(ConnectionError):
                await socket.send_bytes(words[number * FRAME : (number + 1) * FRAME].ljust(FRAME, QUIET[:1]))
            await asyncio.sleep(max(0.0, began + (number + 1) * FRAME_S - time.monotonic()))
        self._write("finished")
        await _say(socket, "finish", call=call)

    def _hear(self, frame: bytes, now: float) -> None:
        served = self._served
        if served is None or not self._accepted_s:
            return
        if self._last_frame_s:
            served.worst_gap_ms = max(served.worst_gap_ms, round((now - self._last_frame_s) * 1000, 1))
        self._last_frame_s, after_ms = now, round((now - self._accepted_s) * 1000, 1)
        served.frames += 1
        if served.heard_ms < 0:
            served.heard_ms = after_ms
        if served.voice_ms < 0 and np.abs(g711.decode(frame).astype(np.int32)).max() > LOUD:
            served.voice_ms = after_ms

    def _write(self, ended: str) -> None:
        """Write down how a call was; one that was given to somebody else before it was heard was none."""
        if self._served and self._served.frames:
            self._served.ended = ended
            with self._reports.open("a") as file:
                file.write(json.dumps(asdict(self._served)) + "\n")
        self._served, self._accepted_s = None, 0.0


def agents_of(given: str, desks: Sequence[Path], reports: Path) -> list[Agent]:
    """Return the agents that `AGENTS` names, shared out among the desks.

    >>> [one.desk.name for one in agents_of("ann:service,ben,cat", [Path("n1"), Path("n2")], Path("agents.jsonl"))]
    ['n1', 'n2', 'n1']
    """
    agents = []
    for desk, one in zip(cycle(desks), filter(None, given.split(",")), strict=False):
        name, _, skills = one.partition(":")
        agents.append(Agent(name, tuple(filter(None, skills.split("+"))), desk, reports))
    return agents


async def _beat(socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        await _say(socket, "beat")


async def _say(socket: aiohttp.ClientWebSocketResponse, kind: str, **fields: object) -> None:
    with suppress(ConnectionError):  # the reader sees the end of the socket, and says so once
        await socket.send_str(json.dumps({"type": kind, **fields}))


__all__ = ["AGENTS", "DESKS", "REPORTS", "Agent", "agents_of"]
