"""What the engine hears: utterances, from 300 ms before speech to the voice detector's tail after it.

What it does: numbers utterances, makes their frames, and keeps the last one so that another engine can be given it
from the start. What it does not: send anything, or know who the engine is.

An utterance's number is that of the RTP packet of its first voiced frame: it grows, it is never given twice, and it
goes on growing in a successor process, which knows the clock and nothing else.
"""

from __future__ import annotations

from array import array
from collections import deque
from math import inf
from typing import Final

from nodes.audio.g711 import FRAME_BYTES
from nodes.audio.vad import DECISIVE_FRAMES, ONSET_FRAMES, Hangover, Speech
from protocols.rtp.numbers import frames_since
from protocols.wire.ids import ChannelId
from protocols.wire.messages import AudioFrame

BEFORE_FRAMES: Final = 15
"""300 ms: a recogniser needs the breath before the word."""
PAUSE_FRAMES: Final = 5
"""100 ms: after so much silence what is heard may be somebody else than before. Nobody answers sooner."""
RING_FRAMES: Final = 1500
"""30 s of one utterance; the oldest are dropped."""
KEEP_S: Final = 2.0
"""An utterance that ended longer ago than this has been answered; it is not said to another engine."""


class _Ring:
    """The newest frames of one utterance, as columns and not as objects.

    Objects of all channels would be half a million for the collector of cyclic garbage to look at; 100,000 take it
    37 ms, measured, in which no packet leaves.
    """

    __slots__ = ("_at", "_over_prompt", "_payloads", "_voiced", "n")

    def __init__(self) -> None:
        self._payloads, self._voiced, self._over_prompt = bytearray(), bytearray(), bytearray()
        self._at = array("d")
        self.n = 0  # frames that ever were in it

    @property
    def newest_at(self) -> float:
        return self._at[-1] if self._at else -inf

    def add(self, frame: AudioFrame) -> None:
        self._payloads += frame.payload
        self._voiced.append(frame.voiced)
        self._over_prompt.append(frame.over_prompt)
        self._at.append(frame.at_s)
        self.n += 1
        if len(self._at) > RING_FRAMES:
            del self._payloads[:FRAME_BYTES], self._voiced[0], self._over_prompt[0], self._at[0]

    def frames(self, channel_id: ChannelId, number: int, is_over: bool) -> list[AudioFrame]:
        held = len(self._at)
        return [
            AudioFrame(
                channel_id,
                number,
                index=self.n - held + k,
                voiced=bool(self._voiced[k]),
                payload=bytes(self._payloads[k * FRAME_BYTES : (k + 1) * FRAME_BYTES]),
                at_s=self._at[k],
                last=is_over and k == held - 1,
                over_prompt=bool(self._over_prompt[k]),
            )
            for k in range(held)
        ]


class Utterances:
    """One channel's. `started_at` and `voiced_at`: the first and the last voiced frame of utterance `number`."""

    __slots__ = ("_before", "_born_s", "_channel_id", "_hangover", "_ring", "number", "started_at", "voiced_at")

    def __init__(self, channel_id: ChannelId, born_s: float) -> None:
        self._channel_id, self._born_s = channel_id, born_s
        self._hangover = Hangover()
        self._before: deque[tuple[bytes, bool, bool, float]] = deque(maxlen=BEFORE_FRAMES + ONSET_FRAMES)
        self._ring = _Ring()
        self.number = 0
        self.started_at = self.voiced_at = 0.0

    @property
    def is_speaking(self) -> bool:
        """Whether an utterance is in progress, its tail included."""
        return self._hangover.speaking

    @property
    def is_pausing(self) -> bool:
        """Whether an utterance is in progress, and nothing was said for a moment."""
        return self._hangover.speaking and self._hangover.silent_frames >= PAUSE_FRAMES

    def would_begin(self, voiced: bool) -> bool:
        """Say whether the next frame, voiced or not, begins an utterance, or goes on with one after a pause."""
        return self._hangover.would_begin(voiced) or (voiced and self.is_pausing)

    @property
    def is_decisive(self) -> bool:
        """Whether the last frame completes a pause at which an engine may decide; the last of all does."""
        return self._hangover.silent_frames in DECISIVE_FRAMES

    def step(
        self, payload: bytes, voiced: bool, at: float, *, over_prompt: bool = False
    ) -> tuple[Speech, list[AudioFrame]]:
        """Take 20 ms of mu-law; return what has changed and the frames that the engine is to hear now.

        `over_prompt`: something was played meanwhile.
        """
        if voiced:
            self.voiced_at = at
        change = self._hangover.step(voiced)
        if change is Speech.STARTED:
            self._before.append((payload, voiced, over_prompt, at))
            return change, self._begin()
        if change is Speech.ENDED or self._hangover.speaking:
            return change, [self._frame(payload, voiced, over_prompt, at, change is Speech.ENDED)]
        self._before.append((payload, voiced, over_prompt, at))
        return change, []

    def replay(self, at: float) -> list[AudioFrame]:
        """Return the utterance in progress, or the last one if it has only just ended, from its start."""
        if at - self._ring.newest_at >= KEEP_S:
            return []
        return self._ring.frames(self._channel_id, self.number, is_over=not self.is_speaking)

    def _begin(self) -> list[AudioFrame]:
        """Begin at 300 ms before the first voiced frame of the onset."""
        before = list(self._before)
        self._before.clear()
        onset = max(0, len(before) - ONSET_FRAMES)
        first = next(k for k in range(onset, len(before)) if before[k][1])
        self.started_at = before[first][3]
        self.number = frames_since(self._born_s, self.started_at) + 1
        self._ring = _Ring()
        return [self._frame(*frame, False) for frame in before[max(0, first - BEFORE_FRAMES) :]]

    def _frame(self, payload: bytes, voiced: bool, over_prompt: bool, at: float, last: bool) -> AudioFrame:
        frame = AudioFrame(self._channel_id, self.number, self._ring.n, voiced, payload, at, last, over_prompt)
        self._ring.add(frame)
        return frame


__all__ = ["BEFORE_FRAMES", "KEEP_S", "RING_FRAMES", "Utterances"]
