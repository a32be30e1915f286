"""Whether what comes back is our own voice: what a callee says on a line that returns our prompts.

What it does: keeps what was sent lately, takes its echo out of what is heard, and holds up whoever seems to begin to
speak, or to go on after a pause, while a prompt may still come back, until it has been compared with what we said. What
it does not: anything once we have been silent for longer than an echo lasts, or where what comes back is fainter than
any voice.

    unknown   A line of which no echo is known. After 100 ms of a voice its delay is sought in what we have sent; a
              voice in which none is found in 220 ms is the callee's, or in 280 if there was a doubt.
    known     The echo is taken out of each frame. What is left and still sounds like a voice may be a callee, or an
              echo that has changed: by a word never said before, or by a far jitter buffer. At once, and until 240 ms
              of it were heard, a path is sought that explains it; a callee is what none does.

Who was held up is heard from the beginning, frame by frame, each with the instant at which it came. Nothing here needs
to outlive the process: a successor knows from the play what was said lately, and finds the path again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final, NamedTuple

import numpy as np

from nodes.audio import g711
from nodes.audio.echo import BLOCK, FRAME, HISTORY, LONGEST, WINDOW, Floats, Path, cancel, find, fit
from nodes.audio.g711 import SILENCE, ULAW_TO_PCM
from nodes.audio.vad import GATE_DBOV, ONSET_FRAMES, ONSET_VOICED, levels
from nodes.media.hearing import Sound

MOST: Final = 2
"""Comparisons in one slot, each of 1.5 ms; who is not compared is held up for a frame more."""
LASTS: Final = 30
"""Frames after a prompt in which it may still come back: 600 ms."""
COMPARED: Final = -(-WINDOW // FRAME)
KEPT: Final = -(-(LONGEST + BLOCK) // FRAME) + COMPARED
"""Frames of what was sent: those from which the oldest compared frame may come."""
UNKNOWN_AT, KNOWN_AT = (3, 6, 9, 12), (1, 4, 7, 10)
"""Frames held when they are compared. The two before the first are no beginning, and not held."""
BESIDES: Final = 4
"""Frames before the held ones that are compared, too."""
CLEAR: Final = 8.0
"""An echo stands out by so much; speech that is none did in 2 of 100."""
NEAR: Final = 16
"""Samples between what twice stood out a little, and is an echo for it."""
BETTER_DB, ALL_DB = -5.0, -6.0
"""An echo is what a fresh path makes fainter by so much than the known one did, or than it was; a callee's voice over
no echo becomes at most 1 dB fainter."""
UNCLEAR: Final = 6.5
"""On a line of which no echo is known, who stands out by less in the second and the third comparison is a callee."""
MARGIN_DB: Final = 6.0
"""A voice is louder by so much than what usually is left of an echo."""
FIRST_LEFT_DB: Final = -6.0
_FALLS, _RISES = 0.3, 0.03


class Held(NamedTuple):
    """A frame that waits until it is known who speaks."""

    payload: bytes
    voiced: bool
    at: float
    over_prompt: bool


class Echo:
    """One line's. Of each frame tell what was `said`, then what was `heard`."""

    __slots__ = (
        "_at",
        "_heard",
        "_is_fresh",
        "_is_off",
        "_last",
        "_left_db",
        "_n_compared",
        "_n_silent",
        "_n_vain",
        "_said",
        "held",
        "is_ours",
        "path",
    )

    def __init__(self, *, is_off: bool = False) -> None:
        """`is_off`: let every echo through; for comparison."""
        self._is_off = is_off
        self._said = bytearray()  # mu-law, empty while nothing may come back
        self._heard: deque[bytes] = deque()
        self._is_fresh = True
        self._n_silent, self._at = 0, 0.0
        self._left_db = FIRST_LEFT_DB  # of an echo, by taking it out
        self._last, self._n_compared, self._n_vain = -inf, 0, 0  # of what is held: delay, comparisons, those in vain
        self.path: Path | None = None
        self.held: list[Held] = []
        self.is_ours: bool | None = None
        """Whether the held frames are an echo; None while that is not known."""

    @property
    def is_on(self) -> bool:
        """Say whether something that we have said may still come back."""
        return bool(self._said)

    @property
    def is_due(self) -> bool:
        """Say whether the held frames are to be compared."""
        return self.is_on and len(self.held) >= self._schedule[self._n_compared]

    @property
    def is_noise(self) -> bool:
        """Say whether the held frames are too little of a voice to be anything, after a pause in what somebody says."""
        return len(self.held) == ONSET_FRAMES and sum(one.voiced for one in self.held) < ONSET_VOICED

    def said(self, frame: bytes | None, at: float, ours: Callable[[float], bytes | None]) -> None:
        """Take what was sent at `at`: a frame of a prompt, or None. `ours` tells that of another instant."""
        if not self._said:
            if self._is_off:
                return
            if frame is None and not self._is_fresh:
                return
            before = [ours(at - k * 0.02) for k in range(KEPT - 1, 0, -1)]
            if frame is None and not any(before):
                self._is_fresh = False
                return
            self._said += b"".join(one or SILENCE for one in (SILENCE, *before))
            self._heard.extend([SILENCE] * COMPARED)
            self._at = at - 0.02
            self._n_silent = 0
        n_missed = min(round((at - self._at) / 0.02) - 1, KEPT)
        self._at, self._is_fresh = at, False
        if n_missed > 0:  # the process was away, and nothing was sent
            self._said += SILENCE * n_missed
            del self._said[: n_missed * FRAME]
        self._n_silent = 0 if frame else self._n_silent + 1
        if self._n_silent > LASTS:
            self._said.clear()
            self._heard.clear()
            return
        self._said += frame or SILENCE
        del self._said[:FRAME]

    def moved(self, n: int) -> None:
        """Know that what is heard comes `n` samples later than before: our jitter buffer has grown, or shrunk."""
        if self.path:
            self.path.delay += n
            if not 0 <= self.path.delay <= LONGEST:
                self.path = None

    def heard(self, frame: bytes) -> None:
        """Take what was received; SILENCE for what only stands in for it."""
        self._heard.append(frame)
        self._heard.popleft()

    def stands_out(self, sound: Sound, is_speaking: bool) -> bool:
        """Say whether a frame is louder than what is left of an echo; learn from it how much that is."""
        over_db = sound.level_dbov - sound.echo_dbov
        if over_db == inf:
            return True
        stands_out = over_db > self._left_db + MARGIN_DB
        if not is_speaking:
            rate = _FALLS if over_db < self._left_db else _RISES
            self._left_db += rate * (min(over_db, 0.0) - self._left_db)
        return stands_out

    def release(self) -> list[Held]:
        """Return what was held, and hold nothing."""
        held, self.held, self.is_ours = self.held, [], None
        self._last, self._n_compared, self._n_vain = -inf, 0, 0
        return held

    # ---- a comparison -----------------------------------------------------------------------------------------------

    def block(self, delay: int, ago: int = 0) -> bytes:
        """Return what makes the echo in the frame `ago` frames before the newest, if it comes `delay` late."""
        end = len(self._said) - delay - ago * FRAME
        return bytes(self._said[end - BLOCK : end])

    def window(self) -> tuple[bytes, bytes]:
        """Return what `find` wants: heard and sent."""
        return b"".join(self._heard)[-WINDOW:], bytes(self._said[-HISTORY:])

    def compared(self, delay: int, clearness: float) -> None:
        """Decide whether the held frames are an echo of this delay."""
        is_likely = clearness > CLEAR or abs(delay - self._last) < NEAR
        self._last, self._n_compared = delay, self._n_compared + 1
        self._n_vain = self._n_vain + 1 if clearness < UNCLEAR and not is_likely else 0
        if is_likely and self._explains(delay):
            self.is_ours = True
        elif self._n_compared == len(self._schedule) or (self._n_vain >= 2 and self._n_compared == 3 and not self.path):
            self.is_ours = False

    def _explains(self, delay: int) -> bool:
        is_same = self.path is not None and self.path.is_at(delay)
        path = self.path.anew() if self.path and is_same else Path(delay)
        n = len(self.held)
        heard = list(self._heard)[-n - BESIDES :]
        k_heard = [k for k, frame in enumerate(reversed(heard)) if frame != SILENCE][::-1]
        if not k_heard or min(k_heard) >= n:
            return False
        frames = _samples([heard[-1 - k] for k in k_heard])
        left = fit(path, frames, _samples([self.block(path.delay, k) for k in k_heard]))
        of_held = [row for row, k in enumerate(k_heard) if k < n]
        now_db = _level(left[of_held])
        was_db = _level(_samples([self.held[-1 - k].payload for k in k_heard if k < n]))
        if now_db - was_db > BETTER_DB and now_db - _level(frames[of_held]) > ALL_DB:
            return False
        self.path = path
        if not is_same:
            self._left_db = FIRST_LEFT_DB
        for row in of_held:
            k = n - 1 - k_heard[row]
            self.held[k] = self.held[k]._replace(payload=g711.encode(_rounded(left[row])))
        return True

    @property
    def _schedule(self) -> tuple[int, ...]:
        return KNOWN_AT if self.path else UNKNOWN_AT


