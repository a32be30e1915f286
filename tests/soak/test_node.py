"""Ten minutes of a node under random kills, with ten people always on the telephone: nobody is lost who need not be.

    make soak SOAK=node              RINGMASTER_SOAK_S=120: a shorter one; RINGMASTER_SOAK_SEED=...: the same kills;
                                     RINGMASTER_SOAK_KINDS=edge: only those are killed, and nothing else is done

Every 2 s one process dies by SIGKILL, of each kind in turn; every minute the whole node stands still for 4 s; twice its
launcher is killed, and started again. What came of it is told by those outside: the callees say what they heard, the
event store what was written down. The last line is one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb

from nodes.commands import central
from nodes.commands import report as reporting
from nodes.commands.central import Campaign, Declined
from nodes.commands.client import NotUp
from nodes.commands.judge import percentile
from nodes.commands.report import NoReport
from nodes.commands.stage import Stage, stage
from protocols.wire.campaigns import Plan
from protocols.wire.events import is_wanted
from protocols.wire.ids import CampaignId
from tests.soak.upset import KINDS, NEEDED, Upset

T = TypeVar("T")
SOAK_S: Final = float(os.environ.get("RINGMASTER_SOAK_S", "600"))
SEED: Final = int(os.environ.get("RINGMASTER_SOAK_SEED", random.SystemRandom().randrange(10**9)))
AT_ONCE: Final = 10
N_CONTACTS: Final = int(SOAK_S)
N_QUESTIONS: Final = 8
CAMPAIGN: Final = CampaignId("soak")
PLAN: Final = Plan(
    zone="Europe/London", clock="2026-03-03T10:00:00+00:00", concurrency=AT_ONCE, ring_s=20.0, retries={}
)
"""No retry rule: whoever is rung a second time was rung twice for one attempt."""
DEATHS: Final = (0.35, 0.7)
"""When the launcher dies, as shares of the whole."""
CLOSED_S: Final = 20.0
"""After the node is up again, so soon must each call that it lost be closed."""
END_S: Final = 120.0
"""So long may the last calls take to end by themselves."""
INSIST_S: Final = 40.0
KILL_ECHO_S: Final = 2.0
"""A gap that begins within this after a kill may be that kill's doing."""
GAP_MS: Final = 300.0
GAP_P99_MS: Final = 100.0


def script() -> str:
    """Return a conversation of a minute: digits and yes or no in turn, then goodbye."""
    states = []
    for n in range(N_QUESTIONS):
        asks = ("What are the last four digits?", "{digits: {length: 4}}") if n % 2 else ("Is that right?", "yes_no")
        then = f"q{n + 1}" if n + 1 < N_QUESTIONS else "goodbye"
        states.append(
            f"  q{n}:\n    say: Question {n + 1}. {asks[0]}\n"
            f"    listen: {{rule: {asks[1]}, timeouts: {{noinput_s: 4, speech_s: 15}}}}\n"
            f"    on: {{match: {{any: {{redirect: {then}}}}}}}\n"
        )
    return (Path(__file__).parent / "talk.yaml").read_text() + "".join(states)


@dataclass
class Findings:
    """What the soak came to; the fields of its last line, and why each loss was one."""

    calls: int = 0
    answered: int = 0
    lost: int = 0
    lost_open: int = 0
    events_missing: int = 0
    rung_twice: int = 0
    worst_gap_ms: float = 0.0
    gap_p99_ms: float = 0.0
    kills: dict[str, int] = field(default_factory=dict)
    lost_outside_deaths: int = 0
    pauses: int = 0
    launcher_deaths: int = 0
    calls_up: float = 0.0
    """Calls that were up, on average."""
    turns: int = 0
    """Answers that were understood: the calls converse."""
    reported_lost: int = -1
    """What `ringmaster report` says."""
    notes: list[str] = field(default_factory=list)


