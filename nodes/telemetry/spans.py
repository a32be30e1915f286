"""What is told of calls as spans: call -> turn -> stage. Which there are, and how each process tells its own.

    with spans.stage("fetch", host=host) as told:       below the trace at hand (`logs.TRACE`), which the mesh brings
        told["reason"] = await ask()

Nothing is told, and no library loaded, where `telemetry.otlp` is not set: then a process has no trace to begin, and a
stage is nothing around its block. Whoever tells never waits: a collector that is away or slow loses spans, and the
oldest first. The library is met in `nodes.telemetry.otlp`, which is loaded by its name, so that what is loaded before a
fork does not depend on it.

Attributes are words of ours, and `ringmaster.` is put before them. They have no telephone number and none of the
caller's words.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

from nodes.config_telemetry import Telemetry
from nodes.telemetry import logs
from nodes.telemetry.trace import ROOT, Traceparent, of_call, parse
from protocols.wire.ids import CallId, Identity, node_of, process_of

log = logs.get(__name__)

SpanName: TypeAlias = Literal[
    "call", "turn", "dial", "takeover", "handover", "fetch", "warm", "render", "recognise", "seat", "order",
    "dispatch", "record",
]  # fmt: skip
Attribute: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of span: which role tells it, below what, and what it takes the time of."""

    role: str
    below: str
    what: str


SPANS: Final[Mapping[SpanName, Row]] = {
    "call": Row("edge", "", "from the order to the last event"),
    "turn": Row("edge", "call", "from the question's opening to what came of it; `outcome`"),
    "dial": Row("edge", "call", "from the order to the answer"),
    "takeover": Row("edge", "call", "in which nobody had the call"),
    "handover": Row("edge", "call", "from the wish for an agent to the bridge, or to its failure"),
    "fetch": Row("edge", "turn or call", "what a business API took; its own spans go below it"),
    "warm": Row("speech", "turn or call", "a script's grammars compiled and its sentences rendered"),
    "render": Row("speech", "turn or call", "one sentence on disk"),
    "recognise": Row("speech", "turn", "from the callee's first sound to what was understood"),
    "seat": Row("desk", "turn or call", "a seat found, and its page reached"),
    "order": Row("desk", "call", "an order of the API's, or of a browser's, taken by an edge"),
    "dispatch": Row("central", "call", "an attempt of a campaign's, taken by an edge"),
    "record": Row("recorder", "call", "from the last event in its stream to its row in the database"),
}
"""All that there are. Media and the launcher tell none: audio and deaths do not wait for it."""
ROLES: Final = frozenset(row.role for row in SPANS.values())
_ADAPTER: Final = "nodes.telemetry.otlp"


@dataclass(frozen=True, slots=True)
class Span:
    """One span that is over. Times are seconds since 1970; `parent` is the id of a span of the same trace."""

    name: SpanName
    at: Traceparent
    parent: str
    began_s: float
    ended_s: float
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


class Exporter(Protocol):
    """Takes spans, and sends them when it can."""

    def tell(self, span: Span) -> None:
        """Take one, at once."""

    def close(self) -> None:
        """Send what is left, if that does not take long."""


class _Telling:
    """Whom this process tells, and what it is; one for the process, as its log is."""

    def __init__(self) -> None:
        self.exporter: Exporter | None = None
        self.share = 0.0
        self.names_sip = False
        self.n_stages = 0
        self.identity = ""


_telling = _Telling()


def configure(config: Telemetry, identity: Identity, role: str) -> None:
    """Begin to tell, where that is wanted of this role. Called once, before the process is ready; loads the library."""
    if not config.otlp or role not in ROLES:
        return
    about = {"node": node_of(identity), "process": process_of(identity), "instance": identity}
    try:
        begin(importlib.import_module(_ADAPTER).Otlp(config.otlp, about), identity, config)
    except ImportError as error:  # a call is worth more than what is told of it
        log.error("spans.not_installed", error=str(error), hint="install the extra `telemetry`")


def begin(exporter: Exporter, identity: Identity, config: Telemetry) -> None:
    """Tell `exporter` from now on."""
    _telling.exporter, _telling.identity = exporter, identity
    _telling.share, _telling.names_sip = config.sample, config.sip_trace


def close() -> None:
    """Send what is left, if that does not take long, and tell nothing more: the process ends."""
    exporter, _telling.exporter = _telling.exporter, None
    if exporter is not None:
        exporter.close()


def begun(call_id: CallId, turn: int | None = None) -> str:
    """Return the `traceparent` of a call, or of one of its turns; empty where nothing is told."""
    return str(_at(call_id, turn)) if _telling.exporter is not None else ""


def begun_for_sip(call_id: CallId) -> str:
    """Return the `traceparent` of a call for its far end; empty where `telemetry.sip_trace` is not set."""
    return begun(call_id) if _telling.names_sip else ""


def _at(call_id: CallId, turn: int | None = None) -> Traceparent:
    call = of_call(call_id, _telling.share)
    return call if turn is None else call.below("turn", turn)


def tell(
    name: SpanName, call_id: CallId, began_s: float, ended_s: float, *, number: int | str | None = None,
    turn: int | None = None, attributes: Mapping[str, Attribute] = {},
) -> None:  # fmt: skip
    """Tell a span of a call: times are seconds since 1970, `turn` is the one that it is below, else the call.

    `number`: told twice with the same one it is the same span; None: it is another each time. A call is its own root.
    """
    if _telling.exporter is None:
        return
    parent = _at(call_id, turn)
    if not parent.is_sampled:
        return
    at = parent if name == ROOT else parent.below(name, _next() if number is None else number)
    below = "" if name == ROOT else parent.span_id
    _telling.exporter.tell(Span(name, at, below, began_s, ended_s, {"call_id": call_id, **attributes}))


def tell_below(trace: str, name: SpanName, began_s: float, ended_s: float) -> None:
    """Tell a span below what a `traceparent` names; nothing where it is none. Times are seconds since 1970."""
    parent = parse(trace)
    if _telling.exporter is not None and parent is not None and parent.is_sampled:
        _telling.exporter.tell(Span(name, parent.below(name, _next()), parent.span_id, began_s, ended_s))


@contextmanager
def stage(name: SpanName, trace: str | None = None, **attributes: Attribute) -> Iterator[dict[str, Attribute]]:
    """Tell what the block takes as a span below `trace`, else below the trace at hand; what is asked in it is below it.

    Yields its attributes, to which more may be added. Where there is no trace, nothing is told.
    """
    parent = parse(logs.TRACE.get() if trace is None else trace) if _telling.exporter is not None else None
    if parent is None:
        yield attributes
        return
    at, began_s = parent.below(name, _next()), time.time()
    token = logs.TRACE.set(str(at))
    try:
        yield attributes
    except BaseException as error:
        attributes["error"] = type(error).__name__
        raise
    finally:
        logs.TRACE.reset(token)
        if _telling.exporter is not None and parent.is_sampled:
            _telling.exporter.tell(Span(name, at, parent.span_id, began_s, time.time(), attributes))


def wall_s(at_s: float) -> float:
    """Return a moment of this machine's monotonic clock as seconds since 1970."""
    return time.time() - time.monotonic() + at_s


def _next() -> str:
    """Return a number that no other stage has, in whatever process: each time that something is done is a span."""
    _telling.n_stages += 1
    return f"{_telling.identity} {_telling.n_stages}"


__all__ = [
    "Attribute", "Exporter", "ROLES", "Row", "SPANS", "Span", "SpanName", "begin", "begun", "begun_for_sip", "close",
    "configure", "stage", "tell", "tell_below", "wall_s",
]  # fmt: skip
