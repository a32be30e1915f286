"""The errors of the two buses.

LinkError
  PeerGone          the process is not in the roster: it has ended, or never was
  AskTimeout        no answer in time; whether the message was handled is unknown
  NoPortFree        no port of cluster.ports can be had
  Refused           the answer is no; `reason` says why, in one word
  NotAll            of several that were asked some have failed; `failed` says which, and how
  BusAway           NATS or its stream does not answer; whether the record was taken is unknown
  StreamBroken      a stream has not what follows on what was read of it
  ObjectBroken      an object is not there, or not what was written
  ServerTooOld      the nats-server lacks what we build on
  LayoutMismatch    a stream or bucket exists and is not as we need it
  FarCrash          never raised: the crash of an actor in another process, as text
"""

from __future__ import annotations

from collections.abc import Mapping

from nodes.errors import NodeError
from protocols.wire.ids import Identity


class LinkError(NodeError):
    """The root of this package's errors."""


class PeerGone(LinkError):
    """The peer's incarnation has ended, or the roster never had it: ask its successor."""

    def __init__(self, peer: str) -> None:
        super().__init__(peer)
        self.peer = peer


class AskTimeout(LinkError):
    """No answer within `timeout_s`. The peer may have handled the ask, be about to, or hang."""

    def __init__(self, peer: str, kind: str, timeout_s: float) -> None:
        super().__init__(f"{peer} did not answer {kind} within {timeout_s} s")
        self.peer, self.kind, self.timeout_s = peer, kind, timeout_s


class Refused(LinkError):
    """The answer is no. A handler raises it to refuse; the asker gets it raised.

    The mesh's own reasons: `not_served` (no handler), `internal_error` (the handler failed; its log says how), `busy`
    (too many asks are being handled), `cancelled` (what the handler waited for will not come), `buffer_full` (not
    sent), `bad_message` and `bad_reply` (the two sides disagree about a message).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotAll(LinkError):
    """Of several that were all asked these have failed, each by its identity; the others have done it."""

    def __init__(self, failed: Mapping[Identity, LinkError]) -> None:
        super().__init__("; ".join(f"{who}: {why}" for who, why in failed.items()))
        self.failed = dict(failed)

    @property
    def reasons(self) -> list[str]:
        """What each has refused for; of one that did not answer, what has come of it."""
        return [why.reason if isinstance(why, Refused) else str(why) for why in self.failed.values()]


class NoPortFree(LinkError):
    """None of `ports`, from first to last, is free at `host`."""

    def __init__(self, host: str, ports: tuple[int, int]) -> None:
        super().__init__(f"cluster.ports: none of TCP {host}:{ports[0]} to {ports[1]} is free")
        self.host, self.ports = host, ports


class BusAway(LinkError):
    """The stream has not acknowledged in time. Retrying with the same event id is safe."""


class StreamBroken(LinkError):
    """After message `after` of a stream comes not the next one but `found`; 0: the stream is another, and shorter."""

    def __init__(self, stream: str, after: int, found: int) -> None:
        super().__init__(f"{stream}: after message {after} comes {found or 'the end of another stream'}")
        self.stream, self.after, self.found = stream, after, found


class ObjectBroken(LinkError):
    """The object `name` cannot be read, and no second try will help."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"object {name}: {reason}")
        self.name, self.reason = name, reason


class ServerTooOld(LinkError):
    """`found` is below the oldest nats-server whose features we build on."""

    def __init__(self, found: str, needed: str) -> None:
        super().__init__(f"nats-server {found} is older than {needed}")
        self.found, self.needed = found, needed


class LayoutMismatch(LinkError):
    """Stream or bucket `name` exists with another configuration: `wrong` is field -> (wanted, found)."""

    def __init__(self, name: str, wrong: dict[str, tuple[object, object]]) -> None:
        said = ", ".join(f"{key} is {found!r}, not {wanted!r}" for key, (wanted, found) in wrong.items())
        super().__init__(f"{name}: {said}")
        self.name, self.wrong = name, wrong


class FarCrash(LinkError):
    """What an actor in another process raised: its class and message, as text."""


__all__ = [
    "LinkError", "PeerGone", "AskTimeout", "NoPortFree", "Refused", "NotAll", "BusAway", "StreamBroken", "ObjectBroken",
    "ServerTooOld", "LayoutMismatch", "FarCrash",
]  # fmt: skip
