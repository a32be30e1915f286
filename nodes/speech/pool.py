"""What hears one utterance at a time: taken for one, kept for the next, freed once it has failed or is not needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from nodes.speech.errors import EngineBusy

__all__ = ["Pool"]

T = TypeVar("T")


class Pool(Generic[T]):
    """So many at most, made when they are needed. For any thread."""

    def __init__(
        self, make: Callable[[], T], free: Callable[[T], None] = lambda one: None, *, most: int, kept: int
    ) -> None:
        """`most` there are at once, and `kept` of them wait for the next utterances."""
        self._make, self._free, self._most, self._kept = make, free, most, kept
        self._idle: list[T] = []
        self._n = 0
        self._is_closed = False
        self._lock = threading.Lock()

    def take(self, suits: Callable[[T], bool] = lambda one: True) -> T:
        """Return one that waits, one that suits if there is any; else a new one. Raises: EngineBusy, as making one."""
        with self._lock:
            if self._idle:
                one = next((each for each in reversed(self._idle) if suits(each)), self._idle[-1])
                self._idle.remove(one)
                return one
            if self._n == self._most:
                raise EngineBusy(self._most)
            self._n += 1
        try:
            return self._make()
        except BaseException:
            with self._lock:
                self._n -= 1
            raise

    def give_back(self, one: T) -> None:
        """Keep it for the next utterance."""
        with self._lock:
            if not self._is_closed and len(self._idle) < self._kept:
                self._idle.append(one)
                return
        self.discard(one)

    def discard(self, one: T) -> None:
        """Free one that failed, or is not needed any more."""
        self._free(one)
        with self._lock:
            self._n -= 1

    def close(self) -> None:
        """Free those that wait; those that are taken when they come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for one in idle:
            self.discard(one)
