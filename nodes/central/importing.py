"""One import under way: the list goes to a process that reads it, and what that makes of it into an object.

Nothing is known of it before `commit`, and whatever ends it earlier leaves nothing: the reading process ends, the
object's chunks are removed, and what even that leaves (a central that was killed) the next leader sweeps. All buffers
are those of pipes: who sends the list waits until it is read and stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from grammars.errors import ScriptError
from grammars.lang import ENGLISH
from grammars.script_pack import unpack
from nodes.bus.objects import Objects, Writing
from nodes.central import roll
from nodes.central.imports import entry_of, plan_problems, recording_problems, script_problems
from nodes.central.memory import Memory
from nodes.central.memory_store import roll_name
from nodes.central.reader import Order, framed
from nodes.central.roll import Roll
from nodes.checking import Scripts
from nodes.config import Sip
from nodes.errors import NodeError
from nodes.links.errors import BusAway, ObjectBroken, Refused
from nodes.links.tasks import Tasks
from nodes.telemetry import logs
from nodes.unpacking import BadItem, Items
from protocols.wire import campaigns as wire
from protocols.wire.campaigns import BeginImport, Plan, Problem
from protocols.wire.journal import RollRef

IDLE_S: Final = 30.0
"""So long may the next part take before the list is given up."""
LOOK_S: Final = 1.0
CHUNK: Final = 256 * 1024
_ROOT: Final = Path(__file__).parents[2]
"""Where `-m` finds our packages, installed or not."""

log = logs.get(__name__)


class NotRead(NodeError):
    """The list cannot be imported, for a reason that is not in it: the reader has ended, or NATS is away."""


class Import:
    """A list on its way. `pump` runs as a task; `take` and `commit` are asked by who sends."""

    def __init__(
        self, import_id: str, request: BeginImport, packed: bytes, child: Process, writing: Writing, objects: Objects
    ) -> None:
        self.import_id, self.request, self.packed = import_id, request, packed
        self.n_bytes = self.n_contacts = 0
        self._touched_s = time.monotonic()
        self._child, self._writing, self._objects = child, writing, objects
        self._reading = roll.Reading()
        self._problems: tuple[Problem, ...] = ()
        self._failure = ""
        self._is_read = asyncio.Event()
        self._is_stored = False

    @classmethod
    async def begin(
        cls, import_id: str, request: BeginImport, packed: bytes, key: bytes, sip: Sip, objects: Objects
    ) -> Import:
        """Start the reading process. Raises: `BusAway`, OSError."""
        writing = objects.begin(roll_name(request.campaign_id))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nodes.central.reader", stdin=PIPE, stdout=PIPE, cwd=_ROOT
        )
        assert child.stdin is not None
        child.stdin.write(framed(Order(request.file, request.plan, packed, key, sip)))
        return cls(import_id, request, packed, child, writing, objects)

    async def pump(self) -> None:
        """Store what is read, until there is no more."""
        items = Items()
        assert self._child.stdout is not None
        try:
            while chunk := await self._child.stdout.read(CHUNK):
                for told in items.feed(chunk):
                    if isinstance(told, dict) and "problems" in told:
                        self._problems = msgspec.convert(told["problems"], tuple[Problem, ...])
                    else:
                        self._reading.take(told)
                self.n_contacts = self._reading.n_contacts
                await self._writing.write(chunk)
        except (BusAway, BadItem, roll.BadRoll, OSError) as error:
            self._failure = f"{type(error).__name__}: {error}"
            log.warning("import.failed", campaign_id=self.request.campaign_id, error=self._failure)
        finally:
            self._is_read.set()
            self._end()

    async def take(self, data: bytes) -> bool:
        """Have the next bytes read; False when there is no use in more. Raises: `NotRead`."""
        self._touched_s = math.inf
        try:
            await self._send(data)
        finally:
            self._touched_s = time.monotonic()
        self.n_bytes += len(data)
        if self._failure:
            raise NotRead(self._failure)
        return not self._is_read.is_set()

    @property
    def idle_s(self) -> float:
        """How long nobody has sent anything; negative while something is being read."""
        return time.monotonic() - self._touched_s

    async def _send(self, data: bytes) -> None:
        assert self._child.stdin is not None
        if not self._is_read.is_set():
            try:
                self._child.stdin.write(data)
                await self._child.stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                await self._is_read.wait()

    async def commit(self) -> Roll | tuple[Problem, ...]:
        """Return the roll, or what is wrong with the list. Raises: `NotRead`."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        await self._is_read.wait()
        if self._problems:
            return self._problems
        try:
            return self._reading.whole()
        except roll.BadRoll as error:
            raise NotRead(self._failure or f"{error}; its reader ended with {await self._child.wait()}") from error

    async def store(self) -> RollRef:
        """Return the object that the roll is from now on, read back. Raises: `BusAway`, `ObjectBroken`."""
        info = await self._writing.finish()
        self._is_stored = True
        async for _ in self._objects.read(info.name, info.digest):
            pass
        return RollRef(info.name, info.digest, self.n_contacts)

    @property
    def name(self) -> str:
        """The name of the object that the roll will be."""
        return self._writing.name

    async def kill(self) -> None:
        """Leave no process."""
        self._end()
        await self._child.wait()

    async def close(self) -> None:
        """Leave no process, and no object that was not finished."""
        await self.kill()
        await self._is_read.wait()
        if not self._is_stored:
            with contextlib.suppress(BusAway):
                await self._writing.abandon()

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()


