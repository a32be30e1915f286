"""Recordings encrypted at rest; the one adapter to `cryptography`: AES-256-GCM in chunks, any of which opens alone.

    header   RMSEAL1\\n, the key's id (8 bytes), salt (32), length of what is in it (8, big-endian)
    chunk    64 kB encrypted, and 16 bytes that prove it; the last one is shorter, and an empty file has an empty one

The key of a file is made of ours and its salt (HKDF, RFC 5869), so no two files share one, and a chunk's number can be
its nonce. Each chunk is bound to header and name: what was flipped, cut off, put in another order, or taken from
another file does not open, nor does a file under another's name. The length is in the header, so a file that was cut
between two chunks is known before anything of it is read.

What it does: seals, opens, reads keys. What it does not: know where files lie.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nodes.errors import NodeError

CHUNK: Final = 64 * 1024
"""Two seconds of a recording."""
TAG: Final = 16
KEY_BYTES: Final = 32
_MAGIC: Final = b"RMSEAL1\n"
_HEADER: Final = struct.Struct(">8s8s32sQ")
HEADER_BYTES: Final = _HEADER.size
_KEY: Final = re.compile(rb"\s*([0-9a-fA-F]{64})\s*")
_INFO: Final = b"ringmaster sealed file"


class BadKey(NodeError):
    """A file holds no key, or one that others could read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


class NotSealed(NodeError):
    """What was read is not what was sealed: `name`, and in one word what is wrong.

    `no_seal`: it does not begin as a sealed file does; `length`: it is shorter or longer than it says; `key_unknown`;
    `forged`: a chunk, the header or the name is not what was sealed.
    """

    def __init__(self, name: str, word: str, detail: str = "") -> None:
        super().__init__(f"{name}: {word}{f': {detail}' if detail else ''}")
        self.name, self.word = name, word


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and the id by which sealed files name it, which says nothing of it."""

    id: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> Key:
        """Return the key of 32 secret bytes."""
        return cls(blake2b(_INFO, key=secret, digest_size=8).digest(), secret)

    @classmethod
    def read(cls, path: Path) -> Key:
        """Return the key in a file: 64 hexadecimal digits, mode 0600. Raises: OSError, BadKey."""
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise BadKey(path, f"may be read by others: chmod 600 {path}")
            text = file.read(200)
        if not (found := _KEY.fullmatch(text)):
            raise BadKey(path, "is not 64 hexadecimal digits, as `openssl rand -hex 32` writes them")
        return cls.of(bytes.fromhex(found[1].decode()))


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys of this node: `sealing` by owner (empty: of those without one), and all of them by id, for opening."""

    sealing: Mapping[str, Key] = field(default_factory=dict)
    by_id: Mapping[bytes, Key] = field(default_factory=dict)

    @classmethod
    def read(cls, keys: Mapping[str, Iterable[Path]]) -> Ring:
        """Return the keys in these files by owner; an owner without any has those of `""`. Raises: OSError, BadKey."""
        read = {owner: [Key.read(path) for path in paths] for owner, paths in keys.items()}
        sealing = {owner: found[0] for owner in keys if (found := read[owner] or read.get("", []))}
        return cls(sealing, {key.id: key for found in read.values() for key in found})


def sealed_length(n_bytes: int) -> int:
    """Return how long a sealed file is of which the content has so many bytes.

    >>> sealed_length(0), sealed_length(CHUNK), sealed_length(CHUNK + 1) - sealed_length(CHUNK)
    (72, 65608, 17)
    """
    return HEADER_BYTES + n_bytes + TAG * _n_chunks(n_bytes)


def seal(key: Key, name: str, n_bytes: int, source: BinaryIO, salt: bytes = b"") -> Iterator[bytes]:
    """Yield a sealed file piece by piece. `source` has exactly `n_bytes`, or NotSealed is raised (`length`).

    `salt`: 32 bytes that no other file has; drawn unless it is given.
    """
    header = _HEADER.pack(_MAGIC, key.id, salt or secrets.token_bytes(32), n_bytes)
    cipher, bound = _cipher(key, header), header + name.encode()
    yield header
    left = n_bytes
    for number in range(_n_chunks(n_bytes)):
        chunk = source.read(min(CHUNK, left))
        left -= len(chunk)
        if len(chunk) < CHUNK and left:
            raise NotSealed(name, "length", "the file has become shorter")
        yield cipher.encrypt(_nonce(number), chunk, bound)
    if source.read(1):
        raise NotSealed(name, "length", "the file has become longer")


class Sealed:
    """A sealed file, opened. `n_bytes`: of what is in it."""

    def __init__(self, ring: Ring, name: str, length: int, read: Callable[[int, int], bytes]) -> None:
        """`read(offset, n)`: bytes of the sealed file, which is `length` long. Raises: NotSealed, what `read` does."""
        header = read(0, HEADER_BYTES)
        magic, key_id, _, self.n_bytes = _HEADER.unpack(header) if len(header) == HEADER_BYTES else (b"", b"", b"", 0)
        if magic != _MAGIC:
            raise NotSealed(name, "no_seal")
        if length != sealed_length(self.n_bytes):
            raise NotSealed(name, "length", f"{length} bytes, and {sealed_length(self.n_bytes)} by its header")
        if (key := ring.by_id.get(key_id)) is None:
            raise NotSealed(name, "key_unknown", key_id.hex())
        self._name, self._read, self._length = name, read, length
        self._cipher, self._bound = _cipher(key, header), header + name.encode()
        if not self.n_bytes:
            self._open(0, read(HEADER_BYTES, TAG))

    def read(self, offset: int, n: int) -> bytes:
        """Return up to `n` bytes of what is in it, from `offset` on. Raises: NotSealed, what the file's `read` does."""
        end = min(self.n_bytes, offset + n)
        if offset >= end:
            return b""
        first, last = offset // CHUNK, (end - 1) // CHUNK
        at = HEADER_BYTES + first * (CHUNK + TAG)
        size = min(self._length, HEADER_BYTES + (last + 1) * (CHUNK + TAG)) - at
        found = self._read(at, size)
        if len(found) != size:
            raise NotSealed(self._name, "length", f"{len(found)} bytes of {size}")
        pieces = [
            self._open(number, found[k : k + CHUNK + TAG])
            for number, k in enumerate(range(0, size, CHUNK + TAG), first)
        ]
        return b"".join(pieces)[offset - first * CHUNK : end - first * CHUNK]

    def prove(self) -> None:
        """Read it all, and keep nothing. Raises: NotSealed."""
        for offset in range(0, self.n_bytes, 16 * CHUNK):
            self.read(offset, 16 * CHUNK)

    def _open(self, number: int, chunk: bytes) -> bytes:
        try:
            return self._cipher.decrypt(_nonce(number), chunk, self._bound)
        except InvalidTag:
            raise NotSealed(self._name, "forged", f"chunk {number}") from None


def _n_chunks(n_bytes: int) -> int:
    return max(1, -(-n_bytes // CHUNK))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _cipher(key: Key, header: bytes) -> AESGCM:
    salt = _HEADER.unpack(header)[2]
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, _INFO).derive(key.secret))


__all__ = [
    "CHUNK", "HEADER_BYTES", "TAG", "BadKey", "Key", "NotSealed", "Ring", "Sealed", "seal", "sealed_length",
]  # fmt: skip
