"""Speaking and hearing for a call: words that are on disk at once, and an engine that hears, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.call.effects import HearCallee, Prepare, Sentences, Speak
from nodes.call.inputs import Hears, NoEngineLeft, Spoken
from nodes.edge import ears
from protocols.floor import Bargein, Listen
from protocols.wire.ids import CallId, ChannelId, Identity, ScriptHash
from protocols.wire.messages import Deafen, Hear, Part, Render, WarmScript
from tests.nodes.edge.surroundings import EDGE, PROMPT, Surroundings, surroundings

CALL, SCRIPT = CallId("c1"), ScriptHash("5")
WORDS: Sentences = ((Part("Hello."),), (Part("Who is there?"),))
LISTEN = Listen(2, ("yes_no",), Bargein.OFF, 4.0, 15.0, 0.7, 2.0)
HEAR = Hear(ChannelId(CALL), EDGE, SCRIPT, ("yes_no",), 2, 0.7, 2.0)
NOBODY = Identity("")


@pytest.fixture
async def around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Surroundings]:
    monkeypatch.setattr(ears, "AWAIT_ENGINE_S", 0.05)
    async with surroundings(tmp_path, "speech-0", "speech-1") as made:
        yield made


async def listens(around: Surroundings, before: Identity) -> Hears | NoEngineLeft:
    return await ears.hear(around.services.engines, CALL, b"packed", SCRIPT, HearCallee(7, LISTEN, before), ears.By())


async def test_words_that_have_been_said_are_known_at_once(around: Surroundings) -> None:
    engines = around.services.engines
    assert engines.known(WORDS) is None
    assert await ears.speak(engines, CALL, Speak(7, WORDS)) == Spoken(7, (PROMPT, PROMPT))
    assert engines.known(WORDS) == (PROMPT, PROMPT)
    assert engines.known((*WORDS, (Part("Good-bye."),))) is None
    assert engines.known(()) == ()


async def test_where_no_engine_speaks_none_is_left(around: Surroundings) -> None:
    around.refusals = {(name, Render): "busy" for name in ("speech-0", "speech-1")}
    assert await ears.speak(around.services.engines, CALL, Speak(7, WORDS)) == NoEngineLeft(7)
    around.follow("speech-0", "speech-1")
    assert around.services.engines.living == frozenset()
    assert await ears.speak(around.services.engines, CALL, Speak(7, WORDS)) == NoEngineLeft(7)


async def test_a_sentence_that_is_too_long_is_its_call_s_fault_and_no_engine_s(around: Surroundings) -> None:
    """The next engine is not asked, and none counts as failing: callers of others are not moved for it."""
    around.refusals = {(name, Render): ears.TOO_LONG for name in ("speech-0", "speech-1")}
    for _ in range(20):
        told = await ears.speak(around.services.engines, CALL, Speak(7, WORDS))
        assert told == NoEngineLeft(7, "prompt_too_long")
    assert around.services.engines.figures()["engine_breakers_open"] == 0
    assert around.told.qsize() == 20, "one engine each time"


async def test_the_engine_that_has_heard_so_far_goes_on_hearing_while_it_lives(around: Surroundings) -> None:
    living = sorted(around.services.engines.living)
    for before in living:
        assert await listens(around, before) == Hears(7, before)
        assert await around.hears(Hear) == (before.split(".")[1].removesuffix(":1"), HEAR)
    around.follow("speech-0")
    assert await listens(around, living[0]) == Hears(7, living[1])


async def test_who_asks_the_only_engine_while_it_dies_is_heard_by_its_successor(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answered call was hung up on, because the list of those that could be asked was over."""
    monkeypatch.setattr(ears, "AWAIT_ENGINE_S", 20.0)
    around.follow("speech-1")
    (only,) = around.services.engines.living
    around.waits[Hear] = asyncio.Event()
    asking = asyncio.create_task(listens(around, NOBODY))
    assert (await around.hears(Hear))[0] == "speech-0"
    around.follow("speech-0", "speech-1")
    around.waits[Hear].set()
    around.follow("speech-0")
    (successor,) = around.services.engines.living - {only}
    assert await asking == Hears(7, successor)


async def test_an_engine_that_is_new_is_told_the_script_and_one_that_cannot_is_passed_over(
    around: Surroundings,
) -> None:
    first, second = sorted(around.services.engines.living)
    around.refusals["speech-0", Hear] = "unknown_script"
    assert await listens(around, first) == Hears(7, second)
    assert await around.hears(WarmScript) == ("speech-0", WarmScript(b"packed"))
    assert around.services.engines.figures()["retries_engine"] == 1.0
    around.refusals["speech-1", Hear] = "unknown_script"
    assert await listens(around, first) == NoEngineLeft(7)
    assert around.services.engines.figures()["retries_engine"] == 3.0


async def test_an_engine_that_is_not_wanted_any_more_before_it_has_said_yes_is_told_so(around: Surroundings) -> None:
    """Else it would keep the wish of a call that it never hears."""
    around.waits[Hear] = asyncio.Event()
    (first, second), engines = sorted(around.services.engines.living), around.services.engines
    asked = asyncio.create_task(ears.hear(engines, CALL, b"", SCRIPT, HearCallee(7, LISTEN, NOBODY), ears.By()))
    name, _ = await around.hears(Hear)
    asked.cancel()
    assert await around.hears(Deafen) == (name, Deafen(ChannelId(CALL)))
    asked = asyncio.create_task(ears.hear(engines, CALL, b"", SCRIPT, HearCallee(8, LISTEN, first), ears.By()))
    await around.hears(Hear)
    asked.cancel()
    await asyncio.wait([asked])
    around.waits.clear()
    assert await listens(around, second) == Hears(7, second)
    assert await around.hears(Hear) == ("speech-1", HEAR)
    assert around.told.empty(), "whoever heard them before is told by who stops"


async def test_what_is_prepared_is_known_everywhere_and_on_disk(around: Surroundings) -> None:
    await ears.prepare(around.services.engines, CALL, b"packed", Prepare(WORDS))
    assert {(await around.hears(WarmScript))[0] for _ in range(2)} == {"speech-0", "speech-1"}
    assert around.services.engines.known(WORDS) == (PROMPT, PROMPT)


async def test_what_cannot_be_prepared_costs_nothing(around: Surroundings) -> None:
    around.refusals = {(name, kind): "busy" for name in ("speech-0", "speech-1") for kind in (Render, WarmScript)}
    await ears.prepare(around.services.engines, CALL, b"packed", Prepare(WORDS))
    assert around.services.engines.known(WORDS) is None
