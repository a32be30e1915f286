"""Who is to be asked about next: the waiting contacts of one campaign, the earliest due first.

A view of the fold that only the leader keeps: made when it begins to lead, fed as attempts end. Whom nobody has asked
about yet is due since the import, before all others, so of them only the next row is kept; the rest is a heap. Whom
`may_call` holds back for now is looked at again a minute later; asking 100,000 of them each second, all night, would be
the work of a core.
"""

from __future__ import annotations

import heapq

from nodes.central.campaign import Campaign

LOOK_AGAIN_S = 60.0


class Agenda:
    """The waiting contacts of `campaign`, by row, in the order of the list where they are due alike."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._next = 0
        self._heap = [
            (progress.due, row)
            for row, progress in campaign.touched.items()
            if progress.due is not None and progress.attempt is None
        ]
        heapq.heapify(self._heap)

    def peek(self, now: float) -> int | None:
        """Return the next contact to ask about `now`, and keep them; None when there is none.

        Moments are seconds of the journal.
        """
        if self._is_new():
            return self._next
        while self._heap and self._heap[0][0] <= now:
            when, row = self._heap[0]
            progress = self._campaign.progress(row)
            if progress.attempt is None and progress.due is not None and progress.due <= when:
                return row
            heapq.heappop(self._heap)  # said before the last attempt: that one's end has said it anew
        return None

    def take(self, now: float) -> int | None:
        """Return what `peek` would, and forget them here."""
        row = self.peek(now)
        if row is not None and row == self._next:
            self._next += 1
        elif row is not None:
            heapq.heappop(self._heap)
        return row

    def n_due(self, now: float, most: int) -> int:
        """Return how many are due `now`: whom nobody has asked about, and of the others `most` at the most."""
        n, below = 0, [0]  # indices of the heap: what is below one that is not due is not due either
        while below and n < most:
            at = below.pop()
            if at < len(self._heap) and self._heap[at][0] <= now:
                n += 1
                below += (2 * at + 1, 2 * at + 2)
        return n + len(self._campaign.roll) - len(self._campaign.touched)

    def put(self, row: int, when: float) -> None:
        """Ask about a contact at `when`."""
        heapq.heappush(self._heap, (when, row))

    def _is_new(self) -> bool:
        """Move on to the next contact whom nobody has asked about; say whether there is one."""
        n, touched = len(self._campaign.roll), self._campaign.touched
        while self._next < n and self._next in touched:
            self._next += 1
        return self._next < n


__all__ = ["LOOK_AGAIN_S", "Agenda"]
