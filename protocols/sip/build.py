"""Messages that are made from another message: responses (RFC 3261 s.8.2.6), ACK to a refusal, CANCEL.

Requests of a dialog are made by the dialog (`dialog.py`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from protocols.machine import Address
from protocols.sip import syntax
from protocols.sip.message import BRANCH_MAGIC, Fields, Message, Request, Response

Entropy: TypeAlias = Callable[[int], bytes]
"""Return so many random bytes: `os.urandom`, or `random.Random(seed).randbytes` where a run has to repeat."""

PHRASES: Final = {
    100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 415: "Unsupported Media Type",
    416: "Unsupported URI Scheme", 420: "Bad Extension", 422: "Session Interval Too Small",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
    484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
    491: "Request Pending", 500: "Server Internal Error", 501: "Not Implemented", 503: "Service Unavailable",
    505: "Version Not Supported", 600: "Busy Everywhere", 603: "Decline",
}  # fmt: skip
"""RFC 3261 s.21 and RFC 4028; another code goes out with an empty phrase, which s.7.2 allows."""

_tag = re.compile(r";\s*tag\s*=", re.IGNORECASE)
_rport = re.compile(r";\s*rport\s*(?=;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Local:
    """How we appear in Via and Contact: the address that the far end can reach, and our user part there."""

    host: str
    port: int
    user: str = "ringmaster"
    transport: str = "UDP"

    @property
    def contact(self) -> str:
        """The Contact of this leg: where requests in the dialog are to be sent (RFC 3261 s.8.1.1.8)."""
        transport = "" if self.transport == "UDP" else f";transport={self.transport.lower()}"
        return f"<sip:{self.user}@{self.host}:{self.port}{transport}>"

    def via(self, branch: str) -> str:
        """Return our Via; `rport` asks for the answer to come back where the request came from (RFC 3581)."""
        return f"SIP/2.0/{self.transport} {self.host}:{self.port};rport;branch={branch}"


def new_branch(entropy: Entropy) -> str:
    """Return the name of a new transaction (RFC 3261 s.8.1.1.7): 64 random bits."""
    return BRANCH_MAGIC + entropy(8).hex()


def response(
    request: Message, source: Address | None, code: int, *fields: tuple[str, str], to_tag: str = "", body: bytes = b""
) -> Response:
    """Return the answer to a request that came from `source` (RFC 3261 s.8.2.6.2).

    `to_tag` is added where the request has none; 100 goes without. Record-Route is copied into what may make a dialog
    (s.12.1.1). Works on drafts too, without a source: whoever sends half a request gets half an answer.
    """
    vias, to = request.values("via"), request.first("to")
    if to_tag and to and code > 100 and not _tag.search(to.rpartition(">")[2]):
        to = f"{to};tag={to_tag}"
    recorded = request.values("record-route") if 100 < code < 300 else []
    headers = (
        *(("via", value) for value in ((_stamped(vias[0], source), *vias[1:]) if source else vias)),
        ("from", request.first("from")),
        ("to", to),
        ("call-id", request.first("call-id")),
        ("cseq", request.first("cseq")),
        *(("record-route", value) for value in recorded),
        *fields,
    )
    return Response(code=code, phrase=PHRASES.get(code, ""), headers=(), body=body).adding(*headers)


def answers_to(request: Request, source: Address) -> Address:
    """Return where the answer goes: back to the port it came from when rport asks so, else to the port in the Via.

    RFC 3261 s.18.2.2, RFC 3581 s.4.
    """
    via = request.via
    return source if "rport" in via.params else (source[0], via.port or 5060)


def ack_to_refusal(invite: Request, refusal: Response) -> Request:
    """Return the ACK of a 3xx to 6xx: the INVITE's own Via and Route, the To of the answer (RFC 3261 s.17.1.1.3)."""
    return _companion(invite, "ACK", refusal.first("to"))


def cancel(invite: Request) -> Request:
    """Return the CANCEL of an INVITE: the same request line, Via, Route and To (RFC 3261 s.9.1)."""
    return _companion(invite, "CANCEL", invite.first("to"))


def _companion(invite: Request, method: str, to: str) -> Request:
    headers: Fields = (
        ("via", invite.first("via")),
        *(("route", value) for value in invite.values("route")),
        ("max-forwards", "70"),
        ("from", invite.first("from")),
        ("to", to),
        ("call-id", invite.sip_call_id),
        ("cseq", f"{invite.cseq.number} {method}"),
    )
    return Request(method=method, uri=invite.uri, headers=headers)


def _stamped(value: str, source: Address) -> str:
    """Write into the top Via where the request really came from (RFC 3261 s.18.2.1, RFC 3581 s.4)."""
    top, *rest = syntax.items(value)
    stamped = _rport.sub(f";rport={source[1]}", top)
    return ", ".join((f"{stamped};received={source[0]}", *rest))


__all__ = [
    "Entropy", "Local", "PHRASES",
    "ack_to_refusal", "answers_to", "cancel", "new_branch", "response",
]  # fmt: skip
