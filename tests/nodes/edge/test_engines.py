"""Which engine an edge asks for a script when the first cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from nodes.call.effects import HearCallee
from nodes.call.inputs import Hears
from nodes.config_speech import Engine, Speech
from nodes.edge import ears
from nodes.edge.ears import By, Engines, NoEngine
from nodes.links.errors import Refused
from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from protocols.floor import Listen
from protocols.wire.ids import CallId, ChannelId, Identity, ScriptHash, process_of
from protocols.wire.messages import Done, Hear, ScriptWarmed, WarmScript

EDGE, FIRST, SECOND = (Identity(f"n1.{name}:1") for name in ("edge-0", "speech-0", "speech-1"))
Two = tuple[Engines, list[Identity], dict[Identity, str]]


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    """An edge's engines, who was asked, and with which words each engine refuses."""
    edge, *engines = [await Mesh.start(name, f"ipc://{tmp_path}/{name}") for name in (EDGE, FIRST, SECOND)]
    asked: list[Identity] = []
    refusals: dict[Identity, str] = {}

    def warm(engine: Identity) -> Callable[[WarmScript, Identity], ScriptWarmed]:
        def handler(order: WarmScript, sender: Identity) -> ScriptWarmed:
            asked.append(engine)
            if engine in refusals:
                raise Refused(refusals[engine])
            return ScriptWarmed(ScriptHash("5"), 1)

        return handler

    for mesh in engines:
        mesh.serve(WarmScript, warm(mesh.identity))
    peers = [Peer("speech", mesh.identity, mesh.identity, mesh.endpoint, 1, State.ACTIVE) for mesh in engines]
    me = Peer("edge", "edge-0", EDGE, edge.endpoint, 1, State.ACTIVE)
    for mesh in (edge, *engines):
        mesh.roster(Roster(1, (me, *peers)))
    made = Engines(edge, tmp_path / "prompts")
    made.follow(Roster(1, (me, *peers)))
    yield made, asked, refusals
    for mesh in (edge, *engines):
        await mesh.close()


@pytest.mark.parametrize("reason", ["engine_failed", "internal_error", "busy"])
async def test_an_engine_that_cannot_is_passed_over_for_the_next(two: Two, reason: str) -> None:
    engines, asked, refusals = two
    first, second = await engines.ordered("c1")
    refusals[first] = reason
    await engines.warm("c1", b"flow: x")
    assert asked == [first, second]


async def test_a_script_that_is_wrong_is_wrong_everywhere(two: Two) -> None:
    engines, asked, refusals = two
    first, _ = await engines.ordered("c1")
    refusals[first] = "bad_script: line 1: no states"
    with pytest.raises(NoEngine, match="line 1"):
        await engines.warm("c1", b"flow: x")
    assert asked == [first]


async def test_scripts_without_end_are_warmed_and_what_is_remembered_of_them_is_bounded(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ears, "MAX_WARM", 4)
    engines, asked, _ = two
    for script in (b"a", b"b", b"c", b"d", b"a", b"e", b"a", b"b"):
        await engines.warm("c1", script)
    assert len(asked) == 6, "a was asked for again and again, and b so long ago that it is told once more"


async def test_an_engine_that_fails_again_and_again_comes_last_and_is_tried_with_one_call(two: Two) -> None:
    engines, asked, refusals = two
    first, second = await engines.ordered("c1")
    refusals[first] = "engine_failed"
    for n in range(10):
        await engines.warm("c1", b"flow: %d" % n)
    assert engines.figures() == {
        "engine_breakers_open": 1.0, "engine_breakers_opened": 1.0, "retries_engine": 10.0,
        "recogniser_breakers_open": 0.0, "recogniser_breakers_opened": 0.0,
    }  # fmt: skip
    assert await engines.ordered("c1") == [second, first]
    asked.clear()
    await engines.warm("c1", b"flow: x")
    assert asked == [second]
    engines._breakers._by_name[first].open_s = 0.0
    del refusals[first]
    await engines.warm("c1", b"flow: y")
    assert asked == [second, first], "one trial, and it is in its place again"
    assert await engines.ordered("c1") == [first, second]
    assert engines.figures()["engine_breakers_open"] == 0.0


async def test_an_engine_that_has_ended_fails_no_more(two: Two) -> None:
    engines, _, refusals = two
    first, second = await engines.ordered("c1")
    refusals[first] = "engine_failed"
    for n in range(10):
        await engines.warm("c1", b"flow: %d" % n)
    left = tuple(peer for peer in engines._peers if peer.identity == second)
    engines.follow(Roster(2, left))
    assert engines.figures()["engine_breakers_open"] == 0.0


LISTEN = Listen(1, ("yes_no",), "grammar", 5.0, 10.0)
KINDS = Speech(1, engines=(Engine("other"),))
"""speech-0 hears with kaldi, speech-1 with another."""


