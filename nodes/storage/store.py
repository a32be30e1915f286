"""A store that speaks S3; the one adapter to boto3. What it says is checked, and what is wrong with it has one error.

What it does: puts a file there and sees that it is there as it is here, reads any piece of it, lists, and deletes every
version. What it does not: decide what goes there, or try again: who calls does, and asks in a thread, because each
method waits. Source: Amazon S3 API reference; path-style addresses, as other stores want them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import boto3
from botocore.config import Config as Settings
from botocore.exceptions import BotoCoreError, ClientError

from nodes.config_storage import Storage
from nodes.errors import NodeError

CONNECT_S: Final = 5.0
READ_S: Final = 30.0
"""So long may each piece of an answer take; a store that says nothing is away."""
LEAST_B_S: Final = 20_000.0
"""Bytes a second: an upload that is slower than this in the mean is given up. A call that is recorded makes 32,000."""
GRACE_S: Final = 60.0
"""So long may an upload take in any case."""
MOST_DELETED: Final = 1000
"""Keys in one request, by S3's rules."""
_BLOCK: Final = 1024 * 1024
_KINDS: Final = ("Versions", "DeleteMarkers")


class StoreError(NodeError):
    """The store did not do what it was asked: `is_away`, it is not there or too slow; else it refuses, or lies.

    `code`: its own word, where it has one.
    """

    def __init__(self, what: str, code: str = "", *, is_away: bool = False) -> None:
        super().__init__(what)
        self.code, self.is_away = code, is_away


@dataclass(frozen=True, slots=True)
class Object:
    """An object's key and length."""

    key: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file is: its length, and what any other file would not have."""

    n_bytes: int
    md5: bytes

    @classmethod
    def of(cls, file: BinaryIO) -> Digest:
        """Read a file from its beginning. MD5 is what S3 checks by itself (`Content-MD5`): it guards against faults."""
        file.seek(0)
        made, n_bytes = hashlib.md5(usedforsecurity=False), 0
        while block := file.read(_BLOCK):
            made.update(block)
            n_bytes += len(block)
        return cls(n_bytes, made.digest())


class Store:
    """A bucket. `bytes_sent`: of uploads so far, for whoever watches one."""

    def __init__(self, settings: Storage) -> None:
        """Raises: OSError, StoreError: the file with the secret cannot be used."""
        self._bucket, self._most_b_s = settings.bucket, settings.most_mb_s * 1e6
        self.bytes_sent = 0
        self._client: Any = _session().client(
            "s3", endpoint_url=settings.endpoint or None, region_name=settings.region,
            aws_access_key_id=settings.access_key, aws_secret_access_key=read_secret(settings.secret),
            verify=str(settings.ca) if settings.ca else None,
            config=Settings(
                connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"total_max_attempts": 1},
                s3={"addressing_style": "path" if settings.endpoint else "auto", "payload_signing_enabled": False},
                request_checksum_calculation="when_required", response_checksum_validation="when_required",
                proxies={}, max_pool_connections=8,
            ),
        )  # fmt: skip

    def close(self) -> None:
        """Let go of all connections."""
        self._client.close()

    def reach(self) -> None:
        """See that the bucket is there for us. Raises: StoreError."""
        with _asking(f"bucket {self._bucket}"):
            self._client.list_objects_v2(Bucket=self._bucket, MaxKeys=1)

    def put(self, key: str, file: BinaryIO, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Have an object of this key be what the file is, and prove it. `is_wanted`: no longer, and it is given up.

        Raises: StoreError, OSError.
        """
        digest = Digest.of(file)
        file.seek(0)
        body = _Paced(file, digest.n_bytes, self._most_b_s, self._sent, is_wanted)
        with _asking(key):
            md5 = base64.b64encode(digest.md5).decode()
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentLength=digest.n_bytes, ContentMD5=md5,
                ContentType="application/octet-stream",
            )  # fmt: skip
        if not self.has(key, digest):
            raise StoreError(f"{key}: is not there as it was sent")

    def has(self, key: str, digest: Digest) -> bool:
        """Say whether an object is exactly this file. Raises: StoreError."""
        try:
            with _asking(key):
                head = self._client.head_object(Bucket=self._bucket, Key=key)
        except _Missing:
            return False
        if head.get("ContentLength") != digest.n_bytes:
            return False
        try:
            if binascii.unhexlify(str(head.get("ETag", "")).strip('"')) == digest.md5:
                return True
        except ValueError:
            pass
        return self._read_back(key) == digest  # where tags are something else, as of a store that encrypts

    def _read_back(self, key: str) -> Digest:
        with _asking(key):
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            made, n_bytes = hashlib.md5(usedforsecurity=False), 0
            while block := body.read(_BLOCK):
                made.update(block)
                n_bytes += len(block)
            return Digest(n_bytes, made.digest())

    def read(self, key: str, offset: int, n: int) -> bytes:
        """Return `n` bytes of an object from `offset` on, fewer at its end. Raises: StoreError."""
        if n <= 0:
            return b""
        with _asking(key):
            found = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={offset}-{offset + n - 1}")
            if found["ResponseMetadata"]["HTTPStatusCode"] != 206:
                raise StoreError(f"{key}: gives no pieces of objects")
            data = found["Body"].read(n + 1)
        if len(data) > n:
            raise StoreError(f"{key}: more than was asked for")
        return bytes(data)

    def objects(self, prefix: str) -> Iterator[Object]:
        """Yield the objects whose keys begin so, in the order of their keys. Raises: StoreError."""
        with _asking(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                for one in page.get("Contents", ()):
                    key, size = one.get("Key"), one.get("Size")
                    if isinstance(key, str) and isinstance(size, int) and key.startswith(prefix):
                        yield Object(key, size)

    def delete(self, key: str) -> None:
        """Have no version of an object left, and see that there is none. Raises: StoreError."""
        if versions := self._versions(key):
            self._delete(versions)
        else:  # a store that lists no versions
            with _asking(key):
                self._client.delete_object(Bucket=self._bucket, Key=key)
        if self._versions(key) or any(one.key == key for one in self.objects(key)):
            raise StoreError(f"{key}: is still there")

    def delete_former(self, key: str) -> None:
        """Have no version of an object left but the one that is read. Raises: StoreError."""
        self._delete(self._versions(key, all_but_latest=True))

    def _versions(self, key: str, all_but_latest: bool = False) -> list[dict[str, str]]:
        """Return what `delete_objects` wants to delete them; nothing of a store that has no versions."""
        try:
            with _asking(key):
                pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=key)
                return [
                    {"Key": key, "VersionId": str(one.get("VersionId", "null"))}
                    for page in pages for kind in _KINDS for one in page.get(kind, ())
                    if one.get("Key") == key and not (all_but_latest and one.get("IsLatest"))
                ]  # fmt: skip
        except StoreError as error:
            if error.code not in ("NotImplemented", "MethodNotAllowed"):
                raise
        return []

    def _delete(self, versions: list[dict[str, str]]) -> None:
        for at in range(0, len(versions), MOST_DELETED):
            some = versions[at : at + MOST_DELETED]
            with _asking(some[0]["Key"]):
                told = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": some, "Quiet": True})
            if wrong := told.get("Errors"):
                raise StoreError(f"{wrong[0].get('Key')}: {wrong[0].get('Code')}", str(wrong[0].get("Code")))

    def _sent(self, n: int) -> None:
        self.bytes_sent += n


