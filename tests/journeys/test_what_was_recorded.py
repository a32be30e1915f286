"""When all journeys are over, processes killed and restarted on the way: the recorder has what the stream has, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import duckdb

from nodes.bus.consumer import ACK_WAIT_S
from protocols.wire.reports import Export, GetReport
from protocols.wire.subjects import Stream
from tests.journeys.following import Node

LOOK_S = 0.2


async def test_each_event_of_the_stream_is_recorded_once(node: Node, measured: Callable[..., None]) -> None:
    """A recorder that was killed is given again what it had not acknowledged, `ACK_WAIT_S` after it was given it."""
    await node.whole()
    mesh, recorder = node.stage.client.mesh, node.active("recorder").identity
    told = [received.event_id async for received in node.bus.replay(Stream.EVENTS)]
    async with asyncio.timeout(ACK_WAIT_S + 15):
        while (await mesh.ask(recorder, GetReport())).events < len(set(told)):
            await asyncio.sleep(LOOK_S)
    exported = await mesh.ask(recorder, Export("journeys"))
    rows = duckdb.sql(f"SELECT event_id FROM read_parquet('{exported.directory}/events/**/*.parquet')").fetchall()
    measured(in_the_stream=len(set(told)), recorded=len(rows))
    assert sorted(row[0] for row in rows) == sorted(set(told))
    assert (await mesh.ask(recorder, GetReport())).dead_letters == 0
