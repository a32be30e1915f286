"""The SIP socket of an edge: which endpoint a datagram belongs to, and the way out.

What it does: reads the socket that the launcher bound, admits or answers what belongs to nobody (OPTIONS, strays,
garbage), gives the rest to its endpoint by Call-ID. What it does not: signalling; that is each endpoint's machine.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from nodes import dial_plan
from nodes.config import Config
from nodes.edge.alarm import Alarm
from nodes.errors import NodeError
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.sip import Credentials, Local, Request, Responder, Response
from protocols.sip.syntax import uri
from supervisors import Actor, Ref

if TYPE_CHECKING:
    from protocols.machine import Address, Transmit

log = logs.get(__name__)
DSCP_CS3: Final = 24
"""Signalling is marked class selector 3 (RFC 4594 s.3.1)."""
DATAGRAM: Final = 65_535
DRAIN: Final = 64
"""Datagrams taken in one turn of the loop: a flood must not starve the calls."""
BUFFER: Final = 4 * 1024 * 1024


class Unreachable(NodeError):
    """The target has no address, or none that our bound address can reach."""


class NotAllowed(Unreachable):
    """The target has an address, and no call may be sent there."""


class Endpoint(Actor):
    """An actor around a machine of `protocols.sip`: a call's leg, or a registration."""

    _alarm: Alarm | None = None

    def received(self, message: Request | Response, source: Address) -> None:
        """A message of this endpoint has arrived from `source`."""
        raise NotImplementedError

    def expired(self) -> None:
        """The machine's deadline has passed."""
        raise NotImplementedError

    def wake(self, deadline: float | None) -> None:
        """Be `expired` at this time and no other."""
        if self._alarm is None:
            self._alarm = Alarm(self, type(self).expired)
        self._alarm.set(deadline)


class Trunk:
    """The edge's one SIP socket and the endpoints that live on it. A spare has it too, and does not read it."""

    def __init__(self, config: Config, sock: socket.socket) -> None:
        self._config, self._socket = config, sock
        self._endpoints: dict[str, Ref[Endpoint]] = {}
        self.nobody: Callable[[Request | Response, Address], bool] = lambda message, source: False
        """Asked about what is no endpoint's; True: it will be `take`n again."""
        self._responder = Responder()
        self.registered: set[str] = set()
        """The trunks that know us now, of those that want to."""
        self.counts: Counter[str] = Counter()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_CS3 << 2)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)

    def credentials(self, trunk: str) -> Credentials | None:
        """Return who we are to the carrier of this name, if it asks."""
        found = next((one for one in self._config.sip.trunks if one.name == trunk), None)
        if found is None or not found.user:
            return None
        return Credentials(found.user, found.password, found.realms, found.without_qop)

    def name_of(self, target: str) -> str:
        """Return the trunk whose address the target names; empty for a URI that is called directly."""
        trunk = dial_plan.trunk_of(target, self._config.sip)
        return trunk.name if trunk else ""

    def is_strict(self, target: str) -> bool:
        """Say whether whoever answers at this target sends from where their SDP says, and from nowhere else."""
        trunk = dial_plan.trunk_of(target, self._config.sip)
        return trunk is not None and trunk.strict_rtp

    @property
    def port(self) -> int:
        """The socket's port: what far ends have been told to answer to."""
        return int(self._socket.getsockname()[1])

    @property
    def drops(self) -> dict[str, int]:
        """What was refused or dropped, how often, by word."""
        return {**self._responder.counters, **self.counts}

    def open(self) -> None:
        """Begin to read: this edge is the active one."""
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Stop reading; the socket stays open for the launcher and the spare."""
        asyncio.get_running_loop().remove_reader(self._socket)

    def attach(self, sip_call_id: str, endpoint: Ref[Endpoint]) -> None:
        """Messages with this Call-ID are the endpoint's from now on."""
        self._endpoints[sip_call_id] = endpoint

    def detach(self, sip_call_id: str, endpoint: Ref[Endpoint]) -> None:
        """The endpoint has ended."""
        if self._endpoints.get(sip_call_id) is endpoint:
            del self._endpoints[sip_call_id]

    def send(self, data: bytes, to: Address) -> None:
        """Send one datagram. What the network refuses is counted; the transaction's timers send it again."""
        try:
            self._socket.sendto(data, to)
        except OSError as error:
            self.counts["not_sent"] += 1
            log.warning("sip.not_sent", reason=str(error))

    async def next_hop(self, target: str) -> Address:
        """Return where a request for `target` goes first: a trunk's proxy, else the URI's host.

        Raises: Unreachable, NotAllowed.
        """
        host, port = _host_of(target)
        if trunk := dial_plan.trunk_of(target, self._config.sip):
            host, port = trunk.first_hop
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(5.0):
                found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
        except (OSError, TimeoutError, UnicodeError) as error:  # the last: no name at all, as a..b
            raise Unreachable(f"{host}: {error or 'the name was not found in 5 s'}") from error
        address = found[0][4]
        if reason := dial_plan.hop_objection(host, str(address[0]), self._config.sip):
            raise NotAllowed(reason)
        return str(address[0]), int(address[1])

    def local(self, hop: Address) -> Local:
        """Return the address by which `hop` reaches us: the bound one, or the route's when bound to all.

        Raises: Unreachable.
        """
        return Local(route_to(hop, self._config.sip.bind), self._socket.getsockname()[1])

    def _readable(self) -> None:
        for _ in range(DRAIN):
            try:
                data, source = self._socket.recvfrom(DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP refusal of something sent before
                self.counts["icmp"] += 1
                log.debug("sip.refused", reason=str(error))
                continue
            self._take(data, source)

    def _take(self, data: bytes, source: Address) -> None:
        match self._responder.admit(data, source):
            case Request() | Response() as message:
                self.take(message, source)
            case None:
                pass
            case refusal:
                self._answer(refusal)

    def take(self, message: Request | Response, source: Address) -> None:
        """Bring a message to its endpoint; where there is none, and nobody wants it, answer it."""
        if endpoint := self._endpoints.get(message.sip_call_id):
            endpoint.tell(Endpoint.received, message, source)
        elif not self.nobody(message, source) and (answer := self._responder.answer(message, source)):
            self._answer(answer)

    def _answer(self, answer: Transmit) -> None:
        if answer.to is not None:
            self.send(answer.data, answer.to)


def _host_of(target: str) -> tuple[str, int]:
    try:
        wanted = uri(target)
    except RemoteProtocolError as error:
        raise Unreachable(f"{target}: not a SIP URI ({error})") from error
    if not wanted.host:
        raise Unreachable(f"{target}: it names no host to dial it through")
    return wanted.host, wanted.port or 5060


def route_to(hop: Address, bound: str) -> str:
    """Return the local address that packets to `hop` leave from. Raises: Unreachable.

    A socket that is connected, and never sent on, asks the kernel's routing table without a packet.
    """
    if bound != "0.0.0.0":
        if bound.startswith("127.") and not hop[0].startswith("127."):
            raise Unreachable(f"{hop[0]}: this node listens on {bound} only; set sip.bind and rtp.bind to reach others")
        return bound
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(hop)
        except OSError as error:
            raise Unreachable(f"{hop[0]}: {error}") from error
        return str(probe.getsockname()[0])


__all__ = ["Endpoint", "NotAllowed", "Trunk", "Unreachable", "route_to"]
