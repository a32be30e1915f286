"""What erases the recordings of calls: on one disk, and on those of a whole cluster, over real meshes."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.config import parse
from nodes.links.errors import Refused
from nodes.links.members import Members
from nodes.links.recordings import Recordings, erase, erase_everywhere, holders
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import closing
from nodes.mesh.curve import ClusterKey
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from nodes.mesh.pieces import Shelves
from protocols.wire.cluster import ClusterTold, Member, NodeProcess, NodeState, NodeWord
from protocols.wire.ids import CallId, Identity, NodeId
from protocols.wire.pieces import Shelf
from protocols.wire.recordings import EraseRecordings, name_of, part_of

C1, C10 = CallId("c1"), CallId("c10")


def write(root: Path, *names: str) -> None:
    root.mkdir(exist_ok=True)
    for name in names:
        (root / name).write_bytes(b"words")


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_all_forms_of_a_calls_recording_are_erased_and_no_other_calls(tmp_path: Path) -> None:
    mine = ["c1.wav", "c1.2.wav", "c1.3.sealed", ".c1.3.sealed", ".c1.sealed"]
    others = ["c10.wav", "c1x.wav", "c1.x.wav", "c1.02.wav", "c1.txt", "xc1.wav"]
    write(tmp_path / "a", *mine, *others)
    write(tmp_path / "b", "c1.4.wav")
    done = erase([tmp_path / "a", tmp_path / "b", tmp_path / "not there"], [C1])
    assert sorted(one.name for one in done.deleted) == sorted([*mine, "c1.4.wav"])
    assert not done.left
    assert sorted(os.listdir(tmp_path / "a")) == sorted(others)
    assert not os.listdir(tmp_path / "b")
    assert erase([tmp_path / "a"], [C1]) == erase([tmp_path / "a"], [C1], only_look=True)


def test_what_is_being_written_stays_and_is_told_of_and_what_a_dead_machine_left_goes(tmp_path: Path) -> None:
    write(tmp_path, "c1.part", "c1.1.part")
    age(tmp_path / "c1.1.part", 3600)
    done = erase([tmp_path], [C1])
    assert [one.name for one in done.deleted] == ["c1.1.part"]
    assert [(one.name, one.why) for one in done.left] == [("c1.part", "recording")]


def test_a_name_that_leads_out_of_the_directory_names_no_file(tmp_path: Path) -> None:
    write(tmp_path / "in")
    write(tmp_path, "c1.wav")
    assert not erase([tmp_path / "in"], [CallId("../c1"), CallId(""), CallId(".")]).deleted
    assert (tmp_path / "c1.wav").exists()


@given(call=st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*(_s[1-8])?", fullmatch=True), part=st.integers(0, 10**6))
def test_a_parts_name_always_says_which_part_of_which_call_it_is(call: str, part: int) -> None:
    assert part_of(name_of(CallId(call), part), CallId(call)) == part
    assert part_of(name_of(CallId(f"{call}0"), part), CallId(call)) is None


NODES = ("n1", "n2", "n3")
KEY = ClusterKey.make()


@dataclass
class Rig:
    """Three nodes with a desk each; the first asks. `disks`: their directories."""

    mesh: Mesh
    members: Members
    ours: Recordings
    disks: dict[str, Path]
    words: dict[str, NodeWord] = field(default_factory=dict)

    def tell(self, *dead: str) -> None:
        """Have the first know how the others are."""
        nodes = [Member(word, NodeState.DEAD if name in dead else NodeState.ALIVE) for name, word in self.words.items()]
        self.members.take(ClusterTold(1, tuple(nodes)))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        disks, meshes = {node: tmp_path / node for node in NODES}, dict[str, Mesh]()
        for node in NODES:
            disks[node].mkdir()
            identity = Identity(f"{node}.desk-0:1")
            mesh = await Mesh.start(identity, f"ipc://{tmp_path}/{node}.sock", Outside(KEY, "127.0.0.1"))
            meshes[node] = await stack.enter_async_context(closing(mesh))
        for mesh in meshes.values():
            mesh.members(
                [Peer("desk", "desk-0", one.identity, one.address, 1, State.ACTIVE) for one in meshes.values()]
            )
        served = {node: Recordings(Shelves({Shelf.RECORDINGS: disk})) for node, disk in disks.items()}
        for node, mesh in meshes.items():
            served[node].serve(mesh)
        first = meshes["n1"]
        members = Members(first, parse('[cluster]\nbind = "127.0.0.1"', "test", tmp_path))
        members.follow(Roster(1, (Peer("desk", "desk-0", first.identity, first.endpoint, 1, State.ACTIVE),)))
        made = Rig(first, members, served["n1"], disks)
        for node in NODES[1:]:
            desk = NodeProcess("desk", "desk-0", meshes[node].identity, meshes[node].address, 1, True)
            made.words[node] = NodeWord(NodeId(node), 1, 1, "c", 1, "", "", ("desk",), "", 0.0, (desk,))
        made.tell()
        yield made


async def test_recordings_of_a_call_are_erased_on_every_machine_and_that_is_proven(rig: Rig) -> None:
    for n, disk in enumerate(rig.disks.values()):
        write(disk, name_of(C1, n) + ".wav", "c10.wav")
    done = await erase_everywhere(rig.mesh, rig.members, [C1], ours=rig.ours)
    assert {node: [held.name for held in one.deleted] for node, one in done.nodes.items()} == {
        "n1": ["c1.wav"], "n2": ["c1.1.wav"], "n3": ["c1.2.wav"],
    }  # fmt: skip
    assert done.is_proven
    assert all(os.listdir(disk) == ["c10.wav"] for disk in rig.disks.values())
    again = await erase_everywhere(rig.mesh, rig.members, [C1], ours=rig.ours)
    assert again.is_proven
    assert not any(one.deleted for one in again.nodes.values())


async def test_as_long_as_a_machine_is_away_or_a_call_goes_on_nothing_is_proven(rig: Rig) -> None:
    write(rig.disks["n2"], "c1.part")
    rig.tell("n3")
    done = await erase_everywhere(rig.mesh, rig.members, [C1], ours=rig.ours)
    assert done.silent == ("n3",)
    assert [(one.name, one.why) for one in done.nodes[NodeId("n2")].left] == [("c1.part", "recording")]
    assert not done.is_proven


async def test_a_look_deletes_nothing(rig: Rig) -> None:
    write(rig.disks["n2"], "c1.wav")
    seen = await erase_everywhere(rig.mesh, rig.members, [C1], only_look=True, ours=rig.ours)
    assert [held.name for held in seen.nodes[NodeId("n2")].left] == ["c1.wav"]
    assert (rig.disks["n2"] / "c1.wav").exists()


async def test_more_calls_than_one_message_takes_are_asked_for_in_several(rig: Rig) -> None:
    calls = [CallId(f"x{n}") for n in range(1201)]
    for call in calls[::100]:
        write(rig.disks["n3"], f"{call}.wav")
    with pytest.raises(Refused, match="too_many"):
        await rig.ours.erase(EraseRecordings(tuple(calls)), rig.mesh.identity)
    done = await erase_everywhere(rig.mesh, rig.members, calls, ours=rig.ours)
    assert len(done.nodes[NodeId("n3")].deleted) == 13
    assert done.is_proven


async def test_who_keeps_recordings_answers_for_a_nodes_disk_where_there_is_such_a_process(rig: Rig) -> None:
    word = rig.words["n2"]
    keeper = NodeProcess("storage", "storage-0", Identity("n2.storage-0:1"), "tcp://127.0.0.1:9", 2, True)
    rig.words["n2"] = replace(word, processes=(*word.processes, keeper))
    rig.tell()
    assert [peer.identity for peer in holders(rig.members)] == ["n2.storage-0:1", "n1.desk-0:1", "n3.desk-0:1"]
