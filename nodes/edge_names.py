"""The active edges of this machine: how many there are, what each is called, its SIP port, its share of the calls.

An edge has one core, and a call takes 1 ms a second of it: a thousand calls fill it. All other processes of a machine
take ten times as much for a call (`[edge] processes` unset: an edge for every `CORES` cores, and for what is left). The
launcher and the edges work out the same. A part of the launcher, too: the configuration and the standard library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nodes.config import FIRST_EDGE, Config, ConfigError
from nodes.machine import cores
from nodes.tables import LAST_PORT

CORES: Final = 10
"""A call-minute takes 0.65 CPU-s of the machine and 0.06 of its edge (measured): with `FULL` (0.7) of ten cores taken
by calls (`nodes.edge.capacity`), an edge is busy for 0.65 of its time, and never more by this rule."""
APART: Final = 2
"""From one edge's SIP port to the next one's: 5061 is by custom the port for TLS (RFC 3261 s.19.1.2)."""


def edges(config: Config) -> tuple[str, ...]:
    """Return the names of the active edges, the first one first.

    >>> from nodes.config import Edge
    >>> edges(Config(edge=Edge(processes=3)))
    ('edge-0', 'edge-1', 'edge-2')
    """
    n = config.edge.processes or n_for(cores())
    return tuple(f"edge-{k}" for k in range(min(n, config.edge.capacity or n)))


def n_for(n_cores: int) -> int:
    """Return how many edges a machine with so many cores has.

    >>> [n_for(n_cores) for n_cores in (1, 10, 11, 20, 64)]
    [1, 1, 2, 2, 7]
    """
    return max(1, -(-n_cores // CORES))


def sip_ports(config: Config) -> dict[str, int]:
    """Return edge -> SIP port; 0 is any free one. Raises: ConfigError, when too few are named, or none is left.

    >>> from nodes.config import Edge
    >>> sip_ports(Config(edge=Edge(processes=2)))
    {'edge-0': 5060, 'edge-1': 5062}
    """
    names, first, named = edges(config), config.sip.port, config.sip.further_ports
    further = named or tuple(first and first + APART * k for k in range(1, len(names)))
    if len(further) < len(names) - 1:
        reason = f"are {len(further)}, and the further edges here are {len(names) - 1}"
        raise ConfigError("configuration", "sip.further_ports", reason)
    if any(port > LAST_PORT for port in further):
        raise ConfigError("configuration", "sip.further_ports", f"are missing, and none is left above {first}")
    return dict(zip(names, (first, *further), strict=False))


def capacity_of(edge: str, config: Config) -> int:
    """Return how many of the node's calls this edge takes; 0: as many as it learns.

    >>> from nodes.config import Edge
    >>> [capacity_of(edge, Config(edge=Edge(processes=2, capacity=7))) for edge in ("edge-0", "edge-1")]
    [4, 3]
    """
    share, rest = divmod(config.edge.capacity, len(names := edges(config)))
    return share + (edge in names[:rest])


def abandoned(edge: str, config: Config) -> list[Path]:
    """Return where edges that this machine had have left their calls, before it was given fewer: the first's to end."""
    if edge != FIRST_EDGE:
        return []
    ours = {config.paths.checkpoint_of(one) for one in edges(config)}
    found = config.paths.checkpoint.parent.glob(f"{config.paths.checkpoint.name}-*")
    return sorted(path for path in found if path not in ours and not path.suffix)


__all__ = ["APART", "CORES", "abandoned", "capacity_of", "edges", "n_for", "sip_ports"]
