"""A call goes on at another machine: its times, its channel, its far end, and what it does about each."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

from nodes.call.effects import Effect
from nodes.call.inputs import Input
from nodes.call.record import CallRecord
from protocols.moments import moments_of

LENGTHS = {
    "PlaceCall.ring_s", "Dial.ring_s", "SessionTimer.interval_s", "Listen.noinput_s", "Listen.speech_s",
    "Fetch.timeout_s", "AudioLost.silent_s", "Moved.outage_s", "Left.outage_s",
}  # fmt: skip
"""What ends in `_s` and is a length of time."""


def dataclasses_in(hint: Any, found: set[type]) -> set[type]:
    """Return every dataclass that a value of this type may hold, at any depth."""
    if is_dataclass(hint) and isinstance(hint, type):
        if hint not in found:
            found.add(hint)
            for one in get_type_hints(hint).values():
                dataclasses_in(one, found)
    for one in get_args(hint):
        dataclasses_in(one, found)
    return found


def test_every_time_in_a_record_is_said_to_be_a_moment_or_a_length() -> None:
    """One that is neither would stay on the clock of a machine that has died: mark it `Moment`, or name it above."""
    kinds = dataclasses_in(CallRecord | Input | Effect, set())
    times = {(kind, name) for kind in kinds for name in get_type_hints(kind) if name.endswith("_s") or name == "at"}
    unsaid = {f"{kind.__name__}.{name}" for kind, name in times if name not in moments_of(kind)}
    assert unsaid == LENGTHS


def test_no_moment_is_where_nobody_looks_for_it() -> None:
    """Moments are moved in dataclasses, and in tuples of them."""
    for kind in dataclasses_in(CallRecord, set()):
        for name, hint in get_type_hints(kind).items():
            for one in (hint, *get_args(hint)):
                if getattr(one, "__origin__", None) in (dict, list, set, frozenset):
                    assert not any(moments_of(inner) for inner in dataclasses_in(one, set())), f"{kind}.{name}"
