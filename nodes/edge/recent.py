"""What this edge has noted in the last seconds: the events that their stream may not have yet.

A process that is killed loses what it has in memory, and the number of the call's next event is in the record already:
so an event that was lost would be a hole for ever. Its heirs are told each event with the record that counts it, and
whoever becomes active hands all of these to the bus once more. The stream drops what it has, by the event's id, and so
does the recorder.

An event is packed once, for the stream, for heirs and for the disk; only who hands it to the bus again reads it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from nodes.reading import read_json
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.events import CallEvent, from_body, to_json
from protocols.wire.heirs import KeepEvents
from protocols.wire.ids import CallId

log = logs.get(__name__)
KEPT_S: Final = 10.0
"""Far longer than an event is in memory only: the stream's answer is waited for 1 s (`nodes.bus.bus`), then what
waits is on disk within 0.25 s (`nodes.bus.publisher`)."""
MOST: Final = 10_000
"""Of what 500 calls note in that time."""
TOLD_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Noted:
    """An event as its stream has it: `body` is JSON."""

    event_id: str
    call_id: CallId
    body: bytes

    @classmethod
    def of(cls, event: CallEvent) -> Noted:
        """Return an event packed. Raises: `LocalProtocolError` when it is not as its kind has it."""
        return cls(event.event_id, event.call_id, to_json(event))


class _Names(msgspec.Struct):
    """What of an event's body tells it from others."""

    event_id: str
    call_id: CallId


class Recent:
    """The events of the last `KEPT_S` seconds, the oldest first, each once. `now`: seconds, monotonic."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, tuple[float, Noted]] = OrderedDict()

    def forget(self, is_theirs: Callable[[CallId], bool]) -> None:
        """Keep nothing of these calls."""
        for name in [name for name, (_, event) in self._events.items() if is_theirs(event.call_id)]:
            del self._events[name]

    def add(self, event: Noted, now: float) -> None:
        """Keep one, and no longer those that are old. One that is known is as old as it was."""
        self._events.setdefault(event.event_id, (now, event))
        while self._events:
            since_s, _ = first = next(iter(self._events.values()))
            if since_s >= now - KEPT_S and len(self._events) <= MOST:
                break
            del self._events[first[1].event_id]

    def learn(self, told: KeepEvents, now: float) -> None:
        """Keep what the active edge has noted. What names no event of a call is left out."""
        for body in told.bodies:
            try:
                names = read_json(body, _Names)
            except ValueError as error:
                log.warning("event.unreadable", error=str(error))
            else:
                self.add(Noted(names.event_id, names.call_id, body), now)

    def inherit(self, other: Recent) -> None:
        """Keep what another has, too."""
        for event_id, kept in other._events.items():
            self._events.setdefault(event_id, kept)

    def __iter__(self) -> Iterator[Noted]:
        return (event for _, event in self._events.values())


def events_of(noted: Iterable[Noted]) -> Iterator[CallEvent]:
    """Yield these, read. One that cannot be read is a newer edge's: that edge has posted it."""
    for one in noted:
        try:
            yield from_body(read_json(one.body))
        except (ValueError, RemoteProtocolError) as error:
            log.warning("event.unreadable", error=str(error))


def tellings(events: Iterable[Noted]) -> Iterator[KeepEvents]:
    """Yield what heirs are told of these: as many messages as it takes, for one has its limit (`codec.MAX_BODY`)."""
    bodies: list[bytes] = []
    n_bytes = 0
    for event in events:
        if bodies and n_bytes + len(event.body) > TOLD_BYTES:
            yield KeepEvents(tuple(bodies))
            bodies, n_bytes = [], 0
        bodies.append(event.body)
        n_bytes += len(event.body)
    if bodies:
        yield KeepEvents(tuple(bodies))


__all__ = ["KEPT_S", "Noted", "Recent", "events_of", "tellings"]