@cache
def _session() -> Any:
    """Return what has read the library's tables, which takes longer than all else here."""
    return boto3.session.Session()


class _Missing(StoreError):
    """There is no such object."""


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """What goes wrong in the block is a StoreError: also an answer that is none, for a store may say anything."""
    try:
        yield
    except StoreError:
        raise
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(error.response.get("Error", {}).get("Code", "")) or str(status)
        if status == 404 and code != "NoSuchBucket":
            raise _Missing(f"{what}: is not there", code) from error
        raise StoreError(f"{what}: {code}", code, is_away=status >= 500 or status == 429) from error
    except Exception as error:  # the library's own, the socket's, and whatever its parsers do with garbage
        is_away = isinstance(error, BotoCoreError | OSError)
        raise StoreError(f"{what}: {type(error).__name__}: {error}"[:500], is_away=is_away) from error


class _Paced:
    """A file as it is sent: no faster than it may, and given up when it takes too long."""

    def __init__(
        self, file: BinaryIO, n_bytes: int, most_b_s: float, sent: Callable[[int], None],
        is_wanted: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._file, self._n_bytes, self._most_b_s = file, n_bytes, most_b_s
        self._tell_sent, self._is_wanted = sent, is_wanted
        self._began_s, self._n_read = time.monotonic(), 0

    def __len__(self) -> int:
        return self._n_bytes

    def seek(self, offset: int, whence: int = 0) -> int:
        self._began_s, self._n_read = time.monotonic(), 0
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, n: int = -1) -> bytes:
        passed_s = time.monotonic() - self._began_s
        if not self._is_wanted():
            raise StoreError("is not wanted any more")
        if passed_s > GRACE_S + self._n_bytes / LEAST_B_S:
            raise TimeoutError(f"{self._n_read} bytes in {passed_s:.0f} s")
        if self._most_b_s and (ahead_s := self._n_read / self._most_b_s - passed_s) > 0:
            time.sleep(min(ahead_s, READ_S / 2))
        data = self._file.read(n)
        self._n_read += len(data)
        self._tell_sent(len(data))
        return data


def read_secret(path: Path | None) -> str:
    """Return the secret in a file that its owner alone may read. Raises: OSError, StoreError."""
    assert path is not None, "the configuration wants one with a bucket"
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise StoreError(f"{path}: may be read by others: chmod 600 {path}")
        text = file.read(1000).decode("utf-8", "replace").strip()
    if not text or not text.isprintable() or " " in text:
        raise StoreError(f"{path}: has no secret access key in its one line")
    return text


__all__ = ["Digest", "Object", "Store", "StoreError", "read_secret"]
