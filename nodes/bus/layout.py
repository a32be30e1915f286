"""The streams and buckets that must exist, made where they are missing and compared where they are not.

Only what nats-server 2.9 knows: it drops what it does not know without a word, so the configuration is read back and
compared field by field. Limits follow the settings of whoever leads, also of a stream that is there (two nodes whose
settings differ would change them by turns, and each smaller limit deletes); any other difference is an error with both
values, and is never repaired from here. Replicas only become more: a node without a server of its own need not know how
many servers there are, and a cluster that has grown gets its copies. Those are waited for: when a stream's leader dies
before its new copies have caught up, no other server leads it until that one is back, not even two of three.

Only the events have a limit in bytes, a share of the room that all streams have (`nats.events_share`): beyond it the
oldest go. So they can fill their share and never the disk, and what nobody is dialled without finds room.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import NotFoundError

from nodes.links.errors import LayoutMismatch
from protocols.wire import subjects
from protocols.wire.subjects import EVENT_STREAMS, STREAM_COUNTS, Bucket, Stream

DAY_S: Final = 86400.0
DEDUP_S: Final = 120.0
"""How long a stream remembers message ids (the server's own default)."""
LEVEL_S: Final = 15.0
"""The longest to wait for copies, which take a second or two; one on a server that stands still does not come."""
LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """One stream, or a bucket as the stream that it is. 0 means without limit."""

    name: str
    subjects: tuple[str, ...]
    max_age_s: float = 0.0
    history: int = 0
    """Values kept for each key of a bucket; 0: this is no bucket."""
    is_objects: bool = False
    """This is a bucket of objects (ADR-20)."""

    def config(self, replicas: int, events_bytes: int = 0) -> StreamConfig:
        """Return it as JetStream has it; a bucket's fields are those of ADR-8 of the NATS project."""
        is_bucket = self.history > 0
        return StreamConfig(
            name=self.name,
            subjects=list(self.subjects),
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=replicas,
            max_age=self.max_age_s,
            max_bytes=events_bytes if events_bytes and self.is_events else -1,
            duplicate_window=min(DEDUP_S, self.max_age_s or DEDUP_S),
            max_msgs_per_subject=self.history or -1,
            discard=DiscardPolicy.NEW if is_bucket or self.is_objects else DiscardPolicy.OLD,
            allow_rollup_hdrs=is_bucket or self.is_objects,
            deny_delete=is_bucket,
            allow_direct=is_bucket or self.is_objects,
        )

    @property
    def is_events(self) -> bool:
        """Whether what became of calls is in it."""
        return self.name in EVENT_STREAMS


def _bucket(bucket: Bucket, ttl_s: float, history: int = 1) -> Wanted:
    return Wanted(f"KV_{bucket}", (f"$KV.{bucket}.>",), ttl_s, history)


def _events(n_streams: int) -> tuple[Wanted, ...]:
    return tuple(
        Wanted(stream, (subjects.stream_subject(number, n_streams),), 7 * DAY_S)
        for number, stream in enumerate(EVENT_STREAMS[:n_streams])
    )


_REST: Final = (
    Wanted(Stream.CAMPAIGN, (subjects.ALL_CAMPAIGNS,)),  # the memory of central: never forgotten
    Wanted(subjects.OBJECT_STREAM, (subjects.object_chunks(">"), subjects.object_meta()), is_objects=True),
    _bucket(Bucket.NODES, 30.0),
    _bucket(Bucket.AGENTS, 90.0),  # three beats of a seat
    _bucket(Bucket.CALLS, 3600.0),
    _bucket(Bucket.DNC, 0.0),
    _bucket(Bucket.LEASES, 15.0),  # longer than any election of a JetStream leader
    _bucket(Bucket.CONFIG, 0.0, history=10),
    _bucket(Bucket.FORGOTTEN, 0.0),
)
WANTED: Final = (*_events(1), *_REST)
LIMITS: Final = ("max_age", "max_bytes", "num_replicas")
_COMPARED: Final = (
    "subjects", "retention", "storage", "duplicate_window", "max_msgs_per_subject",
    "discard", "allow_rollup_hdrs", "deny_delete", "allow_direct", *LIMITS,
)  # fmt: skip


async def ensure(
    jetstream: JetStreamContext,
    replicas: int,
    events_bytes: int = 0,
    *,
    changes_limits: bool = True,
    n_streams: int = 1,
) -> list[str]:
    """Make what is missing, change limits, and compare everything with what the server says it has.

    `events_bytes`: of all events; 0 is without limit. `changes_limits`: else those that are there are left as they are.
    `n_streams`: of events; where there are more they stay. Where there was one, it gives up the subjects of the others
    before those are made. Returns what was made or changed, by name. Raises: `LayoutMismatch`.
    """
    touched: list[str] = []
    behind: list[str] = []
    n_streams = max(n_streams, await n_event_streams(jetstream))
    for wanted in (*_events(n_streams), *_REST):
        config = wanted.config(replicas, events_bytes // n_streams)
        try:
            found = await jetstream.stream_info(wanted.name)
        except NotFoundError:
            await jetstream.add_stream(config)
            found = await jetstream.stream_info(wanted.name)
            touched.append(wanted.name)
        config.num_replicas = max(replicas, found.config.num_replicas or 1)
        wrong = differences(config, found.config)
        is_first = wanted.name == Stream.EVENTS and (changes_limits or found.config.subjects == [subjects.ALL_EVENTS])
        limits = {*LIMITS, *(("subjects",) if is_first else ())}  # it has what is nobody else's
        if not changes_limits:
            config = found.config.evolve(subjects=config.subjects if "subjects" in limits else found.config.subjects)
            wrong = {field: pair for field, pair in wrong.items() if field not in LIMITS}
        if wrong and wrong.keys() <= limits:
            await jetstream.update_stream(config)
            found = await jetstream.stream_info(wanted.name)
            wrong = differences(config, found.config)
            touched.append(wanted.name)
        if wrong:
            raise LayoutMismatch(wanted.name, wrong)
        if not _is_level(found):
            behind.append(wanted.name)
    await _level(jetstream, behind)
    return touched


async def _level(jetstream: JetStreamContext, names: Iterable[str]) -> None:
    """Return once every copy of these streams has what their leader has, or after `LEVEL_S`."""
    end_s = time.monotonic() + LEVEL_S
    for name in names:
        while time.monotonic() < end_s:
            with suppress(nats.errors.Error):  # a leader is being elected
                if _is_level(await jetstream.stream_info(name)):
                    break
            await asyncio.sleep(LOOK_S)


def _is_level(info: StreamInfo) -> bool:
    """Whether there is a leader, and nobody who is there is behind it."""
    if info.cluster is None:
        return True
    copies = info.cluster.replicas or ()
    return bool(info.cluster.leader) and all(one.current or one.offline for one in copies)


async def n_event_streams(jetstream: JetStreamContext) -> int:
    """Return how many streams of events there are, with those that are still to be made beside them."""
    for number in range(len(EVENT_STREAMS) - 1, 0, -1):
        try:
            await jetstream.stream_info(EVENT_STREAMS[number])
        except NotFoundError:
            continue
        return min(n for n in STREAM_COUNTS if n > number)
    return 1


def differences(wanted: StreamConfig, found: StreamConfig) -> dict[str, tuple[object, object]]:
    """Return field -> (wanted, found) where a stream is not as we need it."""
    pairs = {field: (getattr(wanted, field), getattr(found, field)) for field in _COMPARED}
    return {field: (want, have) for field, (want, have) in pairs.items() if (want or 0) != (have or 0)}


__all__ = ["WANTED", "Wanted", "differences", "ensure", "n_event_streams"]
