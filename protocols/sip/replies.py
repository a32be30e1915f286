"""The requests that the far end sends us, each answered once; a repetition gets the same answer again.

This is the server side of a leg: which request is new, which is known, which INVITE an ACK is for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from protocols.machine import Address, Effect, Expired, Notify, Transmit, earliest
from protocols.sip.build import answers_to
from protocols.sip.message import Request, Response
from protocols.sip.transaction import INVITE_SERVER, SERVER, Passed, State, Transaction

E = TypeVar("E")

MAX_KEPT: Final = 64
"""Requests of one leg that are remembered; the oldest is forgotten first. A call has some three in 32 s."""

OPEN: Final = (State.PROCEEDING, State.ACCEPTED)

Acked: TypeAlias = Callable[[Request | None, float], list[Effect[E]]]
"""Called once after a 2xx to INVITE: with the ACK, or with None when it has not come for 64 x T1."""
Key: TypeAlias = tuple[str, int | None, str, int, str]


@dataclass(slots=True)
class _Known(Generic[E]):
    transaction: Transaction
    acked: Acked[E] | None = None


class Replies(Generic[E]):
    """Their requests and our answers."""

    def __init__(self) -> None:
        """Know of none."""
        self._known: dict[Key, _Known[E]] = {}

    @property
    def deadline(self) -> float | None:
        """See `protocols.machine`."""
        return earliest(one.transaction.deadline for one in self._known.values())

    @property
    def is_idle(self) -> bool:
        """Say that no answer is left to be repeated."""
        return not self._known

    @property
    def has_open_invite(self) -> bool:
        """Say that an INVITE of theirs is not answered, or its answer not acknowledged (RFC 3261 s.14.1)."""
        return any(
            one.transaction.kind is INVITE_SERVER and one.transaction.state in OPEN for one in self._known.values()
        )

    def repeat(self, request: Request, now: float) -> list[Effect[E]] | None:
        """Take a request in; None: it is new, and wants a `reply`. An ACK is never new."""
        known = self._known.get(_key(request, "INVITE" if request.method == "ACK" else request.method))
        if known is None and request.method == "ACK":
            known = self._accepted(request.cseq.number)
        if known is None:
            return [] if request.method == "ACK" else None
        return self._step(known, request, now)

    def invite_of(self, cancel: Request) -> Request | None:
        """Return the INVITE that a CANCEL is for, if we know it (RFC 3261 s.9.2)."""
        known = self._known.get(_key(cancel, "INVITE"))
        return known.transaction.request if known else None

    def reply(
        self, request: Request, source: Address, response: Response, now: float, acked: Acked[E] | None = None
    ) -> list[Effect[E]]:
        """Answer a request; an INVITE more than once, if the first answers are provisional."""
        key = _key(request, request.method)
        if key not in self._known:
            kind = INVITE_SERVER if request.method == "INVITE" else SERVER
            self._known[key] = _Known(Transaction(kind, answers_to(request, source), request))
        self._known[key].acked = acked
        effects = self._step(self._known[key], response, now)
        if len(self._known) > MAX_KEPT:
            del self._known[next(iter(self._known))]
        return effects

    def expire(self, now: float) -> list[Effect[E]]:
        """Do what is due."""
        return [effect for known in list(self._known.values()) for effect in self._step(known, Expired(), now)]

    def _accepted(self, number: int) -> _Known[E] | None:
        """The ACK of a 2xx has a branch of its own, and the number of its INVITE (RFC 3261 s.13.2.2.4)."""
        invites = (one for one in self._known.values() if one.transaction.kind is INVITE_SERVER)
        waiting = (one for one in invites if one.transaction.state is State.ACCEPTED)
        return next((one for one in waiting if one.transaction.request.cseq.number == number), None)

    def _step(self, known: _Known[E], given: Request | Response | Expired, now: float) -> list[Effect[E]]:
        effects: list[Effect[E]] = []
        for effect in known.transaction.step(given, now):
            match effect:
                case Transmit():
                    effects.append(effect)
                case Notify() if known.acked:
                    event = effect.event
                    ack = event.message if isinstance(event, Passed) else None
                    assert ack is None or isinstance(ack, Request), "an INVITE server passes its ACK"
                    effects += known.acked(ack, now)
        if known.transaction.state is State.TERMINATED:
            self._known.pop(_key(known.transaction.request, known.transaction.request.method), None)
        return effects


def _key(request: Request, method: str) -> Key:
    """RFC 3261 s.17.2.3; the number is in it for callers older than RFC 3261, whose branches are not unique."""
    via = request.via
    return via.host.lower(), via.port, via.branch, request.cseq.number, method


__all__ = ["Acked", "Replies"]
