"""The front door for datagrams: to the leg that wants it, or to a stateless answer (RFC 3261 s.8.2.7).

For each datagram: `admit` gives a message, whose `sip_call_id` says which leg it is for; if none wants it, `answer`
says what goes back. What cannot be answered is dropped and counted by the word for what was wrong with it.
"""

from collections import Counter
from hashlib import blake2b

from protocols.errors import RemoteProtocolError
from protocols.machine import Address, Transmit
from protocols.sip import build, message
from protocols.sip.message import Draft, Message, Request, Response
from protocols.sip.scope import ACCEPT, ALLOW, objection


class Responder:
    """Reads datagrams, and answers for what belongs to nobody. Keeps nothing but counters."""

    def __init__(self) -> None:
        """Start counting at zero."""
        self.counters: Counter[str] = Counter()
        """What was refused or dropped, by reason."""

    def admit(self, data: bytes, source: Address) -> Request | Response | Transmit | None:
        """Return the message in a datagram, or the refusal of one, or None when it is dropped. Never raises.

        Line ends alone keep a path through a NAT open (RFC 5626 s.4.4.1), and are dropped without a count.
        """
        if not data.strip(b"\r\n\x00"):
            return None
        try:
            draft = message.read(data)
        except RemoteProtocolError as error:
            self.counters[error.what] += 1
            return None
        try:
            return message.check(draft)
        except RemoteProtocolError as error:
            self.counters[error.what] += 1
            return _refusal(draft, source, error.code)

    def answer(self, stray: Request | Response, source: Address) -> Transmit | None:
        """Return the answer to a message that belongs to no leg; responses and ACKs get none. Never raises."""
        if isinstance(stray, Response) or stray.method == "ACK":
            self.counters["stray_" + ("response" if isinstance(stray, Response) else "ack")] += 1
            return None
        refusal = objection(stray)
        code = refusal.code if refusal else _code_for(stray)
        fields = refusal.fields if refusal else (ALLOW, ACCEPT)
        reply = build.response(stray, source, code, *fields, to_tag=_tag(stray))
        return Transmit(bytes(reply), build.answers_to(stray, source))


def _code_for(request: Request) -> int:
    """OPTIONS: we are here. In a dialog, or a CANCEL: it is not ours (any more). A call: nobody here takes calls."""
    if request.method == "CANCEL" or request.to.tag:
        return 481
    return 200 if request.method == "OPTIONS" else 404 if request.method == "INVITE" else 481


def _refusal(draft: Draft, source: Address, code: int) -> Transmit | None:
    """Answer what is wrong, as far as it can be read; the answer goes back where it came from."""
    if draft.is_response or draft.start.startswith("ACK ") or not draft.first("via"):
        return None
    return Transmit(bytes(build.response(draft, None, code, to_tag=_tag(draft))), source)


def _tag(request: Message) -> str:
    """The same tag for each repetition of a request, without remembering it (RFC 3261 s.8.2.7)."""
    told = "\n".join(request.first(name) for name in ("via", "call-id", "from", "cseq"))
    return blake2b(told.encode(), digest_size=8).hexdigest()


__all__ = ["Responder"]
