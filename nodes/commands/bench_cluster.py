"""`ringmaster bench cluster`: thousands of scripted calls at once, while processes of every kind are killed.

Real: central and its journal, edges with SIP on a real socket, NATS, buckets, recorder, and the mesh between them all.
Stood in for (`nodes/rehearsal/scripted`): media and speech processes, which keep time instead of sound, and the
telephones, which answer at once. All calls are up at the same time, and have seven questions to answer. The nodes are
those of one cluster (`stages`), `EACH` calls to each; a call's heir is a machine's other edge as well as a spare.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import re
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.table import Table

from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.bus.server import pid_file, settings
from nodes.central.admission import REFILL
from nodes.central.memory import Memory
from nodes.child import STAND_INS
from nodes.commands.central import Campaign, bring, steer
from nodes.commands.crowd import BENCH, CALLEES, cpu_by_pid
from nodes.commands.judge import percentile
from nodes.commands.sessions import Moment, Seen, after_ms, recorded, takeovers
from nodes.commands.stage import LOG
from nodes.commands.stages import HUB, Stages, stages
from nodes.commands.terminal import ENDING, console, emit
from nodes.reading import read_json
from nodes.rehearsal.scripted.pace import VARIABLE, Pace
from nodes.rehearsal.scripted.phones import REPORT
from nodes.rehearsal.victims import ANY, KINDS, choose
from protocols.wire.campaigns import Plan
from protocols.wire.ids import CampaignId
from protocols.wire.roles import Role

SESSIONS: Final = 10_000
SCALE: Final = 0.105
"""How fast a call goes by, against one of `CALL_S`."""
EACH: Final = 850
"""Calls to a node, where nobody says how many nodes there are: a successor has as many within a tenth of a second."""
CALL_S: Final = 84.0
"""Seven long questions, and time to think."""
PROMPTS: Final = 10
"""Sentences: who is calling, the questions, thanks, goodbye."""
QUESTIONS: Final = 7
ANSWER_S: Final = 1.0
TURNS: Final = 6
"""Each call has at least so many."""
PROMISE: Final = 0.9999
KILLS: Final = 63
"""Seven of each kind; 60 are promised."""
LEAST_S: Final = 5.0
"""Between two kills: the time in which what was killed is there again."""
PER_S: Final = 20.0
"""Calls begun in a second: half of what two cores can. All are up while the first have a third of their time left."""
SETTLE_S: Final = 3.0
"""What was noted last is stored by then."""
END_S: Final = 240.0
"""So long may it take until the first are up, or the last call has ended after its time."""
SCRIPT: Final = Path(__file__).with_suffix(".yaml")
STANDING_IN: Final = {
    "media": "nodes.rehearsal.scripted.media",
    "speech": "nodes.rehearsal.scripted.speech",
    "rehearsal": "nodes.rehearsal.scripted.phones",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What it came to. `availability`: 1 - (seconds without a living owner + the unlived rest of lost calls) / planned.

    A call has no living owner from the death of its edge until a successor has it, and answers for it (`takeover_ms`);
    one for which nobody has anything then sleeps for a while longer (`asleep_ms`). `lost`: of the answered, those that
    did not come to their script's end. `edges_lost`: those that ended though nobody killed them. `events`,
    `events_recorded`: by id; `numbers_missing`: of the numbers that calls have given to their events. `rss_mb`: of the
    nodes' processes together, each page once (`memory_kb`).
    """

    sessions: int
    nodes: int
    answered: int
    most_at_once: int
    time_scale: float
    turns_least: int
    availability: float
    lost: int
    rung_twice: int
    left_up: int
    kills: Mapping[str, int]
    edges_lost: int
    takeover_ms_p50: float | None
    takeover_ms_max: float | None
    asleep_ms_p50: float | None
    asleep_ms_max: float | None
    events: int
    events_recorded: int
    events_missing: int
    numbers_missing: int
    cpu_us_per_event: float
    cpu_s: Mapping[str, float]
    rss_kb_per_session: float
    rss_mb: float
    journal_replay_s: float
    up_after_s: float
    seconds: float
    load: float

    @property
    def is_held(self) -> bool:
        """Whether everything that is promised was so."""
        return (
            self.most_at_once == self.sessions and self.availability >= PROMISE and self.turns_least >= TURNS
            and not (self.events_missing or self.numbers_missing or self.rung_twice or self.left_up or self.edges_lost)
        )  # fmt: skip


