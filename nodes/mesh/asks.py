"""The asks of one process that wait: each ends once, by its answer, its deadline, or the end of the peer.

A deadline that passes late, because it was this process that stood still, is given once more: the answer may have come
meanwhile, or the peer stood still, too.
"""

from __future__ import annotations

import asyncio
from itertools import count

from nodes.links.errors import AskTimeout, LinkError, PeerGone, Refused
from protocols.errors import RemoteProtocolError
from protocols.wire.codec import decode
from protocols.wire.envelope import Act, Envelope, Refusal
from protocols.wire.ids import Identity
from supervisors.silence import AWAY_S


class Ask:
    """One waiting ask; `reply` is the class its answer has."""

    __slots__ = ("_due", "_is_last", "answer", "kind", "number", "peer", "reply", "timeout_s", "timer")

    def __init__(self, number: int, peer: Identity, kind: str, reply: type, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.number, self.peer, self.kind, self.reply, self.timeout_s = number, peer, kind, reply, timeout_s
        self.answer: asyncio.Future[object] = loop.create_future()
        self._is_last = False
        self._wait()

    def end(self, given: object) -> None:
        """Finish with an answer, or with an error to be raised."""
        self.timer.cancel()
        if self.answer.done():
            return
        if isinstance(given, LinkError):
            self.answer.set_exception(given)
        else:
            self.answer.set_result(given)

    def _wait(self) -> None:
        loop = self.answer.get_loop()
        self._due = loop.time() + self.timeout_s
        self.timer = loop.call_at(self._due, self._expire)

    def _expire(self) -> None:
        if not self._is_last and self.answer.get_loop().time() - self._due > AWAY_S:
            self._is_last = True
            self._wait()
        else:
            self.end(AskTimeout(self.peer, self.kind, self.timeout_s))


class Asks:
    """All waiting asks of a process, by number and so by peer."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, Ask] = {}

    def open(self, peer: Identity, kind: str, reply: type, timeout_s: float) -> Ask:
        """Begin to wait for `peer`; the ask's number goes into its envelope. End it with `close`."""
        ask = Ask(next(self._numbers), peer, kind, reply, timeout_s)
        self._open[ask.number] = ask
        return ask

    def close(self, ask: Ask) -> None:
        """Wait no longer: an answer that comes now is late."""
        ask.timer.cancel()
        self._open.pop(ask.number, None)

    def answered(self, envelope: Envelope, sender: Identity) -> bool:
        """Take a reply or refusal; False when nobody waits for it, or for somebody else's."""
        ask = self._open.get(envelope.number)
        if ask is None or ask.peer != sender:
            return False
        ask.end(_answer(envelope, ask.reply))
        return True

    def gone(self, peer: Identity) -> None:
        """End all asks to a peer that has ended."""
        for ask in [ask for ask in self._open.values() if ask.peer == peer]:
            ask.end(PeerGone(peer))

    def __len__(self) -> int:
        return len(self._open)


def _answer(envelope: Envelope, reply: type) -> object:
    try:
        given = decode(envelope.kind, envelope.body)
    except RemoteProtocolError:
        return Refused("bad_reply")
    wanted = Refusal if envelope.act is Act.REFUSAL else reply
    if not isinstance(given, wanted):
        return Refused("bad_reply")
    return Refused(given.reason) if isinstance(given, Refusal) else given


__all__ = ["Ask", "Asks"]
