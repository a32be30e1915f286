"""Prompts as the speech process renders them."""

from pathlib import Path

import numpy as np
import pytest

from grammars import load
from grammars.script_pack import pack
from nodes.audio import g711
from nodes.links.errors import Refused
from protocols.wire import messages as wire


def file_of(engine, prompt: wire.Prompt) -> Path:
    return engine.state / "prompts" / f"{prompt.prompt}.ulaw"


async def test_a_prompt_is_a_file_named_by_what_it_says(engine, edge) -> None:
    parts = (wire.Part("Your balance is"), wire.Part("42.50", "money"), wire.Part("."))
    first = await edge.ask(engine.identity, wire.Render(parts))
    again = await edge.ask(engine.identity, wire.Render((wire.Part(first.spoken, "text"),)))
    assert first.spoken == "Your balance is forty two dollars and fifty cents."
    assert again == first
    assert first.ms == file_of(engine, first).stat().st_size // 8
    assert 1500 < first.ms < 6000


async def test_rendering_again_renders_nothing(engine, edge) -> None:
    async def n_rendered() -> float:
        return (await edge.ask(engine.identity, wire.GetStatus())).figures["prompts_rendered"]

    await edge.ask(engine.identity, wire.Render((wire.Part("Once is enough."),)))
    before = await n_rendered()
    await edge.ask(engine.identity, wire.Render((wire.Part("Once is enough."),)))
    assert await n_rendered() == before


async def test_a_prompt_begins_at_once_and_is_not_clipped(engine, edge) -> None:
    prompt = await edge.ask(engine.identity, wire.Render((wire.Part("Good morning."),)))
    samples = np.abs(g711.decode(file_of(engine, prompt).read_bytes()).astype(int))
    assert samples[:320].max() > 200
    assert 8000 < samples.max() < 20000


async def test_only_whole_prompts_are_to_be_seen(engine, edge) -> None:
    await edge.ask(engine.identity, wire.Render((wire.Part("One more sentence."),)))
    assert {path.suffix for path in (engine.state / "prompts").iterdir()} == {".ulaw"}


async def test_a_prompt_without_words_is_refused(engine, edge) -> None:
    with pytest.raises(Refused, match="engine_failed"):
        await edge.ask(engine.identity, wire.Render((wire.Part(""),)))


async def test_a_sentence_that_is_too_long_is_refused_and_counted_and_the_next_is_said(engine, edge) -> None:
    """All calls have one voice: it must not read a document to one of them."""
    with pytest.raises(Refused, match="prompt_too_long"):
        await edge.ask(engine.identity, wire.Render((wire.Part("So "), wire.Part("and so on " * 200))))
    assert (await edge.ask(engine.identity, wire.GetStatus())).figures["prompts_too_long"] == 1
    await edge.ask(engine.identity, wire.Render((wire.Part("So."),)))


async def test_a_script_is_warmed_with_all_its_sentences(engine, edge, script) -> None:
    warmed = await edge.ask(engine.identity, wire.WarmScript(pack(script)), 30.0)
    assert warmed.script == script.hash
    n_files = len(list((engine.state / "prompts").iterdir()))
    for sentence in script.prompts:
        await edge.ask(engine.identity, wire.Render(sentence))
    assert len(list((engine.state / "prompts").iterdir())) == n_files


@pytest.mark.parametrize(
    ("order", "word"),
    [
        (wire.WarmScript(b"flow: 1"), "bad_script: line"),
        (wire.Hear("c", "n1.edge-0:1", "0" * 32, ("yes_no",), 1), "unknown_script"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_a_word(engine, edge, order, word: str) -> None:
    with pytest.raises(Refused, match=word):
        await edge.ask(engine.identity, order)


async def test_a_rule_that_the_script_lacks_is_refused(caller) -> None:
    hear = wire.Hear(caller.channel, caller.edge.identity, caller.script.hash, ("no such rule",), 1)
    with pytest.raises(Refused, match="unknown_rule"):
        await caller.edge.ask(caller.engine, hear)


@pytest.mark.parametrize(
    ("said", "intent"), [("The sales team.", "sales"), ("Technical support.", "support"), ("My bill.", "billing")]
)
async def test_what_the_robot_says_it_can_hear(caller, silence, engine, said: str, intent: str) -> None:
    prompt = await caller.edge.ask(engine.identity, wire.Render((wire.Part(said),)))
    heard = await caller.answer("team", silence(300) + file_of(engine, prompt).read_bytes() + silence(820))
    assert heard.meaning is not None
    assert heard.meaning.intent == intent


async def test_an_ear_that_could_not_be_built_once_is_built_at_the_next_ask(engine, edge) -> None:
    text = (Path(__file__).parent / "every_rule.yaml").read_text().replace("version: 1", "version: another")
    another = load(text)
    in_the_way = engine.state / "run" / f"{engine.identity.partition(':')[0]}.ears" / another.hash
    in_the_way.write_text("a file where the ear's directory is to be: mkdir(2) fails as on a full disk")
    with pytest.raises(Refused, match="engine_failed"):
        await edge.ask(engine.identity, wire.WarmScript(pack(another)), 30.0)
    in_the_way.unlink()
    assert (await edge.ask(engine.identity, wire.WarmScript(pack(another)), 30.0)).script == another.hash
