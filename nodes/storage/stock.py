"""All recordings that this machine can read: on its disk, plain or encrypted, and in the store. Waits for both.

A part is looked for on the disk first, and then in the store, where any machine's are; which form it has is nobody
else's business. What is read of an object is its head once, and then pieces.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from nodes.links import recordings as disk
from nodes.links.recordings import PART, SEALED, WAV, files_of
from nodes.mesh.pieces import is_name
from nodes.storage.files import opened
from nodes.storage.names import Place, Stored, prefix_of, stored
from nodes.storage.sealing import HEADER_BYTES, NotSealed, Ring, Sealed
from nodes.storage.store import Store, StoreError
from nodes.telemetry import logs
from protocols.wire.ids import CallId, NodeId
from protocols.wire.pieces import PIECE_BYTES, Piece
from protocols.wire.recordings import Held, RecordingsErased

KEPT: Final = 64
"""Objects of which it is remembered where they are and how they begin: those that are played just now."""
KEPT_S: Final = 60.0

Reads: TypeAlias = Callable[[int, int], bytes]
"""`(offset, n)`: so many bytes from there on."""

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """An object that is being read."""

    key: str
    length: int
    is_sealed: bool
    head: bytes
    until_s: float


class Stock:
    """Those of some places. `store`: None, where there is none. `counts`: `unreadable` parts."""

    def __init__(self, places: tuple[Place, ...], ring: Ring, store: Store | None) -> None:
        self.places, self.ring, self.store = places, ring, store
        self.counts: Counter[str] = Counter()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def roots(self) -> list[Path]:
        """The directories."""
        return [place.root for place in self.places]

    # ---- what there is ----------------------------------------------------------------------------------------------

    def here(self, call_id: CallId) -> dict[int, int]:
        """Return which parts are on this disk, and how many bytes each has."""
        found: dict[int, int] = {}
        files = [file for file in files_of(self.roots, [call_id]) if file.suffix != PART and file.path.name[0] != "."]
        for file in sorted(files, key=lambda one: one.suffix != WAV):  # one that is being encrypted is there twice
            if file.part in found:
                continue
            try:
                if file.suffix == WAV:
                    found[file.part] = file.n_bytes
                else:
                    with opened(self.ring, file.path.stem, file.path) as one:
                        found[file.part] = one.n_bytes
            except FileNotFoundError:
                continue
            except NotSealed as error:
                self.unreadable(error)
        return dict(sorted(found.items()))

    def there(self, call_id: CallId) -> dict[int, tuple[NodeId, int]]:
        """Return which parts are in the store: who made each, and its bytes. Raises: StoreError."""
        found: dict[int, tuple[NodeId, int]] = {}
        for one, length in self._newest(call_id):
            try:
                known = self._look(one, length)
                with self._opened(one.name, known) as (n_bytes, _):
                    found[one.part] = one.node, n_bytes
            except NotSealed as error:
                self.unreadable(error)
        return dict(sorted(found.items()))

    def _newest(self, call_id: CallId) -> Iterator[tuple[Stored, int]]:
        """Yield one object for each part: of several, the last that was made has what the others have."""
        newest = {
            one.part: (one, length) for one, length in sorted(self._objects(call_id), key=lambda it: it[0].second)
        }
        yield from newest.values()

    def _objects(self, call_id: CallId) -> Iterator[tuple[Stored, int]]:
        if self.store is None or not is_name(call_id) or "." in call_id:
            return
        for place in self.places:
            for found in self.store.objects(prefix_of(place, call_id)):
                if one := stored(place, found.key):
                    yield one, found.n_bytes

    # ---- what is in it ----------------------------------------------------------------------------------------------

    def piece(self, name: str, offset: int) -> Piece:
        """Return a piece of a part. Raises: FileNotFoundError, OSError, NotSealed, StoreError."""
        call, _, number = name.partition(".")
        if not is_name(name) or offset < 0:
            raise FileNotFoundError(name)
        for place in self.places:
            try:
                with (place.root / f"{name}.{WAV}").open("rb") as file:
                    size = file.seek(0, 2)
                    file.seek(offset)
                    return Piece(file.read(PIECE_BYTES), size)
            except FileNotFoundError:
                pass
            try:
                with opened(self.ring, name, place.root / f"{name}.{SEALED}") as one:
                    return Piece(one.read(offset, PIECE_BYTES), one.n_bytes)
            except FileNotFoundError:
                pass
        known = self._remembered(name) or self._found(name, CallId(call), number)
        with self._opened(name, known) as (n_bytes, read):
            return Piece(read(offset, min(PIECE_BYTES, max(0, n_bytes - offset))), n_bytes)

    def _found(self, name: str, call_id: CallId, number: str) -> _Known:
        for one, length in self._newest(call_id):
            if one.name == name:
                return self._look(one, length)
        raise FileNotFoundError(name)

    def _remembered(self, name: str) -> _Known | None:
        with self._lock:
            known = self._known.get(name)
        return known if known and known.until_s > time.monotonic() else None

    def _look(self, one: Stored, length: int) -> _Known:
        assert self.store is not None
        if (known := self._remembered(one.name)) and known.key == one.key:
            return known
        head = self.store.read(one.key, 0, HEADER_BYTES) if one.is_sealed else b""
        known = _Known(one.key, length, one.is_sealed, head, time.monotonic() + KEPT_S)
        with self._lock:
            self._known[one.name] = known
            self._known.move_to_end(one.name)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return known

    @contextmanager
    def _opened(self, name: str, known: _Known) -> Iterator[tuple[int, Reads]]:
        store, key = self.store, known.key
        assert store is not None
        if not known.is_sealed:
            yield known.length, lambda offset, n: store.read(key, offset, n)
            return

        def read(offset: int, n: int) -> bytes:
            is_head = offset + n <= len(known.head)
            return known.head[offset : offset + n] if is_head else store.read(key, offset, n)

        one = Sealed(self.ring, name, known.length, read)
        yield one.n_bytes, one.read

    # ---- its end ----------------------------------------------------------------------------------------------------

    def erase(self, call_ids: Collection[CallId], only_look: bool) -> RecordingsErased:
        """Have nothing left, here and in the store, and look again. Raises: OSError."""
        done = disk.erase(self.roots, call_ids, only_look)
        deleted, left, unseen = [*done.deleted], [*done.left], list[str]()
        try:
            for call_id in call_ids if self.store else ():
                for one, length in [*self._objects(call_id)] if not only_look else ():
                    self._forget(one.name)
                    assert self.store is not None
                    self.store.delete(one.key)
                    deleted.append(Held(call_id, one.key, "store", length))
                left += [Held(call_id, one.key, "store", length) for one, length in self._objects(call_id)]
        except StoreError as error:
            log.warning("recordings.not_erased", error=str(error))
            unseen.append("store")
        self.counts["erased"] += len(deleted)
        return RecordingsErased(tuple(deleted), tuple(left), tuple(unseen))

    def _forget(self, name: str) -> None:
        with self._lock:
            self._known.pop(name, None)

    def unreadable(self, error: NotSealed) -> None:
        """Count a part that cannot be read, and say why."""
        self.counts["unreadable"] += 1
        log.error("recording.unreadable", recording=error.name, reason=error.word)


__all__ = ["Stock"]
