"""Whether calls can be placed here, part by part: what `/readyz` tells.

It is made of what the node's processes say of themselves, and of the launcher's word on who lives.
A part is `ok`, or it says in words what is wrong with it. Parts that no call can do without are what is `missing`. What
this node is not meant to do may be done `elsewhere`, in another node of its cluster.

A node that starts is not ready before the scripts of running campaigns are, and its trunks; neither keeps it from being
ready once it was. What cannot be had is not waited for any longer than there is hope: scripts as long as the edge goes
on with them (`nodes/edge/warm_up.py`), trunks for `TRUNKS_S`, while one of them works. A trunk that does not register
counts as one that works: nothing is known of it before a call.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from nodes.admin.node import NEEDED, Process


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether calls can be placed here; `missing` says what that lacks, `parts` how everything is."""

    ready: bool
    missing: tuple[str, ...]
    parts: dict[str, str]


class Trunks(NamedTuple):
    """How many trunks the node has, and how many of them register."""

    n: int
    n_register: int


NO_TRUNKS: Final = Trunks(0, 0)
TRUNKS_S: Final = 30.0
"""A carrier answers within some seconds; one that is asked anew, 30 s after it was not there, may be down all night."""
OK = "ok"
ELSEWHERE = "elsewhere"


def readiness(
    processes: Sequence[Process],
    is_connected: bool,
    lent: Collection[str] = (),
    bar: str | None = None,
    trunks: Trunks = NO_TRUNKS,
    starts_s: float | None = None,
) -> Readiness:
    """Judge a node. `is_connected`: whether this process has NATS. `lent`: roles that another node has for this one.

    `starts_s`: for how long it has been starting; None: it was ready before.

    `bar`: why the node is not in its cluster, empty when it is; None for one that is alone by its configuration.

    >>> readiness([], True).parts["edge"]
    'missing'
    >>> readiness([], True, lent=["edge", "media", "speech"]).missing
    ()
    """
    roles = [role for role in (*NEEDED, "recorder") if role not in lent]
    parts = {role: _process(processes, role) for role in roles} | {
        "central": ELSEWHERE if "central" in lent else _central(processes),
        **{role: ELSEWHERE for role in (*NEEDED, "recorder") if role in lent},
        **({} if bar is None else {"cluster": f"not in: {bar}" if bar else OK}),
        "nats": OK if is_connected else "away",
        "streams": _streams(processes),
        "records": _records(processes),
        "do_not_call": _do_not_call(processes),
        "scripts": _scripts(processes),
        "trunks": _trunks(processes, trunks),
    }
    missing = tuple(name for name in (*NEEDED, "nats", "streams", "do_not_call") if parts[name] not in (OK, ELSEWHERE))
    if starts_s is not None:
        missing += ("scripts",) if _most(processes, "warming_up") else ()
        missing += ("trunks",) if _waits_for_trunks(processes, trunks, starts_s) else ()
    return Readiness(not missing, missing, parts)


def _process(processes: Sequence[Process], role: str) -> str:
    active = [process for process in processes if process.role == role and process.state == "active"]
    if not active:
        return "missing"
    return OK if any(process.answers for process in active) else "does not answer"


def _central(processes: Sequence[Process]) -> str:
    """Say whether campaigns go on: one central in the cluster leads, here or elsewhere."""
    if (how := _process(processes, "central")) != OK:
        return how
    told = [process.figures["led"] for process in processes if process.role == "central" and "led" in process.figures]
    return OK if any(told) or not told else "nobody leads: campaigns wait"


def _streams(processes: Sequence[Process]) -> str:
    if stuck_s := _most(processes, "bus_stuck_s"):
        return f"nats-server takes nothing for {stuck_s:.0f} s"
    refused_s = _most(processes, "bus_refused_s")
    return f"nats-server refuses what central writes for {refused_s:.0f} s: is its store full?" if refused_s else OK


def _most(processes: Sequence[Process], word: str) -> float:
    return max((process.figures.get(word, 0.0) for process in processes), default=0.0)


def _records(processes: Sequence[Process]) -> str:
    """Say how many events wait for their stream; on the way is not waiting."""
    waiting = sum(process.figures.get("records_waiting", 0.0) for process in processes)
    return OK if waiting < 100 else f"{waiting:.0f} events wait for their stream"


def _scripts(processes: Sequence[Process]) -> str:
    cold = _most(processes, "scripts_cold")
    if _most(processes, "warming_up"):
        return f"{cold:.0f} are made ready" if cold else "asking central which are needed"
    return f"{cold:.0f} could not be made ready: their first calls wait" if cold else OK


def _trunks(processes: Sequence[Process], trunks: Trunks) -> str:
    missing = trunks.n_register - _registered(processes)
    return f"{missing} of {trunks.n_register} not registered" if missing > 0 else OK


def _waits_for_trunks(processes: Sequence[Process], trunks: Trunks, starts_s: float) -> bool:
    registered = _registered(processes)
    works = registered > 0 or trunks.n > trunks.n_register
    return registered < trunks.n_register and (starts_s < TRUNKS_S or not works)


def _registered(processes: Sequence[Process]) -> int:
    """Return how many trunks know each edge of the node."""
    word, edges = "registrations", [one for one in processes if one.role == "edge" and one.state == "active"]
    return min((int(one.figures[word]) for one in edges if word in one.figures), default=0)


def _do_not_call(processes: Sequence[Process]) -> str:
    """Say whether everybody who dials knows the list; who does not answer says nothing about it."""
    word, active = "do_not_call_known", [process for process in processes if process.state == "active"]
    told = [process.figures[word] for process in active if word in process.figures]
    return OK if all(told) else "not known: nobody is dialled"


__all__ = ["Readiness", "readiness"]
