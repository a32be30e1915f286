"""How many machines with an edge there should be: what calls, queue, processors, lateness and the calendar ask for.

Each look asks each of them twice: how many are needed at the least (`more`), and how many would do well (`enough`,
which is as many or more). The advice rises to what `more` has said for a minute, and falls to what `enough` has said
all through the hold time; so it does not swing while load swings, and what has just been added stays. It rises at once
to what carries the calls that are up, to `least` and to a peak of the calendar.

    calls    machines that carry those that are up: the smallest of those that there are, then average ones
    queue    the same, with those that campaigns would begin at once if they could; only if the queue, at the rate at
             which attempts end, is still there when a further machine is ready
    cpu      so many that no more than 70 % of their cores is taken, all else alike
    late     one more, when callers notice that they wait and no machine has room for calls from there (`balance.py`)

Pure: no clock, no process; looking is `edges.py`'s.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from nodes.central.balance import AWAY_S, LATE_MS, PROMPT_MS
from nodes.config_scale import Peak, Scale
from protocols.wire.ids import NodeId
from protocols.wire.scale import MachineSeen, ScaleAdvice

RISE_S: Final = 60.0
"""A shorter peak is over before a machine could help."""
FULL: Final = 0.9
"""Share of the capacity beyond which an edge begins to give something up (`nodes/edge/degradation.py`)."""
CPU: Final = 0.7
"""Share of cores: the source documents' bound, and where waiting begins to grow steeply (`nodes/edge/capacity.py`)."""
SLACK: Final = 0.8
"""Part of these bounds that would do well: what is less is enough, and what is between changes nothing."""
PACE_S: Final = 60.0
"""Time constant of how fast attempts end."""
AT_ONCE: Final = ("peak", "least")
CALL_BYTES: Final = 340_000
"""Of memory a call, in all processes of its node together (measured with 500 calls; ARCHITECTURE, Processes)."""
SCARCE: Final = 0.1
"""Share of a machine's memory that is to be free: the kernel keeps files there, and a successor begins beside."""
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. `begun`: further calls that campaigns would begin at once. `waiting`: contacts who are due.

    `n_ended`: attempts that have ended since some moment.
    """

    machines: tuple[MachineSeen, ...]
    begun: int = 0
    waiting: int = 0
    n_ended: int = 0
    peak: Peak | None = None

    @property
    def taking(self) -> list[MachineSeen]:
        """Machines that take calls."""
        return [one for one in self.machines if one.takes]


class Wish(NamedTuple):
    """What one reason asks for, and why, in words."""

    word: str
    more: int
    enough: int
    why: str


@dataclass(slots=True)
class Advising:
    """One term's. `now`: seconds, monotonic, never earlier than the last."""

    settings: Scale
    advice: ScaleAdvice | None = None
    _looks: deque[tuple[float, int, int]] = field(default_factory=deque)
    """When, what was needed, and what would have done, since `_began_s` and within the hold time."""
    _born_s: float | None = None
    """The first look: for a hold time from then on there should be as many as there turn out to be."""
    _began_s: float = 0.0
    _changed_s: float = 0.0
    _looked_s: float = -math.inf
    _pace: float = 0.0
    _n_ended: int | None = None

    def step(self, seen: Seen, now: float) -> ScaleAdvice:
        """Take a look; return what is advised from now on."""
        if now - self._looked_s > AWAY_S:
            self._looks.clear()
            self._began_s = now
        past_s, self._looked_s = now - self._looked_s, now
        self._count(seen, past_s)
        if self._born_s is None:
            self._born_s = now
        n, wishes = len(seen.taking), self._wishes(seen)
        was = self.advice.desired if self.advice else 0
        newcomers = n if n > was and now - self._born_s < self._hold_s else 0
        carry, *others = wishes
        needed = max(wish.more for wish in wishes)
        more = self._bounded(needed, carry.more)
        enough = self._bounded(max(newcomers, *(wish.enough for wish in wishes)), carry.more)
        at_once = self._bounded(max(wish.more for wish in others if wish.word in AT_ONCE), carry.more)
        self._looks.append((now, more, enough))
        rises, falls = self._within(now)
        desired = max(rises, min(max(was, self._bounded(newcomers, 0)), falls), at_once)
        if self.advice is None or desired != was:
            self._changed_s = now
        reasons = [*self._why(desired, more, enough, wishes), *self._bound(needed, more)]
        self.advice = ScaleAdvice(
            n, desired, tuple(reasons), {wish.word: wish.more for wish in wishes}, round(now - self._changed_s, 1),
            leaving(seen.taking, n - desired), tuple(replace(one, advice=own_advice(one)) for one in seen.machines),
        )  # fmt: skip
        return self.advice

    def figures(self) -> dict[str, float]:
        """What an operator sees of it, once there was a look."""
        return {"machines_wanted": float(self.advice.desired)} if self.advice else {}

    def _count(self, seen: Seen, past_s: float) -> None:
        ended = seen.n_ended - (seen.n_ended if self._n_ended is None else self._n_ended)
        self._n_ended = seen.n_ended
        if 0 < past_s < math.inf:
            self._pace += (1 - math.exp(-past_s / PACE_S)) * (ended / past_s - self._pace)

    def _bounded(self, n: int, carry: int) -> int:
        """Return what may be advised of it: no more than `most`, and no fewer than carry the calls that are up."""
        return max(carry, min(n, self.settings.most or n))

    @property
    def _hold_s(self) -> float:
        return max(RISE_S, self.settings.hold_min * 60)

    def _within(self, now: float) -> tuple[int, int]:
        """Return what was needed for the whole of the last minute, and what would have done all through the hold."""
        while self._looks[0][0] < now - self._hold_s:
            self._looks.popleft()
        seen_s = now - self._began_s
        rises = min(more for when, more, _ in self._looks if when >= now - RISE_S) if seen_s >= RISE_S else 0
        falls = max(enough for _, _, enough in self._looks) if seen_s >= self._hold_s else math.inf
        return rises, int(min(falls, 1_000_000))

    # ---- what each reason asks for ---------------------------------------------------------------------------------

    def _wishes(self, seen: Seen) -> tuple[Wish, ...]:
        return (
            _calls(seen), self._queue(seen), _cpu(seen), _late(seen), _peak(seen.peak),
            Wish("least", least := self.settings.least, least, f"least: there are to be {least} always"),
        )  # fmt: skip

    def _queue(self, seen: Seen) -> Wish:
        lasts_s = seen.waiting / self._pace if self._pace > 0 else math.inf
        if not seen.begun or lasts_s <= self.settings.ready_min * 60:
            return Wish("queue", 0, 0, "")
        calls = sum(one.calls for one in seen.machines) + seen.begun
        more, enough = (carriers(seen, calls, FULL * part) for part in (1.0, SLACK))
        lasts = f"{lasts_s / 60:.0f} minutes" if lasts_s < math.inf else "for ever"
        why = f"queue: {seen.waiting} contacts wait, {lasts} at this rate; {seen.begun} more calls would begin at once"
        return Wish("queue", more, enough, why)

    # ---- in words --------------------------------------------------------------------------------------------------

    def _why(self, desired: int, more: int, enough: int, wishes: Sequence[Wish]) -> Iterable[str]:
        for wish in wishes:
            if wish.more >= desired and wish.why:
                yield f"{wish.why}: {_machines(wish.more)}"
        if more > desired:
            yield f"{_machines(more)} needed; advised when that has been so for {RISE_S:.0f} s"
        elif enough < desired:
            yield f"{_machines(enough)} would do; advised when that has been so for {self._hold_s / 60:.0f} minutes"
        elif more < desired:
            yield f"{_machines(desired)} will do well, {_machines(more)} would do barely"

    def _bound(self, needed: int, more: int) -> Iterable[str]:
        if needed > more:
            yield f"most: at most {self.settings.most} are to be advised, {needed} are needed"