async def test_a_node_under_kills_loses_nobody(tmp_path: Path, say: Callable[[str], None]) -> None:
    say(f"node soak: {SOAK_S:.0f} s, seed {SEED}, state in {tmp_path / 'state'}")
    found = Findings()
    async with stage(tmp_path / "state", {"soak": script()}, SEED, NEEDED, restarts=2) as here:
        upset = Upset(here.client, random.Random(SEED), say)
        users = "".join(f"sip:cooperative-{n}@127.0.0.1:{here.callees_port},rehearsal\n" for n in range(N_CONTACTS))
        await central.bring(
            here.client, Campaign(CAMPAIGN, PLAN), "soak.csv", f"number,consent\n{users}".encode(), script()
        )
        await central.steer(here.client, CAMPAIGN, "running")
        began_s = time.monotonic()
        watching = asyncio.create_task(watch(here, upset, say, began_s, found))
        await until_talking(here)
        await upset.run(began_s + SOAK_S, [began_s + SOAK_S * share for share in DEATHS])
        watching.cancel()
        await insist(lambda: central.steer(here.client, CAMPAIGN, "stopped"))
        await until_over(here)
        report = await insist(lambda: reporting.ask(here.client, CAMPAIGN))
        found.reported_lost = report.lost
        database = here.config.recorder.database
    # The node is down: its files are ours to read, and callees whom nobody has hung up on have said so.
    judge_events(found, database, upset)
    judge_callees(found, here.lived(), upset)
    found.kills = dict(Counter(kill.kind for kill in upset.kills))
    found.pauses, found.launcher_deaths = len(upset.pauses), len(upset.deaths)
    for note in found.notes:
        say(note)
    say(json.dumps({key: value for key, value in vars(found).items() if key != "notes"}))
    expect(found)


def expect(found: Findings) -> None:
    """The promises; a short soak kills fewer."""
    assert found.turns >= found.answered > 0
    assert found.lost_outside_deaths == 0
    assert found.lost_open == 0
    assert found.reported_lost == found.lost
    assert found.events_missing == 0
    assert found.rung_twice == 0
    assert found.worst_gap_ms <= GAP_MS
    assert found.gap_p99_ms <= GAP_P99_MS
    assert min(found.kills.get(kind, 0) for kind in KINDS) >= min(20, int(SOAK_S / 30))


async def insist(what: Callable[[], Awaitable[T]]) -> T:
    """Ask again until there is an answer: whom we ask may just have been killed."""
    give_up_s = time.monotonic() + INSIST_S
    while True:
        try:
            return await what()
        except (NotUp, Declined, NoReport):
            if time.monotonic() > give_up_s:
                raise
            await asyncio.sleep(0.5)


async def until_talking(here: Stage) -> None:
    """Return when all calls are up, or as many as there will be."""
    for _ in range(60):
        if (await insist(lambda: central.status(here.client, CAMPAIGN))).talking >= AT_ONCE:
            return
        await asyncio.sleep(0.5)


async def until_over(here: Stage) -> None:
    """Return when the last call has ended by itself, or should have."""
    give_up_s = time.monotonic() + END_S
    while time.monotonic() < give_up_s:
        now = await insist(lambda: central.status(here.client, CAMPAIGN))
        if now.in_flight == 0:
            break
        await asyncio.sleep(1.0)
    await asyncio.sleep(3.0)  # the recorder's last batch


async def watch(here: Stage, upset: Upset, say: Callable[[str], None], began_s: float, found: Findings) -> None:
    """Say now and then how it goes, and count how many calls are up."""
    seen: list[int] = []
    while True:
        await asyncio.sleep(5.0)
        try:
            now = await central.status(here.client, CAMPAIGN)
        except (NotUp, Declined):
            continue
        seen.append(now.talking)
        found.calls_up = round(sum(seen) / len(seen), 1)
        if len(seen) % 4 == 0:
            at_s = time.monotonic() - began_s
            say(f"{at_s:5.0f} s  {len(upset.kills)} kills, {now.talking} talking, {now.dispositions} {now.held}")


