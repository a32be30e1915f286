"""Which recognisers and voices there are, by name: ours, and those that installed packages bring.

A name becomes a module only where it is wanted: no process loads an engine that it does not use, and two that cannot
meet in one process never do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

from nodes.speech.errors import NoSuchEngine
from nodes.speech.recogniser import Recogniser
from nodes.speech.voice import Voice

__all__ = ["OURS", "RECOGNISERS", "VOICES", "names", "start", "start_voice"]

RECOGNISERS: Final = "ringmaster.recognisers"
"""The entry points of packages of others: name -> a function `(model: Path | None) -> Recogniser`."""
VOICES: Final = "ringmaster.voices"
"""The same: `(model: Path | None) -> Voice`."""
OURS: Final = {
    RECOGNISERS: {"kaldi": "nodes.speech.kaldi:Kaldi", "pocketsphinx": "nodes.speech.sphinx:Sphinx"},
    VOICES: {
        "mimic3": "nodes.speech.mimic:MimicVoice",
        "espeak-ng": "nodes.speech.espeak:start",
        "flite": "nodes.speech.flite:start",
    },
}
"""Ours, where they are. Not entry points: they are there also where the package is not installed."""


def names(group: str = RECOGNISERS) -> list[str]:
    """Return every name, ours first; whether its library is installed shows when it is started."""
    return [*OURS[group], *sorted({one.name for one in entry_points(group=group)} - OURS[group].keys())]


def start(name: str, model: Path | None) -> Recogniser:
    """Return the recogniser of this name, with the model in a directory; None: its own.

    Raises: NoSuchEngine, which says how to have it; BrokenModel, EngineFailed.
    """
    made: Recogniser = _load(RECOGNISERS, name)(model)
    return made


def start_voice(name: str, model: Path | None) -> Voice:
    """Return the voice of this name. Raises: NoSuchEngine, which says how to have it; BrokenModel, EngineFailed."""
    made: Voice = _load(VOICES, name)(model)
    return made


def _load(group: str, name: str) -> Callable[[Path | None], Any]:
    """Return what starts it."""
    try:
        if name in OURS[group]:
            module, _, attribute = OURS[group][name].partition(":")
            made: Callable[[Path | None], Any] = getattr(importlib.import_module(module), attribute)
            return made
        found: list[EntryPoint] = list(entry_points(group=group, name=name))
        if not found:
            raise NoSuchEngine(name, f"there are {', '.join(names(group))}")
        loaded: Callable[[Path | None], Any] = found[0].load()
    except (ImportError, AttributeError) as error:
        raise NoSuchEngine(name, f"{error}: install what it needs (of ours: ringmaster[{name}])") from error
    return loaded
