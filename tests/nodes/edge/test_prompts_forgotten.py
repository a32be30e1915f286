"""What was said with somebody's words in it goes when somebody is forgotten, and who needs it has it again."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nodes.edge.ears import Engines
from nodes.edge.forgetting import latest, remove_prompts
from nodes.edge.prompts_ahead import PromptsAhead
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import closing
from nodes.media.prompts import Prompts
from nodes.mesh.mesh import Mesh
from nodes.speech.flite import FliteVoice
from nodes.speech.synthesiser import Synthesiser
from protocols.wire.campaigns import ContactId
from protocols.wire.forgetting import Person
from protocols.wire.ids import Identity, PromptHash, is_filled
from protocols.wire.messages import Part, Prompt, Render
from protocols.wire.takeover import PromptsOf

FIXED, HERS = (Part("Good morning."),), (Part("Hello "), Part("Ada Lovelace", "text"), Part("."))
EDGE, ENGINE, HEIR = (Identity(f"n1.{name}:1") for name in ("edge-0", "speech-0", "edge-1"))


async def test_a_prompt_with_a_slot_s_value_bears_that_in_its_name_and_sounds_as_if_it_had_none(tmp_path: Path) -> None:
    synthesiser = Synthesiser(tmp_path, FliteVoice)
    await synthesiser.start()
    fixed, hers = [await synthesiser.render(parts) for parts in (FIXED, HERS)]
    as_text = await synthesiser.render([Part("Hello Ada Lovelace.")])
    synthesiser.close()
    assert [is_filled(one.prompt) for one in (fixed, hers, as_text)] == [False, True, False]
    assert (hers.spoken, hers.ms) == (as_text.spoken, as_text.ms)
    assert synthesiser.path(hers.prompt).read_bytes() == synthesiser.path(as_text.prompt).read_bytes()


def test_of_prompts_with_values_those_go_that_nobody_has_asked_for_since(tmp_path: Path) -> None:
    at = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    old, new = f"{'a' * 32}s.ulaw", f"{'b' * 32}s.ulaw"
    for name, s in ((old, -1), (new, 1), (f".{old}.4711", -1), (f"{'c' * 32}.ulaw", -1)):
        (tmp_path / name).write_bytes(b"\xff")
        os.utime(tmp_path / name, (at.timestamp() + s,) * 2)
    up_to_s = latest([Person(ContactId("a4"), at), Person(ContactId("a5"), at - timedelta(days=1))])
    assert remove_prompts(tmp_path, up_to_s, only_look=True) == (3, [f".{old}.4711", old])
    assert remove_prompts(tmp_path, up_to_s) == (3, [f".{old}.4711", old])
    assert sorted(path.name for path in tmp_path.iterdir()) == [new, f"{'c' * 32}.ulaw"]
    assert remove_prompts(tmp_path / "nowhere", latest([])) == (0, [])


async def test_an_edge_whose_prompt_was_removed_has_it_rendered_again_and_what_all_hear_is_still_known(
    tmp_path: Path,
) -> None:
    asked = []

    def render(order: Render, sender: Identity) -> Prompt:
        asked.append(order.parts)
        name = "a" * 32 + ("s" if order.parts == HERS else "")
        (tmp_path / f"{name}.ulaw").touch()
        return Prompt(name, 400, "")  # type: ignore[arg-type]

    async with (
        closing(await Mesh.start(EDGE, f"ipc://{tmp_path}/edge")) as edge,
        closing(await Mesh.start(ENGINE, f"ipc://{tmp_path}/engine")) as engine,
    ):
        engine.serve(Render, render)
        peers = [Peer(role, role, who.identity, who.endpoint, 1, State.ACTIVE) for role, who in (
            ("edge", edge), ("speech", engine)
        )]  # fmt: skip
        roster = Roster(1, tuple(peers))
        for mesh in (edge, engine):
            mesh.roster(roster)
        engines = Engines(edge, tmp_path)
        engines.follow(roster)
        for sentence in (FIXED, HERS):
            await engines.render("c1", sentence)
        assert engines.known((FIXED, HERS)) is not None
        remove_prompts(tmp_path, up_to_s=float("inf"))
        assert engines.known((HERS,)) is None
        await engines.render("c1", HERS)
        assert engines.known((FIXED, HERS)) is not None
        engines.forget()
        assert (engines.known((FIXED,)) is not None, engines.known((HERS,))) == (True, None)
    assert asked == [FIXED, HERS, HERS]


async def test_an_heir_that_has_removed_a_prompt_is_told_it_again(tmp_path: Path) -> None:
    fixed, hers = PromptHash("a" * 32), PromptHash("a" * 32 + "s")
    heard, all_of_it = list[PromptHash](), asyncio.Event()

    def hear(given: PromptsOf, sender: Identity) -> None:
        heard.extend(given.prompts)
        if len(heard) == 3:
            all_of_it.set()

    async with (
        closing(await Mesh.start(EDGE, f"ipc://{tmp_path}/edge")) as edge,
        closing(await Mesh.start(HEIR, f"ipc://{tmp_path}/heir")) as heir,
    ):
        heir.serve(PromptsOf, hear)
        peers = [Peer("edge", who.identity, who.identity, who.endpoint, 1, State.ACTIVE) for who in (edge, heir)]
        for mesh in (edge, heir):
            mesh.roster(Roster(1, tuple(peers)))
        ahead = PromptsAhead(edge, tmp_path, lambda work: work.close())
        for _ in range(2):
            ahead.tell(HEIR, [fixed, hers])
        ahead.forget()
        ahead.tell(HEIR, [fixed, hers])
        async with asyncio.timeout(60):
            await all_of_it.wait()
    assert heard == [fixed, hers, hers]


def test_media_keeps_in_memory_what_everybody_hears_and_nothing_of_one_person(tmp_path: Path) -> None:
    fixed, hers = "a" * 32, "a" * 32 + "s"
    for name in (fixed, hers):
        (tmp_path / f"{name}.ulaw").write_bytes(b"sound")
    prompts = Prompts(tmp_path)
    assert [prompts.get(name) for name in (fixed, hers)] == [b"sound"] * 2  # type: ignore[arg-type]
    remove_prompts(tmp_path, up_to_s=float("inf"))
    (tmp_path / f"{fixed}.ulaw").unlink()
    assert [prompts.get(name) for name in (fixed, hers)] == [b"sound", b""]  # type: ignore[arg-type]