def without_echo(echoes: Sequence[Echo], sounds: Sequence[Sound]) -> list[Sound]:
    """Return what is left of each line's frame when the echo that is known of it is taken out."""
    found = list(sounds)
    rows = [k for k, echo in enumerate(echoes) if echo.path and echo.is_on and found[k].level_dbov > GATE_DBOV]
    if not rows:
        return found
    paths = [path for k in rows if (path := echoes[k].path)]
    heard = _samples([found[k].payload for k in rows])
    echo = cancel(paths, heard, _samples([echoes[k].block(path.delay) for k, path in zip(rows, paths, strict=True)]))
    left = heard - echo
    samples = _rounded(left)
    for k, row, level, echo_level in zip(rows, samples, levels(left), levels(echo), strict=True):
        found[k] = Sound(row.tobytes(), level, found[k].pitch_hz, g711.encode(row), echo_level)
    return found


def compare(echoes: Sequence[Echo]) -> None:
    """Find out of some lines whether what they hold is an echo (`is_ours`)."""
    windows = [echo.window() for echo in echoes]
    found = find(_samples([heard for heard, _ in windows]), _samples([sent for _, sent in windows]))
    for echo, (delay, clearness) in zip(echoes, found, strict=True):
        echo.compared(delay, clearness)


def _samples(ulaw: Sequence[bytes]) -> Floats:
    samples: Floats = ULAW_TO_PCM[np.frombuffer(b"".join(ulaw), np.uint8)].reshape(len(ulaw), -1).astype(np.float32)
    return samples


def _rounded(samples: Floats) -> g711.Samples:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def _level(frames: Floats) -> float:
    return levels(frames.reshape(1, -1))[0]


__all__ = ["LASTS", "Echo", "Held", "compare", "without_echo"]
