"""What this edge has noted in the last seconds: the events that their stream may not have yet.

A process that is killed loses what it has in memory, and the number of the call's next event is in the record already:
so an event that was lost would be a hole for ever. Its heirs are told each event with the record that counts it, and
whoever becomes active hands all of these to the bus once more. The stream drops what it has, by the event's id, and so
does the recorder.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from nodes.reading import read_json
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.events import CallEvent, from_body, to_body
from protocols.wire.heirs import KeepEvents

log = logs.get(__name__)
KEPT_S: Final = 10.0
"""Far longer than an event is in memory only: the stream's answer is waited for 1 s (`nodes.links.bus`), then what
waits is on disk within 0.25 s (`nodes.links.publisher`)."""
MOST: Final = 10_000
"""Of what 500 calls note in that time."""
TOLD_BYTES: Final = 64 * 1024


class Recent:
    """The events of the last `KEPT_S` seconds, the oldest first, each once. `now`: seconds, monotonic."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, tuple[float, CallEvent]] = OrderedDict()

    def add(self, event: CallEvent, now: float) -> None:
        """Keep one, and no longer those that are old. One that is known is as old as it was."""
        self._events.setdefault(event.event_id, (now, event))
        while self._events:
            since_s, _ = first = next(iter(self._events.values()))
            if since_s >= now - KEPT_S and len(self._events) <= MOST:
                break
            del self._events[first[1].event_id]

    def learn(self, told: KeepEvents, now: float) -> None:
        """Keep what the active edge has noted. One that cannot be read is a newer edge's: that edge has posted it."""
        for body in told.bodies:
            try:
                self.add(from_body(read_json(body)), now)
            except (ValueError, RemoteProtocolError) as error:
                log.warning("event.unreadable", error=str(error))

    def inherit(self, other: Recent) -> None:
        """Keep what another has, too."""
        for event_id, kept in other._events.items():
            self._events.setdefault(event_id, kept)

    def __iter__(self) -> Iterator[CallEvent]:
        return (event for _, event in self._events.values())


def tellings(events: Iterable[CallEvent]) -> Iterator[KeepEvents]:
    """Yield what heirs are told of these: as many messages as it takes, for one has its limit (`codec.MAX_BODY`)."""
    bodies: list[bytes] = []
    n_bytes = 0
    for event in events:
        body = msgspec.json.encode(to_body(event))
        if bodies and n_bytes + len(body) > TOLD_BYTES:
            yield KeepEvents(tuple(bodies))
            bodies, n_bytes = [], 0
        bodies.append(body)
        n_bytes += len(body)
    if bodies:
        yield KeepEvents(tuple(bodies))


__all__ = ["KEPT_S", "Recent", "tellings"]
