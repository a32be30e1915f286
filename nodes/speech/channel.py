"""One caller's channel: a task that wakes when something arrives, decodes what is new, and tells what was heard.

It asks `turn` what to do: go on listening, guess, or answer. A guess ends the decoding; speech that goes on makes it
void, and the whole utterance is decoded again, at some 20 ms per second of it. Media ends an utterance after 800 ms of
silence; one that has only begun a phrase by then is held, and what is said soon after goes on with it. What goes wrong
in one utterance ends that utterance: it was not understood, and is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, auto
from functools import partial
from math import inf
from typing import assert_never

from grammars.rules.rule import Completeness
from nodes.speech.backlog import Backlog
from nodes.speech.errors import SpeechError
from nodes.speech.recogniser import Decoding, Ear
from nodes.speech.turn import Guess, Patience, Step, begins, next_step, patience_ms
from nodes.speech.utterance import BYTES_PER_MS, FRAME_BYTES, LONGEST_MS, Utterance
from nodes.telemetry import logs, spans
from protocols.wire.ids import CallId, Identity
from protocols.wire.messages import AudioFrame, Hear, Heard, Partial

__all__ = ["FRAME_BYTES", "LONGEST_MS", "Channel", "Surroundings", "Utterance"]

DECODE_S = 5.0
"""Of a processor, for one utterance: sixteen times the whole of the longest. Noise that comes and goes has it heard
anew after each pause; from there on it waits for its end, is not understood, and costs nothing more."""
REST_MS = 1000
"""How long what is said after an answer waits for the edge to ask again."""
FEED_MS = 200
"""How much new audio is worth a trip to a thread: the network works in steps of 210 ms."""
FEED_PARTIAL_MS = 100
"""And how much is worth a partial, while something is played that it may stop."""
IDLE_S = 600.0
"""Without frames or wishes for this long the call has ended, and its edge could not say so."""
STALL_S = 1.0
"""Without frames for this long an utterance is over: whoever sent them has gone."""

NOTHING = Guess("", Completeness.NO, 0.0, None)


class Wanted(Enum):
    """What is to be known after decoding some more of an utterance."""

    NOTHING = auto()
    """It goes on; it has only been fed."""
    SO_FAR = auto()
    """What it may become."""
    ALL = auto()
    """What it is if it ends here."""


log = logs.get(__name__)


@dataclass(slots=True)
class Hearing:
    """An utterance on its way to its meaning. The loop adds audio while a thread decodes what was there before."""

    utterance: Utterance
    wanted: Hear | None = None
    """How to hear it; None while nobody has asked, after an answer."""
    ear: Ear | None = None
    guess: Guess | None = None
    """What it is if it ends here; None when there is no guess for all that was said."""
    latest_s: float = -inf
    """When the last of its frames came, if more may come even after its end; long ago: nothing more can come."""
    told: tuple[str, bool] = ("", False)
    """The words of the last partial, and whether they could be an answer."""
    cpu_s: float = 0.0
    """What it has cost."""
    _decoding: Decoding | None = None
    _n_fed: int = 0

    @property
    def patience(self) -> Patience:
        """What its question allows."""
        wanted = self.wanted
        return Patience(wanted.complete_s * 1000, wanted.incomplete_s * 1000) if wanted else Patience()

    def ask(self, wanted: Hear, ear: Ear) -> None:
        """Say how to hear it."""
        self.wanted, self.ear = wanted, ear

    def is_for(self, wanted: Hear) -> bool:
        """Whether it is heard for the turn of this wish."""
        return self.wanted is not None and self.wanted.turn == wanted.turn

    @property
    def is_fresh_rest(self) -> bool:
        """Whether it goes on after an answer, and is not yet long enough to be speech over a prompt."""
        return self.wanted is None and len(self.utterance.audio) < REST_MS * BYTES_PER_MS

    @property
    def unfed(self) -> int:
        """Bytes that no decoder has heard: all of them again, once a guess has ended the decoding."""
        return len(self.utterance.audio) - (self._n_fed if self._decoding else 0)

    @property
    def due_s(self) -> float:
        """When it is answered if nobody goes on: of one that is over, and has its guess."""
        left_ms = patience_ms(self.guess or NOTHING, self.patience) - self.utterance.silence_ms
        return self.latest_s + left_ms / 1000

    def is_held(self, now: float) -> bool:
        """Whether all is known of it, and more may still come."""
        return self.utterance.is_over and self.guess is not None and now < self.due_s

    def may_go_on(self, now: float) -> bool:
        """Whether what is said now, after its end, belongs to it: it is not due yet, or not even looked at."""
        return not self.utterance.is_cut and (self.guess is None or now < self.due_s)

    def step(self, now: float) -> Step | None:
        """What is to be done for it now; None until something arrives, or until it is due."""
        utterance = self.utterance
        if utterance.last_voiced_s is None or self.wanted is None:
            return None
        if utterance.is_over and self.guess:  # not by adding up: who wakes for it at `due_s` must find it due
            return None if now < self.due_s else Step.ANSWER
        step = next_step(utterance.silence_ms, self.guess, self.patience, is_over=utterance.is_over)
        is_nothing_new = self.guess or self.is_spent or not self._is_worth_feeding
        return None if step is Step.LISTEN and is_nothing_new else step

    @property
    def is_spent(self) -> bool:
        """Whether it has cost so much that it is not decoded any further."""
        return self.cpu_s >= DECODE_S

    @property
    def _is_worth_feeding(self) -> bool:
        return self.unfed >= (FEED_PARTIAL_MS if self.utterance.is_over_prompt else FEED_MS) * BYTES_PER_MS

    def take_unfed(self) -> bytes:
        """The audio to `decode` next. Called on the loop, which may add to it meanwhile."""
        audio = bytes(self.utterance.audio[len(self.utterance.audio) - self.unfed :])
        self._n_fed = len(self.utterance.audio)
        return audio

    def decode(self, audio: bytes, speech_ms: int, today: date, wanted: Wanted) -> Guess:
        """Hear more of it, in a thread; return what is wanted of it. Raises: SpeechError.

        `speech_ms`: how long the caller has spoken by the end of this audio.
        """
        assert self.ear
        assert self.wanted
        decoding = self._decoding or self.ear.begin(self.wanted.rules, today)
        self._decoding = None  # stays so when it fails: the next attempt begins anew
        decoding.feed(audio)
        if wanted is Wanted.ALL:
            return decoding.finish(speech_ms)
        guess = decoding.so_far(speech_ms) if wanted is Wanted.SO_FAR else NOTHING
        self._decoding = decoding
        return guess

    def close(self) -> None:
        """Free the decoder of an utterance that nobody needs any more."""
        if self._decoding:
            self._decoding.close()
        self._decoding = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What channels share."""

    executor: Executor
    """Where decoding blocks."""
    tell: Callable[[Identity, object], object]
    """Sends a message to an edge."""
    now: Callable[[], float]
    today: Callable[[], date]
    counts: Counter[str]
    backlog: Backlog = field(default_factory=Backlog)


