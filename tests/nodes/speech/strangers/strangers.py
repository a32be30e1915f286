"""Recognisers as somebody else's package brings them, that keep no contract."""

import ctypes
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from grammars.rules.rule import Completeness
from grammars.rules.spec import RuleSpec
from nodes.speech.recogniser import Capabilities
from nodes.speech.turn import Guess
from protocols.wire.messages import Meaning


class Bad:
    """Says yes to everything, and is sure of it."""

    capabilities = Capabilities("grammar", ("en",))
    sure = 1.0

    def __init__(self, model: Path | None) -> None:
        pass

    def ear(self, rules: Mapping[str, RuleSpec], into: Path) -> "Bad":
        return self

    def begin(self, rules: Sequence[str], today: date) -> "Bad":
        return self

    def check(self, rules: Iterable[str]) -> None:
        pass

    def feed(self, audio: bytes) -> None:
        pass

    def so_far(self, speech_ms: int) -> Guess:
        return Guess("yes", Completeness.COMPLETE, self.sure, Meaning("yes_no", "yes", {"value": "yes"}))

    finish = so_far

    def close(self) -> None:
        pass


class Boasts(Bad):
    sure = 7.0


class Hangs(Bad):
    def finish(self, speech_ms: int) -> Guess:  # type: ignore[override]
        time.sleep(1000)
        return self.so_far(speech_ms)


class Aborts(Bad):
    def finish(self, speech_ms: int) -> Guess:  # type: ignore[override]
        libc = ctypes.CDLL(None)
        libc.setrlimit(4, (ctypes.c_long * 2)(0, 0))  # no core of it: getrlimit(2), RLIMIT_CORE
        libc.abort()
        return self.so_far(speech_ms)


class Raises(Bad):
    def feed(self, audio: bytes) -> None:
        raise ZeroDivisionError("of somebody else")
