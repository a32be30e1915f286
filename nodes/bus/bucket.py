"""A key-value bucket of JSON objects, and a watch on it that survives the server.

What is expected is a value: a key that is not there is None, and so is a write that somebody else was faster with.
A bucket is the copy for newcomers and for who looks in; no call waits for one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
import nats.errors
from nats.js.api import StreamInfo
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NoKeysError
from nats.js.kv import KeyValue

from nodes.bus.connection import Connection, away_for_errors, obey_cancellation
from nodes.bus.consumer import is_left
from nodes.links.errors import BusAway
from nodes.reading import read_json
from protocols.wire.subjects import Bucket as Name
from protocols.wire.subjects import part

Body: TypeAlias = dict[str, Any]

LOOK_S: Final = 0.5
"""How soon a watch notices that the connection is another one."""
MADE_S: Final = 3.0
"""How soon a quiet watch notices that its bucket was deleted and made again: the server does not tell it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value at a revision. `value` is None when the key was deleted, or holds something that is no object."""

    key: str
    value: Body | None
    revision: int


class _Feed:
    """What nats-py's watcher tells, without its looking four times a second whether the server asks how far we are.

    For who is called with each message, as its watcher, nats-py answers that at once (flow control), and the task that
    looks finds nothing ever.
    """

    def __init__(self, watcher: KeyValue.KeyWatcher, connection: Connection) -> None:
        self._watcher, self._came_up = watcher, connection.came_up
        ours: Any = watcher  # nats-py keeps the rest to itself
        ours._sub._sub._jsi._fctask.cancel()
        self._came_up.add(self._wake)

    async def next(self, timeout_s: float) -> KeyValue.Entry | None:
        """Return the next update, or None when there may be something else to see. Raises: `TimeoutError`."""
        update: KeyValue.Entry | None = await self._watcher.updates(timeout=timeout_s)  # type: ignore[no-untyped-call]
        return update

    async def stop(self) -> None:
        """Be told nothing more."""
        self._came_up.discard(self._wake)
        await self._watcher.stop()  # type: ignore[no-untyped-call]

    def _wake(self) -> None:
        """The connection is another one: whoever waits is to see that at once."""
        with suppress(asyncio.QueueFull):
            self._watcher._updates.put_nowait(None)


class Bucket:
    """One bucket. Every method but `watch` raises `BusAway` when NATS does not answer."""

    def __init__(self, connection: Connection, name: Name) -> None:
        self._connection, self._name = connection, name

    async def get(self, key: str) -> Entry | None:
        """Return the key's newest value, or None."""
        with away_for_errors():
            try:
                found = await self._store().get(_key(key))
            except KeyNotFoundError:
                return None
        return Entry(key, _body(found.value), found.revision or 0)

    async def history(self, key: str) -> list[Entry]:
        """Return the values that the bucket still has of a key, the newest at the end; deletions are left out."""
        with away_for_errors():
            try:
                found = await self._store().history(_key(key))
            except NoKeysError:
                return []
        return [Entry(key, _body(one.value), one.revision or 0) for one in found if not one.operation]

    async def put(self, key: str, value: Body) -> int:
        """Write whatever was there before; returns the revision."""
        with self._writing() as took:
            revision = await self._store().put(_key(key), msgspec.json.encode(value))
            took()
            return revision

    async def create(self, key: str, value: Body) -> int | None:
        """Write if the key is not there; returns the revision, or None if it is."""
        with self._writing() as took:
            try:
                revision = await self._store().create(_key(key), msgspec.json.encode(value))
                took()
                return revision
            except (KeyWrongLastSequenceError, KeyNotFoundError):  # not found: it expired while nats-py looked again
                took()
                return None

    async def update(self, key: str, value: Body, revision: int) -> int | None:
        """Write if `revision` is still the newest; returns the new revision, or None if it is not."""
        with self._writing() as took:
            try:
                revision = await self._store().update(_key(key), msgspec.json.encode(value), revision)
                took()
                return revision
            except KeyWrongLastSequenceError:
                took()
                return None

    async def delete(self, key: str) -> None:
        """Delete the key; a watch tells it. (Expiry is not told: whoever needs to know of it keeps a clock.)"""
        with self._writing() as took:
            await self._store().delete(_key(key))
            took()

    async def watch(self) -> AsyncGenerator[Entry | None, None]:
        """Tell all that is there, then None, then every change, for ever; close it with `aclose` or a cancelled task.

        When NATS was away, everything is told again, keys that have gone meanwhile as deleted, and then None again.
        """
        known: set[str] = set()
        while True:
            await self._connection.up.wait()
            try:
                async for entry in self._watch_once(known):
                    yield entry
            except BusAway:
                await asyncio.sleep(LOOK_S)

    async def _watch_once(self, known: set[str]) -> AsyncIterator[Entry | None]:
        """Tell everything, and then changes, until the connection is another; `known`: the keys told last time.

        Where the snapshot ends we judge ourselves: nats-py says so also when the server has sent all of it and nothing
        has arrived, for its question overtakes what was sent. Each entry says how many follow it; where none comes at
        all the bucket itself is asked. Of several servers that may be one which is behind: then it ends when it is not.
        """
        generation = self._connection.generation
        with away_for_errors():
            watcher = await self._store().watchall()
        feed = _Feed(watcher, self._connection)
        try:
            gone, is_snapshot, is_end = set(known), True, False
            bucket, look_s = await self._info(), time.monotonic() + MADE_S
            is_empty, told = not bucket.state.messages, 0
            while generation == self._connection.generation:
                obey_cancellation()
                update = None
                if not (is_snapshot and is_empty):
                    try:
                        update = await feed.next(LOOK_S if is_snapshot else max(LOOK_S, look_s - time.monotonic()))
                    except TimeoutError:
                        if is_snapshot or time.monotonic() > look_s:
                            now, look_s = await self._info(), time.monotonic() + MADE_S
                            if now.created != bucket.created:
                                return  # another bucket of this name: our watch is on the one that was deleted
                            is_empty = not now.state.messages  # what was there has expired
                if update is not None:
                    is_end, told = not update.delta, update.revision or 0
                    entry = Entry(update.key, None if update.operation else _body(update.value), update.revision or 0)
                    gone.discard(entry.key)
                    known.add(entry.key) if entry.value is not None else known.discard(entry.key)
                    yield entry
                if is_snapshot and (is_empty or (is_end and await self._has_told(told, bucket.state.last_seq))):
                    is_snapshot = False
                    known -= gone
                    for key in sorted(gone):
                        yield Entry(key, None, 0)
                    yield None
        finally:
            with suppress(nats.errors.Error):
                await feed.stop()

    async def _has_told(self, told: int, last: int) -> bool:
        """Say whether nothing up to `last` is in the bucket that is not told yet, now that the server has no more."""
        return told >= last or not await is_left(self._connection, f"KV_{self._name}", told, last)

    async def _info(self) -> StreamInfo:
        """Return what the server knows of the bucket. Raises: `BusAway`, also where there is none."""
        with away_for_errors():
            return await self._connection.jetstream.stream_info(f"KV_{self._name}")

    @contextmanager
    def _writing(self) -> Iterator[Callable[[], None]]:
        """For the length of a write; what is given is called when it was taken. Raises: `BusAway`."""
        with self._connection.writes.of(self._name) as took, away_for_errors():
            yield took

    def _store(self) -> KeyValue:
        return KeyValue(self._name, f"KV_{self._name}", f"$KV.{self._name}.", self._connection.jetstream, direct=True)


def _key(text: str) -> str:
    """Return `text` if it may be a key. Raises: `LocalProtocolError`."""
    return ".".join(map(part, text.split(".")))


def _body(raw: bytes | None) -> Body | None:
    try:
        return read_json(raw or b"", dict[str, Any])
    except ValueError:
        return None


__all__ = ["Body", "Bucket", "Entry"]
