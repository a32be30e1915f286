"""Who is told spans in a test of who tells them: a list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nodes.config_telemetry import Telemetry
from nodes.telemetry import spans
from protocols.wire.ids import Identity

ME = Identity("n1.edge-0:1")


class Sink(list[spans.Span]):
    """Keeps what it is told."""

    def tell(self, span: spans.Span) -> None:
        """Keep one."""
        self.append(span)

    def close(self) -> None:
        """Nothing waits."""


@contextmanager
def telling(identity: Identity = ME, *, sip_trace: bool = False) -> Iterator[Sink]:
    """Have this process tell its spans for the length of the block."""
    sink = Sink()
    spans.begin(sink, identity, Telemetry(sip_trace=sip_trace))
    try:
        yield sink
    finally:
        spans.close()


__all__ = ["Sink", "telling"]