def carriers(seen: Seen, calls: int, share: float) -> int:
    """Return how many machines carry so many calls with a share of their capacity, the smallest ones if need be.

    As many as there are where none says what it carries.
    """
    told = [one for one in seen.machines if one.capacity > 0]
    sizes = sorted(one.capacity for one in [one for one in told if one.takes] or told)
    if not sizes or calls <= 0:
        return len(seen.taking) if calls > 0 else 0
    left = calls / share
    for n, size in enumerate(sizes, 1):
        left -= size
        if left <= 1e-9:
            return n
    return len(sizes) + math.ceil(left / (sum(sizes) / len(sizes)) - 1e-9)


def _calls(seen: Seen) -> Wish:
    calls = sum(one.calls for one in seen.machines)
    return Wish("calls", carriers(seen, calls, 1.0), carriers(seen, calls, FULL * SLACK), f"calls: {calls} are up")


def _cpu(seen: Seen) -> Wish:
    shares = [one.cpu for one in seen.taking if one.cpu is not None]
    more, enough = (math.ceil(sum(shares) / (CPU * part) - 1e-9) for part in (1.0, SLACK))
    mean = sum(shares) / len(shares) if shares else 0.0
    return Wish("cpu", more, enough, f"cpu: {mean:.0%} of the cores is taken, and it should be {CPU:.0%} at most")


