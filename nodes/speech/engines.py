"""Which recognisers there are, by name: ours, and those that installed packages bring.

A name becomes a module only where it is wanted: no process loads an engine that it does not hear with, and two that
cannot meet in one process never do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from nodes.speech.errors import NoSuchEngine
from nodes.speech.recogniser import Recogniser

__all__ = ["GROUP", "OURS", "names", "start"]

GROUP: Final = "ringmaster.recognisers"
"""The entry points of packages of others: name -> a function `(model: Path | None) -> Recogniser`."""
OURS: Final = {
    "kaldi": "nodes.speech.kaldi:Kaldi",
    "pocketsphinx": "nodes.speech.sphinx:Sphinx",
}
"""Ours, where they are. Not entry points: they are there also where the package is not installed."""

Start = Callable[[Path | None], Recogniser]


def names() -> list[str]:
    """Return every recogniser's name, ours first; whether its library is installed shows when it is started."""
    return [*OURS, *sorted({one.name for one in entry_points(group=GROUP)} - OURS.keys())]


def start(name: str, model: Path | None) -> Recogniser:
    """Return the recogniser of this name, with the model in a directory; None: its own.

    Raises: NoSuchEngine, which says how to have it; BrokenModel, EngineFailed.
    """
    return _load(name)(model)


def _load(name: str) -> Start:
    if name in OURS:
        module, _, attribute = OURS[name].partition(":")
        try:
            made: Start = getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            raise NoSuchEngine(name, f"{error}: it is the extra ringmaster[{name}]") from error
        return made
    found: list[EntryPoint] = list(entry_points(group=GROUP, name=name))
    if not found:
        raise NoSuchEngine(name, f"there are {', '.join(names())}")
    try:
        loaded: Start = found[0].load()
    except (ImportError, AttributeError) as error:
        raise NoSuchEngine(name, f"{found[0].value}: {error}") from error
    return loaded
