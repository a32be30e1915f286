"""Where something stands in a trace: W3C's `traceparent`, worked out from a call's id and kept by nobody.

    00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01      version, trace, span, flags (01: sampled)

A call's trace is a hash of its id, and a span's id one of its trace, its name and its number. So every process of every
node, and whoever goes on with the call of a dead one, means the same span without having been told; and whether a trace
is sampled follows from its id, so nobody tells half of one. Hashes are BLAKE2b: no id of a call can be read in them.

Source: W3C Trace Context, Recommendation of 23 November 2021, s.3.2 (level 1, version 00). Sampled are the ids whose
last seven bytes are small, which are those that level 2 has random, and samplers of OpenTelemetry look at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from protocols.wire.ids import CallId

HEADER: Final = "traceparent"
"""The name of the header, over HTTP and in NATS."""
ROOT: Final = "call"
"""The span that has no parent."""
_SAMPLED: Final = 0x01
_RANDOM: Final = 1 << 56
_WRITTEN: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_NO_VERSION: Final = "ff"


@dataclass(frozen=True, slots=True)
class Traceparent:
    """One span of one trace, in lower-case hex, and whether anybody writes the trace down."""

    trace_id: str
    span_id: str
    is_sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED * self.is_sampled:02x}"

    def below(self, name: str, number: int | str) -> Traceparent:
        """Return the span of this name and number in the same trace."""
        return Traceparent(self.trace_id, _span_id(self.trace_id, name, number), self.is_sampled)


def of_call(call_id: CallId, share: float = 1.0) -> Traceparent:
    """Return the root span of a call's trace; `share` of all traces are sampled.

    >>> str(of_call(CallId("spring-a4ee2b-2")))
    '00-5c536beda3cfd1e8da94764a05b4a4ba-aecbdb69ed2fd2f5-01'
    """
    trace_id = blake2b(call_id.encode(), digest_size=16, person=b"rm trace").hexdigest()
    return Traceparent(trace_id, _span_id(trace_id, ROOT, 0), is_sampled(trace_id, share))


def is_sampled(trace_id: str, share: float) -> bool:
    """Say whether a trace is among the `share` (0 to 1) of all that is written down; also at every greater share."""
    return int(trace_id, 16) % _RANDOM < share * _RANDOM


def parse(text: str) -> Traceparent | None:
    """Return what a header says; None for what is none, which is as if it had not come (s.4.3).

    A later version may say more at its end, after a dash; what this one says is where it was. Raises: nothing.

    >>> parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
    Traceparent(trace_id='0af7651916cd43dd8448eb211c80319c', span_id='b7ad6b7169203331', is_sampled=False)
    """
    if (read := _WRITTEN.fullmatch(text)) is None:
        return None
    version, trace_id, span_id, flags, more = read.groups()
    if version == _NO_VERSION or (version == "00" and more) or not (int(trace_id, 16) and int(span_id, 16)):
        return None
    return Traceparent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def _span_id(trace_id: str, name: str, number: int | str) -> str:
    """Return a span's id. That it is all zeros, and so none (s.3.2.2.4), has a chance of 1 in 2^64."""
    return blake2b(f"{trace_id} {name} {number}".encode(), digest_size=8, person=b"rm span").hexdigest()


__all__ = ["HEADER", "ROOT", "Traceparent", "is_sampled", "of_call", "parse"]
