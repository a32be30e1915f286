"""`ringmaster bench cluster`: thousands of scripted calls at once, while processes of every kind are killed.

Real: central and its journal, edges with SIP on a real socket, NATS, buckets, recorder, and the mesh between them all.
Stood in for (`nodes/rehearsal/scripted`): media and speech processes, which keep time instead of sound, and the
telephones, which answer at once. All calls are up at the same time, and have seven questions to answer.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from nodes.central.memory import Memory
from nodes.child import STAND_INS
from nodes.commands.central import Campaign, bring, steer
from nodes.commands.crowd import BENCH, CALLEES, cpu_of
from nodes.commands.judge import percentile
from nodes.commands.stage import LOG, Stage, stage
from nodes.commands.terminal import ENDING, console, emit
from nodes.links.bus import Bus
from nodes.links.login import login
from nodes.links.roster import State
from nodes.links.server import pid_file, settings
from nodes.reading import read_json
from nodes.recorder.store import Store
from nodes.rehearsal.scripted.pace import VARIABLE, Pace
from nodes.rehearsal.scripted.phones import REPORT
from protocols.wire.campaigns import Plan
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import CallId, CampaignId
from protocols.wire.roles import Role

SESSIONS: Final = 10_000
SCALE: Final = 0.1
"""How fast a call goes by, against one in which a question takes `QUESTION_S`."""
QUESTION_S: Final = 12.0
"""A long question, and time to think."""
ANSWER_S: Final = 1.0
TURNS: Final = 6
"""Each call has at least so many."""
PROMISE: Final = 0.9999
KILLS: Final = 60
LEAST_S: Final = 5.0
"""Between two kills: the time in which what was killed is there again."""
PER_S: Final = 60.0
"""Calls begun in a second, at most."""
SETTLE_S: Final = 3.0
"""What was noted last is stored by then."""
END_S: Final = 240.0
"""So long may it take until the last call has ended after its time."""
NEEDED: Final = {"recorder": 1, "speech": 2, "media": 1, "edge": 1, "central": 1, "desk": 1}
KINDS: Final = ("edge", "edge spare", "media", "media spare", "speech", "central", "recorder", "desk", "nats")
SCRIPT: Final = Path(__file__).with_suffix(".yaml")
PAGE_KB: Final = os.sysconf("SC_PAGE_SIZE") // 1024
STANDING_IN: Final = {
    "media": "nodes.rehearsal.scripted.media",
    "speech": "nodes.rehearsal.scripted.speech",
    "rehearsal": "nodes.rehearsal.scripted.phones",
}


@dataclass
class Seen:
    """What the events have told, as they came: `take` gets each."""

    answered: dict[CallId, datetime] = field(default_factory=dict)
    ended: dict[CallId, tuple[datetime, str]] = field(default_factory=dict)
    turns: Counter[CallId] = field(default_factory=Counter)
    recovered: list[datetime] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    n_up: int = 0
    most_up: int = 0

    def take(self, event: CallEvent) -> None:
        """Note one; told again, it is known."""
        if event.event_id in self.ids:
            return
        self.ids.add(event.event_id)
        call = event.call_id
        if event.kind is Kind.ANSWERED and call not in self.answered:
            self.answered[call] = event.wall
            self.n_up += 1
            self.most_up = max(self.most_up, self.n_up)
        elif event.kind is Kind.ENDED and call not in self.ended:
            self.ended[call] = event.wall, str(event.fields.get("disposition", ""))
            self.n_up -= call in self.answered
        elif event.kind is Kind.HEARD:
            self.turns[call] += 1
        elif event.kind is Kind.RECOVERED and event.fields.get("what") == "call":
            self.recovered.append(event.wall)

    def lived_s(self, call: CallId) -> float:
        """Return how long an answered call was up; 0.0 for one that has not ended."""
        return (self.ended[call][0] - self.answered[call]).total_seconds() if call in self.ended else 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What it came to. `availability`: 1 - (seconds without a living owner + the unlived rest of lost calls) / planned.

    A call has no living owner from the death of its edge until a successor has it, and answers for it (`takeover_ms`);
    one for which nobody has anything then sleeps for a while longer (`asleep_ms`). `lost`: of the answered, those that
    did not come to their script's end. `events`, `events_recorded`: by id.
    """

    sessions: int
    most_at_once: int
    time_scale: float
    turns_least: int
    availability: float
    lost: int
    rung_twice: int
    left_up: int
    kills: Mapping[str, int]
    takeover_ms_p50: float | None
    takeover_ms_max: float | None
    asleep_ms_p50: float | None
    asleep_ms_max: float | None
    events: int
    events_recorded: int
    events_missing: int
    cpu_us_per_event: float
    cpu_s: Mapping[str, float]
    rss_kb_per_session: float
    journal_replay_s: float
    seconds: float
    load: float


