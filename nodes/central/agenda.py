"""Who is to be asked about next: the waiting contacts of one campaign, the earliest due first.

A view of the fold that only the leader keeps: made when it begins to lead, fed as attempts end. A contact whom
`may_call` holds back for now is looked at again a minute later; asking 100,000 of them each second, all night, would be
the work of a core.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from nodes.central.campaign import Campaign, Progress
from protocols.wire.campaigns import ContactId

LOOK_AGAIN_S = 60.0


class Agenda:
    """The waiting contacts of `campaign`, in the order of the list where they are due alike."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._heap: list[tuple[float, int, ContactId]] = []
        self._n = 0
        self._fill(campaign.contacts.values())

    def peek(self, now: float) -> Progress | None:
        """Return the next contact to ask about `now`, and keep them; None when there is none.

        Moments are seconds of the journal.
        """
        while self._heap and self._heap[0][0] <= now:
            when, _, name = self._heap[0]
            progress = self._campaign.contacts[name]
            if progress.attempt is None and progress.due is not None and progress.due <= when:
                return progress
            heapq.heappop(self._heap)  # said before the last attempt: that one's end has said it anew
        return None

    def take(self, now: float) -> Progress | None:
        """Return what `peek` would, and forget them here."""
        if progress := self.peek(now):
            heapq.heappop(self._heap)
            return progress
        return None

    def put(self, contact: ContactId, when: float) -> None:
        """Ask about a contact at `when`."""
        heapq.heappush(self._heap, (when, self._n, contact))
        self._n += 1

    def _fill(self, contacts: Iterable[Progress]) -> None:
        for progress in contacts:
            if progress.due is not None and progress.attempt is None:
                self.put(progress.contact.contact_id, progress.due)


__all__ = ["LOOK_AGAIN_S", "Agenda"]
