"""Answers with pauses in them, as the product's own ears hear them, in virtual time: what `bench hearing` measures.

From mu-law to the floor all that decides is the product's: the analysis of frames, the voice detector, utterances, the
channel of the speech process with its recogniser, the floor. Only the clock is ours: a second of an answer takes what
it costs to hear it. It has the recogniser in it, so it runs in a process without pynini; answers come by standard
input as JSON, and outcomes go to standard output, one JSON object each.

    cut off    answered before the end, and not as they meant it
    dead air   from the last sound of an answer to the moment at which the turn is ours

The method is that of benchmarks of end-of-turn detection: how many are cut off, against how long all others wait.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from grammars.rules.spec import INTENTS, RuleSpec
from nodes.audio import g711
from nodes.audio.vad import Speech, VoiceDetector
from nodes.config import Config
from nodes.media.hearing import analyse
from nodes.media.utterance import Utterances
from nodes.speech.channel import Channel, Surroundings
from nodes.speech.flite import FliteVoice
from nodes.speech.kaldi import KaldiEar
from nodes.speech.mimic import MimicVoice
from nodes.speech.telephone import at_8_khz
from nodes.speech.voice import Voice
from protocols import floor
from protocols.machine import Expired
from protocols.wire.ids import ChannelId, Identity, ScriptHash
from protocols.wire.messages import AudioFrame, Hear, Heard, Partial, SpeechEnded, SpeechStarted

TODAY: Final = date(2026, 3, 2)
CALLEE: Final = ChannelId("callee")
EDGE: Final = Identity("bench.edge")
QUESTION: Final = "question"
FRAME_S: Final = 0.02
LEAD_MS, WAIT_MS = 400, 3500
LEVEL: Final = 0.05 * 32768
"""Of speech, in its loud parts: -26 dBov."""
HISS: Final = 10 ** (-65 / 20) * 32768
"""Of a quiet line: -65 dBov."""
TURNS: Final = 12
"""So often the loop goes round for a frame: from a frame to an answer it is some six."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one answer. `dead_air_ms`: negative where it was answered before its end."""

    rule: str
    voice: str
    complete_ms: float
    pause_ms: int
    is_one_word: bool
    means: str
    heard: str | None
    confidence: float
    """Of what was understood, as a script sees it; 0 when nothing was."""
    dead_air_ms: float
    silences_ms: list[int]
    """Stretches in it without a voice, by the detector: what a detector of silence alone goes by."""


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time is what we say it is."""

    now_s = 0.0

    def time(self) -> float:
        """Return it."""
        return self.now_s


class AtOnce(Executor):
    """Where decoding takes no time."""

    def submit(self, work: Any, /, *args: Any, **named: Any) -> Future[Any]:
        """Do it now."""
        future = Future[Any]()
        future.set_result(work(*args, **named))
        return future


def spoken(voice: Voice, words: str) -> npt.NDArray[np.float32]:
    """Return what somebody says, from the first sound to the last, at the level of speech."""
    low = at_8_khz(voice.speak(words, 1.0), voice.rate_hz).astype(np.float32)
    power = (low[: len(low) // 80 * 80].reshape(-1, 80) ** 2).mean(axis=1)
    loud = np.flatnonzero(power > power.max() / 3000)
    cut = low[loud[0] * 80 : (loud[-1] + 1) * 80]
    level = np.sqrt(power[power > power.max() / 100].mean())
    return np.asarray(cut * (LEVEL / level), np.float32)


def line(parts: Sequence[npt.NDArray[np.float32]], pauses_ms: Sequence[int]) -> tuple[bytes, float]:
    """Return an answer on a quiet line, in mu-law with silence around it, and when its last sound ends, in seconds."""
    gaps = [np.zeros(8 * ms, np.float32) for ms in (*pauses_ms, WAIT_MS)]
    said = (each for pair in zip(parts, gaps, strict=True) for each in pair)
    whole = np.concatenate([np.zeros(8 * LEAD_MS, np.float32), *said])
    noise = np.random.default_rng(len(whole)).normal(0, HISS, len(whole))
    audio = g711.encode(np.clip(np.rint(whole + noise), -32768, 32767).astype(np.int16))
    return audio[: len(audio) // 160 * 160], (len(whole) / 8 - WAIT_MS) / 1000


class Callee:
    """One answer to one question: `said` moves the clock, and returns how the turn ended and when."""

    def __init__(self, clock: Clock, ear: KaldiEar, rules: tuple[str, ...], complete_s: float) -> None:
        self._clock, self._news = clock, list[Heard | Partial]()
        self._channel = Channel(Surroundings(AtOnce(), self._tell, clock.time, lambda: TODAY, Counter()))
        hear = Hear(CALLEE, EDGE, ScriptHash(""), rules, 1, complete_s)
        self._channel.hear(hear, ear)
        self._floor = floor.Floor()
        listen = floor.Listen(1, rules, floor.Bargein.GRAMMAR, 5.0, 15.0, complete_s)
        self._floor.step(listen, clock.time())
        self._utterances = Utterances(CALLEE, clock.time())

    @asynccontextmanager
    async def attending(self) -> AsyncIterator[None]:
        """Have the channel of the speech process attended to."""
        attending = asyncio.ensure_future(self._channel.attend())
        try:
            yield
        finally:
            self._channel.leave()
            await attending

    async def said(self, payloads: Sequence[bytes], voiced: Sequence[bool]) -> tuple[floor.FloorEvent | None, float]:
        """Say it frame by frame; return what the turn came to, and after how many seconds."""
        began_s, told = self._clock.time(), None
        async with self.attending():
            for payload, one in zip(payloads, voiced, strict=True):
                self._clock.now_s += FRAME_S
                if told := await self._frame(payload, one):
                    break
        return told, self._clock.time() - began_s

    async def _frame(self, payload: bytes, is_voiced: bool) -> floor.FloorEvent | None:
        now, utterances = self._clock.time(), self._utterances
        change, frames = utterances.step(payload, is_voiced, now)
        told = list[floor.FloorInput]()
        if change is Speech.STARTED:
            told.append(SpeechStarted(CALLEE, utterances.number, utterances.started_at))
        elif change is Speech.ENDED:
            told.append(SpeechEnded(CALLEE, utterances.number, utterances.voiced_at))
        return next(iter(await self.hear(frames, told)), None)

    async def hear(self, frames: Sequence[AudioFrame], told: Sequence[floor.FloorInput]) -> list[floor.FloorEvent]:
        """Take what media tells now; return what it means for the floor."""
        for frame in frames:
            self._channel.take(frame)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        given = (*told, *self._news, Expired())
        self._news.clear()
        return [notify.event for each in given for notify in self._floor.step(each, self._clock.time())]

    def _tell(self, to: Identity, message: object) -> bool:
        if isinstance(message, Heard | Partial):
            self._news.append(message)
        return True


def detected(payloads: Sequence[bytes]) -> list[bool]:
    """Return for each frame whether it holds a voice, as media would have it."""
    detector = VoiceDetector()
    return [detector.is_voiced(sound.samples, sound.level_dbov) for sound in analyse(payloads)]


def silences_ms(voiced: Sequence[bool], until_s: float) -> list[int]:
    """Return how long nobody spoke, each time, between the first voiced frame and the end of an answer.

    >>> silences_ms([False, True, False, False, True, False], 0.12)
    [40]
    """
    at = [n for n, one in enumerate(voiced) if one and n * FRAME_S <= until_s]
    return [(after - before - 1) * 20 for before, after in pairwise(at) if after > before + 1]


def outcomes(
    answers: Sequence[dict[str, Any]], pauses_ms: Sequence[int], complete_s: Sequence[float]
) -> Iterator[Outcome]:
    """Yield what became of each answer, by each voice, with each pause at each place. Raises: SpeechError."""
    clock, models = Clock(), Config().models
    asyncio.set_event_loop(clock)
    voices: list[Voice] = [FliteVoice("kal16"), FliteVoice("slt"), MimicVoice(models.voice)]
    with tempfile.TemporaryDirectory() as own:
        for n, answer in enumerate(answers):
            specs = {QUESTION: RuleSpec(answer["rule"], answer.get("params", {}))}
            specs |= {one: RuleSpec(one) for one in INTENTS if one != answer["rule"]}
            ear = KaldiEar(specs, models.recogniser, Path(own) / str(n))
            for voice in voices:
                parts = [spoken(voice, words) for words in answer["parts"]]
                for places in _places(len(parts), pauses_ms):
                    audio, ends_s = line(parts, places)
                    payloads = [audio[at : at + 160] for at in range(0, len(audio), 160)]
                    voiced = detected(payloads)
                    for allowed_s in complete_s:
                        callee = Callee(clock, ear, tuple(specs), allowed_s)
                        told, at_s = clock.run_until_complete(callee.said(payloads, voiced))
                        yield Outcome(
                            rule=answer["rule"], voice=voice.name, complete_ms=allowed_s * 1000,
                            pause_ms=max(places, default=0), is_one_word=" " not in " ".join(answer["parts"]),
                            means=answer["means"], heard=meant(told), confidence=_sure(told),
                            dead_air_ms=(at_s - ends_s) * 1000,
                            silences_ms=silences_ms(voiced, ends_s),
                        )  # fmt: skip
            ear.close()
    clock.close()


def _places(n_parts: int, pauses_ms: Sequence[int]) -> Iterator[list[int]]:
    """Yield the pauses between the parts: none to speak of but one, at each place and of each length."""
    if n_parts == 1:
        yield []
    for place in range(n_parts - 1):
        for ms in pauses_ms:
            yield [ms if n == place else 60 for n in range(n_parts - 1)]


def meant(told: floor.FloorEvent | None) -> str | None:
    """Return the value, or the intent, that was understood; None where nothing was."""
    if not isinstance(told, floor.Understood):
        return None
    return told.meaning.slots.get("value", told.meaning.intent)


def _sure(told: floor.FloorEvent | None) -> float:
    return told.confidence if isinstance(told, floor.Understood) else 0.0


def main() -> None:
    """Read what is wanted, and write what becomes of it."""
    wanted = json.load(sys.stdin)
    write = partial(print, flush=True)
    for outcome in outcomes(wanted["answers"], wanted["pauses_ms"], wanted["complete_s"]):
        write(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
