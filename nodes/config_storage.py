"""`[storage]` and `[owners.<name>]`: where recordings are in the long run, for how long, and encrypted with what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from nodes.config_cluster import is_loopback
from nodes.tables import within

OWNER: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""An owner's name: part of a directory and of a key, and shorter than both may be."""
_PREFIX: Final = re.compile(r"([A-Za-z0-9_.=-]+/)*")
BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""A bucket's name, by S3's rules."""
MOST_DAYS: Final = 36500


@dataclass(frozen=True, slots=True)
class Storage:
    """What becomes of recordings once they are made; without any of this they stay where they are, as they are.

    The same on all nodes of a cluster, but for files of keys, which may lie elsewhere.
    """

    keeps: bool = False
    """Have the process that keeps recordings although nothing else here is set: campaigns' `retention_days` want it."""
    bucket: str = ""
    """Of a store that speaks S3: recordings go there, and so do events, day by day, as Parquet."""
    endpoint: str = ""
    """The store's address, as `https://s3.example.net`; empty: AWS, in `region`."""
    region: str = "us-east-1"
    prefix: str = ""
    """What all keys begin with, ending with a `/`."""
    access_key: str = ""
    """Who we are to the store, and the file (mode 0600) that has the secret access key in its one line."""
    secret: Path | None = None
    ca: Path | None = None
    """Who has signed the store's certificate; None: whom this machine trusts."""
    insecure: bool = False
    """Reach the store beyond this machine without TLS: where a private network has it."""
    most_mb_s: float = within(0.0, 0, 100_000)
    """Megabytes a second that uploads of this node take at the most; 0: as fast as the store takes them."""
    keys: tuple[Path, ...] = ()
    """Files (mode 0600) of 64 hexadecimal digits: recordings are encrypted with the first, here and in the store. The
    others open what was encrypted with them before. None: recordings are as they were written."""
    retention_days: int = within(0, 0, MOST_DAYS)
    """For so many days recordings are kept of calls of no campaign, or whose plan does not say; 0: for ever."""

    def __post_init__(self) -> None:
        if self.bucket and not BUCKET.fullmatch(self.bucket):
            raise ValueError(f"bucket: {self.bucket!r} is no bucket's name: 3 to 63 of a-z 0-9 . -")
        check_prefix(self.prefix)
        if not self.bucket and (told := [name for name in ("endpoint", "access_key", "secret") if getattr(self, name)]):
            raise ValueError(f"bucket: is missing, and {told[0]} is there")
        if self.bucket and not (self.access_key and self.secret):
            raise ValueError(
                f"{'secret' if self.access_key else 'access_key'}: is missing, and the store wants to know us"
            )
        if not self.endpoint:
            return
        if not (host := _host(self.endpoint)):
            raise ValueError(f"endpoint: {self.endpoint!r} is not https://HOST:PORT or http://HOST:PORT")
        if self.endpoint.startswith("http:") and not (self.insecure or is_loopback(host)):
            raise ValueError(
                f"endpoint: {self.endpoint} is beyond this machine, and recordings would travel in the clear: "
                "use https://, or insecure = true"
            )

    @property
    def is_wanted(self) -> bool:
        """Whether there is something to be done with recordings."""
        return bool(self.keeps or self.bucket or self.keys or self.retention_days)


def _host(url: str) -> str:
    """Return whom an address names; empty: it is none of a store."""
    try:
        where = urlsplit(url)
        _ = where.port  # a ValueError of its own
    except ValueError:
        return ""
    return (where.hostname or "") if where.scheme in ("http", "https") and where.path in ("", "/") else ""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose campaigns' recordings lie apart from the others': a plan names its owner. The same on all nodes."""

    directory: Path | None = None
    """Where they are written on each machine; None: `recordings/<name>` in the state directory."""
    prefix: str = ""
    """What their keys in the store begin with, behind the store's own; empty: `owners/<name>/`."""
    quota_mb: int = within(0, 0, 1_000_000_000)
    """So many megabytes may they take: what lies on this machine, and all that is in the store. Beyond it none is
    begun; calls go on. 0: no end."""
    keys: tuple[Path, ...] = ()
    """As `storage.keys`, for theirs alone; none: those of `storage`."""

    def __post_init__(self) -> None:
        check_prefix(self.prefix)


def check_prefix(prefix: str) -> None:
    """Refuse what no key may begin with. Raises: ValueError."""
    if not _PREFIX.fullmatch(prefix) or ".." in prefix.split("/"):
        raise ValueError(f"prefix: {prefix!r} is not words of A-Z a-z 0-9 _ . = -, each with a / behind it")


def check_owners(owners: Mapping[str, Owner]) -> None:
    """Refuse names that are none, and two owners in one place. Raises: ValueError."""
    for name in owners:
        if not OWNER.fullmatch(name):
            raise ValueError(f"owners: {name!r} is not 1 to 64 of a-z 0-9 - _, beginning with a letter or digit")
    for what in ("directory", "prefix"):
        places = [place for one in owners.values() if (place := getattr(one, what))]
        if twice := {place for place in places if places.count(place) > 1}:
            raise ValueError(f"owners: two have the same {what}, {min(map(str, twice))}")


__all__ = ["BUCKET", "MOST_DAYS", "OWNER", "Owner", "Storage", "check_owners", "check_prefix"]
