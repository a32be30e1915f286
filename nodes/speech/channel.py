"""One caller's channel: a task that wakes when something arrives, decodes what is new, and tells what was heard.

It asks `turn` what to do: go on listening, guess, or answer. A guess ends the decoding; speech that goes on makes it
void, and the whole utterance is decoded again, at some 20 ms per second of it. What goes wrong in one utterance ends
that utterance: it was not understood, and is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import assert_never

from grammars.rules.rule import Completeness
from nodes.speech.backlog import Backlog
from nodes.speech.errors import SpeechError
from nodes.speech.hearing import Hearing
from nodes.speech.recogniser import Ear
from nodes.speech.turn import Guess, Step, begins, next_step
from nodes.speech.utterance import BYTES_PER_MS, Utterance
from nodes.telemetry import logs
from protocols.wire.ids import Identity
from protocols.wire.messages import AudioFrame, Hear, Heard, Partial

__all__ = ["Channel", "Surroundings"]

FEED_MS = 100
"""How much new audio is worth a trip to a thread, and a partial; the network works in steps of 210 ms anyway."""
IDLE_S = 600.0
"""Without frames or wishes for this long the call has ended, and its edge could not say so."""
STALL_S = 1.0
"""Without frames for this long an utterance is over: whoever sent them has gone."""

NOTHING = Guess("", Completeness.NO, 0.0, None)

log = logs.get(__name__)


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

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._wish: tuple[Hear, Ear] | None = None
        self._newest = Utterance()
        self._newest.is_over = True
        self._told: Heard | None = None
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
        self._wish = (wanted, ear)
        for hearing in self._hearings:
            if hearing.is_for(wanted) or hearing.is_fresh_rest:
                hearing.ask(wanted, ear)
        self._news.set()

    def take(self, frame: AudioFrame) -> None:
        """Add a frame to the utterance it belongs to, or begin one with it."""
        if self._newest.is_over and self._newest.is_newer(frame):
            self._begin(Utterance())
        if not self._newest.add(frame):
            self._around.counts["late_frames"] += 1
            return
        if frame.voiced and self._hearings:
            self._hearings[-1].guess = None
        self._news.set()

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
        try:
            async with asyncio.timeout(IDLE_S if self._newest.is_over else STALL_S):
                await self._news.wait()
            self._news.clear()
        except TimeoutError:
            self._has_left = self._newest.is_over
            self._newest.is_over = True

    def _begin(self, utterance: Utterance) -> None:
        self._newest = utterance
        if self._wish:
            self._hearings.append(Hearing(utterance, *self._wish))
        else:
            self._around.counts["unasked"] += 1

    async def _advance(self, hearing: Hearing) -> bool:
        """Do the next thing for the oldest utterance; False when there is nothing to do until something arrives."""
        if self._has_left:
            return False
        utterance = hearing.utterance
        if utterance.last_voiced_s is None or hearing.wanted is None:
            if utterance.is_over:
                self._hearings.popleft()
            return utterance.is_over
        match next_step(utterance.silence_ms, hearing.guess, is_over=utterance.is_over):
            case Step.LISTEN:
                if hearing.guess or hearing.unfed < FEED_MS * BYTES_PER_MS:
                    return False
                self._tell_partial(hearing, await self._decode(hearing, finish=False))
            case Step.GUESS:
                said_until = utterance.last_voiced_s
                guess = await self._decode(hearing, finish=True)
                hearing.guess = guess if utterance.last_voiced_s == said_until else None
            case Step.ANSWER:
                self._answer(hearing, hearing.guess or NOTHING)
            case other:
                assert_never(other)
        return True

    async def _decode(self, hearing: Hearing, *, finish: bool) -> Guess:
        around, speech_ms, audio = self._around, hearing.utterance.speech_ms, hearing.take_unfed()
        decode = partial(hearing.decode, audio, speech_ms, around.today(), finish=finish)
        try:
            with around.backlog.waiting(around.now):
                done = await asyncio.get_running_loop().run_in_executor(around.executor, _timed, decode)
        except SpeechError as error:
            around.counts["failed"] += 1
            log.warning("speech.not_decoded", reason=str(error))
            return NOTHING
        guess, took_s, cpu_s = done
        around.backlog.decoded(len(audio) / BYTES_PER_MS / 1000, took_s, cpu_s)
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
        self._around.counts["understood" if guess.meaning else "not_understood"] += 1
        self._told = self._heard(wanted, utterance, guess)
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
            confidence=guess.confidence,
            speech_ended_s=utterance.last_voiced_s or 0.0,
            decided_s=self._around.now(),
            meaning=guess.meaning,
        )


def _timed(decode: Callable[[], Guess]) -> tuple[Guess, float, float]:
    """Decode; return the guess, how long it took, and how much of a core."""
    began_s, cpu_s = time.monotonic(), time.thread_time()
    guess = decode()
    return guess, time.monotonic() - began_s, time.thread_time() - cpu_s
