"""How long after the caller's last word the meaning is known, and what it costs: callers in real time, one engine.

What it does: for each number of callers, lets them all answer again and again, frame by frame as media would send
them. What it does not: accuracy (its voice is an easy one), the way there and back (`bench turn`), print.

It has the recogniser in it, so it runs in a process without pynini, as the speech process does.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from pathlib import Path

import numpy as np

from grammars.rules.spec import INTENTS, RuleSpec
from nodes.audio import g711
from nodes.audio.vad import VoiceDetector, levels
from nodes.config import Config
from nodes.speech.channel import Channel, Surroundings
from nodes.speech.flite import FliteVoice
from nodes.speech.recogniser import Ear
from nodes.speech.telephone import telephone
from protocols.wire.ids import ChannelId, Identity, ScriptHash
from protocols.wire.messages import AudioFrame, Hear, Heard

__all__ = ["Row", "measure"]

_EDGE = Identity("bench.edge")
ANSWERS = ("Yes.", "No, thank you.", "That's right.", "Stop calling me.", "I want to speak to an agent.")
"""Complete when they are said: what is measured is the engine, not how long a caller may pause."""
RULES = {name: RuleSpec(name) for name in ("yes_no", *INTENTS)}
FRAME_S = 0.02
LEAD_FRAMES, TAIL_FRAMES = 15, 40
"""What media sends before and after speech."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run. Times are milliseconds from the last voiced frame to the meaning, of which 160 are silence."""

    callers: int
    answers: int
    understood: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    cpu_share: float
    """Of one core, pacing included."""
    speaking: float
    """Callers who spoke at the same moment, on average."""
    rss_mb: float


async def measure(callers: Sequence[int], seconds: float) -> list[Row]:
    """Return a row for each number of callers. Raises: BrokenModel, EngineFailed (also without flite)."""
    voice = FliteVoice()
    answers = [_frames(telephone(voice.speak(words, 1.0), voice.rate_hz)) for words in ANSWERS]
    with tempfile.TemporaryDirectory() as own, ThreadPoolExecutor(os.cpu_count()) as executor:
        ear = await asyncio.to_thread(Ear, RULES, Config().models.recogniser, Path(own) / "ear")
        rows = [await _Run(answers, ear, executor).measured(n, seconds) for n in callers]
        ear.close()
    return rows


class _Run:
    """Callers who answer, pause, and answer again."""

    def __init__(self, answers: Sequence[list[AudioFrame]], ear: Ear, executor: ThreadPoolExecutor) -> None:
        self._answers, self._ear = answers, ear
        self._heard: list[Heard] = []
        today = datetime.now().astimezone().date
        self._around = Surroundings(executor, self._tell, time.monotonic, today, Counter())
        self._n_frames = 0

    async def measured(self, n: int, seconds: float) -> Row:
        cpu_s = time.process_time()
        async with asyncio.TaskGroup() as tasks:
            channels = [Channel(self._around) for _ in range(n)]
            for channel in channels:
                tasks.create_task(channel.attend())
            await self._talk([self._caller(channel, k) for k, channel in enumerate(channels)], seconds)
            for channel in channels:
                channel.leave()
        late = [(heard.decided_s - heard.speech_ended_s) * 1000 for heard in self._heard if heard.meaning]
        p50, p95, top = np.percentile(late, [50, 95, 100]).tolist() if late else (0.0, 0.0, 0.0)
        cpu_share, speaking = (time.process_time() - cpu_s) / seconds, self._n_frames * FRAME_S / seconds
        return Row(n, len(self._heard), len(late), p50, p95, top, cpu_share, speaking, _rss_mb())

    async def _talk(self, callers: Sequence[Iterator[None]], seconds: float) -> None:
        """Move everybody on by a frame, every 20 ms."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for tick in range(round(seconds / FRAME_S)):
            await asyncio.sleep(begin + tick * FRAME_S - loop.time())
            for caller in callers:
                next(caller)

    def _caller(self, channel: Channel, k: int) -> Iterator[None]:
        """One caller, a frame at a time; they begin at different moments."""
        for _ in range(7 * k % 97):
            yield
        for number in count(1):
            channel.hear(Hear(ChannelId(str(k)), _EDGE, ScriptHash(""), tuple(RULES), turn=number), self._ear)
            for frame in self._answers[(k + number) % len(self._answers)]:
                self._n_frames += 1
                channel.take(replace(frame, utterance=number, at_s=time.monotonic()))
                yield
            for _ in range(TAIL_FRAMES):
                yield

    def _tell(self, to: Identity, message: object) -> bool:
        if isinstance(message, Heard):
            self._heard.append(message)
        return True


def _frames(audio: bytes) -> list[AudioFrame]:
    """Speech as media cuts and marks it, with the silence before and after."""
    whole = g711.SILENCE * LEAD_FRAMES + audio + g711.SILENCE * TAIL_FRAMES
    detector = VoiceDetector()
    frames = []
    for index in range(len(whole) // g711.FRAME_BYTES):
        payload = whole[index * g711.FRAME_BYTES : (index + 1) * g711.FRAME_BYTES]
        samples = g711.decode(payload)
        voiced = detector.is_voiced(samples.tobytes(), levels(samples[None].astype(np.float32))[0])
        frames.append(AudioFrame(ChannelId(""), 0, index, voiced, payload, 0.0))
    return [*frames[:-1], replace(frames[-1], last=True)]


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
