"""Who is asked of several that may take something, and what is made of their answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.links.anywhere import ask_each, ask_first, spread
from nodes.links.errors import AskTimeout, NotAll, PeerGone, Refused
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import closing
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import Identity
from protocols.wire.messages import GetStatus, Status


class Rig:
    """Three processes of one role, each of which refuses with a word, answers, or is gone."""

    def __init__(self, mesh: Mesh, peers: list[Peer], meshes: list[Mesh]) -> None:
        self.mesh, self.peers, self.meshes, self.asked = mesh, peers, meshes, [0, 0, 0]

    def says(self, *words: str) -> None:
        for n, word in enumerate(words):
            self.meshes[n].serve(GetStatus, lambda _, sender, n=n, word=word: self._answer(n, word))

    def _answer(self, n: int, word: str) -> Status:
        self.asked[n] += 1
        if word:
            raise Refused(word)
        return Status("central", n, {})

    async def ask(self) -> tuple[Identity, int]:
        peer, told = await ask_first(self.mesh, "central", self.peers, GetStatus(), 1.0)
        return peer.identity, told.pid


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        meshes = [
            await stack.enter_async_context(
                closing(await Mesh.start(Identity(f"n1.central-{n}:1"), f"ipc://{tmp_path}/{n}"))
            )
            for n in range(3)
        ]
        asker = await stack.enter_async_context(
            closing(await Mesh.start(Identity("n1.desk-0:1"), f"ipc://{tmp_path}/d"))
        )
        peers = [
            Peer("central", f"central-{n}", one.identity, one.endpoint, 1, State.ACTIVE) for n, one in enumerate(meshes)
        ]
        asker.roster(Roster(1, tuple(peers)))
        yield Rig(asker, peers, meshes)


async def test_of_several_each_is_asked_and_their_answers_are_all_there(rig: Rig) -> None:
    rig.says("", "", "")
    assert [one.pid for one in await ask_each(rig.mesh, rig.peers, GetStatus(), 1.0)] == [0, 1, 2]
    assert await ask_each(rig.mesh, [], GetStatus(), 1.0) == []


async def test_one_that_fails_is_named_and_keeps_no_other_from_being_asked(rig: Rig) -> None:
    """The first that failed kept all behind it from hearing what was for the whole node."""
    rig.says("draining", "", "")
    await rig.meshes[2].close()
    with pytest.raises(NotAll) as failed:
        await ask_each(rig.mesh, rig.peers, GetStatus(), 0.2)
    assert rig.asked == [1, 1, 0]
    assert [*failed.value.failed] == [rig.peers[0].identity, rig.peers[2].identity]
    assert failed.value.reasons[0] == "draining"
    assert str(failed.value).startswith("n1.central-0:1: draining; n1.central-2:1")


async def test_who_does_not_lead_or_takes_nothing_now_is_passed_over(rig: Rig) -> None:
    rig.says("not_leading", "node_full", "")
    assert await rig.ask() == ("n1.central-2:1", 2)


async def test_who_is_gone_is_passed_over(rig: Rig) -> None:
    rig.says("", "", "")
    rig.mesh.roster(Roster(2, tuple(rig.peers[1:])))
    assert await rig.ask() == ("n1.central-1:1", 1)


async def test_a_no_to_what_is_asked_is_everybodys(rig: Rig) -> None:
    rig.says("bad_script", "", "")
    with pytest.raises(Refused, match="bad_script"):
        await rig.ask()
    assert rig.asked == [1, 0, 0]


async def test_who_does_not_answer_may_have_done_it_and_nobody_else_is_asked(rig: Rig) -> None:
    rig.says("not_leading", "", "")
    await rig.meshes[1].close()
    with pytest.raises(AskTimeout):
        await rig.ask()
    assert rig.asked == [1, 0, 0]


async def test_where_nobody_takes_it_the_last_word_is_told(rig: Rig) -> None:
    rig.says("node_full", "draining", "not_active")
    with pytest.raises(Refused, match="not_active"):
        await rig.ask()
    rig.peers.clear()
    with pytest.raises(PeerGone, match="central"):
        await rig.ask()


def test_what_is_for_one_of_several_is_spread_over_them_and_a_successor_is_where_its_predecessor_was() -> None:
    peers = [Peer("edge", f"edge-{n}", Identity(f"n1.edge-{n}:1"), "", 1, State.ACTIVE) for n in range(3)]
    later = [replace(peer, identity=Identity(f"n1.{peer.name}:2")) for peer in reversed(peers)]
    keys = [f"c{n}" for n in range(90)]
    first = [spread(peers, key)[0].name for key in keys]
    assert min(first.count(peer.name) for peer in peers) > 15
    assert [spread(later, key)[0].name for key in keys] == first
    assert {frozenset(spread(peers, key)) for key in keys} == {frozenset(peers)}
    assert spread(peers[:1], "c1") == peers[:1]
    assert spread([], "c1") == []
