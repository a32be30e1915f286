"""What is removed so that it is forgotten is in no file of the server any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.bus.bus import Bus
from protocols.wire.ids import NodeId
from protocols.wire.subjects import Stream, campaign_events, object_chunks
from tests.conftest import BOTH, NatsServer

SECRET = b"marble harbour"


def bytes_of(server: NatsServer) -> bytes:
    """Return all that the server's files have."""
    return b"".join(path.read_bytes() for path in (server.config.paths.nats / "store").rglob("*") if path.is_file())


@pytest.fixture(params=BOTH)
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NatsServer]:
    made = NatsServer(request.param, tmp_path)
    await made.start()
    yield made
    made.kill()


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[Bus]:
    connected = await Bus.connect(server.url, name="central-0", node_id=NodeId("n1"))
    await connected.ensure_layout()
    yield connected
    await connected.close()


async def test_an_erased_message_leaves_no_byte_and_its_neighbours_stay(server: NatsServer, bus: Bus) -> None:
    for n in range(100):
        told = SECRET.decode() if n % 10 == 0 else "something else"
        await bus.commit(campaign_events("spring"), f"e{n}", {"said": told, "n": n})  # type: ignore[arg-type]
    assert bytes_of(server).count(SECRET) == 10
    assert await bus.erase(Stream.CAMPAIGN, [1 + n for n in range(0, 100, 10)]) == 10
    assert await bus.erase(Stream.CAMPAIGN, [1, 1000]) == 0
    assert SECRET not in bytes_of(server)
    left = [(one.body or {})["n"] async for one in bus.replay(Stream.CAMPAIGN)]
    assert left == [n for n in range(100) if n % 10]
    assert await bus.data_of(Stream.CAMPAIGN, 1) is None


async def test_an_object_that_is_deleted_or_written_again_leaves_no_byte(server: NatsServer, bus: Bus) -> None:
    for text in (SECRET * 20_000, b"nothing"):  # three chunks, then an object of the same name
        writing = bus.objects().begin("roll.spring")
        await writing.write(text)
        await writing.finish()
    assert SECRET not in bytes_of(server)
    unfinished = bus.objects().begin("other")
    await unfinished.write(SECRET * 20_000)
    await unfinished.abandon()
    await bus.objects().purge(object_chunks("nobody"))
    assert SECRET not in bytes_of(server)
    assert b"".join([chunk async for chunk in bus.objects().read("roll.spring")]) == b"nothing"
