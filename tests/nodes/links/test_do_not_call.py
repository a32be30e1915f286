"""An opt-out holds everywhere at once, under a name that says nothing without the key."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from nodes.links.bus import Bus
from nodes.links.do_not_call import DoNotCall, contact_key
from nodes.links.tasks import Tasks
from protocols.wire.campaigns import ContactId
from protocols.wire.ids import NodeId
from protocols.wire.subjects import Bucket
from tests.conftest import NatsServer


async def until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while True:
            if seen():
                return
            await asyncio.sleep(0.01)


def test_the_key_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    key = contact_key(tmp_path / "state")
    assert contact_key(tmp_path / "state") == key
    assert len(key) == 32
    assert (tmp_path / "state" / "contact.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["contact.key"]


async def test_who_opts_out_at_one_node_is_known_at_another_and_to_who_comes_later(nats_server: NatsServer) -> None:
    here = await Bus.connect(nats_server.url, name="edge-0", node_id=NodeId("n1"))
    there = await Bus.connect(nats_server.url, name="edge-0", node_id=NodeId("n2"))
    await here.ensure_layout()
    tasks = Tasks()
    await tasks.open()
    ours, theirs, later = (DoNotCall(bus.kv(Bucket.DNC)) for bus in (here, there, there))
    tasks.spawn(theirs.follow())
    await ours.add(ContactId("ada"), "stop")
    assert ours.contacts == {"ada"}
    tasks.spawn(later.follow())
    await until(lambda: all(view.contacts and view.is_known for view in (theirs, later)))
    await here.kv(Bucket.DNC).delete("ada")
    await until(lambda: not theirs.contacts and not later.contacts)
    await tasks.close()
    await here.close()
    await there.close()
