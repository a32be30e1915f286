"""How fast a scripted callee's call goes by: data, from the environment of the processes that play it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

VARIABLE: Final = "RINGMASTER_SCRIPTED_PACE"
"""`prompt_s think_s speak_s`, as `Pace` has them."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: for one prompt, from a prompt's end to the callee's answer, and for that."""

    prompt_s: float = 2.0
    think_s: float = 0.4
    speak_s: float = 0.6

    @classmethod
    def read(cls) -> Pace:
        """Return the environment's, or the usual one."""
        given = os.environ.get(VARIABLE, "").split()
        return cls(*map(float, given))

    @property
    def turn_s(self) -> float:
        """A question and its answer."""
        return self.prompt_s + self.think_s + self.speak_s

    def __str__(self) -> str:
        return f"{self.prompt_s} {self.think_s} {self.speak_s}"


__all__ = ["VARIABLE", "Pace"]
