"""The dialog: what both ends must remember to go on talking (RFC 3261 s.12), as plain data.

A dialog is a value. Each thing that happens to it gives a new one, so that the last one can be kept somewhere else
and taken up by somebody else. It knows how to write its next request, and nothing of transactions or media.
"""

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Self

from protocols.machine import Address
from protocols.replacing import replace
from protocols.sip import syntax
from protocols.sip.build import Local
from protocols.sip.message import Fields, Message, Request, Response


@dataclass(frozen=True, slots=True)
class Dialog:
    """One end's view of a dialog, early or confirmed; without `remote_tag` it is only meant to become one."""

    sip_call_id: str
    local: str
    """Our name-addr without tag: the From of our requests."""
    remote: str
    """Theirs: the To of our requests."""
    local_tag: str
    remote_tag: str = ""
    local_cseq: int = 0
    """The number of our last request."""
    remote_cseq: int = -1
    """The number of theirs; -1 before the first."""
    route_set: tuple[str, ...] = ()
    """Route values in the order in which our requests pass them, byte for byte as they were recorded."""
    remote_target: str = ""
    """The URI in their last Contact; before there is one, the URI that we call."""

    @classmethod
    def of_invite(cls, invite: Request, local_tag: str) -> Self:
        """Return the dialog that a caller's INVITE offers us (s.12.1.1)."""
        return cls(
            sip_call_id=invite.sip_call_id,
            local=_without_tag(invite.first("to")),
            remote=_without_tag(invite.first("from")),
            local_tag=local_tag,
            remote_tag=invite.sender.tag,
            remote_cseq=invite.cseq.number,
            route_set=tuple(syntax.each(invite.values("record-route"), str)),
            remote_target=_target(invite) or invite.sender.uri.text,
        )

    def answered(self, response: Response) -> Self:
        """Return the dialog that this 1xx or 2xx to our INVITE made (s.12.1.2)."""
        return replace(
            self,
            remote_tag=response.to.tag,
            route_set=tuple(reversed(syntax.each(response.values("record-route"), str))),
            remote_target=_target(response) or self.remote_target,
        )

    def refreshed(self, message: Message) -> Self:
        """Return the dialog with the Contact of a target refresh: INVITE or UPDATE, or the 2xx to one (s.12.2)."""
        return replace(self, remote_target=_target(message) or self.remote_target)

    def is_of(self, request: Request) -> bool:
        """Say whether an in-dialog request is meant for this dialog: Call-ID and both tags (s.12)."""
        ids = (request.sip_call_id, request.to.tag, request.sender.tag)
        return ids == (self.sip_call_id, self.local_tag, self.remote_tag)

    def request(
        self, method: str, cseq: int, local: Local, branch: str, *fields: tuple[str, str], body: bytes = b""
    ) -> Request:
        """Return a request in this dialog (s.12.2.1.1), or the INVITE that is to make it (s.8.1.1).

        A first route without `lr` is a strict router of RFC 2543: it becomes the request line, and the target moves
        to the end of the Route.
        """
        target, routes = self.remote_target, self.route_set
        if routes and "lr" not in syntax.name_addr(routes[0]).uri.params:
            target, routes = syntax.name_addr(routes[0]).uri.text, (*routes[1:], f"<{self.remote_target}>")
        tag = f";tag={self.remote_tag}" if self.remote_tag else ""
        headers: Fields = (
            ("via", local.via(branch)),
            *(("route", route) for route in routes),
            ("max-forwards", "70"),
            ("from", f"{self.local};tag={self.local_tag}"),
            ("to", self.remote + tag),
            ("call-id", self.sip_call_id),
            ("cseq", f"{cseq} {method}"),
        )
        return Request(method=method, uri=target, headers=headers, body=body).adding(*fields)

    def next_hop(self, otherwise: Address) -> Address:
        """Return where our next request goes: to the first route, else to the target (s.8.1.2).

        A host name needs a resolver, which a machine has not: then it goes `otherwise`, to the trunk the call is on.
        """
        first = syntax.name_addr(self.route_set[0]).uri if self.route_set else syntax.uri(self.remote_target)
        return (first.host, first.port or 5060) if is_ipv4(first.host) else otherwise


def is_ipv4(host: str) -> bool:
    """Say whether a host is an address in numbers, which needs no resolver."""
    try:
        IPv4Address(host)
    except AddressValueError:
        return False
    return True


def _target(message: Message) -> str:
    contacts = message.addresses("contact") if message.first("contact") not in ("", "*") else []
    return contacts[0].uri.text if contacts else ""


def _without_tag(value: str) -> str:
    """Return a From or To as the other end will need it: who, without the tag, which has a field of its own."""
    read = syntax.name_addr(value)
    return f"{syntax.quote(read.name)} <{read.uri.text}>" if read.name else f"<{read.uri.text}>"


__all__ = ["Dialog", "is_ipv4"]
