"""Messages between processes: `ask` for an answer, `tell` without, over ZeroMQ.

One ROUTER is bound per process, and one DEALER is made per peer, at the first message. Everything for a peer, answers
too, goes through our DEALER to it, so that its order is kept as in Erlang: what one process says to another arrives in
the order in which it was said. A sender that is no peer (the command line) is a guest: it is answered over the
connection it came by.

Peers are the processes of this node, which its launcher names (`roster`), and those of other nodes of the cluster
(`members`). In a cluster a process has a second ROUTER, for other machines (`Outside`). The identity says which node
somebody is of: nobody is heard at the other door.

    a peer ...                           asks fail with                  tells
    is not among them, or leaves them    PeerGone, at once               False
    is hung                              AskTimeout, at the deadline     wait in buffers, then False
    is killed, before the roster says    AskTimeout or PeerGone          are lost; the roster is the proof

Messages are handled at most once, and an ask not at all once its time is up (`age`). Nothing is sent again by the mesh.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar, cast

import zmq

from nodes.links.errors import NoPortFree, PeerGone, Refused
from nodes.links.roster import NOBODY, Peer, Roster
from nodes.mesh.age import Age
from nodes.mesh.asks import Asks
from nodes.mesh.line import Context, PeerLine
from nodes.mesh.outbox import Outbox
from nodes.mesh.outside import Outside
from nodes.mesh.serving import Serving
from nodes.telemetry.logs import TRACE
from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.wire import codec
from protocols.wire.envelope import VERSION, Act, Envelope, Frame, Refusal
from protocols.wire.ids import Identity, node_of

MAX_REMEMBERED: Final = 1024
"""Guests that may be answered, and the ended whose late frames are dropped: the oldest are forgotten first."""

_PRIVATE: Final = ("ipc://", "tcp://127.", "tcp://[::1]:")
"""Endpoints that nobody from outside can reach."""

M = TypeVar("M")
R_co = TypeVar("R_co", covariant=True)


class Request(Protocol[R_co]):
    """A message that is asked: its class names the class of its reply."""

    @property
    def Reply(self) -> type[R_co]: ...  # noqa: N802  a class, so it is named as one


class _Link:
    """What we hold of one peer: the way to it once there is one, and the age of what comes from it."""

    __slots__ = ("age", "line", "outbox")

    def __init__(self) -> None:
        self.age = Age()
        self.line: PeerLine | None = None
        self.outbox: Outbox | None = None


class Mesh:
    """This process's place among the others: made by `start`, ended by `close`. `counts`: what went wrong."""

    def __init__(self, identity: Identity, outside: Outside | None) -> None:
        self.identity = identity
        self.endpoint = self.address = ""
        self.counts: Counter[str] = Counter()
        self._node = node_of(identity)
        self._near: dict[Identity, Peer] = {}
        self._far: dict[Identity, Peer] = {}
        self._peers: dict[Identity, Peer] = {}
        self._links: dict[Identity, _Link] = {}
        self._guests: OrderedDict[Identity, _Link] = OrderedDict()
        self._gone: OrderedDict[Identity, None] = OrderedDict()
        self._asks = Asks()
        self._serving = Serving(self.counts)
        self._loop = asyncio.get_running_loop()
        self._context: Context = zmq.Context()
        self._outside = outside
        self._guard = outside.key.guard(self._context) if outside else None
        self._router = PeerLine(self._context, zmq.ROUTER, self._from_router)
        self._far_router = PeerLine(self._context, zmq.ROUTER, self._from_far_router) if outside else None

    @classmethod
    async def start(cls, identity: Identity, endpoint: str = "", outside: Outside | None = None) -> Mesh:
        """Begin to listen at `endpoint` (`ipc:///path`, `tcp://127.0.0.1:*`); empty for a guest, which only asks.

        `mesh.endpoint` is what peers of this node connect to, with the port that was found. `outside`: speak with other
        machines of the cluster, too, who connect to `mesh.address`. Raises: `zmq.ZMQError` when the endpoint is taken,
        `NoPortFree`, `LocalProtocolError` for an endpoint that others could reach without a key.
        """
        if endpoint and not endpoint.startswith(_PRIVATE):
            raise LocalProtocolError("needs_a_key", endpoint)
        mesh = cls(identity, outside)
        await mesh._serving.start()
        try:
            if endpoint:
                mesh._bind(endpoint)
            if outside and outside.bind:
                mesh._bind_outside(outside)
        except (zmq.ZMQError, NoPortFree):
            await mesh.close()
            raise
        return mesh

    async def close(self) -> None:
        """Stop: handlers under way are cancelled, waiting asks fail with `PeerGone`, what was not sent is dropped."""
        self._router.close()
        if self._far_router:
            self._far_router.close()
        self.members(())
        self.roster(NOBODY)
        for guest in list(self._guests):
            self._forget_guest(guest)
        await self._serving.close()
        if self._guard:
            self._guard.close()
        self._context.term()

    def whereabouts(self) -> dict[str, str]:
        """Return what a process tells its launcher, and so its peers: who it is and where it listens."""
        return {"identity": self.identity, "endpoint": self.endpoint, "address": self.address}

    def roster(self, roster: Roster) -> None:
        """Take the launcher's word on who lives: asks to those who have left fail now."""
        self._near = {peer.identity: peer for peer in roster.processes}
        self._follow()

    def members(self, peers: Iterable[Peer]) -> None:
        """Take the cluster's word on which processes other nodes have; `endpoint` is where they listen for us.

        Asks to those who have left fail now. Who comes back, whose silence was taken for an end, is heard again.
        """
        self._far = {peer.identity: peer for peer in peers if node_of(peer.identity) != self._node}
        self._follow()

    def knows(self, peer: Identity) -> bool:
        """Return whether this incarnation of a process is one of ours, or of the cluster's."""
        return peer in self._peers

    def clock_of(self, peer: Identity) -> float | None:
        """Return the seconds to add to a peer's monotonic times to have ours; None when nothing was heard of it.

        Too many by what the fastest frame from there took, some tenths of a millisecond on a network of one house.
        """
        if node_of(peer) == self._node:
            return 0.0
        link = self._links.get(peer) or self._guests.get(peer)
        return link.age.between_s if link else None

    def serve(self, message: type[M], handler: Callable[[M, Identity], object]) -> None:
        """Handle all messages of a class: `handler(message, sender)` returns the reply, or an awaitable of it.

        For a message that is told, what it returns is not looked at. Raise `Refused(reason)` to say no; any other
        error is logged and answered as `internal_error`. Handlers of one sender's messages begin in their order. A
        future that is returned is an answer to come, which may take long: it takes no place among what is handled.
        """
        self._serving.serve(message, handler)

    async def ask(self, peer: Identity, message: Request[R_co], timeout_s: float = 5.0) -> R_co:
        """Return the peer's reply. Raises: `PeerGone`, `AskTimeout`, `Refused`.

        After `AskTimeout` the message may have been handled, or may be; it is not begun after `timeout_s`.
        """
        ask = self._asks.open(peer, type(message).__name__, message.Reply, timeout_s)
        try:
            if not self._way_to(peer).put(_envelope(Act.ASK, ask.number, message, timeout_s)):
                self.counts["buffer_full"] += 1
                raise Refused("buffer_full")
            return cast(R_co, await ask.answer)
        finally:
            self._asks.close(ask)

    def tell(self, peer: Identity, message: object) -> bool:
        """Send a message that has no reply. False, and counted, when the peer is gone or its buffer is full."""
        try:
            way = self._way_to(peer)
        except PeerGone:
            self.counts["peer_gone"] += 1
            return False
        if not way.put(_envelope(Act.TELL, 0, message, 0.0)):
            self.counts["buffer_full"] += 1
            return False
        return True

    # ---- the ways out -------------------------------------------------------------------------------------------

    def _way_to(self, identity: Identity) -> Outbox:
        """Return the way to a peer of the roster, made now if it is the first time, or to a guest."""
        if peer := self._peers.get(identity):
            link = self._link(identity)
            return link.outbox or self._connect(link, peer)
        if (guest := self._guests.get(identity)) and guest.outbox:
            return guest.outbox
        raise PeerGone(identity)

    def _link(self, identity: Identity) -> _Link:
        if (link := self._links.get(identity)) is None:
            link = self._links[identity] = _Link()
        return link

    def _connect(self, link: _Link, peer: Peer) -> Outbox:
        def receive(parts: list[bytes]) -> int:
            return self._from(peer.identity, link, parts[-1])

        link.line = PeerLine(self._context, zmq.DEALER, receive)
        link.line.socket.setsockopt(zmq.ROUTING_ID, self.identity.encode())
        if node_of(peer.identity) != self._node:
            self._reach(link.line)
            link.line.beat()
        link.line.socket.connect(peer.endpoint)
        link.line.look()
        link.outbox = self._outbox(link.line, peer.identity, [])
        return link.outbox

    def _outbox(self, line: PeerLine, to: Identity, head: list[bytes]) -> Outbox:
        def pack(envelopes: tuple[Envelope, ...]) -> bytes:
            return codec.pack(Frame(VERSION, self.identity, to, self._loop.time(), envelopes))

        return Outbox(line, head, pack, unreachable=lambda: self._forget_guest(to))

    def _reach(self, line: PeerLine) -> None:
        if self._outside is None:
            raise LocalProtocolError("needs_a_key", "a peer on another machine")
        self._outside.reach(line.socket)

    def _bind(self, endpoint: str) -> None:
        router = self._router.socket
        _take_reconnects(router)
        router.bind(endpoint)
        self.endpoint = router.getsockopt_string(zmq.LAST_ENDPOINT)
        if self.endpoint.startswith("ipc://"):
            os.chmod(self.endpoint.removeprefix("ipc://"), 0o600)
        self._router.look()

    def _bind_outside(self, outside: Outside) -> None:
        assert self._far_router is not None
        _take_reconnects(self._far_router.socket)
        self._far_router.notice()
        self.address = outside.listen(self._far_router.socket)
        self._far_router.look()

    def _follow(self) -> None:
        peers = {**self._far, **self._near}
        for identity in self._peers.keys() - peers.keys():
            self._forget(identity)
        for identity in peers.keys() & self._gone.keys():
            del self._gone[identity]
        self._peers = peers

    def _forget(self, identity: Identity) -> None:
        """The peer has ended: nothing is sent to it any more, and nothing it has still sent is heard."""
        self._gone[identity] = None
        if len(self._gone) > MAX_REMEMBERED:
            self._gone.popitem(last=False)
        if link := self._links.pop(identity, None):
            _close(link)
        self._asks.gone(identity)

    def _forget_guest(self, identity: Identity) -> None:
        if link := self._guests.pop(identity, None):
            _close(link)
            self._asks.gone(identity)

    # ---- the way in ---------------------------------------------------------------------------------------------

    def _from_router(self, parts: list[bytes]) -> int:
        sender = Identity(parts[0].decode(errors="replace"))
        if node_of(sender) != self._node:
            return self._misdirected()
        return self._through(self._router, sender, parts)

    def _from_far_router(self, parts: list[bytes]) -> int:
        sender = Identity(parts[0].decode(errors="replace"))
        if self._far_router is None or node_of(sender) == self._node:
            return self._misdirected()
        return self._through(self._far_router, sender, parts)

    def _through(self, router: PeerLine, sender: Identity, parts: list[bytes]) -> int:
        if sender in self._gone:
            self.counts["late"] += 1
            return 1
        is_peer = sender in self._peers
        link = self._link(sender) if is_peer else self._guest(router, sender, parts[0])
        return self._from(sender, link, parts[-1])

    def _misdirected(self) -> int:
        self.counts["misdirected"] += 1
        return 1

    def _guest(self, router: PeerLine, identity: Identity, routing_id: bytes) -> _Link:
        link = self._guests.get(identity)
        if link is None:
            link = self._guests[identity] = _Link()
            link.outbox = self._outbox(router, identity, [routing_id])
            if len(self._guests) > MAX_REMEMBERED:
                self._forget_guest(next(iter(self._guests)))
        return link

    def _from(self, sender: Identity, link: _Link, data: bytes) -> int:
        """Take one frame; returns how many messages it counts for."""
        try:
            frame = codec.unpack(data)
        except RemoteProtocolError as error:
            self.counts[error.what] += 1
            return 1
        if frame.to != self.identity or frame.sender != sender:
            return self._misdirected()
        age_s = link.age.of(frame.sent_s, self._loop.time())
        for envelope in frame.envelopes:
            self._take(sender, envelope, age_s)
        return len(frame.envelopes) + 1

    def _take(self, sender: Identity, envelope: Envelope, age_s: float) -> None:
        match envelope.act:
            case Act.TELL:
                self._serving.handle(envelope, sender, _nothing)
            case Act.ASK if age_s > envelope.within_s:
                self.counts["expired"] += 1
            case Act.ASK:
                self._serving.handle(envelope, sender, lambda given: self._answer(sender, envelope, given))
            case Act.REPLY | Act.REFUSAL if not self._asks.answered(envelope, sender):
                self.counts["late"] += 1

    def _answer(self, asker: Identity, asked: Envelope, given: object) -> None:
        act = Act.REFUSAL if isinstance(given, Refusal) else Act.REPLY
        try:
            sent = self._way_to(asker).put(_envelope(act, asked.number, given, 0.0))
        except PeerGone:
            sent = False
        if not sent:
            self.counts["unanswered"] += 1


def _envelope(act: Act, number: int, message: object, within_s: float) -> Envelope:
    return Envelope(act, number, type(message).__name__, within_s, TRACE.get(), codec.encode(message))


def _close(link: _Link) -> None:
    if link.outbox:
        link.outbox.stop()
    if link.line:
        link.line.close()


def _take_reconnects(router: zmq.Socket[bytes]) -> None:
    """An identity is one incarnation: a second connection with the same one is its reconnect, and takes over."""
    router.setsockopt(zmq.ROUTER_MANDATORY, 1)
    router.setsockopt(zmq.ROUTER_HANDOVER, 1)


def _nothing(given: object) -> None:
    """Nobody waits for the answer to a tell."""


__all__ = ["Mesh", "Request"]
