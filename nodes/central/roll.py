"""The contacts of one campaign, as the bytes they were imported as: a million take 150 MB, and are read when due.

A roll never changes; who is forgotten is left out of a new one. Contacts lie in batches; a batch is decoded when one of
its contacts is looked at: in the order of dialling that is once. Their names lie apart, 32 bytes each, so that the
one of a row is found without decoding, and the row of a name by looking through them (3 ms for a million; asked only by
who forgets somebody).

As an object, a roll is a stream of MessagePack items: what it is and which columns it has, the batches, how many
contacts they are. It is written and read batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from nodes.errors import NodeError
from nodes.unpacking import BadItem, Items
from protocols.wire.campaigns import ContactId
from protocols.wire.journal import Contact

BATCH: Final = 250
"""Contacts in all batches but the last: decoded in 0.2 ms."""
ID: Final = 32
"""Bytes of a name."""
CACHED: Final = 8
VERSION: Final = 1


class BadRoll(NodeError):
    """These bytes are no roll, or not a whole one."""


class _Row(msgspec.Struct, array_like=True, frozen=True):
    target: str
    zones: int
    """Which of the batch's zones."""
    consent: str
    values: list[str]
    """Of the columns, in their order; empty for a slot that the contact has not."""


class _Batch(msgspec.Struct, array_like=True, frozen=True):
    zones: list[tuple[str, ...]]
    rows: list[_Row]


_BATCHES: Final = msgspec.msgpack.Decoder(_Batch)


class Roll:
    """Contacts in the order of their list; a contact's number in it is its row."""

    def __init__(self, columns: Sequence[str] = ()) -> None:
        self.columns = tuple(columns)
        self._ids = bytearray()
        self._batches: list[bytes] = []
        self._cache: dict[int, _Batch] = {}

    @classmethod
    def of(cls, contacts: Sequence[Contact]) -> Roll:
        """Return the roll of these contacts."""
        roll = cls(sorted({column for contact in contacts for column in contact.slots}))
        for at in range(0, len(contacts), BATCH):
            roll.add(*packed(contacts[at : at + BATCH], roll.columns))
        return roll

    def add(self, ids: bytes, batch: bytes) -> None:
        """Take the next batch, as `packed` makes it."""
        self._ids += ids
        self._batches.append(batch)

    def __len__(self) -> int:
        return len(self._ids) // ID

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Roll) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __iter__(self) -> Iterator[Contact]:
        return map(self.contact, range(len(self)))

    def id_of(self, row: int) -> ContactId:
        """Return the name of the contact of a row; empty for one who is forgotten. Raises: IndexError."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        return ContactId(self._ids[row * ID : (row + 1) * ID].rstrip().decode("ascii"))

    def find(self, name: ContactId) -> int | None:
        """Return the row of a name, or None."""
        wanted, at = _id(name), -1
        while (at := self._ids.find(wanted, at + 1)) >= 0:
            if at % ID == 0 and name:
                return at // ID
        return None

    def contact(self, row: int) -> Contact:
        """Return the contact of a row. Raises: IndexError."""
        batch = self._batch(row // BATCH) if row >= 0 else None
        if batch is None or row % BATCH >= len(batch.rows):
            raise IndexError(row)
        told = batch.rows[row % BATCH]
        slots = {column: value for column, value in zip(self.columns, told.values, strict=True) if value}
        return Contact(self.id_of(row), told.target, batch.zones[told.zones], told.consent, slots)

    def without(self, row: int) -> Roll:
        """Return the roll in which nothing is left of the contact of a row but their place."""
        n = row // BATCH
        contacts = [self.contact(each) for each in range(n * BATCH, min((n + 1) * BATCH, len(self)))]
        contacts[row % BATCH] = Contact(ContactId(""), "")
        ids, batch = packed(contacts, self.columns)
        made = Roll(self.columns)
        made._ids = bytearray(self._ids)
        made._ids[n * BATCH * ID : n * BATCH * ID + len(ids)] = ids
        made._batches = [*self._batches[:n], batch, *self._batches[n + 1 :]]
        return made

    def items(self) -> Iterator[bytes]:
        """Yield the stream."""
        yield heading(self.columns)
        for n, batch in enumerate(self._batches):
            yield item(bytes(self._ids[n * BATCH * ID : (n + 1) * BATCH * ID]), batch)
        yield ending(len(self))

    def _batch(self, n: int) -> _Batch:
        if n not in self._cache:
            if len(self._cache) >= CACHED:
                del self._cache[next(iter(self._cache))]
            self._cache[n] = _BATCHES.decode(self._batches[n])
        return self._cache[n]


def packed(contacts: Sequence[Contact], columns: Sequence[str]) -> tuple[bytes, bytes]:
    """Return a batch of contacts: their names, and all the rest."""
    zones: dict[tuple[str, ...], int] = {}
    rows = [
        _Row(
            contact.target,
            zones.setdefault(contact.zones, len(zones)),
            contact.consent,
            [contact.slots.get(column, "") for column in columns],
        )
        for contact in contacts
    ]
    ids = b"".join(_id(contact.contact_id) for contact in contacts)
    return ids, msgspec.msgpack.encode(_Batch(list(zones), rows))


def heading(columns: Sequence[str]) -> bytes:
    """Return the stream's first item."""
    return msgspec.msgpack.encode({"roll": VERSION, "columns": list(columns)})


def item(ids: bytes, batch: bytes) -> bytes:
    """Return the stream's item for a batch."""
    return msgspec.msgpack.encode((ids, batch))


def ending(n: int) -> bytes:
    """Return the stream's last item."""
    return msgspec.msgpack.encode({"contacts": n})


class Reading:
    """Makes a roll of a stream, chunk by chunk."""

    def __init__(self) -> None:
        self._items = Items()
        self._roll: Roll | None = None
        self._n: int | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises: BadRoll."""
        try:
            for told in self._items.feed(chunk):
                self.take(told)
        except (ValueError, TypeError, KeyError, BadItem) as error:
            raise BadRoll(f"{type(error).__name__}: {error}") from error

    @property
    def n_contacts(self) -> int:
        """How many contacts have been read by now."""
        return len(self._roll) if self._roll is not None else 0

    def whole(self) -> Roll:
        """Return the roll, after the last bytes. Raises: BadRoll."""
        if self._roll is None or self._n != len(self._roll):
            raise BadRoll("it ends before its end")
        return self._roll

    def take(self, told: Any) -> None:
        """Take the next item. Raises: BadRoll, or what a thing of another shape raises."""
        if self._roll is None:
            if told["roll"] != VERSION:
                raise BadRoll(f"it is of version {told['roll']}")
            self._roll = Roll(told["columns"])
        elif isinstance(told, dict):
            self._n = told["contacts"]
        else:
            ids, batch = told
            if self._n is not None or len(ids) % ID or len(self._roll) % BATCH:
                raise BadRoll("a batch is not where it belongs")
            self._roll.add(ids, batch)


def read(chunks: Iterable[bytes]) -> Roll:
    """Return the roll of a stream. Raises: BadRoll."""
    reading = Reading()
    for chunk in chunks:
        reading.feed(chunk)
    return reading.whole()


def _id(name: ContactId) -> bytes:
    return name.encode("ascii").ljust(ID)


__all__ = ["BATCH", "BadRoll", "Reading", "Roll", "ending", "heading", "item", "packed", "read"]
