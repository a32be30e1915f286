"""How many calls this edge takes: learned from those that are up, twice a second. Pure: no clock, no process.

Whoever answers late has too much to do, but it says so too late: a call that is taken now rings, is answered and begins
to cost ten seconds from here. So the limit stands on calls that are *proven*, up for a while, whose cost is in what is
measured, and goes beyond them by as much as the machine has left:

    nobody is late      half as many again as are proven, up to `FULL` of the machine by what a proven call costs;
                        beyond, where it is others who fill it, a tenth more, as long as everybody is prompt
    somebody is late    no more than there are
    callers notice      a tenth less than are proven, and for long not much more than that

Calls that are not proven count like those that are, for all may answer at once; but where calls come and go, as many of
them only take the places of those that end, and that many are held beside.

Late is what callers say and the engines have not heard yet, or the beat of media. Below `SURE` calls a core the limit
falls only if it is we who keep the machine busy: when others do, fewer calls would help nobody.

The other way round, what is nearly full gives something up (`degradation`), by the used share of what it can carry. For
that, calls that ring count as if they cost what the others do: an edge that fills in waves is not full for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

SURE: Final = 16
"""Calls that every core of our day carries: a quarter of one (0.9 s a call-minute, measured)."""
FULL: Final = 0.7
"""Share of all cores up to which the cost of a call is extrapolated; waiting grows steeply from here on. Measured with
turns of 4 s: p95 270 ms at 0.56, 800 to 1,040 ms at 0.85."""
GROWTH: Final = 1.5
"""Limit to proven calls, while they are few: they were good for so much, whatever the new ones are like."""
MOST: Final = 1000
"""Calls that one edge takes, however many cores there are: its loop has one, and a call takes 0.06 s a minute of it."""
STEP: Final = 4
PROMPT_CREEP: Final = 1.1
"""Limit to proven calls, once the machine is full of others' work, or does not say, and everybody is prompt; and
`CREEP_STEP` more. When it is full of ours we know what comes of more."""
CREEP: Final = 1.03
"""The same when nobody is late any more."""
CREEP_STEP: Final = 1.0
PROMPT_S: Final = 0.04
"""What is due is done after so long, nine times in ten, where a quarter of the cores is free."""
LATE_S: Final = 0.08
"""The same where a tenth is free; a turn of 250 ms then takes 350."""
NOTICED_S: Final = 0.15
"""With this a turn of 250 ms takes 400: beyond it the promise of 500 is at stake."""
WORST_S: Final = 1.0
"""More is no worse; and it is to be forgotten when it is over."""
BEAT_WEIGHT: Final = 10.0
"""A packet that is late by 15 ms is heard as much as an answer that is late by 150."""
CHURN_S: Final = 20.0
"""Time constant of how fast calls come and go: as long as a telephone rings."""
MOST_BESIDE: Final = 0.5
"""Calls that ring, to one that is proven, where they only replace: should all be answered at once, it is too much."""
CUT: Final = 0.9
CUT_EVERY_S: Final = 5.0
"""What a cut does is seen when calls have ended."""
FORGET_PER_S: Final = 1.002
"""What was too much once may be tried again, a tenth in 50 s."""
OURS: Final = 0.3
"""Share of the machine from which on it is we who keep it busy."""
SMOOTH_S: Final = 4.0
"""Time constant of what is measured: a turn is 7 s, and callers of one crowd speak together at first."""
PROVEN_S: Final = 5.0
"""A call that has been answered for so long costs what it will cost."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known at one moment. `held`: calls of any phase; `up`: those that were answered, and `proven`: `PROVEN_S`
    ago; `over`: those that have ended since the last.

    `waiting_s`: what is due at the worst engine, nine times in ten. `beat_s`: of media, late. `busy`, `ours`: shares of
    all cores, 0 to 1, everybody's and that of engines and media; None: unknown. `channels`: that media has in all.
    """

    held: int
    proven: int
    over: int
    waiting_s: float
    beat_s: float
    busy: float | None
    ours: float
    channels: int
    up: int


class Capacity:
    """`limit`: calls of any phase that this edge holds at most; `used`: share of what it can carry, 0 to 1 and more."""

    def __init__(self, n_cores: float, held: int = 0) -> None:
        """`n_cores`: this edge's part of the machine. `held`: calls that were taken over."""
        self._sure = self._most_sure = float(SURE * n_cores)
        self._limit = float(max(self._sure, held))
        self._carries = 0.0  # nobody has said how busy the machine is
        self._ceiling = math.inf
        self._late = self._busy = self._ours = self._proven = self._up = 0.0
        self._came = self._went = 0.0  # calls a second
        self._unproven = 0.0
        self._held = held
        self._is_noticed = False
        """In one beat alone it may be a pause of the whole machine, which is over."""
        self._cut_s = -math.inf
        self._stepped_s: float | None = None
        self._channels = 0
        self.used = 0.0
        self._could = self._limit

    @property
    def limit(self) -> int:
        """As things are now."""
        return int(min(self._limit, self._channels or self._limit, MOST))

    @property
    def late_s(self) -> float:
        """How late callers are answered beyond what is usual, lately."""
        return self._late

    @property
    def busy(self) -> float | None:
        """Share of the machine's cores that was taken lately, by whomever; None: nothing says so yet."""
        return self._busy or None

    def room(self, held: int, share: float) -> int:
        """Return how many more calls may be taken without using more than a share of what can be carried."""
        return max(0, min(self.limit, math.ceil(self._could * share) - 1) - held)

    def takes(self, held: int) -> bool:
        """Say whether one more call may be taken."""
        return held < self.limit

    def step(self, seen: Seen, now: float) -> None:
        """Learn from what was seen since the last step; `now`: monotonic seconds."""
        past_s = max(0.001, now - self._stepped_s) if self._stepped_s is not None else 0.5
        self._stepped_s, self._channels = now, seen.channels
        self._smooth(seen, past_s)
        was_noticed, self._is_noticed = self._is_noticed, late_s(seen) > NOTICED_S
        if self._late > NOTICED_S and was_noticed and self._is_noticed and now >= self._cut_s + CUT_EVERY_S:
            self._cut_s = now
            self._cut((max(seen.proven, self._proven) + self._beside(seen)) * CUT)
        elif self._late > LATE_S:
            self._limit = max(self._sure, min(self._limit, max(seen.held, self._proven)))
        else:
            self._ceiling *= FORGET_PER_S**past_s
            self._sure = min(self._sure * FORGET_PER_S**past_s, self._most_sure)
            self._limit = max(self._sure, min(self._room(seen), self._ceiling))
        could = seen.held * FULL / self._busy if self._busy else math.inf
        could = self._limit if self._late > LATE_S else max(self._sure, min(self._ceiling, self._endures(seen, could)))
        self._could = max(1.0, min(could, seen.channels or could, MOST))
        self.used = seen.held / self._could

    def _cut(self, proven: float) -> None:
        """Have less than there is; and if it is we who keep the machine busy, be sure of no more than that."""
        if self._ours >= OURS:
            self._sure = max(1.0, min(self._sure, proven))
        self._ceiling = self._limit = max(self._sure, min(self._limit, proven))

    def _smooth(self, seen: Seen, past_s: float) -> None:
        """All with one time constant, so that what calls cost and how many they are belongs together."""
        weight = 1.0 - math.exp(-past_s / SMOOTH_S)
        slowly = 1.0 - math.exp(-past_s / CHURN_S)
        came, self._held = seen.over + seen.held - self._held, seen.held
        self._came += slowly * (came / past_s - self._came)
        self._went += slowly * (seen.over / past_s - self._went)
        self._unproven += slowly * (seen.held - seen.proven - self._unproven)
        self._late += weight * (min(late_s(seen), WORST_S) - self._late)
        self._ours += weight * (seen.ours - self._ours)
        self._proven += weight * (seen.proven - self._proven)
        self._up += weight * (seen.up - self._up)
        if seen.busy is not None:
            self._busy += weight * (seen.busy - self._busy)
            # of all that are up: after many have ended and been replaced, the proven ones alone would seem dear
            self._carries = self._up * FULL / self._busy if self._busy else math.inf

    def _room(self, seen: Seen) -> float:
        """How many calls may be held while nobody is late."""
        return min(seen.proven * GROWTH + STEP + self._beside(seen), self._endures(seen, self._carries))

    def _endures(self, seen: Seen, carries: float) -> float:
        """How many calls this machine can do: `carries`, by what they cost, or more where it is prompt."""
        creep = PROMPT_CREEP if self._late <= PROMPT_S else CREEP
        crept = 0.0 if self._busy and self._ours >= OURS else seen.proven * creep + CREEP_STEP
        return max(carries, crept) + self._beside(seen)

    def _beside(self, seen: Seen) -> float:
        """How many calls are held beside those that are proven: as many as end until one that comes is proven.

        That time follows from how many are not proven, and how fast they come (Little's law), both over the same while.
        If it were those of this moment, each that is held for it would be a reason to hold one more.
        """
        replacing = min(1.0, self._went / self._came) if self._came > 0 else 1.0
        return min(MOST_BESIDE * seen.proven, self._unproven * replacing)


def late_s(seen: Seen) -> float:
    """Return how late callers are answered just now, beyond what is usual.

    >>> late_s(Seen(held=1, proven=1, over=0, waiting_s=0.02, beat_s=0.015, busy=None, ours=0.1, channels=10, up=1))
    0.15
    """
    return max(seen.waiting_s, seen.beat_s * BEAT_WEIGHT)


__all__ = ["CUT_EVERY_S", "LATE_S", "MOST", "NOTICED_S", "PROVEN_S", "SURE", "Capacity", "Seen"]