def judge_events(found: Findings, database: Path, upset: Upset) -> None:
    """Read what was written down: who was lost, when that was told, and which events are not there."""
    with duckdb.connect(str(database), read_only=True) as store:
        rows = store.execute(
            "SELECT call_id, seq, kind, epoch(wall), fields->>'cause', fields->>'by' FROM events ORDER BY wall, seq"
        ).fetchall()
    to_wall = time.time() - time.monotonic()
    by_call: dict[str, list[tuple[int, str, float, str, str]]] = defaultdict(list)
    for call_id, *row in rows:
        by_call[call_id].append(tuple(row))  # type: ignore[arg-type]
    found.calls = len(by_call)
    found.turns = sum(kind == "turn.heard" for _, _, kind, *_ in rows)
    for call_id, events in by_call.items():
        kinds = {kind for _, kind, *_ in events}
        last = max(seq for seq, *_ in events)
        if gaps := sorted(set(range(1, last + 1)) - {seq for seq, *_ in events}):
            found.events_missing += len(gaps)
            found.notes.append(f"missing of {call_id}: {gaps} of {last}")
        ended = next(((at_s, cause, by) for _, kind, at_s, cause, by in events if kind == "call.ended"), None)
        if "call.answered" not in kinds:
            found.lost_open += ended is None
            continue
        found.answered += 1
        if ended and is_wanted({"cause": ended[1], "by": ended[2]}):
            continue
        found.lost += 1
        at_s = ended[0] - to_wall if ended else 0.0
        in_time = any(began_s <= at_s <= up_s + CLOSED_S for began_s, up_s in upset.deaths)
        found.lost_open += ended is None or (not in_time and is_touched(events[-1][2] - to_wall, upset))
        found.lost_outside_deaths += not in_time
        found.notes.append(f"lost: {call_id} {ended} last {events[-1][1]}")


def is_touched(at_s: float, upset: Upset) -> bool:
    """Say whether a call that was heard of last at this moment may have been cut by a death of the launcher."""
    return any(began_s - 60 <= at_s <= up_s for began_s, up_s in upset.deaths)


def judge_callees(found: Findings, lived: Iterable[Mapping[str, Any]], upset: Upset) -> None:
    """Hear what the callees have to say: gaps, and whether anybody was rung again."""
    reports = list(lived)
    rung = Counter(report["user"] for report in reports)
    found.rung_twice = sum(times > 1 for times in rung.values())
    found.notes += [f"rung {times} times: {user}" for user, times in rung.items() if times > 1]
    found.notes += [f"never ended: {one['user']} {one['call_id']}" for one in reports if one["cause"] == "never_ended"]
    excused = [(began_s - 0.1, until_s + KILL_ECHO_S) for began_s, until_s in upset.pauses + upset.deaths]
    gaps = [
        (ended_s, ms, report["call_id"])
        for report in reports
        for ended_s, ms in report["gaps"]
        if not any(began_s <= ended_s and ended_s - ms / 1000 <= until_s for began_s, until_s in excused)
    ]
    found.worst_gap_ms = max((ms for _, ms, _ in gaps), default=0.0)
    found.notes += [
        f"gap of {ms:.0f} ms: {call_id} after {last_kill(ended_s, upset)}"
        for ended_s, ms, call_id in gaps
        if ms > GAP_P99_MS
    ]
    each = [
        max((ms for ended_s, ms, _ in gaps if kill.at_s <= ended_s <= kill.at_s + KILL_ECHO_S), default=0.0)
        for kill in upset.kills
    ]
    found.gap_p99_ms = percentile(each, 99) or 0.0


def last_kill(at_s: float, upset: Upset) -> str:
    """Return which kill came last before a moment, and how long before."""
    kill = max((one for one in upset.kills if one.at_s <= at_s), key=lambda one: one.at_s, default=None)
    return f"{kill.kind} -{at_s - kill.at_s:.2f} s" if kill else "nobody"
