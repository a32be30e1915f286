"""Which central may order: of those that have been heard, the one that took the lease last.

A central that was paused while another one took the lease may still have an order on its way. That other one asks every
edge for the attempts in flight before it takes any for lost, and each question has its token, as each order has: so an
edge that has said that it has not got a call takes no order for it from anybody who led before. Source: a fencing
token, as in Kleppmann, Designing Data-Intensive Applications, ch. 8 (`nodes/bus/lease.py`). Pure.
"""

from __future__ import annotations


class Fence:
    """`token`: the highest that was heard; 0: none."""

    def __init__(self) -> None:
        self.token = 0

    def heard(self, token: int) -> bool:
        """Say whether who has this token leads, as far as anybody has said; 0 is nobody's, and asks for nothing.

        >>> fence = Fence()
        >>> fence.heard(7), fence.heard(9), fence.heard(7), fence.heard(0)
        (True, True, False, True)
        """
        self.token = max(self.token, token)
        return token == 0 or token == self.token > 0


__all__ = ["Fence"]