def cluster(sessions: int, scale: float, seed: int, state: Path, as_json: bool, n_nodes: int = 0) -> int:
    """Measure and print; return 1 when a promise is broken. `n_nodes`: with calls; 0: as many as `EACH` asks for.

    Raises: NodeError.
    """
    found = ENDING.run(_measured(sessions, scale, seed, state, n_nodes or -(-sessions // EACH)))
    if as_json:
        emit({"bench": "cluster", "promise_availability": PROMISE, "held": found.is_held, **asdict(found)})
    else:
        table = Table("", "found")
        for name, value in asdict(found).items():
            table.add_row(name.replace("_", " "), str(value))
        to = console()
        to.print(table)
        to.print(
            f"promise: all up at once, available {PROMISE:.2%}, nobody rung twice, every event once: "
            f"{'held' if found.is_held else 'broken'}"
        )
    return 0 if found.is_held else 1


async def _measured(sessions: int, scale: float, seed: int, state: Path, n_nodes: int) -> Found:
    planned_s = CALL_S / scale
    pace = Pace(max(0.1, (planned_s - QUESTIONS * ANSWER_S) / PROMPTS), think_s=ANSWER_S / 2, speak_s=ANSWER_S / 2)
    os.environ[STAND_INS] = " ".join(f"{role}={module}" for role, module in STANDING_IN.items())
    os.environ[VARIABLE] = str(pace)
    most = 2 * -(-sessions // n_nodes)
    text = (
        f'[edge]\nprocesses = 1\ngives_up = ["recordings"]\ncapacity = {most}\n'
        f"[central]\nbase = {PER_S / REFILL}\nmax_concurrent = {most}\n"
    )  # fmt: skip
    script, seen = SCRIPT.read_text(encoding="utf-8"), Seen()
    async with stages(state, n_nodes, text) as here:
        await here.client.events(seen.take)
        empty_kb, began_s = memory_kb(here), time.monotonic()
        spent = Spent(here)
        await _begin(here, sessions, script)
        up_after_s = await _until_up(seen, sessions)
        full_kb = memory_kb(here)
        killing = Killing(here, random.Random(seed), spent)
        await killing.run(sessions, seen, began_s + planned_s - time.monotonic())
        await _until_over(seen, sessions, began_s + up_after_s + planned_s + END_S)
        await asyncio.sleep(SETTLE_S)
        cpu_s, took_s = spent.so_far(), await replay_s(here)
        phones = read_json((here.config.paths.state / REPORT).read_bytes(), dict[str, float])
        database, seconds = here.config.recorder.database, time.monotonic() - began_s
    assert database is not None, "a configuration that was read has one"
    taken = takeovers((state / LOG).read_text(encoding="utf-8").splitlines())
    kept = recorded(database, seen.ids)
    n_missing = len(seen.ids - kept.ids)
    for event in kept.unheard:  # what is only told goes by while NATS is killed
        seen.take(event)
    outages = after_ms(taken, killing.edges)
    asleep = [ms for ms, _ in after_ms(seen.recovered, killing.edges)]
    ownerless_s = sum(ms / 1000 * n for ms, n in outages)
    unlived_s = sum(max(0.0, planned_s - seen.lived_s(call)) for call in seen.lost())
    lived = [seen.lived_s(call) for call in seen.answered if call in seen.ended]
    ours = sum(seconds for name, seconds in cpu_s.items() if name not in (BENCH, CALLEES))
    return Found(
        sessions=sessions,
        nodes=n_nodes + 1,
        answered=len(seen.answered),
        most_at_once=seen.most_up,
        time_scale=round(CALL_S / (sum(lived) / len(lived)), 3) if lived else 0.0,
        turns_least=min((seen.turns[call] for call in seen.answered), default=0),
        availability=round(1 - (ownerless_s + unlived_s) / (planned_s * sessions), 7),
        lost=len(seen.lost()),
        rung_twice=int(phones["rung_twice"]),
        left_up=int(phones["up"]),
        kills=dict(killing.kills),
        edges_lost=len(taken) - killing.kills["edge"],
        takeover_ms_p50=percentile([ms for ms, _ in outages], 50),
        takeover_ms_max=max((ms for ms, _ in outages), default=None),
        asleep_ms_p50=percentile(asleep, 50),
        asleep_ms_max=max(asleep, default=None),
        events=len(seen.ids),
        events_recorded=len(kept.ids),
        events_missing=n_missing,
        numbers_missing=kept.n_missing,
        cpu_us_per_event=round(ours / max(1, len(seen.ids)) * 1e6, 1),
        cpu_s=cpu_s,
        rss_kb_per_session=round((full_kb - empty_kb) / sessions, 1),
        rss_mb=round(full_kb / 1024),
        journal_replay_s=round(took_s, 2),
        up_after_s=round(up_after_s, 1),
        seconds=round(seconds, 1),
        load=round(os.getloadavg()[0], 1),
    )


async def _begin(here: Stages, sessions: int, script: str) -> None:
    rows = "".join(f"{here.callee(f'n{n}')},Alex,bench,Acme\n" for n in range(sessions))
    plan = Plan(
        zone="Europe/London", clock="2026-03-03T10:00:00+00:00", concurrency=sessions, retries={}, ring_s=60.0,
        per_day=100, spacing_s=0.0,
    )  # fmt: skip
    campaign = Campaign(CampaignId("bench"), plan)
    contacts = f"number,name,consent,company\n{rows}".encode()
    await bring(here.client, campaign, "bench.csv", contacts, script)
    await steer(here.client, campaign.id, "running")


async def _until_up(seen: Seen, sessions: int) -> float:
    """Return how long it took until all were up, or nobody will come any more."""
    began_s = time.monotonic()
    for _ in range(round(3 * sessions / PER_S + END_S)):
        if seen.n_up >= sessions or seen.ended:
            break
        await asyncio.sleep(1.0)
    return time.monotonic() - began_s


async def _until_over(seen: Seen, sessions: int, latest_s: float) -> None:
    for _ in range(math.ceil(latest_s - time.monotonic())):
        if len(seen.ended) >= sessions:
            return
        await asyncio.sleep(1.0)


class Spent:
    """Processor time of the nodes' processes from now on, of those that have been killed, too, by name."""

    def __init__(self, here: Stages) -> None:
        self._here = here
        self._before = cpu_by_pid(here.rosters().values(), os.getpid())
        self._last = dict(self._before)

    def look(self) -> None:
        """Take note of what all have had: one of them is about to be killed."""
        self._last |= cpu_by_pid(self._here.rosters().values(), os.getpid())

    def so_far(self) -> dict[str, float]:
        """Return seconds by name."""
        self.look()
        total: defaultdict[str, float] = defaultdict(float)
        for pid, (name, seconds) in self._last.items():
            total[name] += seconds - self._before.get(pid, ("", 0.0))[1]
        return {name: round(seconds, 1) for name, seconds in sorted(total.items())}


class Killing:
    """Kills processes of every kind in turn. `edges`: when one that was active died."""

    def __init__(self, here: Stages, dice: random.Random, spent: Spent) -> None:
        self._here, self._dice, self._spent = here, dice, spent
        self.kills: Counter[str] = Counter()
        self.edges: list[Moment] = []

    async def run(self, sessions: int, seen: Seen, left_s: float) -> None:
        """Kill `KILLS`, unless half of the calls are over before. `left_s`: in which they are spread."""
        latest_s = time.monotonic() + left_s + END_S
        while self.kills.total() < KILLS and len(seen.ended) < sessions / 2 and time.monotonic() < latest_s:
            await asyncio.sleep(max(LEAST_S, left_s / KILLS))
            self._kill(KINDS[self.kills.total() % len(KINDS)])

    def _kill(self, kind: str) -> None:
        found = choose(kind, self._here.rosters(), self._dice.randrange(ANY), self._server)
        if found is None:
            return
        self._spent.look()
        with suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGKILL)
        self.kills[kind] += 1
        if kind == "edge":
            self.edges.append(Moment(found.node, datetime.now().astimezone()))

    def _server(self, node: str) -> int:
        return int(pid_file(settings(self._here.config)).read_text()) if node == HUB else 0


def memory_kb(here: Stages) -> float:
    """Return what the nodes' processes have in memory, of pages that several share each its part (proc(5), `Pss`)."""
    pids = [peer.pid for roster in here.rosters().values() for peer in roster.processes]
    told = "".join(Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
    return float(sum(map(int, re.findall(r"^Pss: +(\d+) kB", told, re.MULTILINE))))


async def replay_s(here: Stages) -> float:
    """Return how long a central takes that begins now until it knows what all before it have written."""
    bus = await Bus.connect(login(here.config, Role.CENTRAL), name="bench", node_id=here.config.node.id)
    try:
        await bus.up()
        began_s = time.monotonic()
        await Memory(bus, bus.lease("bench", "bench"), "bench").catch_up()
        return time.monotonic() - began_s
    finally:
        await bus.close()


__all__ = ["EACH", "SCALE", "SESSIONS", "Found", "cluster"]
