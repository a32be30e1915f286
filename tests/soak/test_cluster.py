"""Ten minutes of three machines under faults, with people always on the telephone: nobody is lost, or rung again.

    make soak SOAK=cluster           RINGMASTER_SOAK_S=120: a shorter one; RINGMASTER_SOAK_SEED=...: the same faults;
                                     RINGMASTER_SOAK_SCRIPTED=0: without the 300 scripted calls

Two clusters share the fate of three machines: one of people with voices, ten at once, one of 300 scripted calls at
once. Every 5 s a process dies on both, every 60 s a machine; NATS loses its leader twice, a machine is cut off from the
others twice, and twice one stands still for 4 s. What came of it is told by those outside: callees, telephones and
agents say what they heard, the databases what was written down. The last line is a JSON object for each cluster.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from nodes.commands.judge import percentile
from nodes.rehearsal.hosts import NoHosts, hosts
from tests.soak.field import READY_S, Field, audio, field_of, names, scripted
from tests.soak.havoc import Havoc, plan
from tests.soak.verdict import Findings

SOAK_S: Final = float(os.environ.get("RINGMASTER_SOAK_S", "600"))
SEED: Final = int(os.environ.get("RINGMASTER_SOAK_SEED", random.SystemRandom().randrange(10**9)))
AUDIO: Final = 10
SCRIPTED: Final = int(os.environ.get("RINGMASTER_SOAK_SCRIPTED", "300"))
CALL_S: Final = 20.0
"""No call of the campaigns is shorter on average: there are contacts for all of the soak, and for what is before it."""
HEARTBEAT_MS: Final = 3000.0
OVERLAPPING_S: Final = 120.0
SAYS_S: Final = 20.0


async def test_a_cluster_under_faults_loses_nobody(tmp_path: Path, say: Callable[[str], None]) -> None:
    for found in await soak(tmp_path, say, SOAK_S, overlaps=False):
        expect_closed(found)
        assert found.at_once_ms <= HEARTBEAT_MS
        assert (found.lost, found.lost_told) == (0, 0)


async def test_what_faults_of_a_cluster_that_overlap_have_cost_is_known(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    for found in await soak(tmp_path, say, min(SOAK_S, OVERLAPPING_S), overlaps=True):
        expect_closed(found)


def expect_closed(found: Findings) -> None:
    """What holds whatever fails: every call is closed, every event there once, nobody rung twice, every agent free."""
    assert found.answered > 0
    assert found.lost_open == 0
    assert found.rung_twice == 0
    assert (found.events_missing, found.events_twice, found.ended_twice) == (0, 0, 0)
    assert found.agents_not_free == []


async def soak(tmp_path: Path, say: Callable[[str], None], seconds: float, *, overlaps: bool) -> list[Findings]:
    """Run one; return what each cluster came to. Skipped where this machine gives no test hosts."""
    say(f"cluster soak: {seconds:.0f} s, seed {SEED}, state in {tmp_path}")
    kinds = [audio(AUDIO), *([scripted(SCRIPTED)] if SCRIPTED else [])]
    found = [Findings() for _ in kinds]
    try:
        async with AsyncExitStack() as stack:
            made = await stack.enter_async_context(hosts(names(kinds), tmp_path))
            fields = [await stack.enter_async_context(field_of(kind, made, SEED)) for kind in kinds]
            havoc = [Havoc(made, each.kind.nodes, each.nodes(), each.is_healed, each.leader) for each in fields]
            await run(fields, havoc, found, seconds, overlaps=overlaps, say=say)
    except NoHosts as error:
        pytest.skip(str(error))
    # The nodes are down: their files are ours to read, and callees whom nobody has hung up on have said so.
    for each, done, one in zip(fields, havoc, found, strict=True):
        one.databases(side.node.state / "ringmaster.duckdb" for side in each.sides.values())
        if each.kind.env:
            one.telephones(each.phones())
        else:
            one.callees(each.callees.lived(), done)
        (tmp_path / f"{each.kind.far}-faults.txt").write_text("".join(f"{line}\n" for line in done.told()))
        one.handed_over = len(each.callees.served())
        one.faults, one.unhealed = done.kinds(), done.unhealed
        one.unreplicated_ms_p99 = percentile(done.healed_ms, 99)
        for note in one.notes[:40]:
            say(note)
        say(json.dumps(one.line()))
    return found


async def run(
    fields: list[Field],
    havoc: list[Havoc],
    found: list[Findings],
    seconds: float,
    *,
    overlaps: bool,
    say: Callable[[str], None],
) -> None:
    """Have everybody call while everything fails, then let the last calls end."""
    lists = [round(each.kind.at_once * (seconds + READY_S) / CALL_S) for each in fields]
    await asyncio.gather(*(each.begin(n) for each, n in zip(fields, lists, strict=True)))
    watching = asyncio.create_task(watch(fields, havoc, found, say))
    keeping = [asyncio.create_task(side.node.keep()) for each in fields for side in each.sides.values()]
    due = plan(seconds, len(fields[0].kind.nodes), SEED)
    await asyncio.gather(*(each.run(due, seconds, overlaps=overlaps) for each in havoc))
    watching.cancel()
    for each, one in zip(fields, found, strict=True):
        await each.whole()
        await each.steer("stopped")
        await each.until_over()
        one.agents_not_free = await each.not_free()
    for task in keeping:
        task.cancel()


async def watch(fields: list[Field], havoc: list[Havoc], found: list[Findings], say: Callable[[str], None]) -> None:
    """Say now and then how it goes, and count how many calls are up while everything fails."""
    seen: list[list[int]] = [[] for _ in fields]
    began_s = told_s = time.monotonic()
    while True:
        await asyncio.sleep(5.0)
        for each, one, up in zip(fields, found, seen, strict=True):
            up.append(await each.up())
            one.calls_up = round(sum(up) / len(up), 1)
        if time.monotonic() >= told_s + SAYS_S:
            told_s = time.monotonic()
            calls = " and ".join(str(up[-1]) for up in seen)
            say(f"{told_s - began_s:5.0f} s  {sum(len(each.done) for each in havoc)} faults, {calls} calls up")
