"""Which engine an edge asks for a script when the first cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from nodes.edge import ears
from nodes.edge.ears import Engines, NoEngine
from nodes.links.errors import Refused
from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import Identity, ScriptHash
from protocols.wire.messages import ScriptWarmed, WarmScript

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