class Channel:
    """`take` frames and `hear` wishes as they come; `attend` is the task that works them off."""

    def __init__(self, around: Surroundings, after_s: float = 0.0) -> None:
        """`after_s`: what was said until then has been answered elsewhere."""
        self._around = around
        self._wish: tuple[Hear, Ear] | None = None
        self._newest = Utterance(at_s=after_s)
        self._newest.is_over = True
        self._told: Heard | None = None
        self._latest_s = around.now()
        """When the last frame or wish came."""
        self._hearings: deque[Hearing] = deque()
        self._news = asyncio.Event()
        self._has_left = False

    def hear(self, wanted: Hear, ear: Ear) -> None:
        """From the next utterance on hear it like this; and what is left of an answered one.

        Asked again for the same turn, by a new owner, it is this utterance already; and what the last owner was told
        of that turn is told again, because it has not got so far.
        """
        if self._told and self._told.turn == wanted.turn:
            self._around.tell(wanted.owner, self._told)
            if self._told.meaning:
                return
        self._wish, self._latest_s = (wanted, ear), self._around.now()
        for hearing in self._hearings:
            if hearing.is_for(wanted) or hearing.is_fresh_rest:
                hearing.ask(wanted, ear)
        self._news.set()

    def take(self, frame: AudioFrame) -> None:
        """Add a frame to the utterance it belongs to, or begin one with it; wake the task when a step is due."""
        now = self._latest_s = self._around.now()
        if self._newest.is_over and self._newest.is_newer(frame):
            if (hearing := self._of_newest) and hearing.may_go_on(now):
                self._newest.go_on(frame)
            else:
                self._begin(Utterance())
        if not self._newest.add(frame):
            self._around.counts["late_frames"] += 1
            return
        if hearing := self._of_newest:
            hearing.guess = None if frame.voiced else hearing.guess
            hearing.latest_s = -inf if self._newest.is_cut else now
        if self._newest.is_over or (self._hearings and self._hearings[0].step(now) is not None):
            self._news.set()

    @property
    def _of_newest(self) -> Hearing | None:
        """The newest utterance's, if it is to be heard and not answered yet."""
        hearing = self._hearings[-1] if self._hearings else None
        return hearing if hearing and hearing.utterance is self._newest else None

    def leave(self) -> None:
        """End the task after what it is doing."""
        self._has_left = True
        self._news.set()

    async def attend(self) -> None:
        """Hear the caller until they leave, or nothing has come for long."""
        while not self._has_left:
            await self._wait()
            while self._hearings and await self._advance(self._hearings[0]):
                pass
        for hearing in self._hearings:
            hearing.close()

    async def _wait(self) -> None:
        """Return when there may be something to do: something has arrived, or nothing for long."""
        patience_s = IDLE_S if self._newest.is_over else STALL_S
        due_s = self._latest_s + patience_s
        if self._hearings and self._hearings[0].is_held(self._around.now()):
            due_s = min(due_s, self._hearings[0].due_s)
        try:
            async with asyncio.timeout(due_s - self._around.now()):
                await self._news.wait()
            self._news.clear()
        except TimeoutError:
            if self._around.now() < self._latest_s + patience_s:
                return  # frames came that there was nothing to do for, or one is due
            self._has_left = self._newest.is_over
            self._newest.is_over = True

    def _begin(self, utterance: Utterance) -> None:
        for hearing in self._hearings:
            hearing.latest_s = -inf
        self._newest = utterance
        self._news.set()  # from now on it is waited for less long
        if self._wish:
            self._hearings.append(Hearing(utterance, *self._wish))
        else:
            self._around.counts["unasked"] += 1

    async def _advance(self, hearing: Hearing) -> bool:
        """Do the next thing for the oldest utterance; False when there is nothing to do until something arrives."""
        if self._has_left:
            return False
        utterance = hearing.utterance
        if utterance.is_over and (utterance.last_voiced_s is None or hearing.wanted is None):
            self._hearings.popleft()
            return True
        match hearing.step(self._around.now()):
            case None:
                return False
            case Step.LISTEN if utterance.is_over_prompt:
                self._tell_partial(hearing, await self._decode(hearing, Wanted.SO_FAR))
            case Step.LISTEN:
                await self._decode(hearing, Wanted.NOTHING)
            case Step.GUESS:
                said_until = utterance.last_voiced_s
                guess = await self._decode(hearing, Wanted.ALL)
                hearing.guess = guess if utterance.last_voiced_s == said_until else None
            case Step.ANSWER:
                self._answer(hearing, hearing.guess or NOTHING)
            case other:
                assert_never(other)
        return True

    async def _decode(self, hearing: Hearing, wanted: Wanted) -> Guess:
        if hearing.is_spent:
            return NOTHING
        around, speech_ms, audio = self._around, hearing.utterance.speech_ms, hearing.take_unfed()
        call_id = hearing.wanted.channel_id if hearing.wanted else None
        decode = partial(hearing.decode, audio, speech_ms, around.today(), wanted)
        try:
            with around.backlog.waiting(around.now):
                done = await asyncio.get_running_loop().run_in_executor(around.executor, _timed, decode)
        except SpeechError as error:
            around.counts["failed"] += 1
            log.warning("speech.not_decoded", call_id=call_id, reason=str(error))
            return NOTHING
        guess, took_s, cpu_s = done
        around.backlog.decoded(len(audio) / BYTES_PER_MS / 1000, took_s, cpu_s)
        hearing.cpu_s += cpu_s
        if hearing.is_spent:
            hearing.close()
            around.counts["over_time"] += 1
            log.warning("speech.over_time", call_id=call_id, cpu_ms=round(hearing.cpu_s * 1000), speech_ms=speech_ms)
        return guess

    def _tell_partial(self, hearing: Hearing, guess: Guess) -> None:
        """Tell words that are new, and whether they can be an answer: what the bot may be interrupted by."""
        if not hearing.wanted or not guess.words or (guess.words, begins(guess)) == hearing.told:
            return
        hearing.told = (guess.words, begins(guess))
        wanted, number = hearing.wanted, hearing.utterance.number
        self._around.tell(
            wanted.owner, Partial(wanted.channel_id, wanted.turn, number, guess.words, in_grammar=begins(guess))
        )

    def _answer(self, hearing: Hearing, guess: Guess) -> None:
        """Tell what was heard. An answer uses the wish up; what is still said waits for the next."""
        wanted, utterance = hearing.wanted, hearing.utterance
        assert wanted
        came_to = "understood" if guess.meaning else "not_understood"
        if utterance.is_said_over_prompt and guess.is_backchannel:
            guess, came_to = NOTHING, "backchannels"
        self._around.counts[came_to] += 1
        self._told = self._heard(wanted, utterance, guess)
        _tell_span(self._told, utterance.speech_ms)
        self._around.tell(wanted.owner, self._told)
        if guess.meaning and self._wish and self._wish[0] is wanted:
            self._wish = None
        self._hearings.popleft()
        if utterance is self._newest and not utterance.is_over:
            self._newest = utterance.rest()
            self._hearings.append(Hearing(self._newest, *(self._wish or ())))

    def _heard(self, wanted: Hear, utterance: Utterance, guess: Guess) -> Heard:
        return Heard(
            channel_id=wanted.channel_id,
            turn=wanted.turn,
            utterance=utterance.number,
            words=guess.words if guess.meaning else "",
            confidence=min(guess.confidence, guess.certainty),
            speech_ended_s=utterance.last_voiced_s or 0.0,
            decided_s=self._around.now(),
            meaning=guess.meaning,
        )


def _tell_span(heard: Heard, speech_ms: int) -> None:
    """Tell what it took to recognise an answer. A caller's channel has its call's id."""
    told = {"speech_ms": speech_ms, "understood": heard.meaning is not None, "confidence": round(heard.confidence, 3)}
    began_s = spans.wall_s(heard.speech_ended_s - speech_ms / 1000)
    spans.tell(
        "recognise", CallId(heard.channel_id), began_s, spans.wall_s(heard.decided_s), turn=heard.turn, attributes=told
    )


def _timed(decode: Callable[[], Guess]) -> tuple[Guess, float, float]:
    """Decode; return the guess, how long it took, and how much of a core."""
    began_s, cpu_s = time.monotonic(), time.thread_time()
    guess = decode()
    return guess, time.monotonic() - began_s, time.thread_time() - cpu_s
