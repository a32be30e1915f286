"""`[telemetry]`: what is logged, and where spans and profiles go."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from nodes.tables import within

MAX_TAG: Final = 64
_ADDRESS: Final = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")
_TAG: Final = re.compile(r"[a-z][a-z_]{0,31}")
_OURS: Final = ("node", "role", "process")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Log lines from `level` up; and spans, where a collector is named. The same on all nodes, or trees have holes."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    log_mb: int = within(64, 0, 10_000)
    """So much of the log is kept in `<state>/log`, for `ringmaster logs`; 0: none."""
    otlp: str = ""
    """Where a collector takes spans by OTLP over HTTP, as `http://127.0.0.1:4318`; empty: none are told."""
    sample: float = within(1.0, 0, 1)
    """The share of calls of which spans are told."""
    sip_trace: bool = False
    """Tell the far end of a call its trace, too: `X-Ringmaster-Trace` in the INVITE."""

    pyroscope: str = ""
    """Where a Pyroscope server takes profiles of all processes but media, as `http://127.0.0.1:4040`; empty: none."""
    pyroscope_tags: dict[str, str] = field(default_factory=dict)
    """Tags beside `node`, `role` and `process`: `campaign = "spring"` on machines that are for one campaign."""

    def __post_init__(self) -> None:
        for name, address, example in (("otlp", self.otlp, 4318), ("pyroscope", self.pyroscope, 4040)):
            if address and not _ADDRESS.fullmatch(address):
                raise ValueError(f"{name}: is no address of a server, as http://127.0.0.1:{example}")
        for tag, value in self.pyroscope_tags.items():
            if tag in _OURS or not _TAG.fullmatch(tag) or not (0 < len(value) <= MAX_TAG and value.isprintable()):
                raise ValueError(f"pyroscope_tags: {tag} is a word of a-z and _ other than node, role and process, "
                                 f"and has a value of up to {MAX_TAG} characters")  # fmt: skip


__all__ = ["Telemetry"]
