"""Channels that nobody owns are closed within seconds, and never one that somebody owns, may own or is about to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.links.errors import Refused
from nodes.links.roster import Peer, Roster, State
from nodes.media.orphans import N_ALONE, N_DENIED, Orphans, Unowned
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.reconcile import ChannelsOwned, FindChannels

DEAD, EDGE, HEIR = (Identity(f"n1.edge-0:{n}") for n in (1, 2, 3))
MEDIA = Identity("n1.media-0:1")
A, B = ChannelId("a"), ChannelId("b")


def closed(n: int, owner: Identity, active: list[Identity], answer: set[ChannelId] | None) -> set[ChannelId]:
    unowned = Unowned()
    last: set[ChannelId] = set()
    for _ in range(n):
        last = set(unowned.look({A: owner}, active, dict.fromkeys(active, answer)))
    return last


def test_what_every_edge_denies_twice_is_closed() -> None:
    assert closed(N_DENIED - 1, DEAD, [EDGE], set()) == set()
    assert closed(N_DENIED, DEAD, [EDGE], set()) == {A}
    assert closed(N_DENIED, EDGE, [EDGE], set()) == {A}, "also by the edge that it belongs to: it has forgotten it"


def test_what_one_owns_and_what_an_edge_that_lives_does_not_answer_for_stays() -> None:
    assert closed(99, DEAD, [EDGE], {A}) == set()
    assert closed(99, EDGE, [EDGE], None) == set()


def test_a_guest_that_answers_is_asked_and_nobody_else() -> None:
    unowned = Unowned()
    for _ in range(N_DENIED + 1):
        assert unowned.look({A: DEAD}, [EDGE], {DEAD: {A}, EDGE: set()}) == set()


def test_when_no_edge_comes_any_more_it_is_closed_in_the_end() -> None:
    assert closed(N_ALONE - 1, DEAD, [], None) == set()
    assert closed(N_ALONE, DEAD, [], None) == {A}


def test_what_one_edge_denies_may_be_anothers_that_is_between_two_lives() -> None:
    """An edge that died with its spares left calls on the disk, and the node's other edge had their audio ended."""
    other, unowned = Identity("n1.edge-1:7"), Unowned()
    for _ in range(N_ALONE - 1):
        assert unowned.look({A: other}, [EDGE], {other: None, EDGE: set()}, are_all=False) == set()
    assert unowned.look({A: other}, [EDGE], {other: None, EDGE: set()}, are_all=False) == {A}
    forgotten = Unowned()
    closed = [forgotten.look({A: EDGE}, [EDGE], {EDGE: set()}, are_all=False) for _ in range(N_DENIED)]
    assert closed[-1] == {A}, "its own edge has forgotten it, whatever another one is doing"


@given(st.lists(st.sampled_from(["owned", "denied", "silent"]), max_size=30))
def test_of_one_whose_owner_lives_only_the_last_answers_count(said: list[str]) -> None:
    unowned = Unowned()
    words: dict[str, set[ChannelId] | None] = {"owned": {A}, "denied": set(), "silent": None}
    last: set[ChannelId] = set()
    for word in said:
        last = set(unowned.look({A: EDGE}, [EDGE], {EDGE: words[word]}))
    heard = [word for word in said if word != "silent"]
    assert bool(last) == (len(heard) >= N_DENIED and heard[-N_DENIED:] == ["denied"] * N_DENIED)


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Mesh]:
    mesh = await Mesh.start(EDGE, f"ipc://{tmp_path}/edge")
    yield mesh
    await mesh.close()


@pytest.fixture
async def orphans(rig, edge: Mesh, tmp_path: Path) -> AsyncIterator[Orphans]:
    media = await Mesh.start(MEDIA, f"ipc://{tmp_path}/media")
    made = Orphans(rig.plane, media)
    made.roster = Roster(
        1,
        (
            Peer("edge", "edge-0", EDGE, edge.endpoint, 1, State.ACTIVE),
            Peer("media", "media-0", MEDIA, media.endpoint, 2, State.ACTIVE),
        ),
    )
    for mesh in (edge, media):
        mesh.roster(made.roster)
    yield made
    await media.close()


def owns(*names: str) -> Callable[[FindChannels, Identity], ChannelsOwned]:
    return lambda asked, _: ChannelsOwned(tuple(name for name in asked.channels if name in names))


async def test_a_successor_has_closed_what_it_does_not_go_on_with_and_the_recording_is_published(
    rig, fars, edge: Mesh, orphans: Orphans
) -> None:
    for name, far in zip("ab", fars, strict=False):
        rig.plane.set(rig.channel(far, name, owner=DEAD, recording=name))
    rig.frames(60)
    edge.serve(FindChannels, owns("b"))
    for _ in range(N_DENIED):
        await orphans.look()
    assert list(rig.plane.wanted()) == ["b"]
    rig.writer.close()
    assert (rig.root / "a.wav").exists()


async def test_what_is_claimed_while_it_is_asked_about_stays(rig, far, edge: Mesh, orphans: Orphans) -> None:
    wanted = rig.channel(far, owner=DEAD)
    rig.plane.set(wanted)

    def claim(asked: FindChannels, sender: Identity) -> ChannelsOwned:
        rig.plane.set(replace(wanted, owner=EDGE))
        return ChannelsOwned(())

    edge.serve(FindChannels, claim)
    await orphans.look()
    edge.serve(FindChannels, owns("c"))
    for _ in range(N_DENIED):
        await orphans.look()
    assert rig.plane.wanted()["c"].owner == EDGE


async def test_every_edge_is_told_what_we_have_of_it_also_when_that_is_nothing(
    rig, far, edge: Mesh, orphans: Orphans
) -> None:
    has: list[dict[ChannelId, int]] = []
    edge.serve(FindChannels, lambda asked, _: has.append(asked.channels) or ChannelsOwned(tuple(asked.channels)))
    await orphans.look()
    rig.plane.set(rig.channel(far, "a", owner=EDGE, revision=7))
    await orphans.look()
    assert has == [{}, {A: 7}]


async def test_an_edge_that_is_not_active_yet_is_waited_for(rig, far, edge: Mesh, orphans: Orphans) -> None:
    rig.plane.set(rig.channel(far, owner=DEAD))

    def refuse(asked: FindChannels, sender: Identity) -> ChannelsOwned:
        raise Refused("not_active")

    edge.serve(FindChannels, refuse)
    for _ in range(N_DENIED + 1):
        await orphans.look()
    assert rig.plane.wanted()["c"].owner == DEAD
