"""Being reachable under a name: REGISTER, and again before it runs out (RFC 3261 s.10.2).

A trunk that knows us by registration and not by address needs this; nothing of a call depends on it once it stands.
"""

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from protocols.errors import LocalProtocolError
from protocols.machine import Address, Effect, Expired, Notify, earliest
from protocols.sip import syntax
from protocols.sip.auth import Credentials
from protocols.sip.build import Entropy, Local, new_branch
from protocols.sip.dialog import Dialog
from protocols.sip.leg import Received
from protocols.sip.message import Response
from protocols.sip.requests import Outcome, Requests

RENEW_AFTER: Final = 0.75
"""The part of the time after which we ask again: at 300 s, what is left is twice the 32 s that silence takes."""
RETRY_S: Final = (30.0, 60.0, 120.0, 240.0, 480.0)
"""How long to wait after the first, second, ... refusal in a row (the ladder of RFC 5626 s.4.5)."""
SILENCE_S: Final = 30.0
"""The same after no answer at all, however often: nobody bans us for that, and calls wait for who is back."""


@dataclass(frozen=True, slots=True)
class Register:
    """Have calls for `aor` (`sip:user@provider`) sent to us, by the registrar at `registrar` (`sip:provider`)."""

    registrar: str
    aor: str
    next_hop: Address
    expires_s: int = 300


@dataclass(frozen=True, slots=True)
class Unregister:
    """Have no more calls sent to us."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The registrar knows us for so many seconds; told at each renewal."""

    expires_s: int


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """The registrar refused (408: was silent); we go on trying."""

    code: int


@dataclass(frozen=True, slots=True)
class Unregistered:
    """The registrar has forgotten us, or was asked to and did not say no in time."""


RegistrationInput: TypeAlias = Register | Unregister | Received | Expired
RegistrationEvent: TypeAlias = Registered | RegistrationFailed | Unregistered
Effects = list[Effect[RegistrationEvent]]


class Registration:
    """One binding at one registrar. A machine; see `protocols.machine`."""

    def __init__(self, local: Local, entropy: Entropy, credentials: Credentials | None = None) -> None:
        """Be unregistered; a Call-ID is made here and kept for all renewals (RFC 3261 s.10.2)."""
        self._local = local
        self._entropy = entropy
        self._asked: Register | None = None
        self._identity = Dialog(entropy(16).hex(), "", "", entropy(8).hex())
        self._requests: Requests[RegistrationEvent] = Requests(entropy, credentials, self._next_cseq)
        self._renew_at: float | None = None
        self._n_failed = 0

    @property
    def sip_call_id(self) -> str:
        """The key by which the answers find this machine."""
        return self._identity.sip_call_id

    @property
    def deadline(self) -> float | None:
        """See `protocols.machine`."""
        return earliest((self._renew_at, self._requests.deadline))

    def step(self, given: RegistrationInput, now: float) -> Effects:
        """See `protocols.machine`."""
        match given:
            case Register():
                self._asked = given
                return self._register(given.expires_s, now)
            case Unregister():
                if self._asked is None:
                    raise LocalProtocolError("not_registered")
                return self._register(0, now)
            case Received(message=Response() as response):
                return self._requests.receive(response, now) or []
            case Received():
                return []
            case Expired():
                return self._expired(now)

    def _expired(self, now: float) -> Effects:
        effects = self._requests.expire(now)
        if self._asked and self._renew_at is not None and self._renew_at <= now:
            effects += self._register(self._asked.expires_s, now)
        return effects

    def _register(self, expires_s: int, now: float) -> Effects:
        assert self._asked
        self._renew_at, self._requests.hop = None, self._asked.next_hop
        who = f"<{self._asked.aor}>"
        self._identity = replace(self._identity, local=who, remote=who, remote_target=self._asked.registrar)
        about = (("contact", self._local.contact), ("expires", str(expires_s)))
        cseq, branch = self._next_cseq(), new_branch(self._entropy)
        request = self._identity.request("REGISTER", cseq, self._local, branch, *about)
        return self._requests.send(request, self._asked.next_hop, self._answered, now)

    def _answered(self, outcome: Outcome, now: float) -> Effects:
        if outcome.code < 200 or self._asked is None:
            return []
        if outcome.request.first("expires") == "0":
            self._asked = None
            return [Notify(Unregistered())]
        if outcome.response and outcome.code < 300:
            return self._registered(outcome.response, now)
        least = outcome.response.first("min-expires") if outcome.response and outcome.code == 423 else ""
        if least.isascii() and least.isdecimal() and self._asked.expires_s < int(least) < 2**31:
            self._asked = replace(self._asked, expires_s=int(least))
            return self._register(self._asked.expires_s, now)
        if outcome.response:
            self._renew_at = now + RETRY_S[min(self._n_failed, len(RETRY_S) - 1)]
            self._n_failed += 1
        else:
            self._renew_at = now + SILENCE_S
        return [Notify(RegistrationFailed(outcome.code))]

    def _registered(self, response: Response, now: float) -> Effects:
        assert self._asked
        self._n_failed = 0
        granted_s = _granted_s(response, self._local.contact, self._asked.expires_s)
        self._renew_at = now + RENEW_AFTER * granted_s
        return [Notify(Registered(granted_s))]

    def _next_cseq(self) -> int:
        self._identity = replace(self._identity, local_cseq=self._identity.local_cseq + 1)
        return self._identity.local_cseq


def _granted_s(response: Response, contact: str, asked_s: int) -> int:
    """What our Contact in the answer says, else its Expires, else what we asked for (RFC 3261 s.10.2.4); at least 1."""
    ours = syntax.name_addr(contact).uri.text
    contacts = response.addresses("contact") if response.first("contact") != "*" else []
    stated = next((one.params.get("expires", "") for one in contacts if one.uri.text == ours), "")
    stated = stated or response.first("expires")
    return max(1, int(stated)) if stated.isascii() and stated.isdecimal() and len(stated) < 10 else asked_s


__all__ = [
    "Register", "Registered", "Registration", "RegistrationEvent", "RegistrationFailed", "RegistrationInput",
    "Unregister", "Unregistered",
]  # fmt: skip
