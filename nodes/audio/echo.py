"""Our own voice as a line sends it back: how late it comes, and how it has changed on its way.

What it does: finds the delay by the phases of the two spectra (Knapp and Carter's generalised cross-correlation, 1976:
it sees a delay, and not who has which pitch), fits a path to a quarter of a second of it, and takes the echo out frame
by frame with a filter that learns in each frequency as much as is certain there (the frequency-domain Kalman filter of
Enzner and Vary, 2006: whoever speaks over the echo makes it learn less, and unlearns nothing). What it does not: decide
who speaks; that is `nodes.media.echo`.

Samples are floats of 16-bit size, at 8 kHz. Many rows at once, where there are many: numpy's price is per operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

FRAME: Final = 160
SHORTEST, LONGEST = 160, 4096
"""Samples, 20 and 512 ms: the delays that are sought; both jitter buffers and the network are in them."""
WINDOW: Final = 2048
"""Samples in which a delay is sought: 256 ms."""
HISTORY: Final = LONGEST + WINDOW
BLOCK: Final = 512
"""Samples of what was sent that make a frame of echo: it, and the taps before it."""
TAPS: Final = BLOCK - FRAME
"""44 ms: a hybrid's echo lasts some 10, a hand-set's 30."""
BEFORE: Final = 64
"""Taps before the strongest: the first of a room's is not its loudest, and the far clock drifts against ours."""

_FLATTENS: Final = 0.8
"""How much louder frequencies count for no more: at 1 the faintest noise counts as much as a voice."""
_FLOOR: Final = 1e-3
_OFFSETS: Final = np.arange(TAPS) - BEFORE
_LIKELY: Final = np.maximum(0.2, np.exp(np.where(_OFFSETS < 0, _OFFSETS / 16, -_OFFSETS / 120)))
"""Where in a path there is something: each tap learns by so much of its step. Found with lines without a tail, with
hybrids of 1.5 ms and rooms of 10 ms: the first two are 3 dB better off for it in the first second, the last 2 worse."""
_ROUNDS: Final = 5
_DOUBT: Final = 0.3
_FORGETS: Final = 0.999
"""What is known of a path is as old as its line: half of it after 14 s of speech."""
_BLURS: Final = 0.8


class Path:
    """One line's echo: its delay, its gain in each frequency, how unsure that is, and what else is heard there."""

    __slots__ = ("delay", "doubt", "gain", "n_frames", "others")

    def __init__(self, delay: int) -> None:
        """`delay`: samples from what was sent to the loudest of its echo, as `find` gives them."""
        self.delay = max(0, delay - BEFORE)
        """Samples before the first tap."""
        self.gain = np.zeros(BLOCK // 2 + 1, np.complex128)
        self.doubt = np.full(BLOCK // 2 + 1, _DOUBT)
        self.others = np.zeros(BLOCK // 2 + 1)
        self.n_frames = 0

    @property
    def learns(self) -> bool:
        """Whether it learns from its next frame: from each of its first second, then from one in three."""
        return self.n_frames < 50 or self.n_frames % 3 == 0

    def is_at(self, delay: int) -> bool:
        """Say whether this is where the loudest tap would be: within 6 ms."""
        return abs(delay - self.delay - BEFORE) < 48

    def anew(self) -> Path:
        """Return the same path, as doubtful as a new one."""
        path = Path(self.delay + BEFORE)
        path.gain, path.others = self.gain.copy(), self.others.copy()
        return path


def find(heard: Floats, sent: Floats) -> list[tuple[int, float]]:
    """Return the likeliest delay of each row, in samples, and by how many deviations it stands out of all others.

    `heard`: rows of WINDOW; `sent`: rows of HISTORY that end at the same instant.
    """
    both = np.fft.rfft(sent, HISTORY, axis=1) * np.fft.rfft(heard, HISTORY, axis=1).conj()
    size = np.abs(both) ** _FLATTENS
    both /= size + _FLOOR * size.max(axis=1, keepdims=True) + 1e-9
    likeness = np.abs(np.fft.irfft(both, HISTORY, axis=1)[:, : LONGEST - SHORTEST + 1])
    at = likeness.argmax(axis=1)
    spread = np.sqrt(np.square(likeness).mean(axis=1)) + 1e-12
    return [
        (LONGEST - int(k), float(row[k] / one)) for k, row, one in zip(at, likeness, spread, strict=True)
    ]  # fmt: skip


def fit(path: Path, heard: Floats, sent: Floats) -> Floats:
    """Make the path explain these frames, as far as a path can; return what it leaves of them.

    `heard`: frames, one a row; `sent`: the BLOCK of each, which ends `path.delay` before it.
    """
    ours = np.fft.rfft(sent, axis=1)
    power = np.square(np.abs(ours)).sum(axis=0) * (FRAME / BLOCK)
    left = np.zeros((len(heard), BLOCK), np.float32)
    for _ in range(_ROUNDS):
        left[:, TAPS:] = heard - np.fft.irfft(ours * path.gain, axis=1)[:, TAPS:]
        error = np.fft.rfft(left, axis=1)
        path.others = np.square(np.abs(error)).mean(axis=0)
        path.gain += _probable((ours.conj() * error).sum(axis=0) / (power + path.others + 1.0))
    return np.asarray(heard - np.fft.irfft(ours * path.gain, axis=1)[:, TAPS:], np.float32)


def cancel(paths: Sequence[Path], heard: Floats, sent: Floats) -> Floats:
    """Return the echo in a frame of each line, and learn from it. Rows as those of `fit`, one a path."""
    ours = np.fft.rfft(sent, axis=1)
    echo = np.fft.irfft(ours * np.stack([path.gain for path in paths]), axis=1)[:, TAPS:].astype(np.float32)
    rows = [row for row, path in enumerate(paths) if path.learns]
    for path in paths:
        path.n_frames += 1
    if rows:
        _learn([paths[row] for row in rows], ours[rows], heard[rows] - echo[rows])
    return echo


def _learn(paths: Sequence[Path], ours: npt.NDArray[np.complex128], rest: Floats) -> None:
    """Learn from what was left of a frame of each path."""
    doubt, others = np.stack([path.doubt for path in paths]), np.stack([path.others for path in paths])
    left = np.zeros((len(paths), BLOCK))
    left[:, TAPS:] = rest
    error = np.fft.rfft(left, axis=1)
    power = ours.real**2 + ours.imag**2
    others = _BLURS * others + (1 - _BLURS) * (error.real**2 + error.imag**2)
    step = doubt / (power * doubt + (BLOCK / FRAME) * others + 1.0)
    gain = np.stack([path.gain for path in paths]) + _probable(step * ours.conj() * error)
    doubt = _FORGETS**2 * (1 - FRAME / BLOCK * power * step) * doubt
    doubt += (1 - _FORGETS**2) * (gain.real**2 + gain.imag**2)
    for path, *known in zip(paths, gain, doubt, others, strict=True):
        path.gain, path.doubt, path.others = known


def _probable(step: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
    """Return the part of a step that has taps where a path has some."""
    taps = np.fft.irfft(step)
    taps[..., :TAPS] *= _LIKELY
    taps[..., TAPS:] = 0.0
    return np.fft.rfft(taps)


__all__ = [
    "BLOCK",
    "FRAME",
    "HISTORY",
    "LONGEST",
    "SHORTEST",
    "TAPS",
    "WINDOW",
    "Floats",
    "Path",
    "cancel",
    "find",
    "fit",
]
