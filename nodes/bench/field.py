"""Who can be measured, by name, and at which sizes: what the programs of this package are called with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nodes.bench.contender import Contender
from nodes.bench.floor import Floor
from nodes.bench.kernel import ForgetfulKernel, Kernel

Costs = dict[str, float]
"""Figures of one contender: microseconds, but for `memory` (bytes an actor) and `wakeups` (in a second)."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much work a turn is, and how many turns each contender has."""

    asks: int
    tells: int
    children: int
    restarts: int
    storm: int
    crowd: int
    turns: int


SIZES: Final = {
    "full": Sizes(asks=4000, tells=20_000, children=10_000, restarts=200, storm=1000, crowd=100_000, turns=7),
    # For peers to whom a child is a thread, or a dozen objects of asyncio.
    "peer": Sizes(asks=2000, tells=10_000, children=500, restarts=200, storm=200, crowd=2000, turns=3),
    "tiny": Sizes(asks=200, tells=1000, children=50, restarts=20, storm=20, crowd=200, turns=2),
}


def _mode() -> Contender:
    from nodes.bench.peers.services import Services

    return Services()


def _pykka() -> Contender:
    from nodes.bench.peers.threads import Threads

    return Threads()


CONTENDERS: Final[dict[str, Callable[[], Contender]]] = {
    "floor": Floor,
    "kernel": Kernel,
    "forgetful": ForgetfulKernel,
    "mode": _mode,
    "pykka": _pykka,
}


def known_or_exit(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise SystemExit, with the names that there are, unless all are known."""
    known = list(known)
    for name in names:
        if name not in known:
            raise SystemExit(f"{name!r} is none of {', '.join(known)}")


def entered(size: str, names: Sequence[str]) -> tuple[Sizes, dict[str, Callable[[], Contender]]]:
    """Return the sizes and the contenders of these names; silence what they log of every crash.

    Raises: SystemExit, with the names that there are.
    """
    known_or_exit([size], SIZES)
    known_or_exit(names, CONTENDERS)
    logging.disable()
    return SIZES[size], {name: CONTENDERS[name] for name in names}
