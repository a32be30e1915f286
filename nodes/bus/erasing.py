"""Removing messages so that their bytes are gone from the servers' files, too.

A stream that is purged, whose oldest messages go, or whose subjects are rolled up, only no longer finds them: their
bytes stay in the store's blocks until nothing else is in those (measured with nats-server 2.9.10 and 2.15.1). A message
that is deleted by its number is overwritten in its place, on every server that has it. So what somebody is to be
forgotten by is deleted number by number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import Final

from nats.js.errors import APIError, NotFoundError

from nodes.bus.connection import Connection, away_for_errors
from nodes.bus.consumer import replay

TOGETHER: Final = 64
"""Deletions under way at once."""


async def erase(connection: Connection, stream: str, sequences: Iterable[int]) -> int:
    """Overwrite and delete these messages; return how many were still there. Raises: `BusAway`."""
    left, n = iter(sequences), 0
    while some := list(islice(left, TOGETHER)):
        n += sum(await asyncio.gather(*(_erase(connection, stream, sequence) for sequence in some)))
    return n


async def erase_subject(connection: Connection, stream: str, subject: str) -> int:
    """Overwrite and delete all messages of a subject; return how many there were. Raises: `BusAway`."""
    found = [one.sequence async for one in replay(connection, stream, subject=subject, headers_only=True)]
    return await erase(connection, stream, found)


async def data_of(connection: Connection, stream: str, sequence: int) -> bytes | None:
    """Return what one message says; None when there is none of this number. Raises: `BusAway`."""
    with away_for_errors():
        try:
            return (await connection.jetstream.get_msg(stream, sequence)).data or b""
        except NotFoundError:
            return None


async def _erase(connection: Connection, stream: str, sequence: int) -> bool:
    with away_for_errors():
        try:
            return await connection.jetstream.delete_msg(stream, sequence)
        except APIError as error:
            with suppress(NotFoundError):
                await connection.jetstream.get_msg(stream, sequence)
                raise error  # it is there, and was not deleted
            return False


__all__ = ["data_of", "erase", "erase_subject"]
