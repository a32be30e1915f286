"""The reply that says only that something was done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """The reply to a request whose success has nothing to say."""
