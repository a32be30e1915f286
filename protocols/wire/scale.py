"""How many machines with an edge there should be: what may be asked of the central that leads, and its answer.

The names of these fields are the product's contract: a playbook acts on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from protocols.wire.ids import NodeId


@dataclass(frozen=True, slots=True)
class MachineSeen:
    """One machine with an edge. `calls`: that it has; `capacity`: that it carries. `takes`: it does not drain.

    `cpu`: share of its cores that is taken, 0 to 1; None: it does not say. `late_s`: how late callers are answered.
    `memory_bytes`, `memory_free_bytes`: that it has, and that could be used yet; 0: it does not say. `advice`: what it
    lacks itself, in words; empty: nothing.
    """

    node: NodeId
    calls: int
    capacity: int
    takes: bool
    cpu: float | None = None
    late_s: float = 0.0
    memory_bytes: int = 0
    memory_free_bytes: int = 0
    advice: str = ""


@dataclass(frozen=True, slots=True)
class ScaleAdvice:
    """`nodes`: machines with an edge that take calls now; `desired`: how many there should be, and `reasons` why.

    `wanted`: what each reason alone asks for at this moment: `calls queue cpu late peak least`. `steady_s`: for how
    long the same has been advised. `leave`: whom to drain, where there should be fewer, the first one first.
    """

    nodes: int
    desired: int
    reasons: tuple[str, ...]
    wanted: dict[str, int] = field(default_factory=dict)
    steady_s: float = 0.0
    leave: tuple[NodeId, ...] = ()
    machines: tuple[MachineSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class GetScale:
    """How many should there be. Refused with `not_leading` by a central without the lease, or without a first look."""

    Reply: ClassVar[type[ScaleAdvice]] = ScaleAdvice


SCALE_MESSAGES: tuple[type, ...] = (ScaleAdvice, GetScale)
"""The kinds of this page that an envelope may carry."""

__all__ = ["SCALE_MESSAGES", "GetScale", "MachineSeen", "ScaleAdvice"]
