"""Prompts as bytes: `<root>/<hash>.ulaw`, kept in memory by least recent use, but for what is said to one person only.

What it does: gives a prompt's audio. What it does not: render one, or wait for it: a prompt's name is told only when
its file is complete, and the file was written a moment ago, so it comes from the page cache (30 us, measured), and
reading it on the loop costs less than a thread's handing over.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Final

from protocols.wire.ids import PromptHash, is_filled

MAX_BYTES: Final = 64 * 1024 * 1024
"""More than two hours of speech."""


class Prompts:
    """`missing` counts prompts that were asked for and are not there."""

    def __init__(self, root: Path, max_bytes: int = MAX_BYTES) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._kept: OrderedDict[PromptHash, bytes] = OrderedDict()
        self._n_bytes = 0
        self.missing = 0

    def get(self, prompt: PromptHash) -> bytes:
        """Return the prompt, mu-law at 8 kHz; nothing, and counted, when there is no such file."""
        if prompt in self._kept:
            self._kept.move_to_end(prompt)
            return self._kept[prompt]
        audio = self._read(prompt)
        if audio and not is_filled(prompt):
            self._keep(prompt, audio)
        return audio

    def _read(self, prompt: PromptHash) -> bytes:
        try:
            if not prompt.isalnum():  # the name of a hash, never a way out of the directory
                raise FileNotFoundError(prompt)
            return (self._root / f"{prompt}.ulaw").read_bytes()
        except OSError:
            self.missing += 1
            return b""

    def _keep(self, prompt: PromptHash, audio: bytes) -> None:
        self._kept[prompt] = audio
        self._n_bytes += len(audio)
        while self._n_bytes > self._max_bytes:
            self._n_bytes -= len(self._kept.popitem(last=False)[1])


__all__ = ["MAX_BYTES", "Prompts"]
