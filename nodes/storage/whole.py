"""A call's recording in one piece, from wherever this machine can read it: its disk, plain or encrypted, and the store.

No process need be up: settings, keys and the store are enough. What it does not: ask other machines for what lies on
their disks only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nodes.audio.wav import HEADER_BYTES, first_of, header, joined
from nodes.config import Config
from nodes.errors import NodeError
from nodes.mesh.pieces import is_name
from nodes.storage.names import places
from nodes.storage.sealing import NotSealed, Ring
from nodes.storage.stock import Stock
from nodes.storage.store import Store, StoreError
from protocols.wire.ids import CallId
from protocols.wire.recordings import name_of

_WHY: Final = {
    "key_unknown": "is encrypted with a key that is not here: have its file in storage.keys, or its owner's",
    "forged": "was changed since it was encrypted",
    "length": "was cut off",
    "no_seal": "is called as if it were encrypted, and is not",
}


class NotThere(NodeError):
    """There is no such recording here, or it cannot be opened; says where was looked, or what is missing."""


class Whole(Stock):
    """What this machine can read of calls. `failed`: parts that cannot be opened, each with the reason."""

    def __init__(self, config: Config) -> None:
        """Raises: NodeError, OSError: a key or the store's secret cannot be used; the file is named."""
        keys = {"": config.storage.keys, **{name: one.keys for name, one in config.owners.items()}}
        self._bucket = config.storage.bucket
        super().__init__(places(config), Ring.read(keys), Store(config.storage) if self._bucket else None)
        self.failed: list[NotSealed] = []

    def unreadable(self, error: NotSealed) -> None:
        """Keep it, to be told."""
        self.failed.append(error)

    def parts(self, call_id: CallId) -> list[int]:
        """Return the numbers of all parts that are here or in the store. Raises: NotThere."""
        if not is_name(call_id) or "." in call_id:
            raise NotThere(f"{call_id!r} is no call's name")
        found = set(self.here(call_id))
        try:
            found |= set(self.there(call_id))
        except StoreError as error:
            raise NotThere(f"the store does not say what it has: {error}") from error
        if lost := [one for one in self.failed if one.name not in {name_of(call_id, part) for part in found}]:
            raise _not_opened(lost[0])
        if not found:
            at = [*map(str, self.roots), *([f"the store's bucket {self._bucket}"] if self._bucket else [])]
            raise NotThere(f"no recording of {call_id} in {', '.join(at)}; it may be on another node's disk")
        return sorted(found)

    def wav(self, call_id: CallId) -> Iterator[bytes]:
        """Yield one WAV file: all parts, each in its place. Raises: NotThere, OSError."""
        try:
            yield from self._wav(call_id)
        except NotSealed as error:
            raise _not_opened(error) from error
        except StoreError as error:
            raise NotThere(f"the store does not give it: {error}") from error

    def _wav(self, call_id: CallId) -> Iterator[bytes]:
        names = [name_of(call_id, part) for part in self.parts(call_id)]
        heads = []
        for name in names:
            piece = self.piece(name, 0)
            if (first := first_of(piece.data)) is None:
                raise NotThere(f"{name}: is no recording of ours")
            heads.append((first, max(0, piece.size - HEADER_BYTES)))
        shares = joined(heads)
        yield header(heads[0][0], sum(one.silence + one.n_bytes for one in shares))
        for name, share in zip(names, shares, strict=True):
            yield bytes(share.silence)
            at, end = HEADER_BYTES + share.skip, HEADER_BYTES + share.skip + share.n_bytes
            while at < end:
                if not (data := self.piece(name, at).data[: end - at]):
                    raise NotThere(f"{name}: has become shorter while it was read")
                yield data
                at += len(data)

    def close(self) -> None:
        """Let go of the store."""
        if self.store is not None:
            self.store.close()


def _not_opened(error: NotSealed) -> NotThere:
    return NotThere(f"{error.name}: {_WHY.get(error.word, error.word)} ({error})")


__all__ = ["NotThere", "Whole"]
