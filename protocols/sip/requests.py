"""The requests that one of us sends: their transactions, their time-outs, and the answer to a challenge.

Whoever sends a request says what is to be done `then`; that is called for each response, provisional ones too, and
once with code 408 and no response when nobody answers (RFC 3261 s.8.1.3.1). A 401 or 407 that we have credentials for
is not told: the request goes out again with them (s.22.2), once for each realm, and once more when only the nonce was
stale. What one proxy was answered goes out again with what the next one asks for (s.22.3).

Our credentials are the trunk's, and everybody on the way can ask for them: a callee who answers BYE with a 407, too.
Who has an answer can try passwords against it. So an answer goes

- with requests to the trunk's own address only (`hop`), not along a route that leads elsewhere;
- to the trunk's realms. Where they are not configured: to who challenges a request that begins something (INVITE,
  REGISTER) before any phone has rung; and within the dialog to the realms that did;
- never in the form without qop, and never by a weaker algorithm than before, unless the trunk is said to want that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from protocols.errors import RemoteProtocolError
from protocols.machine import Address, Effect, Expired, Transmit, earliest
from protocols.replacing import replace
from protocols.sip import auth, syntax
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
    answers: tuple[Challenge, ...] = ()
    """The challenges that were answered, in order."""
    has_rung: bool = False
    """A phone has: who challenges now is not the trunk."""


class Requests(Generic[E]):
    """The client side of a leg or a registration."""

    def __init__(self, entropy: Entropy, credentials: Credentials | None, next_cseq: Callable[[], int]) -> None:
        """`next_cseq` numbers a request that has to go out again (RFC 3261 s.22.2)."""
        self._entropy = entropy
        self.credentials = credentials
        """Who we are to servers that ask; None: nobody, and a challenge is an outcome like any other."""
        self.hop: Address = ("", 0)
        """The trunk's or registrar's address."""
        self.realms: tuple[str, ...] = ()
        """Those who have challenged our INVITE, and may do so again in its dialog."""
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
        self._keep(_Sent(Transaction(INVITE_CLIENT, to, invite, state, now), then, has_rung=state is State.PROCEEDING))

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
        answered = [one for one in auth.challenges_in(passed.message) if self._may_answer(one, sent)]
        if answered and self.credentials:
            return self._again(sent, answered, self.credentials, now)
        if 100 < passed.message.code < 200 and not sent.has_rung:
            self._keep(replace(sent, has_rung=True))
        return sent.then(Outcome(passed.message.code, sent.transaction.request, passed.message), now)

    def _may_answer(self, challenge: Challenge, sent: _Sent[E]) -> bool:
        """Say whether this server may have an answer of ours, and has not had it yet: the rules above."""
        if self.credentials is None or sent.transaction.to != self.hop:
            return False
        if not (challenge.has_qop or self.credentials.without_qop):
            return False
        same = [one for one in sent.answers if (one.name, one.realm) == (challenge.name, challenge.realm)]
        if same and not (challenge.stale and len(same) < 2 and challenge.strength >= same[-1].strength):
            return False
        if len(sent.answers) >= MAX_TRIES:
            return False
        if realms := self.credentials.realms:
            return challenge.realm in realms
        is_in_dialog = bool(sent.transaction.request.to.tag)
        return challenge.realm in self.realms if is_in_dialog else not sent.has_rung

    def _again(
        self, sent: _Sent[E], challenges: list[Challenge], credentials: Credentials, now: float
    ) -> list[Effect[E]]:
        old = sent.transaction.request
        if not old.to.tag:
            self.realms = tuple(dict.fromkeys((*self.realms, *(one.realm for one in challenges))))
        answers = (*sent.answers, *challenges)
        latest = {(one.name, one.realm): one for one in answers}
        kept = replace(old, headers=tuple(one for one in old.headers if _asked_by(*one) not in latest))
        renamed = kept.setting("via", old.first("via").replace(old.via.branch, new_branch(self._entropy)))
        request = renamed.setting("cseq", f"{self._next_cseq()} {old.method}").adding(
            *((one.name, self._answer(one, credentials, old, one not in challenges)) for one in latest.values())
        )
        return self._begin(_Sent(_transaction(request, sent.transaction.to), sent.then, answers), now)

    def _answer(self, challenge: Challenge, credentials: Credentials, request: Request, is_used: bool) -> str:
        """Answer a challenge for this request; `is_used`: its nonce has gone out before, and is counted on."""
        count = _count(request, challenge) + 1 if is_used else 1
        return auth.answer(challenge, credentials, request.method, request.uri, self._entropy, count)

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


def _asked_by(name: str, value: str) -> tuple[str, str]:
    """Return whom a header field answers: the name of the field, and the realm; for any other field nobody."""
    return (name, _fields(value).get("realm", "")) if name in auth.CHALLENGES.values() else ("", "")


def _count(request: Request, challenge: Challenge) -> int:
    """Return how often the nonce of a challenge has been used, this request included (RFC 7616 s.3.4)."""
    asked = (challenge.name, challenge.realm)
    return next((int(_fields(value).get("nc", "0"), 16) for name, value in request.headers
                 if _asked_by(name, value) == asked), 0)  # fmt: skip


def _fields(value: str) -> dict[str, str]:
    """Return the parameters of an answer of ours."""
    try:
        return syntax.auth_params(value)[1]
    except RemoteProtocolError:  # a record's INVITE of another version
        return {}


__all__ = ["Outcome", "Requests", "Then"]
