"""Who holds an event loop, asked from beside it: the callback that runs, the actor whose code that is, and its stack.

Nothing here costs those who are asked anything. The drain engine notes whose handler runs (`System.current`); every
task of an actor has a name that begins with its path; the stack is the interpreter's. Any thread may ask.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from types import FrameType
from typing import Final

from supervisors.cell import Cell, Life
from supervisors.engine import drain
from supervisors.errors import NoSuchChild
from supervisors.system import RUNNING, System

N_LINES: Final = 20
"""The innermost calls of a stack that are told."""
_CALLBACKS: Final = (drain.__code__, asyncio.Handle._run.__code__)
"""A turn of one actor, several of which may share a callback of the loop, or else that callback."""


def systems_of(loop: asyncio.AbstractEventLoop) -> list[System]:
    """Return the trees that run on `loop`."""
    return [system for system in tuple(RUNNING) if system.loop is loop]


def life_of(loop: asyncio.AbstractEventLoop) -> tuple[Cell | None, Life | None]:
    """Return the actor whose code `loop` runs now, and its present life; None, None when it is no actor's."""
    systems = systems_of(loop)
    for system in systems:
        if (cell := system.current) is not None:
            return cell, cell._actor
    name = task_of(loop)
    for path in (name, name.rpartition(" ")[0]):  # a driver has its actor's path for a name, others add a word
        for system in systems:
            with suppress(NoSuchChild):
                cell = system.root if path == "/" else system.ref(path, Life)
                return cell, cell._actor
    return None, None


def task_of(loop: asyncio.AbstractEventLoop) -> str:
    """Return the name of the task that `loop` runs now, or nothing."""
    task = asyncio.current_task(loop)
    return "" if task is None else task.get_name()


def frames_of(thread: int) -> list[FrameType]:
    """Return the frames of the callback that the loop of `thread` runs now; none when it waits or is between two.

    The innermost is the first. The last is asyncio's own call of this one callback, and nothing else's for as long as
    somebody keeps it.
    """
    frames: list[FrameType] = []
    frame = sys._current_frames().get(thread)
    while frame is not None:
        frames.append(frame)
        if frame.f_code in _CALLBACKS:
            return frames
        frame = frame.f_back
    return []


def is_within(frame: FrameType | None, callback: FrameType) -> bool:
    """Return whether `frame` belongs to this call of a callback."""
    while frame is not None and frame is not callback:
        frame = frame.f_back
    return frame is not None


def is_ours(frame: FrameType) -> bool:
    """Return whether this is code of the kernel or of asyncio, which must not be left in the middle."""
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0] in ("supervisors", "asyncio") and name != "supervisors.testing"


def handler_of(frames: list[FrameType]) -> str:
    """Return the name of the outermost function that is neither the kernel's nor asyncio's."""
    outermost = next((frame for frame in reversed(frames) if not is_ours(frame)), frames[0])
    return outermost.f_code.co_qualname


def lines_of(frames: list[FrameType]) -> tuple[str, ...]:
    """Return the innermost calls as text, the last call last."""
    return tuple(
        f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        for frame in reversed(frames[:-1][:N_LINES])
    )
