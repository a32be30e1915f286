"""What a recogniser may do to its process: nothing that the guard does not see."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from math import nan
from pathlib import Path

import pytest

from grammars.rules.rule import Completeness
from grammars.rules.spec import RuleSpec
from nodes.speech import guard as module
from nodes.speech.errors import EngineBusy, EngineFailed, EngineHangs
from nodes.speech.guard import BUILD_S, HANGS_S, LATE_S, LEAST, OPEN_S, Guard, Guarded
from nodes.speech.recogniser import Capabilities, Decoding
from nodes.speech.turn import Guess
from protocols.wire.messages import Meaning

YES = Guess("yes", Completeness.COMPLETE, 0.9, Meaning("yes_no", "yes", {"value": "yes"}))


class Fake:
    """A recogniser, its ear and its decoding: says what `says` returns, or raises."""

    capabilities = Capabilities("grammar", ("en",))

    def __init__(self) -> None:
        self.says: Callable[[], object] = lambda: YES

    def ear(self, rules: Mapping[str, RuleSpec], into: Path) -> "Fake":
        return self

    def begin(self, rules: Sequence[str], today: date) -> "Fake":
        return self

    def check(self, rules: Iterable[str]) -> None: ...

    def feed(self, audio: bytes) -> None: ...

    def so_far(self, speech_ms: int) -> Guess:
        return self.says()  # type: ignore[return-value]

    finish = so_far

    def close(self) -> None: ...


class Tried:
    """A fake under a guard whose clock stands still."""

    def __init__(self) -> None:
        self.now_s, self.fake = 100.0, Fake()
        self.guard = Guard(lambda: self.now_s)
        self.ear = Guarded(self.fake, self.guard).ear({}, Path())

    def begin(self) -> Decoding:
        return self.ear.begin(["yes_no"], date(2026, 3, 2))

    def fails(self, says: Callable[[], object]) -> None:
        self.fake.says = says
        with pytest.raises(EngineFailed):
            self.begin().finish(400)

    def hears(self) -> None:
        self.fake.says = lambda: YES
        assert self.begin().finish(400) is YES


@pytest.fixture
def tried() -> Tried:
    return Tried()


def raises() -> object:
    raise ZeroDivisionError("theirs")


@pytest.mark.parametrize(
    "says",
    [
        raises,
        lambda: None,
        lambda: replace(YES, confidence=1.5),
        lambda: replace(YES, confidence=nan),
        lambda: replace(YES, certainty=-0.1),
        lambda: replace(YES, more="much"),
        lambda: replace(YES, meaning=Meaning("another", "yes")),
    ],
)
def test_what_no_recogniser_may_say_fails_one_utterance_and_when_most_fail_nobody_new_is_heard(
    tried: Tried, says: Callable[[], object]
) -> None:
    for _ in range(LEAST):
        assert tried.guard.allows()
        tried.fails(says)
    assert not tried.guard.allows()


def test_after_a_while_one_utterance_is_tried_and_decides(tried: Tried) -> None:
    for _ in range(LEAST):
        tried.fails(raises)
    tried.now_s += OPEN_S
    assert [tried.guard.allows(), tried.guard.allows()] == [True, False]
    tried.fails(raises)
    assert not tried.guard.allows()
    tried.now_s += OPEN_S
    assert tried.guard.allows()
    tried.hears()
    assert tried.guard.allows()


def test_half_of_the_utterances_may_fail(tried: Tried) -> None:
    for _ in range(5):
        tried.hears()
        tried.fails(raises)
    assert tried.guard.allows()


def test_to_be_busy_is_no_failure(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(rules: Sequence[str], today: date) -> Fake:
        raise EngineBusy(64)

    monkeypatch.setattr(tried.fake, "begin", busy)
    for _ in range(2 * LEAST):
        with pytest.raises(EngineBusy):
            tried.begin()
    assert tried.guard.allows()


def test_where_there_is_nobody_else_it_hears_whatever_fails(tried: Tried) -> None:
    alone = Guard(lambda: tried.now_s, refuses=False)
    for _ in range(LEAST):
        alone.record(ok=False)
    assert alone.allows()


@pytest.mark.parametrize(("what", "most_s"), [("finish", HANGS_S), ("ear", BUILD_S)])
def test_what_does_not_come_back_ends_the_process_and_before_that_nobody_new_is_heard(
    tried: Tried, what: str, most_s: float
) -> None:
    began, goes_on = threading.Event(), threading.Event()

    def hangs(*_: object) -> object:
        began.set()
        goes_on.wait(60)
        return YES

    tried.fake.says = tried.fake.ear = hangs  # type: ignore[assignment,method-assign]
    ear = Guarded(tried.fake, tried.guard).ear  # type: ignore[arg-type]
    todo = partial(tried.begin().finish, 400) if what == "finish" else partial(ear, {}, Path())
    thread = threading.Thread(target=todo)
    thread.start()
    try:
        assert began.wait(60)
        tried.guard.look()
        assert tried.guard.allows()
        tried.now_s += LATE_S + 1  # its thread may have waited for a moment
        tried.guard.look()
        assert tried.guard.allows() == (what == "ear"), "a script takes its time"
        tried.now_s += most_s + 1
        with pytest.raises(EngineHangs):
            tried.guard.look()
    finally:
        goes_on.set()
        thread.join()
    tried.guard.look()
    assert tried.guard.allows()


def test_whoever_waits_for_a_processor_does_not_hang(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    class Starved:
        def __init__(self, thread: int) -> None: ...

        def since(self) -> float:
            return 60.0

        def close(self) -> None: ...

    monkeypatch.setattr(module, "Starvation", Starved)
    with tried.guard.asking():
        tried.guard.look()
        tried.now_s += 60.0
        tried.guard.look()
        assert tried.guard.allows()
        tried.now_s += 61.0 + LATE_S
        tried.guard.look()
        assert not tried.guard.allows()
