"""What processes spend their time on, for a Pyroscope server: which of them tell it, and with which tags.

No library is loaded where `telemetry.pyroscope` is not set. It is met in `nodes.telemetry.profiler`, which is loaded by
its name, after the fork: a thread that samples would not be there in what is forked from it. The launcher and the
zygote never have it, and neither has media, whose beat is every caller's.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Final, Protocol

from nodes.config_telemetry import Telemetry
from nodes.telemetry import logs
from protocols.wire.ids import Identity, node_of, process_of

log = logs.get(__name__)

ROLES: Final = ("recorder", "speech", "edge", "central", "desk")
_ADAPTER: Final = "nodes.telemetry.profiler"


class Sampler(Protocol):
    """What is done with this process's stacks."""

    def close(self) -> None:
        """Send what is left, and stop."""


@dataclass(slots=True)
class _Telling:
    sampler: Sampler | None = None


_telling: Final = _Telling()


def configure(config: Telemetry, identity: Identity, role: str) -> None:
    """Begin to sample, where that is wanted of this role. Called once, before the process is ready."""
    if not config.pyroscope or role not in ROLES:
        return
    tags = {**config.pyroscope_tags, "role": role, "node": node_of(identity), "process": process_of(identity)}
    try:
        _telling.sampler = importlib.import_module(_ADAPTER).Profiler(config.pyroscope, tags)
    except ImportError as error:  # a call is worth more than what it costs
        log.error("profile.not_installed", error=str(error), hint="install the extra `profiling`")
    except OSError as error:
        log.error("profile.not_begun", error=str(error))


def close() -> None:
    """Send what is left, if that does not take long, and sample no more: the process ends."""
    sampler, _telling.sampler = _telling.sampler, None
    if sampler is not None:
        sampler.close()


__all__ = ["ROLES", "close", "configure"]
