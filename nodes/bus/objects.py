"""Objects: what is too long for a message, as chunks in a stream, whole or not there (ADR-20 of the NATS project).

An object is written chunk by chunk under a name that nobody knows yet, and exists from its last message on, which says
how long it is and what the hash of its bytes is. Reading gives the chunks as they come, and tells at the end if they
were not what was written. `nats object ls rm_journal` shows them. nats-py's own store reads through a subscription that
drops what it cannot hold, and has no way to write what is not known yet.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from nodes.bus.connection import Connection, away_for_errors
from nodes.bus.consumer import LAG_S, READ_S, has_copies, replay
from nodes.bus.erasing import erase_subject
from nodes.links.errors import BusAway, ObjectBroken
from nodes.reading import read_json
from protocols.wire import subjects

CHUNK: Final = 128 * 1024
"""Bytes of a chunk, as everywhere with NATS."""


@dataclass(frozen=True, slots=True)
class Info:
    """What the last message of an object says. `digest`: `SHA-256=` and the hash in base64 for URLs."""

    name: str
    nuid: str
    size: int
    chunks: int
    digest: str = ""
    bucket: str = subjects.OBJECTS
    mtime: str = ""
    deleted: bool = False


class Writing:
    """An object that is being written."""

    def __init__(self, objects: Objects, name: str, nuid: str) -> None:
        self._objects, self.name, self._nuid = objects, name, nuid
        self._hash = hashlib.sha256()
        self._waiting = bytearray()
        self._size = self._n_chunks = 0
        self._is_told = False
        self._in_place_of: int | None = None
        """The revision that its last message takes the place of, if it ever does: the server has not said no."""

    async def write(self, data: bytes) -> None:
        """Take the next bytes. Raises: `BusAway`; then the object will not be."""
        self._waiting += data
        while len(self._waiting) >= CHUNK:
            await self._send(bytes(self._waiting[:CHUNK]))
            del self._waiting[:CHUNK]

    async def finish(self, revision: int | None = None) -> Info:
        """Have the object be there, in the place of an earlier one of its name. Raises: `BusAway`.

        `revision`: only if that is still the one that is there (`Objects.revision`).
        """
        if self._waiting:
            await self._send(bytes(self._waiting))
            self._waiting.clear()
        digest = "SHA-256=" + base64.urlsafe_b64encode(self._hash.digest()).decode()
        mtime = datetime.now(UTC).isoformat()
        info = Info(self.name, self._nuid, self._size, self._n_chunks, digest, mtime=mtime)
        self._is_told, self._in_place_of = True, revision
        try:
            await self._objects.tell(info, revision)
        except BusAway as error:
            if isinstance(error.__cause__, APIError):
                self._in_place_of = None
            raise
        return info

    async def abandon(self) -> bool:
        """Leave nothing. Raises: `BusAway`; then `sweep` finds it.

        False: its last message was not acknowledged and may come yet, so its chunks must stay until there is another
        object of its name. When that message has come, the object is whole, and stays.
        """
        if self._is_told:
            nuid, revision = await self._objects.told(self.name)
            if nuid == self._nuid or revision == self._in_place_of:
                return nuid == self._nuid
        await self._objects.purge(subjects.object_chunks(self._nuid))
        return True

    async def _send(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._size += len(chunk)
        self._n_chunks += 1
        await self._objects.publish(subjects.object_chunks(self._nuid), chunk)


class Objects:
    """The bucket `rm_journal`. Every method raises `BusAway` when NATS does not answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin(self, name: str) -> Writing:
        """Begin to write an object."""
        return Writing(self, name, self._connection.client._nuid.next().decode())

    async def revision(self, name: str) -> int:
        """Return the sequence of what is said last of an object; 0 when nothing is."""
        return (await self.told(name))[1]

    async def told(self, name: str) -> tuple[str, int]:
        """Return which object (its nuid) is said last to have a name, and the sequence of that; 0 when nothing is."""
        told = await self._last(name)
        if told is None:
            return "", 0
        with suppress(msgspec.DecodeError):
            return read_json(told.data or b"", Info).nuid, told.seq or 0
        return "", told.seq or 0

    async def info(self, name: str) -> Info | None:
        """Return what is said of an object; None when there is none. Raises: `ObjectBroken`."""
        told = await self._last(name)
        if told is None:
            return None
        try:
            info = read_json(told.data or b"", Info)
        except msgspec.DecodeError as error:
            raise ObjectBroken(name, str(error)) from error
        return None if info.deleted else info

    async def read(self, name: str, digest: str = "") -> AsyncIterator[bytes]:
        """Yield the bytes of an object. Raises: `ObjectBroken` when it is not there, or not what was written.

        `digest`: which bytes it must be; that is known only when all have been told.
        """
        info, until_s = await self.info(name), time.monotonic() + READ_S
        while digest and (info is None or info.digest != digest) and time.monotonic() < until_s:
            if not await has_copies(self._connection, subjects.OBJECT_STREAM):
                break
            await asyncio.sleep(LAG_S)  # of several servers any may be asked, and one that is behind has an earlier one
            info = await self.info(name)
        if info is None or (digest and info.digest != digest):
            raise ObjectBroken(name, "it is not there" if info is None else "it is another one")
        found, size = hashlib.sha256(), 0
        chunks = subjects.object_chunks(info.nuid)
        async for received in replay(self._connection, subjects.OBJECT_STREAM, subject=chunks):
            found.update(received.data)
            size += len(received.data)
            yield received.data
        if size != info.size or info.digest != "SHA-256=" + base64.urlsafe_b64encode(found.digest()).decode():
            raise ObjectBroken(name, "its bytes are not those that were written")

    async def delete(self, name: str) -> None:
        """Have an object be gone; nothing happens when there is none."""
        with suppress(ObjectBroken):
            if info := await self.info(name):
                await self.purge(subjects.object_chunks(info.nuid))
        await self.purge(subjects.object_meta(name))

    async def names(self) -> list[str]:
        """Return the names of all objects."""
        return [info.name for info in await self._infos()]

    async def sweep(self) -> int:
        """Remove what was begun and never finished; return how many. Ask only when nobody writes."""
        used = {subjects.object_chunks(info.nuid) for info in await self._infos()}
        with away_for_errors():
            state = await self._connection.jetstream.stream_info(
                subjects.OBJECT_STREAM, subjects_filter=subjects.object_chunks(">")
            )
        unfinished = (state.state.subjects or {}).keys() - used
        for subject in unfinished:
            await self.purge(subject)
        return len(unfinished)

    async def tell(self, info: Info, revision: int | None) -> None:
        """Write an object's last message, and remove the chunks of the one before it."""
        before = None
        with suppress(ObjectBroken):
            before = await self.info(info.name)
        headers: dict[str, str] = {Header.ROLLUP: "sub"}
        if revision is not None:
            headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE] = str(revision)
        await self.publish(subjects.object_meta(info.name), msgspec.json.encode(info), headers)
        if before is not None and before.nuid != info.nuid:
            await self.purge(subjects.object_chunks(before.nuid))

    async def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Write one message of the stream."""
        with away_for_errors():
            await self._connection.jetstream.publish(subject, data, headers=headers)

    async def purge(self, subject: str) -> None:
        """Remove the messages of a subject, and their bytes: there are numbers in them."""
        await erase_subject(self._connection, subjects.OBJECT_STREAM, subject)

    async def _last(self, name: str) -> RawStreamMsg | None:
        with away_for_errors():
            try:
                return await self._connection.jetstream.get_last_msg(
                    subjects.OBJECT_STREAM, subjects.object_meta(name), direct=True
                )
            except NotFoundError:
                return None

    async def _infos(self) -> list[Info]:
        found = []
        async for received in replay(self._connection, subjects.OBJECT_STREAM, subject=subjects.object_meta()):
            with suppress(msgspec.DecodeError):
                found.append(read_json(received.data, Info))
        return [info for info in found if not info.deleted]


__all__ = ["CHUNK", "Info", "Objects", "Writing"]
