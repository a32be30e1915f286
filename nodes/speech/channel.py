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
from enum import Enum, auto
from functools import partial
from typing import assert_never

from grammars.rules.rule import Completeness
from nodes.speech.backlog import Backlog
from nodes.speech.errors import SpeechError
from nodes.speech.recogniser import Decoding, Ear
from nodes.speech.turn import Guess, Step, begins, next_step
from nodes.telemetry import logs, spans
from protocols.wire.ids import CallId, Identity
from protocols.wire.messages import AudioFrame, Hear, Heard, Partial

__all__ = ["FRAME_BYTES", "LONGEST_MS", "Channel", "Surroundings", "Utterance"]

FRAME_MS = 20
FRAME_BYTES = 160
BYTES_PER_MS = FRAME_BYTES // FRAME_MS
_SILENCE = b"\xff" * FRAME_BYTES

LONGEST_MS = 15_000
"""An utterance is cut here: a caller who talks on, or a line that hums, is not answering."""
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


class Utterance:
    """The audio since speech began, with what the turn detector needs to know of it: frames in order, each once.

    Frames are numbered within an utterance and utterances within a channel, but the numbers are a media process's own:
    its successor begins again at one, in the middle of a word. What never goes back is the clock (`at_s`), so it has
    the last word on what is late; and numbers that change before the end was seen are the same speech, told by somebody
    else.
    """

    def __init__(self, start: bytes = b"", number: int = 0, next_index: int = 0, at_s: float = 0.0) -> None:
        """`start` is audio that is known already: the silence before, when speech goes on after an answer."""
        self.audio = bytearray(start)
        """8 kHz mu-law."""
        self.number = number
        """Of the newest frame."""
        self.silence_ms = 0
        """How long nothing has been voiced, once something was."""
        self.last_voiced_s: float | None = None
        """When the last voiced frame was heard; None before the first."""
        self.is_over = False
        """Nothing more will come."""
        self.is_over_prompt = False
        """A prompt was played while the newest frame was heard."""
        self._voiced_from: int | None = None
        self._voiced_until = 0
        self._next_index = next_index
        self._at_s = at_s

    @property
    def speech_ms(self) -> int:
        """From the first voiced frame to the last."""
        return 0 if self._voiced_from is None else self._voiced_until - self._voiced_from

    def is_newer(self, frame: AudioFrame) -> bool:
        """Whether the frame was heard after all of this."""
        return frame.at_s > self._at_s

    def add(self, frame: AudioFrame) -> bool:
        """Take the next frame; False for one that is late or was there before, which changes nothing.

        What was lost between two frames is silence. A payload of another length counts as lost.
        """
        is_next = frame.utterance == self.number and frame.index >= self._next_index
        if self.is_over or not (is_next or self.is_newer(frame)):
            return False
        n_lost = frame.index - self._next_index if is_next else 0
        self.audio += _SILENCE * min(n_lost, LONGEST_MS // FRAME_MS)
        self.audio += frame.payload if len(frame.payload) == FRAME_BYTES else _SILENCE
        self.number, self._next_index, self._at_s = frame.utterance, frame.index + 1, frame.at_s
        self._note(frame)
        return True

    def rest(self) -> Utterance:
        """What may still come of this utterance after it was answered; begins with the silence that was waited out."""
        kept = bytes(self.audio[len(self.audio) - self.silence_ms * BYTES_PER_MS :])
        return Utterance(kept, self.number, self._next_index, self._at_s)

    def _note(self, frame: AudioFrame) -> None:
        heard_ms = len(self.audio) // BYTES_PER_MS
        if frame.voiced:
            if self._voiced_from is None:
                self._voiced_from = heard_ms - FRAME_MS
            self._voiced_until = heard_ms
            self.silence_ms = 0
            self.last_voiced_s = frame.at_s
        elif self.last_voiced_s is not None:
            self.silence_ms += FRAME_MS
        self.is_over_prompt = frame.over_prompt
        self.is_over = frame.last or len(self.audio) >= LONGEST_MS * BYTES_PER_MS


@dataclass(slots=True)
class Hearing:
    """An utterance on its way to its meaning. The loop adds audio while a thread decodes what was there before."""

    utterance: Utterance
    wanted: Hear | None = None
    """How to hear it; None while nobody has asked, after an answer."""
    ear: Ear | None = None
    guess: Guess | None = None
    """What it is if it ends here; None when there is no guess for all that was said."""
    told: tuple[str, bool] = ("", False)
    """The words of the last partial, and whether they could be an answer."""
    _decoding: Decoding | None = None
    _n_fed: int = 0

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
    def step(self) -> Step | None:
        """What is to be done for it now; None until something arrives."""
        utterance = self.utterance
        if utterance.last_voiced_s is None or self.wanted is None:
            return None
        step = next_step(utterance.silence_ms, self.guess, is_over=utterance.is_over)
        return None if step is Step.LISTEN and (self.guess or not self._is_worth_feeding) else step

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
        self._latest_s = self._around.now()
        if self._newest.is_over and self._newest.is_newer(frame):
            self._begin(Utterance())
        if not self._newest.add(frame):
            self._around.counts["late_frames"] += 1
            return
        if frame.voiced and self._hearings:
            self._hearings[-1].guess = None
        if self._newest.is_over or (self._hearings and self._hearings[0].step is not None):
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
        """Return when there may be something to do: something has arrived, or nothing for long."""
        patience_s = IDLE_S if self._newest.is_over else STALL_S
        try:
            async with asyncio.timeout(self._latest_s + patience_s - self._around.now()):
                await self._news.wait()
            self._news.clear()
        except TimeoutError:
            if self._around.now() < self._latest_s + patience_s:
                return  # frames came that there was nothing to do for
            self._has_left = self._newest.is_over
            self._newest.is_over = True

    def _begin(self, utterance: Utterance) -> None:
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
        match hearing.step:
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
        around, speech_ms, audio = self._around, hearing.utterance.speech_ms, hearing.take_unfed()
        decode = partial(hearing.decode, audio, speech_ms, around.today(), wanted)
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
            confidence=guess.confidence,
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
