"""What objects in the store are called, and what their names say: of which call, which part, made where and when.

    <prefix>recordings/<call_id>/<part>.<node>.<second>.<suffix>      suffix: wav, or sealed
    <prefix>events/<node>/day=2026-03-03/ringmaster.parquet           or ...parquet.sealed

`second`: when its file was last written, in whole seconds since 1970: how long it is kept counts from there. The node
is in the name because two machines may each think that they have the same part. No name says who was called: a call's
is a keyed hash of that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.config import Config
from nodes.links.recordings import SEALED, WAV
from protocols.wire.ids import CallId, NodeId
from protocols.wire.recordings import name_of

RECORDINGS: Final = "recordings/"
EVENTS: Final = "events/"
_OBJECT: Final = re.compile(
    rf"recordings/(?P<call>[^/.]+)/(?P<part>\d{{1,9}})\.(?P<node>[A-Za-z0-9_-]+)\.(?P<second>\d{{1,15}})"
    rf"\.(?P<suffix>{WAV}|{SEALED})"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an owner's recordings are: `root` on this machine, `prefix` in the store. `owner`: empty, nobody."""

    owner: str
    root: Path
    prefix: str
    quota_bytes: int = 0


def places(config: Config) -> tuple[Place, ...]:
    """Return where recordings are, the first of those without an owner."""
    own = config.storage.prefix
    first = Place("", config.recordings_of(""), own)
    return first, *(
        Place(name, config.recordings_of(name), own + (one.prefix or f"owners/{name}/"), one.quota_mb * 1_000_000)
        for name, one in config.owners.items()
    )


@dataclass(frozen=True, slots=True)
class Stored:
    """What an object's name says of it. `second`: when it was made, in seconds since 1970."""

    key: str
    call_id: CallId
    part: int
    node: NodeId
    second: int
    is_sealed: bool

    @property
    def name(self) -> str:
        """What the file was called, without its suffix."""
        return name_of(self.call_id, self.part)


def key_of(place: Place, call_id: CallId, part: int, node: NodeId, second: float, suffix: str) -> str:
    """Return what the object of a file is called."""
    return f"{prefix_of(place, call_id)}{part}.{node}.{int(second)}.{suffix}"


def prefix_of(place: Place, call_id: CallId | None = None) -> str:
    """Return how the names of all objects of a call begin; of all calls, where none is named."""
    return f"{place.prefix}{RECORDINGS}{f'{call_id}/' if call_id else ''}"


def stored(place: Place, key: str) -> Stored | None:
    """Return what a name says; None: it is none of ours.

    >>> at = Place("", Path("r"), "rm/")
    >>> made = key_of(at, CallId("c1"), 2, NodeId("n1"), 1_700_000_000.5, "sealed")
    >>> made, stored(at, made).name, stored(at, "rm/recordings/c1/x.wav")
    ('rm/recordings/c1/2.n1.1700000000.sealed', 'c1.2', None)
    """
    found = _OBJECT.fullmatch(key.removeprefix(place.prefix)) if key.startswith(place.prefix) else None
    if found is None:
        return None
    call, part, node, second, suffix = found.group("call", "part", "node", "second", "suffix")
    return Stored(key, CallId(call), int(part), NodeId(node), int(second), suffix == SEALED)


__all__ = ["EVENTS", "RECORDINGS", "Place", "Stored", "key_of", "places", "prefix_of", "stored"]
