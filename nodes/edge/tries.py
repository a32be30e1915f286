"""What an edge had to ask again, and the contexts that agents were sent: counted where it happens, told as figures.

What counts is a fault of somebody who should have answered. Who says that they are full, or has nobody to give, has
answered: that the next one is asked then is the usual way.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.links.errors import LinkError, Refused


@dataclass(slots=True)
class Tries:
    """`reserve`: a desk did not answer for a seat, or had none any more that was reserved. `link`: a media process did
    not open a channel, or not an agent's side of it.
    """

    reserve: int = 0
    link: int = 0
    contexts: int = 0
    """Sent to an agent's page, each once a seat."""
    contexts_lost: int = 0
    """Of these, those that the page has not acknowledged in time: the caller was not given to that agent."""

    def figures(self) -> dict[str, float]:
        """What an operator sees of it."""
        return {
            "retries_reserve": float(self.reserve),
            "retries_link": float(self.link),
            "contexts_sent": float(self.contexts),
            "contexts_lost": float(self.contexts_lost),
        }


def is_fault(error: LinkError) -> bool:
    """Say whether somebody has not answered, and not only said no.

    >>> is_fault(Refused("no_port_free"))
    False
    """
    return not isinstance(error, Refused)


__all__ = ["Tries", "is_fault"]