def _late(seen: Seen) -> Wish:
    taking = seen.taking
    worst_ms = max((one.late_s * 1000 for one in taking), default=0.0)
    has_prompt = any(one.late_s * 1000 <= PROMPT_MS and one.calls < one.capacity for one in taking)
    n, is_late = len(taking), worst_ms > LATE_MS
    why = f"late: callers wait {worst_ms:.0f} ms longer than usual, and no other machine has room for them"
    return Wish("late", n + 1 if is_late and not has_prompt else 0, _well(n, worst_ms, is_late, has_prompt), why)


def _well(n: int, worst_ms: float, is_late: bool, has_prompt: bool) -> int:
    """Return how many would do: none can be spared while somebody waits."""
    if is_late and not has_prompt:
        return n + 1
    return n if worst_ms > PROMPT_MS else 0


def _peak(peak: Peak | None) -> Wish:
    if peak is None:
        return Wish("peak", 0, 0, "")
    return Wish("peak", peak.nodes, peak.nodes, f"peak: {' '.join(peak.days)} {peak.begins} to {peak.ends}")


def leaving(taking: Sequence[MachineSeen], n: int) -> tuple[NodeId, ...]:
    """Return whom to drain, where `n` are too many: those with the fewest calls first."""
    return tuple(one.node for one in sorted(taking, key=lambda one: (one.calls, one.node))[: max(0, n)])


def own_advice(one: MachineSeen) -> str:
    """Return what a machine lacks itself, by its memory; empty: nothing.

    >>> own_advice(MachineSeen("n1", 100, 1000, True, memory_bytes=8_000_000_000, memory_free_bytes=900_000_000))
    'memory: 294 of the 900 further calls that it could carry fit into it; it lacks 206 MB'
    """
    if not one.memory_bytes:
        return ""
    spare = one.memory_free_bytes - SCARCE * one.memory_bytes
    further = max(0, one.capacity - one.calls)
    lacks = f"it lacks {(further * CALL_BYTES - spare) / MB:.0f} MB"
    if spare <= 0:
        return f"memory: {one.memory_free_bytes / one.memory_bytes:.0%} of it is free; {lacks}"
    if (fit := int(spare // CALL_BYTES)) < further:
        return f"memory: {fit} of the {further} further calls that it could carry fit into it; {lacks}"
    return ""


def _machines(n: int) -> str:
    return "1 machine" if n == 1 else f"{n} machines"


__all__ = ["RISE_S", "Advising", "Seen", "carriers", "leaving", "own_advice"]
