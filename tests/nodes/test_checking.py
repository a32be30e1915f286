"""Scripts from outside are read by another process, so that whoever asked goes on with what it does."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from grammars import ScriptError, load
from grammars.script_pack import unpack
from nodes import checking
from nodes.checking import MAX_WAITING, Scripts

HELLO = Path("grammars/scripts/hello.yaml").read_text()
CHINESE = Path("grammars/scripts/appointment_reminder_zh.yaml").read_text()


async def test_a_good_script_comes_back_packed_and_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = Scripts()
    packed = await scripts.packed(HELLO)
    assert unpack(packed) == load(HELLO)
    monkeypatch.setattr(checking, "_ask", None)
    assert await scripts.packed(HELLO) == packed


async def test_a_wrong_script_comes_back_as_its_reasons() -> None:
    with pytest.raises(ScriptError) as expected:
        load("flow: hello")
    with pytest.raises(ScriptError) as refused:
        await Scripts().packed("flow: hello")
    assert refused.value.reasons == expected.value.reasons


async def test_a_question_that_only_a_voice_answers_is_refused_where_nobody_hears_its_language() -> None:
    keyless = CHINESE.replace("      dtmf: {0: human}\n", "")
    assert unpack(await Scripts().packed(CHINESE)).language == "zh"
    assert unpack(await Scripts(("en", "zh")).packed(keyless)).language == "zh"
    with pytest.raises(ScriptError, match="no recogniser here hears Mandarin"):
        await Scripts().packed(keyless)


async def test_while_a_script_is_read_the_loop_is_free() -> None:
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            longest = max(longest, time.thread_time() - before)

    ticking = asyncio.create_task(tick())
    with pytest.raises(ScriptError):
        await Scripts().packed("\n".join(f"x{n}: 1" for n in range(8_000)))  # a second of reading
    ticking.cancel()
    assert longest < 0.05  # seconds of this thread


async def test_a_reader_that_runs_away_is_ended_and_the_script_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_PROGRAM", ("-c", "while True: pass"))
    monkeypatch.setattr(checking, "WAIT_S", 0.3)
    with pytest.raises(ScriptError, match="in time"):
        await Scripts().packed(HELLO)


async def test_a_reader_that_dies_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_PROGRAM", ("-c", "import os; os.abort()"))
    with pytest.raises(ScriptError, match="too much time or memory"):
        await Scripts().packed(HELLO)


async def test_a_crowd_of_scripts_is_refused_beyond_so_many_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_PROGRAM", ("-c", "input()"))
    scripts = Scripts()
    crowd = [asyncio.create_task(scripts.packed(f"flow: {n}")) for n in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(ScriptError, match="too many"):
        await scripts.packed("flow: one more")
    for one in crowd:
        one.cancel()
    ended = await asyncio.gather(*crowd, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError | ScriptError) for one in ended)
