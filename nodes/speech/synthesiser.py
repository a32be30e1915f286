"""Prompts: words to files of 8 kHz mu-law, each rendered once and named by what is in it.

A prompt's name is the hash of the voice, the rate and the words as they are spoken. So the same sentence is the same
file for every call, process and restart on this machine, and a file that exists is finished: it is written beside
its place and moved there whole. The name says, too, whether a slot's value is said in it, and so something of a person:
those go when somebody is forgotten (`nodes.edge.forgetting`).

All speaking happens on one warmed thread (`mimic` says why). A voice that does not start is replaced by `flite`, and
said to be.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import ParamSpec, TypeVar

from grammars.errors import UnknownLanguage
from grammars.lang import ENGLISH
from grammars.spoken import normalise, verbalise
from nodes.files import write_private
from nodes.speech.errors import EngineFailed, PromptTooLong
from nodes.speech.telephone import RATE_HZ, telephone
from nodes.speech.voice import Voice
from nodes.speech.voices import start_other
from protocols.wire.ids import FILLED, PromptHash
from protocols.wire.messages import Part, Prompt

__all__ = ["Synthesiser", "language_of", "prompt_hash", "spoken", "sweep"]

P = ParamSpec("P")
T = TypeVar("T")

MAX_CHARACTERS = 2000
"""Of one sentence, as it is written: over two minutes of speech, and a second of the one voice that all calls share."""
KEEP_S = 30 * 86400.0
"""Prompts hold slots, hence names and dates of people: what nobody has asked for in this time is deleted."""
AS_IT_IS = ("", "text")
"""Kinds that are read with what stands around them: the script's words, and a slot's that are free text."""
DRAFT_S = 60.0
"""No writer takes that long."""


class Synthesiser:
    """Renders prompts into a directory with one voice."""

    def __init__(
        self,
        prompts: Path,
        start_voice: Callable[[], Voice],
        rate: float = 1.0,
        start_other: Callable[[str], Voice] = start_other,
    ) -> None:
        """`start_voice` runs on the thread that will speak, at `start`; `start_other`, for another language, when that
        is first spoken. `rate` 1.2 is a fifth faster than usual.
        """
        self._prompts = prompts
        self._start_voice = start_voice
        self._rate = rate
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="voice")
        self.voice: Voice
        self._start_other = start_other
        self._others: dict[str, Voice] = {}
        self.n_rendered = 0

    async def start(self) -> None:
        """Load the voice and delete old prompts. Raises: BrokenModel, EngineFailed."""
        self._prompts.mkdir(parents=True, exist_ok=True)
        sweep(self._prompts, time.time())
        self.voice = await self._run(self._start_voice)

    async def render(self, parts: Sequence[Part]) -> Prompt:
        """The prompt of these parts, on disk. Raises: PromptTooLong; EngineFailed, also for nothing to say."""
        if (n_characters := sum(len(part.text) for part in parts)) > MAX_CHARACTERS:
            raise PromptTooLong(n_characters, MAX_CHARACTERS)
        try:
            words = spoken(parts)
        except UnknownLanguage as error:
            raise EngineFailed(str(error)) from error
        voice = await self._voice_of(language_of(parts))
        is_somebodys = any(part.kind for part in parts)
        name = PromptHash(prompt_hash(voice.name, self._rate, words) + (FILLED if is_somebodys else ""))
        path = self.path(name)
        if not touched(path):
            await self._run(self._write, path, words, voice)
        return Prompt(name, ms=path.stat().st_size * 1000 // RATE_HZ, spoken=words)

    def path(self, prompt: PromptHash) -> Path:
        """Where a prompt is, once it is rendered."""
        return self._prompts / f"{prompt}.ulaw"

    def close(self) -> None:
        """End the thread; what it is rendering is finished first."""
        self._thread.shutdown()

    async def _run(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._thread.submit(do, *args, **kwargs))

    async def _voice_of(self, language: str) -> Voice:
        if language == ENGLISH:
            return self.voice
        if language not in self._others:
            self._others[language] = await self._run(self._start_other, language)
        return self._others[language]

    def _write(self, path: Path, words: str, voice: Voice) -> None:
        if touched(path):  # somebody else asked for it while we waited for the thread
            return
        audio = telephone(voice.speak(words, self._rate), voice.rate_hz)
        if not audio:
            raise EngineFailed(f"{voice.name} says nothing for {len(words)} characters")
        try:
            write_private(path, audio)
        except OSError as error:
            raise EngineFailed(f"{path} cannot be written: {error}") from error
        self.n_rendered += 1


def spoken(parts: Sequence[Part]) -> str:
    """The words of a prompt as they are said, in its language.

    >>> spoken([Part("You owe"), Part("42.50", "money"), Part(".")])
    'You owe forty two dollars and fifty cents.'
    """
    language = language_of(parts)
    said = (one.text if one.kind in AS_IT_IS else verbalise(one.text, one.kind, language) for one in parts)
    return normalise(" ".join(said), language)


def language_of(parts: Sequence[Part]) -> str:
    """The language of a prompt: of all its parts."""
    return next((part.language for part in parts if part.language), ENGLISH)


def prompt_hash(voice: str, rate: float, words: str) -> PromptHash:
    """The name of a prompt: 128 bits over all that decides how it sounds."""
    return PromptHash(blake2b(f"{voice}\0{rate:g}\0{words}".encode(), digest_size=16).hexdigest())


def touched(path: Path) -> bool:
    """Whether the prompt is there; if so it is as good as new for `sweep`."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def sweep(prompts: Path, wall_s: float) -> None:
    """Delete prompts that nobody has asked for in a month, and what a killed writer left behind.

    `wall_s`: the time now, in seconds since 1970.
    """
    for path in prompts.iterdir():
        keep_s = DRAFT_S if path.name.startswith(".") else KEEP_S
        with suppress(FileNotFoundError):  # another speech process sweeps at the same time
            if path.stat().st_mtime < wall_s - keep_s:
                path.unlink()
