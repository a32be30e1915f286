"""Forgetting people: who is to be forgotten, what each place has removed of them, and the search that proves it.

Somebody is named by the keyed hash that names them everywhere. The list of who was forgotten is of such names and
moments, and stays: a node that was away goes by it when it is back, and so does a backup that is older than it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

import msgspec

from protocols.errors import RemoteProtocolError
from protocols.wire.campaigns import ContactId, contact_of
from protocols.wire.ids import AttemptId, CallId

MOST_CALLS: Final = 100
"""Single calls that may be named with one person."""
MOST_PEOPLE: Final = 1000
"""Of the list, in one message."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to forget: all that was known of them up to a moment. `calls`: further calls, which no campaign has made."""

    contact_id: ContactId
    at: datetime
    calls: tuple[CallId, ...] = ()

    def has(self, attempt: str, call: str) -> bool:
        """Say whether a call was with them.

        >>> Person(ContactId("a4ee2b"), datetime.min, (CallId("7c1f"),)).has("spring-a4ee2b-2", "spring-a4ee2b-2")
        True
        """
        return call in self.calls or (bool(attempt) and contact_of(AttemptId(attempt)) == self.contact_id)

    def over(self, other: Person) -> Person:
        """Return what is to be forgotten when both were asked for."""
        calls = dict.fromkeys((*other.calls, *self.calls))
        return Person(self.contact_id, max(self.at, other.at), tuple(calls))

    def body(self) -> dict[str, object]:
        """Return it as the bucket has it, under the person's name."""
        return {"at": self.at.isoformat(), "calls": list(self.calls)}


class _Body(msgspec.Struct):
    at: datetime
    calls: tuple[CallId, ...] = ()


def person_of(name: str, body: object) -> Person:
    """Return what the bucket says of a name. Raises: RemoteProtocolError when it says nothing that can be read."""
    try:
        told = msgspec.convert(body, _Body)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("forgotten_field", str(error)) from error
    if told.at.tzinfo is None:
        raise RemoteProtocolError("forgotten_field", "at has no offset")
    return Person(ContactId(name), told.at, told.calls)


@dataclass(frozen=True, slots=True)
class Place:
    """What was done in one place. `looked`: things looked through; `removed`: of them, those that were theirs."""

    place: str
    looked: int
    removed: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a process has removed of somebody; `is_done`: all that it has to. `at`: for which request."""

    is_done: bool
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class GetRemoved:
    """Ask a process that keeps something of people (central, edge, recorder) what it has removed of somebody."""

    Reply: ClassVar[type[Removed]] = Removed
    contact_id: ContactId
    at: datetime


@dataclass(frozen=True, slots=True)
class ForgottenPeople:
    """Who was forgotten, and when: all of them, or those behind a name, in the order of names."""

    people: tuple[Person, ...]
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class GetForgotten:
    """Ask the central that leads who was forgotten. `after`: the last name of the page before."""

    Reply: ClassVar[type[ForgottenPeople]] = ForgottenPeople
    after: str = ""


@dataclass(frozen=True, slots=True)
class ForgetAgain:
    """Forget these people, unless they were forgotten since: what a backup does not know. Answers with those it did."""

    Reply: ClassVar[type[ForgottenPeople]] = ForgottenPeople
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Sought:
    """One place that was looked through: how much of it, and where something was found. `note`: what could not be."""

    place: str
    looked: int
    unit: str
    found: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a search."""

    places: tuple[Sought, ...]


@dataclass(frozen=True, slots=True)
class Find:
    """Ask a process to look for patterns (`protocols.sip.written`) where only it can. They are never written down.

    `of_node`: also in every file below the node's directories; one process of a node is asked that.
    Refused: `bad_pattern`.
    """

    Reply: ClassVar[type[Found]] = Found
    patterns: tuple[str, ...]
    of_node: bool = False


FORGETTING_MESSAGES: Final = (
    Removed, GetRemoved, ForgottenPeople, GetForgotten, ForgetAgain, Find, Found,
)  # fmt: skip
"""The kinds of this page that an envelope may carry."""

__all__ = [
    "FORGETTING_MESSAGES", "Find", "ForgetAgain", "ForgottenPeople", "Found", "GetForgotten", "GetRemoved",
    "MOST_CALLS", "MOST_PEOPLE", "Person", "Place", "Removed", "Sought", "person_of",
]  # fmt: skip
