"""Figures of this node for Prometheus: what its calls came to, what its processes count, and how busy its machine is.

Which there are is the table's to say (`nodes/telemetry/metrics.tsv`): what has no row is not shown. Labels are
dispositions and names of processes, never a call. Another node's events are that node's to count.

Figures are shown of the active processes. Spares bear the same name, so theirs would be the same series; how many there
are is shown.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from nodes.admin.node import Process
from nodes.bus.bucket import Body
from nodes.links.roster import State
from nodes.machine import run_queue
from nodes.telemetry import catalogue, metrics
from nodes.telemetry.catalogue import OfEvent
from nodes.telemetry.metrics import Sample
from protocols.errors import RemoteProtocolError
from protocols.wire.events import CallEvent, Kind, from_body, is_wanted
from protocols.wire.ids import NodeId

_ALL: Final = catalogue.metrics()
ANSWERED: Final = _ALL["ringmaster_calls_answered_total"]
LOST: Final = _ALL["ringmaster_calls_lost_total"]
PROCESSES: Final = _ALL["ringmaster_processes"]
SILENT: Final = _ALL["ringmaster_processes_silent"]
RUN_QUEUE: Final = _ALL["ringmaster_machine_run_queue"]
CORES: Final = _ALL["ringmaster_machine_cores"]
START: Final = _ALL["ringmaster_node_start_seconds"]
SCALE_UP: Final = _ALL["ringmaster_scale_up_seconds"]


class Events:
    """Counts the events of one node."""

    def __init__(self, node_id: NodeId) -> None:
        self._node_id = node_id

    def take(self, body: Body, _: str = "") -> None:
        """Count one event as it came over NATS; what is none is left to the recorder."""
        try:
            event = from_body(body)
        except RemoteProtocolError:
            return
        if event.node_id == self._node_id:
            _count(event)


def _count(event: CallEvent) -> None:
    for metric in catalogue.of_event(event.kind):
        assert isinstance(metric.source, OfEvent)
        value = event.fields.get(metric.source.field) if metric.source.field else 1
        if isinstance(value, int | float):
            labels = [str(event.fields.get(label, "")) for label in metric.labels]
            metrics.count(metric, labels, value / metric.divisor)
    if event.kind is Kind.ENDED and event.fields["duration_s"]:  # it is counted from the answer on
        metrics.count(ANSWERED)
        if not is_wanted(event.fields):
            metrics.count(LOST)


def of_processes(processes: Sequence[Process], started: tuple[float, float] = (0.0, 0.0)) -> bytes:
    """Return what processes say of themselves as Prometheus text: `ringmaster_media_channels{process="media-0"} 12`.

    `started`: how long the start took, and that of the machine with it (`Startup.figures`); 0 is not shown.
    """
    start = ((metric, (), value) for metric, value in zip((START, SCALE_UP), started, strict=True) if value)
    return metrics.text([*_of_machine(), *start, *_how_many(processes), *_said(processes)])


def _of_machine() -> Iterator[Sample]:
    if (n_tasks := run_queue()) is not None and (n_cores := os.cpu_count()) is not None:
        yield RUN_QUEUE, (), n_tasks
        yield CORES, (), n_cores


def _how_many(processes: Iterable[Process]) -> Iterator[Sample]:
    there, silent = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for process in processes:
        there[process.name, process.state] += 1
        silent[process.name, process.state] += not process.answers
    yield from ((PROCESSES, labels, n) for labels, n in there.items())
    yield from ((SILENT, labels, n) for labels, n in silent.items())


def _said(processes: Iterable[Process]) -> Iterator[Sample]:
    for process in processes:
        if process.state != State.ACTIVE:
            continue
        for word, value in process.figures.items():
            if shown := catalogue.of_figure(process.role, word):
                metric, labels = shown
                yield metric, (process.name, *labels), value / metric.divisor


__all__ = ["Events", "of_processes"]
