"""A recogniser as this process trusts it: each call into it is timed, each guess checked, each failure counted.

Ours keep to their contract; one that a package brings may hang, raise anything, or be sure of nonsense. What fails is
one utterance. When more than half of them do (`supervisors.Breaker`), or one has not come back for seconds, this
process says so to whoever asks to be heard, and another engine is asked. One that does not come back at all ends the
process, and what was being said is heard again elsewhere, from what media keeps.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path
from typing import Final, TypeVar

from grammars.errors import GrammarError
from grammars.rules.spec import RuleSpec
from nodes.speech.errors import EngineBusy, EngineFailed, EngineHangs, SpeechError, UnknownRule
from nodes.speech.recogniser import Capabilities, Decoding, Ear, Recogniser
from nodes.speech.turn import Guess
from supervisors import Breaker
from supervisors.starvation import Starvation

__all__ = ["Guard", "Guarded", "problem"]

T = TypeVar("T")

LATE_S: Final = 2.0
"""From here on nobody new is heard: a step of a decoding takes a hundredth of it."""
HANGS_S: Final = 10.0
"""And from here on it does not come back. Time in which its thread waited for a processor does not count."""
BUILD_S: Final = 90.0
"""The same of a script's ear: compiling may take a minute."""
LOOK_S: Final = 0.5
LEAST: Final = 4
"""Utterances of `WINDOW_S` before it is judged."""
WINDOW_S: Final = 30.0
OPEN_S: Final = 10.0


@dataclass(slots=True)
class _Asked:
    """A call into the library that has not come back."""

    thread: int
    most_s: float
    seen_s: float
    lasts_s: float = 0.0
    starvation: Starvation | None = None
    """Begun with the first look that finds the call: most are over before."""

    def look(self, now: float) -> None:
        if self.starvation is None:
            self.starvation = Starvation(self.thread)
            self.lasts_s = now - self.seen_s
        else:
            self.lasts_s += max(0.0, now - self.seen_s - max(0.0, self.starvation.since()))
        self.seen_s = now

    def close(self) -> None:
        if self.starvation is not None:
            self.starvation.close()


class Guard:
    """How the recogniser of this process does. Its methods are for any thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic, *, refuses: bool = True) -> None:
        """`refuses`: whether there is another recogniser to hear whom this one does not."""
        self._now, self._refuses = now, refuses
        self._breaker = Breaker(0.5, WINDOW_S, LEAST, OPEN_S)
        self._asked: dict[int, _Asked] = {}
        self._numbers = count()
        self._lock = threading.Lock()
        self._longest_s = 0.0

    def allows(self) -> bool:
        """Say whether one more caller may be heard. After failures: one, to see whether it works again."""
        with self._lock:
            return not self._refuses or (self._longest_s < LATE_S and self._breaker.allows(self._now()))

    def record(self, ok: bool) -> None:
        """Count an utterance."""
        with self._lock:
            self._breaker.record(ok, self._now())

    @contextmanager
    def asking(self, most_s: float = HANGS_S) -> Iterator[None]:
        """Time a call into the library, which may take so long, and have whatever it raises be one of our errors."""
        number = next(self._numbers)
        asked = self._asked[number] = _Asked(threading.get_native_id(), most_s, self._now())
        try:
            yield
        except (SpeechError, GrammarError, OSError):
            raise
        except Exception as error:
            raise EngineFailed(f"{type(error).__name__}: {error}") from error
        finally:
            with self._lock:
                del self._asked[number]
                asked.close()

    def look(self) -> None:
        """See what has not come back. Raises: EngineHangs, for what never will."""
        with self._lock:
            now, under_way = self._now(), list(self._asked.values())
            for one in under_way:
                one.look(now)
            decoding = [one.lasts_s for one in under_way if one.most_s == HANGS_S]
            self._longest_s = max(decoding, default=0.0)
        for one in under_way:
            if one.lasts_s >= one.most_s:
                raise EngineHangs(one.lasts_s)

    async def watch(self) -> None:
        """Return never. Raises: EngineHangs, which ends the process."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()


class Guarded:
    """A recogniser under a guard; itself one."""

    def __init__(self, recogniser: Recogniser, guard: Guard) -> None:
        self._recogniser, self._guard = recogniser, guard

    @property
    def capabilities(self) -> Capabilities:
        """What it says it can do."""
        return self._recogniser.capabilities

    def ear(self, rules: Mapping[str, RuleSpec], into: Path) -> _Ear:
        """Return an ear under the same guard. Raises: as the recogniser's."""
        with self._guard.asking(BUILD_S):
            return _Ear(self._recogniser.ear(rules, into), self._guard)


class _Ear:
    def __init__(self, ear: Ear, guard: Guard) -> None:
        self._ear, self._guard = ear, guard

    def begin(self, rules: Sequence[str], today: date) -> _Decoding:
        """As the ear's; what it raises counts as an utterance that failed, unless it only is busy."""
        try:
            with self._guard.asking():
                return _Decoding(self._ear.begin(rules, today), self._guard, frozenset(rules))
        except (EngineBusy, UnknownRule):
            raise
        except SpeechError:
            self._guard.record(ok=False)
            raise

    def check(self, rules: Iterable[str]) -> None:
        """Raise UnknownRule unless the script has all of these."""
        self._ear.check(rules)

    def close(self) -> None:
        """Free it."""
        with self._guard.asking():
            self._ear.close()


class _Decoding:
    def __init__(self, decoding: Decoding, guard: Guard, rules: frozenset[str]) -> None:
        self._decoding, self._guard, self._rules = decoding, guard, rules

    def feed(self, audio: bytes) -> None:
        """Hear further audio. Raises: EngineFailed."""
        self._ask(lambda: self._decoding.feed(audio))

    def so_far(self, speech_ms: int) -> Guess:
        """What it may become. Raises: EngineFailed."""
        return self._checked(self._ask(lambda: self._decoding.so_far(speech_ms)))

    def finish(self, speech_ms: int) -> Guess:
        """What it was. Raises: EngineFailed."""
        guess = self._checked(self._ask(lambda: self._decoding.finish(speech_ms)))
        self._guard.record(ok=True)
        return guess

    def close(self) -> None:
        """Stop hearing it; says nothing of how it went."""
        with self._guard.asking():
            self._decoding.close()

    def _ask(self, do: Callable[[], T]) -> T:
        try:
            with self._guard.asking():
                return do()
        except SpeechError:
            self._guard.record(ok=False)
            raise

    def _checked(self, guess: Guess) -> Guess:
        if why := problem(guess, self._rules):
            self._guard.record(ok=False)
            raise EngineFailed(f"a guess that is none: {why}")
        return guess


def problem(guess: object, rules: Iterable[str]) -> str:
    """Return what no guess may be; empty: nothing. It looks the same a moment later, so the whole utterance fails.

    >>> from grammars.rules.rule import Completeness
    >>> problem(Guess("yes", Completeness.COMPLETE, 1.7, None), ["yes_no"])
    'confidence is 1.7, not 0 to 1'
    >>> problem(Guess("yes", Completeness.COMPLETE, 0.7, None), ["yes_no"]), problem(None, [])
    ('', 'NoneType')
    """
    if not isinstance(guess, Guess):
        return type(guess).__name__
    numbers: dict[str, object] = {"confidence": guess.confidence, "certainty": guess.certainty, "more": guess.more}
    for name, value in numbers.items():
        if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:  # NaN is not, either
            return f"{name} is {value!r}, not 0 to 1"
    if guess.meaning and guess.meaning.rule not in rules:
        return f"rule {guess.meaning.rule!r} was not asked for"
    return ""