@pytest.fixture
async def kinds(tmp_path: Path) -> AsyncIterator[Two]:
    """An edge with two engines of two recognisers, who is asked to hear, and with which words each refuses."""
    edge, *engines = [await Mesh.start(name, f"ipc://{tmp_path}/{name}") for name in (EDGE, FIRST, SECOND)]
    asked: list[Identity] = []
    refusals: dict[Identity, str] = {}

    def serve(mesh: Mesh) -> None:
        def handler(order: object, sender: Identity) -> Any:
            asked.append(mesh.identity)
            if mesh.identity in refusals:
                raise Refused(refusals[mesh.identity])
            return Done() if isinstance(order, Hear) else ScriptWarmed(ScriptHash("5"), 1)

        mesh.serve(Hear, handler)
        mesh.serve(WarmScript, handler)

    for mesh in engines:
        serve(mesh)
    peers = [
        Peer("speech", process_of(mesh.identity), mesh.identity, mesh.endpoint, 1, State.ACTIVE) for mesh in engines
    ]
    roster = Roster(1, (Peer("edge", "edge-0", EDGE, edge.endpoint, 1, State.ACTIVE), *peers))
    for mesh in (edge, *engines):
        mesh.roster(roster)
    made = Engines(edge, tmp_path / "prompts", KINDS)
    made.follow(roster)
    yield made, asked, refusals
    for mesh in (edge, *engines):
        await mesh.close()


def hears(call: str, turn: int = 1) -> Hear:
    return Hear(ChannelId(call), EDGE, ScriptHash("5"), ("yes_no",), turn)


async def test_a_call_is_heard_by_the_recogniser_that_is_wanted_and_by_another_from_its_next_question_on(
    kinds: Two,
) -> None:
    engines, _, _ = kinds
    before = Identity("")
    for wanted, hearing in (("kaldi", FIRST), ("other", SECOND), ("other", SECOND), ("kaldi", FIRST)):
        before = await engines.listen(hears("c"), b"", before, wanted)
        assert before == hearing


@pytest.mark.parametrize("reason", ["engine_failing", "engine_failed", "busy"])
async def test_where_the_wanted_one_cannot_the_default_hears(kinds: Two, reason: str) -> None:
    engines, asked, refusals = kinds
    refusals[SECOND] = reason
    assert await engines.listen(hears("c"), b"", SECOND, "other") == FIRST
    assert asked[0] == SECOND
    assert len(asked) == (2 if reason == "engine_failing" else 3), "one that says that it fails is not given the script"


async def test_one_that_does_not_hear_a_language_is_not_asked_again_for_that_script_and_has_not_failed(
    kinds: Two,
) -> None:
    engines, asked, refusals = kinds
    refusals[SECOND] = "other_language: en, not ko"
    for _ in range(20):
        assert await engines.listen(hears("c"), b"", FIRST, "other") == FIRST
    assert asked.count(SECOND) == 2
    assert engines.figures()["retries_engine"] == 0.0
    assert await engines.warm_everywhere("c", b"s")


async def test_a_recogniser_that_dies_with_most_of_what_it_hears_is_left_alone_though_its_process_is_up_again(
    kinds: Two,
) -> None:
    engines, _, _ = kinds
    dead = Identity("n1.speech-1:0")
    for n in range(4):
        assert await engines.listen(hears(f"c{n}"), b"", dead, "other") == (SECOND if n < 3 else FIRST)
    assert engines.figures()["recogniser_breakers_open"] == 1.0
    engines._recognisers._by_name["other"].open_s = 0.0
    assert await engines.listen(hears("c"), b"", FIRST, "other") == SECOND, "one call tries"
    assert await engines.listen(hears("d"), b"", FIRST, "other") == SECOND
    assert await engines.listen(hears("c"), b"", SECOND, "other") == SECOND, "and it has outlived a question"
    assert engines.figures()["recogniser_breakers_open"] == 0.0


async def test_the_deaths_of_the_default_take_nobody_from_it(kinds: Two) -> None:
    engines, _, _ = kinds
    for _ in range(9):
        assert await engines.listen(hears("c"), b"", Identity("n1.speech-0:0"), "kaldi") == FIRST


async def test_whoever_hears_next_is_told_what_was_answered(kinds: Two) -> None:
    engines, _, _ = kinds
    orders: list[Hear] = []
    mesh = next(one for one in (engines._mesh,))
    ask = mesh.ask

    async def noted(to: Identity, message: Any, *args: Any, **more: Any) -> Any:
        orders.append(message)
        return await ask(to, message, *args, **more)

    mesh.ask = noted  # type: ignore[method-assign]
    effect = HearCallee(1, LISTEN, FIRST)
    told = await ears.hear(engines, CallId("c"), b"", ScriptHash("5"), effect, By("other", 17.5))
    assert told == Hears(1, SECOND)
    assert [one.after_s for one in orders] == [17.5]
