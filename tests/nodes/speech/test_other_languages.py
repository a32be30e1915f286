"""A script in a language that the recogniser does not hear: spoken as any, and answered with keys."""

from pathlib import Path

import pytest

import grammars
from grammars import load
from grammars.script_pack import pack
from nodes.links.errors import Refused
from protocols.wire import messages as wire

CHINESE = (Path(grammars.__file__).parent / "scripts" / "satisfaction_survey_zh.yaml").read_text()


async def test_it_is_spoken_in_its_language_and_what_is_said_to_it_is_not_understood(caller, voice) -> None:
    script = load(CHINESE)
    await caller.edge.ask(caller.engine, wire.WarmScript(pack(script)), timeout_s=60.0)
    parts = (wire.Part("您每次花", language="zh"), wire.Part("50.5", "money", "zh"))
    prompt = await caller.edge.ask(caller.engine, wire.Render(parts))
    assert prompt.spoken == "您每次花五十元五角"
    assert 1000 < prompt.ms < 5000
    other = caller.another("in-mandarin")
    other.script = script
    await other.listen("willing")
    other.send(other.frames(voice("yes please")))
    heard = await other.next_heard()
    assert (heard.meaning, heard.words) == (None, "")


async def test_without_a_key_for_each_question_it_is_not_taken(caller) -> None:
    keyless = CHINESE.replace("      dtmf: {0: human}\n", "")
    with pytest.raises(Refused, match="other_language"):
        await caller.edge.ask(caller.engine, wire.WarmScript(pack(load(keyless))), timeout_s=60.0)