class Importer:
    """The imports of a central, one at a time."""

    def __init__(
        self, memory: Memory, objects: Callable[[], Objects], key: bytes, sip: Sip,
        kept: Callable[[Plan], Iterable[Problem]] = lambda plan: (), hears: Collection[str] = (ENGLISH,),
    ) -> None:  # fmt: skip
        """`kept`: what is wrong with how a plan wants its recordings kept. `hears`: languages that are heard here."""
        self._memory, self._objects, self._key, self._kept = memory, objects, key, kept
        self.follow(sip)
        self._scripts = Scripts(hears)
        self._current: Import | None = None
        self._is_beginning = False

    def follow(self, sip: Sip) -> None:
        """Have the imports that begin from now on judged by these trunks."""
        self._sip = replace(sip, trunks=tuple(replace(trunk, password="") for trunk in sip.trunks))
        self._trunks = [trunk.name for trunk in sip.trunks]

    async def begin(self, request: wire.BeginImport, tasks: Tasks) -> wire.ImportBegun:
        """Begin an import; what it does is a task of `tasks`, and ends with them. Raises: `Refused`, `BusAway`."""
        if request.campaign_id in self._memory.campaigns.campaigns:
            raise Refused("campaign_exists")
        if self._current or self._is_beginning:
            raise Refused("importing")
        self._is_beginning = True
        try:
            return await self._begin(request, tasks)
        finally:
            self._is_beginning = False

    async def take(self, part: wire.ListPart) -> wire.ListTaken:
        """Have the next part read. Raises: `Refused`."""
        current = self._find(part.import_id)
        if part.offset != current.n_bytes:
            raise Refused("wrong_offset")
        try:
            has_use = await current.take(part.data)
        except NotRead:
            self._current = None
            await current.close()
            raise Refused("not_read") from None
        return wire.ListTaken(current.n_bytes, current.n_contacts, not has_use)

    async def commit(self, request: wire.CommitImport) -> wire.CampaignImported:
        """Have the campaign exist, or say what is wrong. Raises: `Refused`, `BusAway`."""
        current = self._find(request.import_id)
        self._current = None  # whatever comes of it, this was it
        try:
            if request.n_bytes != current.n_bytes:
                raise Refused("list_incomplete")
            made = await current.commit()
            return await self._write(current, made) if isinstance(made, Roll) else wire.CampaignImported(0, made)
        except (NotRead, ObjectBroken) as error:
            log.error("import.not_read", campaign_id=current.request.campaign_id, error=str(error))
            raise Refused("not_read") from error
        finally:
            await current.close()

    async def _begin(self, request: wire.BeginImport, tasks: Tasks) -> wire.ImportBegun:
        if problems := [*plan_problems(request, self._trunks), *self._kept(request.plan)]:
            return wire.ImportBegun("", tuple(problems))
        try:
            packed = await self._scripts.packed(request.script)
        except ScriptError as error:
            return wire.ImportBegun("", script_problems(error))
        if problems := [*recording_problems(request.plan, unpack(packed))]:
            return wire.ImportBegun("", tuple(problems))
        import_id = secrets.token_hex(8)
        current = await Import.begin(import_id, request, packed, self._key, self._sip, self._objects())
        try:
            tasks.spawn(current.pump())
            tasks.spawn(self._watch(current))
            await asyncio.sleep(0)  # until they have begun
        finally:
            if self._current is not current:  # or the term is over, and they are not begun: then they end nothing
                await current.kill()
        if self._current is not current:
            raise Refused("not_leading")
        return wire.ImportBegun(import_id)

    async def _write(self, current: Import, made: Roll) -> wire.CampaignImported:
        """Store the roll, and write the campaign down."""
        request = current.request
        if request.campaign_id in self._memory.campaigns.campaigns:
            raise Refused("campaign_exists")
        self._memory.campaigns.rolls[current.name] = made  # whoever tidies up leaves it alone
        try:
            stored = await current.store()
            if not self._memory.leads:  # a successor may have removed it as unused
                raise Refused("not_leading")
            wall = self._memory.clock.wall()
            await self._memory.write(entry_of(request, current.import_id, current.packed, stored, wall))
        finally:
            self._memory.campaigns.rolls.pop(current.name, None)
        campaign = self._memory.campaigns.campaigns.get(request.campaign_id)
        if campaign is None or campaign.roll is not made:  # another list of this name was faster
            raise Refused("campaign_exists")
        log.info("campaign.imported", campaign_id=request.campaign_id, contacts=len(made))
        return wire.CampaignImported(len(made))

    async def _watch(self, current: Import) -> None:
        """Have it be the current one; give it up when nobody goes on with it, and with the term in any case."""
        self._current = current
        try:
            while self._current is current and current.idle_s < IDLE_S:  # noqa: ASYNC110  a deadline
                await asyncio.sleep(LOOK_S)
        finally:
            if self._current is current:
                self._current = None
                log.warning("import.given_up", campaign_id=current.request.campaign_id)
                await current.close()

    def _find(self, import_id: str) -> Import:
        if self._current is None or self._current.import_id != import_id:
            raise Refused("unknown_import")
        return self._current


__all__ = ["IDLE_S", "Import", "Importer", "NotRead"]
