"""What becomes of prompts that come back, and of callees who speak over them: what `bench hearing` shows of echoes.

For each level and delay, on lines without a tail, with a hybrid's and with a room's (`echoing`), with the canceller and
without: prompts to which nobody says anything, by a floor that any speech of 0.3 s takes; and answers over prompts, by
a floor that words take, and the recogniser. Wishes come by standard input as JSON, a row goes to standard output for
each line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from grammars.rules.spec import INTENTS, RuleSpec
from nodes.commands.echoing import FRAME, FRAME_S, START_S, TAIL_MS, EchoLine, FarEnd, Ringing, ringing
from nodes.commands.hearing import QUESTION, Callee, Clock, meant, spoken
from nodes.config import Config
from nodes.speech.flite import FliteVoice
from nodes.speech.kaldi import KaldiEar
from nodes.speech.mimic import MimicVoice
from nodes.speech.telephone import telephone
from protocols import floor, pauses
from protocols.machine import Expired
from protocols.wire.ids import PromptHash
from protocols.wire.messages import AudioFrame, PlayEnded, SpeechEnded, SpeechStarted

AFTER: Final = 40
"""Frames after a prompt: whatever comes back of it has come."""
ANSWER_FRAMES: Final = 400
"""So long an answer may take to be one."""
SPEAKS_AT: Final = (30, 60, 90)
"""Frames after the beginning of a prompt, in turn."""
NO_LINE: Final = EchoLine(-90, 100)
"""One without an echo, to compare with."""


@dataclass(slots=True)
class Row:
    """What became of one line's prompts and answers, over all tails."""

    level_db: float
    delay_ms: float
    cancels: bool
    prompts: int = 0
    interrupted: int = 0
    """Prompts that stopped though nobody spoke."""
    answers: int = 0
    heard_ms: list[float] = field(default_factory=list)
    """From the first sound of an answer over a prompt until media tells that somebody speaks; of those heard at all."""
    understood: int = 0


def rows(wanted: Mapping[str, Any]) -> Iterator[Row]:
    """Yield a row for each line: `levels_db`, `delays_ms`, `prompts`, `answers` of `wanted`. Raises: SpeechError."""
    clock, models = Clock(), Config().models
    clock.now_s = START_S
    asyncio.set_event_loop(clock)
    voice = MimicVoice(models.voice)
    prompts = [telephone(voice.speak(text, 1.0), voice.rate_hz) for text in wanted["prompts"]]
    voices = [FliteVoice(name) for name in ("slt", "kal16", "awb")]
    with tempfile.TemporaryDirectory() as own:
        asked = list[tuple[KaldiEar, tuple[str, ...], str, npt.NDArray[np.float32]]]()
        for n, answer in enumerate(wanted["answers"]):
            specs = {QUESTION: RuleSpec(answer["rule"], answer.get("params", {}))}
            specs |= {one: RuleSpec(one) for one in INTENTS if one != answer["rule"]}
            ear = KaldiEar(specs, models.recogniser, Path(own) / str(n))
            said = spoken(voices[n % len(voices)], " ".join(answer["parts"]))
            asked.append((ear, tuple(specs), answer["means"], said))
        for level_db, delay_ms in [(NO_LINE.level_db, NO_LINE.delay_ms), *_each(wanted)]:
            for cancels in (True, False):
                row = Row(level_db, delay_ms, cancels)
                for seed, tail in enumerate(TAIL_MS):
                    line = EchoLine(level_db, delay_ms, tail)
                    _ask_nobody(row, line, prompts, seed)
                for n, (ear, rules, means, said) in enumerate(asked):
                    line = EchoLine(level_db, delay_ms, list(TAIL_MS)[n % len(TAIL_MS)])
                    callee = Callee(clock, ear, rules, pauses.COMPLETE_S)
                    clock.run_until_complete(_ask(row, line, prompts[n % len(prompts)], clock, callee, said, means, n))
                yield row
        for ear, *_ in asked:
            ear.close()
    clock.close()


def _each(wanted: Mapping[str, Any]) -> list[tuple[float, float]]:
    return [(level_db, delay_ms) for level_db in wanted["levels_db"] for delay_ms in wanted["delays_ms"]]


def _ask_nobody(row: Row, line: EchoLine, prompts: Sequence[bytes], seed: int) -> None:
    """Play all prompts, one after the other, in one call."""
    with ringing(prompts, cancels=row.cancels) as (call, names):
        end = FarEnd(line, seed)
        for name, prompt in zip(names, prompts, strict=True):
            row.prompts += 1
            row.interrupted += _is_interrupted(call, end, name, len(prompt) // FRAME)


def _is_interrupted(call: Ringing, end: FarEnd, name: PromptHash, n_frames: int) -> bool:
    turn = floor.Floor()
    turn.step(floor.Listen(1, (QUESTION,), floor.Bargein.SPEECH, 5.0, 15.0), call.now)
    turn.step(floor.PromptStarted(), call.now)
    call.play(name)
    is_interrupted = False
    for _ in range(n_frames + AFTER):
        given = [one for one in call.turn(end) if isinstance(one, SpeechStarted | SpeechEnded)]
        for one in (*given, Expired()):
            is_interrupted |= any(isinstance(tell.event, floor.StopPrompt) for tell in turn.step(one, call.now))
    return is_interrupted


async def _ask(
    row: Row,
    line: EchoLine,
    prompt: bytes,
    clock: Clock,
    callee: Callee,
    said: npt.NDArray[np.float32],
    means: str,
    seed: int,
) -> None:
    """Play a prompt twice; the callee speaks over the second, which stops when the floor is theirs."""
    row.answers += 1
    with ringing([prompt], cancels=row.cancels) as (call, (name,)):
        end, speaks_at, n_prompt = FarEnd(line, seed), SPEAKS_AT[seed % len(SPEAKS_AT)], len(prompt) // FRAME
        call.play(name)
        for _ in range(n_prompt + AFTER):
            call.turn(end)
        call.play(name)
        clock.now_s = call.now
        is_heard = False
        async with callee.attending():
            await callee.hear([], [floor.PromptStarted()])
            for k in range(n_prompt + ANSWER_FRAMES):
                at = (k - speaks_at) * FRAME
                told = call.turn(end, said[at : at + FRAME].astype(np.float64) if 0 <= at < len(said) else None)
                clock.now_s = call.now
                if not is_heard and at >= 0 and any(isinstance(one, SpeechStarted) for one in told):
                    row.heard_ms.append((k - speaks_at) * FRAME_S * 1000)
                    is_heard = True
                given: list[floor.FloorInput] = [one for one in told if isinstance(one, SpeechStarted | SpeechEnded)]
                given += [floor.PromptEnded() for one in told if isinstance(one, PlayEnded)]
                events = await callee.hear([one for one in told if isinstance(one, AudioFrame)], given)
                if any(isinstance(one, floor.StopPrompt) for one in events):
                    call.play(None)
                if answers := [one for one in events if not isinstance(one, floor.StopPrompt | floor.FalseAlarm)]:
                    row.understood += meant(answers[0]) == means
                    return


def main() -> None:
    """Read what is wanted, and write what becomes of it."""
    write = partial(print, flush=True)
    for row in rows(json.load(sys.stdin)):
        write(json.dumps(asdict(row)))


if __name__ == "__main__":
    main()