def cluster(sessions: int, scale: float, seed: int, state: Path, as_json: bool) -> int:
    """Measure and print; return 1 when a promise is broken. Raises: NodeError."""
    found = ENDING.run(_measured(sessions, scale, seed, state))
    held = (
        found.availability >= PROMISE and found.events_missing == 0 and found.rung_twice == 0 and found.left_up == 0
        and found.turns_least >= TURNS
    )  # fmt: skip
    if as_json:
        emit({"bench": "cluster", "promise_availability": PROMISE, "held": held, **asdict(found)})
    else:
        table = Table("", "found")
        for name, value in asdict(found).items():
            table.add_row(name.replace("_", " "), str(value))
        to = console()
        to.print(table)
        to.print(
            f"promise: available {PROMISE:.2%}, nobody rung twice, every event once: {'held' if held else 'broken'}"
        )
    return 0 if held else 1


async def _measured(sessions: int, scale: float, seed: int, state: Path) -> Found:
    pace = Pace(prompt_s=max(0.1, QUESTION_S / scale - ANSWER_S), think_s=ANSWER_S / 2, speak_s=ANSWER_S / 2)
    os.environ[STAND_INS] = " ".join(f"{role}={module}" for role, module in STANDING_IN.items())
    os.environ[VARIABLE] = str(pace)
    text = f"capacity = {2 * sessions}\n[central]\nbase = {PER_S}\nmax_concurrent = {2 * sessions}\n"
    script, seen = SCRIPT.read_text(encoding="utf-8"), Seen()
    async with stage(state, {SCRIPT.stem: script}, seed, NEEDED, text, channels=2) as here:
        await here.client.events(seen.take)
        empty_kb, began_s = rss_kb(here), time.monotonic()
        cpu = Spent(here)
        await _begin(here, sessions, script)
        killing = Killing(here, random.Random(seed), cpu)
        full_kb = await killing.run(sessions, seen, pace.turn_s * TURNS)
        await _until_over(seen, sessions)
        await asyncio.sleep(SETTLE_S)
        cpu_s, took_s = cpu.so_far(), await replay_s(here)
        phones = read_json((state / REPORT).read_bytes(), dict[str, float])
        database, seconds = here.config.recorder.database, time.monotonic() - began_s
    assert database is not None, "a configuration that was read has one"
    taken = takeovers((state / LOG).read_text(encoding="utf-8").splitlines())
    return _found(
        sessions, pace, seen, killing, phones, recorded_ids(database), taken, cpu_s, (full_kb - empty_kb) / sessions,
        took_s, seconds,
    )  # fmt: skip


async def _begin(here: Stage, sessions: int, script: str) -> None:
    rows = "".join(f"{here.callee(f'n{n}')},Alex,bench,Acme\n" for n in range(sessions))
    plan = Plan(
        zone="Europe/London", clock="2026-03-03T10:00:00+00:00", concurrency=sessions, retries={}, ring_s=60.0,
        per_day=100, spacing_s=0.0,
    )  # fmt: skip
    campaign = Campaign(CampaignId("bench"), plan)
    contacts = f"number,name,consent,company\n{rows}".encode()
    await bring(here.client, campaign, "bench.csv", contacts, script)
    await steer(here.client, campaign.id, "running")


class Spent:
    """Processor time of a node's processes from now on, of those that have been killed, too, by name."""

    def __init__(self, here: Stage) -> None:
        self._here = here
        self._before = self._look()
        self._dead: defaultdict[str, float] = defaultdict(float)

    def dies(self, name: str) -> None:
        """A process of this name is about to be killed."""
        self._dead[name] += self._look().get(name, 0.0)

    def so_far(self) -> dict[str, float]:
        """Return seconds by name."""
        now = self._look()
        names = now.keys() | self._dead.keys()
        return {
            name: round(now.get(name, 0.0) + self._dead[name] - self._before.get(name, 0.0), 1)
            for name in sorted(names)
        }

    def _look(self) -> dict[str, float]:
        return cpu_of(self._here.client.roster(), os.getpid())


class Killing:
    """Kills processes of every kind in turn. `edges`: when one that was active died."""

    def __init__(self, here: Stage, dice: random.Random, spent: Spent) -> None:
        self._here, self._dice, self._spent = here, dice, spent
        self.kills: Counter[str] = Counter()
        self.edges: list[datetime] = []

    async def run(self, sessions: int, seen: Seen, alive_s: float) -> float:
        """Kill until half of the calls are over; return the node's memory (kB) when most were up.

        `alive_s`: how long a call is up, at least: `KILLS` deaths are spread over it.
        """
        most, full_kb = 0, rss_kb(self._here)
        while len(seen.ended) < sessions / 2:
            await asyncio.sleep(max(LEAST_S, alive_s / KILLS))
            if seen.n_up > most:
                most, full_kb = seen.n_up, rss_kb(self._here)
            self._kill(KINDS[self.kills.total() % len(KINDS)])
        return full_kb

    def _kill(self, kind: str) -> None:
        role, _, spare = kind.partition(" ")
        if role == "nats":
            pids = {int(pid_file(settings(self._here.config)).read_text()): "nats-server"}
        else:
            state = State.SPARE if spare else State.ACTIVE
            processes = self._here.client.roster().processes
            name = "{} (spare)" if spare else "{}"
            pids = {one.pid: name.format(one.name) for one in processes if one.role == role and one.state is state}
        if not pids:
            return
        pid = self._dice.choice(sorted(pids))
        self._spent.dies(pids[pid])
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.kills[kind] += 1
        if kind == "edge":
            self.edges.append(datetime.now().astimezone())


