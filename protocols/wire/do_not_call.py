"""The do-not-call list: its entries, which of two holds, and what may be asked of central about it.

An entry says that a contact is on the list, or off it again; who said so, why and when. Nothing is ever taken back: of
all that was said about a contact, the latest holds, and of two at the same moment the one that forbids. So lists merge
in any order and any number of times with the same result.

A contact is named by `campaigns.contact_id`: no number and no name travels or is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from protocols.wire.campaigns import ContactId
from protocols.wire.subjects import dnc_removal

MOST: Final = 200
"""Entries of one message, and"""
MOST_WORDS: Final = 100
"""characters of `by` and of `why`: all together less than a message may have (`codec.MAX_BODY`)."""
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)
_REMOVED: Final = ".removed"


@dataclass(frozen=True, slots=True)
class Listing:
    """One entry. `by`: who said so; `why`: what they said, or a note; `wall`: when, ISO 8601 with offset."""

    contact_id: ContactId
    is_on: bool
    by: str
    why: str
    wall: str

    @property
    def at(self) -> datetime:
        """When it was said; an entry that cannot tell was said long ago, and after any later one there is another."""
        try:
            told = datetime.fromisoformat(self.wall)
        except ValueError:
            return LONG_AGO
        return min(told, LATEST) if told.tzinfo else LONG_AGO

    def holds_over(self, other: Listing) -> bool:
        """Say whether this one holds, of two about the same contact."""
        return (self.at, self.is_on, self.by, self.why) > (other.at, other.is_on, other.by, other.why)

    @property
    def key(self) -> str:
        """Its key in the bucket `rm_dnc`."""
        return self.contact_id if self.is_on else dnc_removal(self.contact_id)

    def body(self) -> dict[str, str]:
        """Its value there."""
        return {"by": self.by, "why": self.why, "wall": self.wall}


def listing_of(key: str, body: dict[str, Any]) -> Listing:
    """Return an entry of the bucket: whatever is in it, for a key alone says that somebody must not be called."""
    contact = ContactId(key.removesuffix(_REMOVED))
    by, why, wall = (str(body.get(name, "")) for name in ("by", "why", "wall"))
    return Listing(contact, contact == key, by, why, wall)


@dataclass(frozen=True, slots=True)
class DoNotCallChanged:
    """`n_new`: entries that were news. `is_everywhere`: NATS has them; if not, this node has, and will tell."""

    n_new: int
    is_everywhere: bool


@dataclass(frozen=True, slots=True)
class ChangeDoNotCall:
    """Put contacts on the list, or take them off. `is_whole`: with this the list is known, though it was not before.

    An entry without `wall` is said now: it holds over all that was said before, whatever clocks said it.
    Refuses: `too_many`, `too_long`, `bad_contact`, `disk` when it could not be written down here.
    """

    Reply: ClassVar[type[DoNotCallChanged]] = DoNotCallChanged
    listings: tuple[Listing, ...]
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class DoNotCallPage:
    """What holds, by contact; `is_last`: there is no more. `is_known`: whether the whole list is known here."""

    listings: tuple[Listing, ...]
    is_last: bool
    is_known: bool


@dataclass(frozen=True, slots=True)
class CheckDoNotCall:
    """Tell what holds for these contacts; those of whom nothing was ever said are left out. Refuses: `too_many`."""

    Reply: ClassVar[type[DoNotCallPage]] = DoNotCallPage
    contacts: tuple[ContactId, ...]


@dataclass(frozen=True, slots=True)
class ListDoNotCall:
    """Tell everything that holds, in the order of contacts, from the one after `after` on."""

    Reply: ClassVar[type[DoNotCallPage]] = DoNotCallPage
    after: str = ""
    most: int = MOST


DO_NOT_CALL_MESSAGES: Final = (ChangeDoNotCall, DoNotCallChanged, CheckDoNotCall, DoNotCallPage, ListDoNotCall)

__all__ = [
    "DO_NOT_CALL_MESSAGES", "LONG_AGO", "MOST", "MOST_WORDS", "Listing", "listing_of",
    "ChangeDoNotCall", "CheckDoNotCall", "DoNotCallChanged", "DoNotCallPage", "ListDoNotCall",
]  # fmt: skip
