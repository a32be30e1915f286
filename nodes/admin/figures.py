"""Figures of this node for Prometheus: what its calls came to, from their events, and what its processes count.

Labels are dispositions and names of processes, never a call. Another node's events are that node's to count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nodes.admin.node import Process
from nodes.bus.bucket import Body
from nodes.telemetry import metrics
from protocols.errors import RemoteProtocolError
from protocols.wire.events import CallEvent, Kind, from_body
from protocols.wire.ids import NodeId

CALLS: Final = metrics.counter("calls", "Calls that are over, by disposition.", "disposition")
TURN_S: Final = metrics.histogram("turn_seconds", "From the callee's last speech to our first answer.")
HANDOVER_S: Final = metrics.histogram("handover_seconds", "From the agent's yes to the caller's voice at their socket.")
HANDOVERS_FAILED: Final = metrics.counter("handovers_failed", "Handovers that came back to the bot.", "reason")
RECOVERED: Final = metrics.counter("recoveries", "Calls and utterances that outlived what carried them.", "what")


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
    fields = event.fields
    match event.kind:
        case Kind.ENDED:
            CALLS.labels(str(fields["disposition"])).inc()
        case Kind.PROMPT_STARTED if isinstance(ms := fields.get("answer_ms"), int):
            TURN_S.observe(ms / 1000)
        case Kind.HANDOVER_DONE if isinstance(ms := fields["ms"], int):
            HANDOVER_S.observe(ms / 1000)
        case Kind.HANDOVER_FAILED:
            HANDOVERS_FAILED.labels(str(fields["reason"])).inc()
        case Kind.RECOVERED:
            RECOVERED.labels(str(fields["what"])).inc()
        case _:
            pass


def of_processes(processes: Iterable[Process]) -> bytes:
    """Return what processes say of themselves as Prometheus text: `ringmaster_media_sent{process="media-0"} 12`."""
    families: dict[str, GaugeMetricFamily] = {}
    up = GaugeMetricFamily("ringmaster_process_up", "Whether a process says how it is.", labels=["process", "state"])
    for process in processes:
        up.add_metric([process.name, process.state], float(process.answers))
        for name, value in process.figures.items():
            title = f"ringmaster_{process.role}_{re.sub('[^a-z0-9_]', '_', name.lower())}"
            family = families.setdefault(
                title, GaugeMetricFamily(title, f"{name} of {process.role}.", labels=["process", "state"])
            )
            family.add_metric([process.name, process.state], value)
    registry = CollectorRegistry()
    registry.register(_Once([up, *families.values()]))
    return generate_latest(registry)


class _Once(Collector):
    """Families that have been made already."""

    def __init__(self, families: list[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return them."""
        return self._families


__all__ = ["Events", "of_processes"]