async def _until_over(seen: Seen, sessions: int) -> None:
    for _ in range(round(END_S)):
        if len(seen.ended) >= sessions:
            return
        await asyncio.sleep(1.0)


def _found(
    sessions: int, pace: Pace, seen: Seen, killing: Killing, phones: Mapping[str, float], recorded: Set[str],
    taken: Sequence[tuple[datetime, int]],
    cpu_s: Mapping[str, float], rss_kb_each: float, replayed_s: float, seconds: float,
) -> Found:  # fmt: skip
    asleep = after_ms(seen.recovered, killing.edges)
    outages = after_ms([wall for wall, _ in taken], killing.edges)
    ownerless_s = sum(ms / 1000 * n for ms, (_, n) in zip(outages, taken[-len(outages) :], strict=True))
    planned_s = pace.turn_s * (TURNS + 1)
    lost = [call for call in seen.answered if seen.ended.get(call, (None, ""))[1] != "completed"]
    unlived_s = sum(max(0.0, planned_s - seen.lived_s(call)) for call in lost)
    lived = [seen.lived_s(call) for call in seen.answered if call in seen.ended]
    ours = sum(seconds for name, seconds in cpu_s.items() if name not in (BENCH, CALLEES))
    return Found(
        sessions=sessions,
        most_at_once=seen.most_up,
        time_scale=round(QUESTION_S * (TURNS + 1) / (sum(lived) / len(lived)), 3) if lived else 0.0,
        turns_least=min((seen.turns[call] for call in seen.answered), default=0),
        availability=round(1 - (ownerless_s + unlived_s) / (planned_s * sessions), 7),
        lost=len(lost),
        rung_twice=int(phones["rung_twice"]),
        left_up=int(phones["up"]),
        kills=dict(killing.kills),
        takeover_ms_p50=percentile(outages, 50),
        takeover_ms_max=max(outages, default=None),
        asleep_ms_p50=percentile(asleep, 50),
        asleep_ms_max=max(asleep, default=None),
        events=len(seen.ids),
        events_recorded=len(recorded),
        events_missing=len(seen.ids - recorded),
        cpu_us_per_event=round(ours / max(1, len(seen.ids)) * 1e6, 1),
        cpu_s=dict(cpu_s),
        rss_kb_per_session=round(rss_kb_each, 1),
        journal_replay_s=round(replayed_s, 2),
        seconds=round(seconds, 1),
        load=round(os.getloadavg()[0], 1),
    )


def takeovers(log: Iterable[str]) -> list[tuple[datetime, int]]:
    """Return when an edge became active, by a node's log, and how many calls it then had."""
    lines = [read_json(line.encode(), dict[str, Any]) for line in log if '"edge.active"' in line]
    return [(datetime.fromisoformat(line["wall"]), line["calls"]) for line in lines]


def after_ms(moments: Iterable[datetime], killed: Iterable[datetime]) -> list[float]:
    """Return how long after the last kill before it each moment was; none for one before all kills."""
    kills = sorted(killed)
    took = [min((wall - at for at in kills if at <= wall), default=None) for wall in moments]
    return [round(one.total_seconds() * 1000, 1) for one in took if one is not None]


def recorded_ids(database: Path) -> set[str]:
    """Return the ids of all events in the recorder's file, which nobody has open."""
    with closing(Store(database)) as store:
        return {str(row["event_id"]) for row in store.records("SELECT event_id FROM events")}


def rss_kb(here: Stage) -> float:
    """Return what the node's processes have in memory."""
    pids = [peer.pid for peer in here.client.roster().processes]
    return float(sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * PAGE_KB)


async def replay_s(here: Stage) -> float:
    """Return how long a central takes that begins now until it knows what all before it have written."""
    bus = await Bus.connect(login(here.config, Role.CENTRAL), name="bench", node_id=here.config.node.id)
    try:
        await bus.up()
        began_s = time.monotonic()
        await Memory(bus, bus.lease("bench", "bench"), "bench").catch_up()
        return time.monotonic() - began_s
    finally:
        await bus.close()


__all__ = ["SCALE", "SESSIONS", "Found", "Seen", "after_ms", "cluster", "recorded_ids", "takeovers"]
