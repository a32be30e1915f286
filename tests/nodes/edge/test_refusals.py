"""An edge asks the do-not-call list before each dial, and dials nobody while it does not know it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.bus import bus
from nodes.bus.bus import Bus
from nodes.edge import refusals
from nodes.edge.refusals import Refusals
from nodes.links.do_not_call import DoNotCall
from nodes.links.kept_list import FILE, KeptList
from nodes.links.tasks import Tasks
from protocols.wire.campaigns import contact_id
from protocols.wire.do_not_call import Listing
from protocols.wire.ids import AttemptId, CallId, NodeId
from protocols.wire.messages import PlaceCall
from protocols.wire.subjects import Bucket

KEY = bytes(32)
ORDER = PlaceCall(AttemptId("a1"), CallId("c1"), "sip:ada@192.0.2.1", b"")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "KNOWN_S", 0.2)
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)  # there is no NATS


async def test_without_nats_and_without_a_file_the_list_is_not_known_and_a_file_is_enough(tmp_path: Path) -> None:
    nowhere = await Bus.connect("nats://127.0.0.1:1", name="edge-0", node_id=NodeId("n1"))
    async with Tasks() as tasks:
        listed = DoNotCall(nowhere.kv(Bucket.DNC), KeptList(tmp_path / FILE, ""))
        ours = Refusals(listed, KEY, tasks)
        assert not await ours.are_known()
        assert ours.figures == {"do_not_call_known": 0.0}
        ada = Listing(contact_id(ORDER.target, KEY), True, "callee", "stop", "2026-01-01T00:00:00+00:00")
        KeptList(tmp_path / FILE, "").add([ada], is_whole=True)
        told: list[str] = []
        ours.watch(told.append)
        while not await ours.are_known():
            pass
        assert ours.refuses(ORDER)
        assert told == [ada.contact_id]
    await nowhere.close()


async def test_whoever_is_on_the_list_is_refused_by_the_name_of_their_number_and_by_that_of_the_attempt(
    tmp_path: Path,
) -> None:
    """They are the same, if nobody orders a call under a name of their own; who opts out is refused under both."""
    nowhere = await Bus.connect("nats://127.0.0.1:1", name="edge-0", node_id=NodeId("n1"))
    number, other = contact_id("+12025550100", KEY), contact_id("somebody", KEY)
    order = PlaceCall(AttemptId(f"spring-{other}-1"), CallId("c2"), "sip:12025550100@192.0.2.9", b"")
    async with Tasks() as tasks:
        for contact in (number, other):
            ours = Refusals(DoNotCall(nowhere.kv(Bucket.DNC), KeptList(tmp_path / FILE, "")), KEY, tasks)
            ours._listed.hold(ours._listed.entry(contact, "operator", ""))
            assert ours.refuses(order)
        ours = Refusals(DoNotCall(nowhere.kv(Bucket.DNC), KeptList(tmp_path / FILE, "")), KEY, tasks)
        ours.add(order)
        assert ours._listed.contacts.keys() == {number, other}
        assert ours.contacts(PlaceCall(AttemptId("x-eve.removed-1"), CallId("c"), "+12025550100", b"")) == {number}
    await nowhere.close()


async def test_an_opt_out_is_on_disk_at_once_though_nats_is_away(tmp_path: Path) -> None:
    nowhere = await Bus.connect("nats://127.0.0.1:1", name="edge-0", node_id=NodeId("n1"))
    async with Tasks() as tasks:
        ours = Refusals(DoNotCall(nowhere.kv(Bucket.DNC), KeptList(tmp_path / FILE, "")), KEY, tasks)
        ours.add(ORDER)
        assert ours.refuses(ORDER)
        reader = KeptList(tmp_path / FILE, "")
        while not (said := reader.news()):
            await ours.are_known()
        assert [(one.by, one.why, one.is_on) for one in said] == [("callee", "call c1", True)]
    await nowhere.close()
