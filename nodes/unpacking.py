"""Items of a MessagePack stream, as its bytes come; the one adapter to the msgpack package.

msgspec decodes a message that is whole; a stream of a hundred megabytes never is. What an item means is the reader's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgpack

from nodes.errors import NodeError

MAX_ITEM: Final = 16 * 1024 * 1024
"""Bytes of one item, and of what is read ahead."""


class BadItem(NodeError):
    """These bytes are no MessagePack."""


class Items:
    """One stream. Every item that is whole is told, in order."""

    def __init__(self) -> None:
        self._unpacker: Any = msgpack.Unpacker(max_buffer_size=MAX_ITEM, strict_map_key=False)

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """Yield the items that are whole with these bytes. Raises: BadItem."""
        try:
            self._unpacker.feed(chunk)
            yield from self._unpacker
        except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
            raise BadItem(f"{type(error).__name__}: {error}") from error


__all__ = ["MAX_ITEM", "BadItem", "Items"]
