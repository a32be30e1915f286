"""Who speaks which language: the configured voice English, espeak-ng the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from nodes.speech.errors import EngineFailed
from nodes.speech.espeak import EspeakVoice
from nodes.speech.voice import Voice

__all__ = ["start_other"]


def _mandarin() -> Voice:
    from grammars.lang.zh.lexicon import respelled  # only where it is spoken

    return EspeakVoice("cmn-latn-pinyin", respelled)


_VOICES: Final[Mapping[str, Callable[[], Voice]]] = {"zh": _mandarin}


def start_other(language: str) -> Voice:
    """Return the voice of a language other than the configured voice's. Raises: EngineFailed."""
    if language not in _VOICES:
        raise EngineFailed(f"no voice here speaks {language[:40]!r}")
    return _VOICES[language]()
