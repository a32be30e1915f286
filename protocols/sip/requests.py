"""The requests that one of us sends: their transactions, their time-outs, and the answer to a challenge.

Whoever sends a request says what is to be done `then`; that is called for each response, provisional ones too, and
once with code 408 and no response when nobody answers (RFC 3261 s.8.1.3.1). A 401 or 407 that we have credentials for
is not told: the request goes out again with them (s.22.2), once for each realm, and once more when only the nonce was
stale.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

from protocols.machine import Address, Effect, Expired, Transmit, earliest
from protocols.sip import auth
from protocols.sip.auth import Challenge, Credentials
from protocols.sip.build import Entropy, new_branch
from protocols.sip.message import Request, Response
from protocols.sip.transaction import CLIENT, INVITE_CLIENT, Begin, Passed, State, TimedOut, Transaction

E = TypeVar("E")

MAX_TRIES = 4
"""A proxy's realm, the callee's, and a stale nonce in between: more is a server that does not want us."""
OPEN = (State.IDLE, State.CALLING, State.TRYING, State.PROCEEDING)
"""The states in which a request has no final answer yet."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request."""

    code: int
    request: Request
    """As it went out in the end: with credentials, if they were asked for."""
    response: Response | None = None
    """None: nobody answered, and `code` is 408."""


Then: TypeAlias = Callable[[Outcome, float], list[Effect[E]]]


@dataclass(frozen=True, slots=True)
class _Sent(Generic[E]):
    transaction: Transaction
    then: Then[E]
    realms: tuple[str, ...] = ()
    """The realms that were answered, in order."""


class Requests(Generic[E]):
    """The client side of a leg or a registration."""

    def __init__(self, entropy: Entropy, credentials: Credentials | None, next_cseq: Callable[[], int]) -> None:
        """`next_cseq` numbers a request that has to go out again (RFC 3261 s.22.2)."""
        self._entropy = entropy
        self.credentials = credentials
        """Who we are to servers that ask; None: nobody, and a challenge is an outcome like any other."""
        self._next_cseq = next_cseq
        self._sent: dict[tuple[str, str], _Sent[E]] = {}

    @property
    def deadline(self) -> float | None:
        """See `protocols.machine`."""
        return earliest(one.transaction.deadline for one in self._sent.values())

    @property
    def is_idle(self) -> bool:
        """Say that no transaction is left, not even to absorb repetitions."""
        return not self._sent

    def invite(self) -> Transaction | None:
        """Return our INVITE that has no final answer yet: there is at most one in a dialog (RFC 3261 s.14.1)."""
        invites = (one.transaction for (_, method), one in self._sent.items() if method == "INVITE")
        return next((one for one in invites if one.state in OPEN), None)

    def send(self, request: Request, to: Address, then: Then[E], now: float) -> list[Effect[E]]:
        """Send a request; see above for `then`."""
        return self._begin(_Sent(_transaction(request, to), then), now)

    def resume(self, invite: Request, to: Address, then: Then[E], state: State, now: float) -> None:
        """Go on waiting for the answer to an INVITE that somebody else has sent."""
        self._keep(_Sent(Transaction(INVITE_CLIENT, to, invite, state, now), then))

    def forget_invite(self) -> None:
        """Stop waiting for the answer to an INVITE."""
        if invite := self.invite():
            del self._sent[_key(invite.request)]

    def receive(self, response: Response, now: float) -> list[Effect[E]] | None:
        """Take a response in; None: it answers nothing that was asked here."""
        sent = self._sent.get((response.via.branch, response.cseq.method))
        return None if sent is None else self._step(sent, response, now)

    def expire(self, now: float) -> list[Effect[E]]:
        """Do what is due."""
        return [effect for sent in list(self._sent.values()) for effect in self._step(sent, Expired(), now)]

    def _step(self, sent: _Sent[E], given: Begin | Response | Expired, now: float) -> list[Effect[E]]:
        effects: list[Effect[E]] = []
        for effect in sent.transaction.step(given, now):
            match effect:
                case Transmit():
                    effects.append(effect)
                case _ if isinstance(effect.event, TimedOut):
                    effects += sent.then(Outcome(408, sent.transaction.request), now)
                case _:
                    effects += self._passed(sent, effect.event, now)
        if sent.transaction.state is State.TERMINATED:
            self._sent.pop(_key(sent.transaction.request), None)
        return effects

    def _passed(self, sent: _Sent[E], passed: Passed, now: float) -> list[Effect[E]]:
        assert isinstance(passed.message, Response), "a client transaction passes responses"
        challenge = auth.challenge_in(passed.message)
        if challenge and self.credentials and _is_new(challenge, sent.realms):
            return self._again(sent, passed.message.code, challenge, self.credentials, now)
        return sent.then(Outcome(passed.message.code, sent.transaction.request, passed.message), now)

    def _again(
        self, sent: _Sent[E], code: int, challenge: Challenge, credentials: Credentials, now: float
    ) -> list[Effect[E]]:
        old = sent.transaction.request
        name = auth.CHALLENGES[code][1]
        value = auth.answer(challenge, credentials, old.method, old.uri, self._entropy)
        kept = replace(old, headers=tuple(one for one in old.headers if one[0] != name))
        renamed = kept.setting("via", old.first("via").replace(old.via.branch, new_branch(self._entropy)))
        request = renamed.setting("cseq", f"{self._next_cseq()} {old.method}").adding((name, value))
        again = _Sent(_transaction(request, sent.transaction.to), sent.then, (*sent.realms, challenge.realm))
        return self._begin(again, now)

    def _begin(self, sent: _Sent[E], now: float) -> list[Effect[E]]:
        self._keep(sent)
        return self._step(sent, Begin(), now)

    def _keep(self, sent: _Sent[E]) -> None:
        self._sent[_key(sent.transaction.request)] = sent


def _transaction(request: Request, to: Address) -> Transaction:
    return Transaction(INVITE_CLIENT if request.method == "INVITE" else CLIENT, to, request)


def _key(request: Request) -> tuple[str, str]:
    """A response is known by the branch of its Via and its method: a CANCEL has its INVITE's branch (s.17.1.3)."""
    return request.via.branch, request.method


def _is_new(challenge: Challenge, realms: tuple[str, ...]) -> bool:
    return len(realms) < MAX_TRIES and (
        challenge.realm not in realms or (challenge.stale and realms.count(challenge.realm) < 2)
    )


__all__ = ["Outcome", "Requests", "Then"]
