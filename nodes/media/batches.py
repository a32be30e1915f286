"""What engines are to hear, gathered: a message to each in 40 ms, and at once when an answer hangs on it.

A message costs its two processes some 0.2 ms, whatever is in it, and there were two hundred a second for each engine.
What it does not: hold up an answer. An engine decides at pauses of certain lengths (`nodes.audio.vad.PAUSES_MS`): the
frame that completes one is not kept waiting, nor is anything that came before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from protocols.wire.ids import Identity
from protocols.wire.messages import Audio, AudioFrame

HOLD_S: Final = 0.04
"""How long a frame waits for others: a fifth of what a recogniser computes at a time."""
MOST: Final = 500
"""Frames in one message: half of what one may hold (`codec.MAX_BODY`)."""
_ROUNDING_S: Final = 1e-4


class Batches:
    """`tell(engine, audio)` sends. Frames leave in the order in which they came."""

    def __init__(self, tell: Callable[[Identity, Audio], object]) -> None:
        self._tell = tell
        self._waiting: dict[Identity, list[AudioFrame]] = {}
        self._since: dict[Identity, float] = {}
        self._urgent: set[Identity] = set()

    def add(self, engine: Identity, frames: Iterable[AudioFrame], at: float, *, is_urgent: bool) -> None:
        """Keep frames for an engine until the next `send` that finds them due."""
        self._waiting.setdefault(engine, []).extend(frames)
        self._since.setdefault(engine, at)
        if is_urgent:
            self._urgent.add(engine)

    def send(self, at: float) -> None:
        """Send to each engine for which something is urgent, or has waited long enough by `at`."""
        for engine in [one for one, since in self._since.items() if at - since > HOLD_S - _ROUNDING_S]:
            self._urgent.add(engine)
        while self._urgent:
            self._send(self._urgent.pop())

    def send_all(self) -> None:
        """Send what waits."""
        self._urgent.update(self._waiting)
        self.send(0.0)

    def _send(self, engine: Identity) -> None:
        frames = self._waiting.pop(engine)
        del self._since[engine]
        for k in range(0, len(frames), MOST):
            self._tell(engine, Audio(tuple(frames[k : k + MOST])))


__all__ = ["HOLD_S", "MOST", "Batches"]
