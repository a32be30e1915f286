"""A watch on a bucket tells what is there before it says that this is all, whatever comes first on the line."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from urllib.parse import urlsplit

from nodes.bus.bus import Bus
from protocols.wire.ids import NodeId
from protocols.wire.subjects import Bucket
from tests.conftest import NatsServer

N1 = NodeId("n1")


class Slow:
    """A relay to the server that has sent all of a consumer's messages when it is asked about it, and none is here.

    Messages and answers take different ways through a server, so that either may be first.
    """

    def __init__(self, server: NatsServer) -> None:
        self._upstream = urlsplit(server.url)

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return self._upstream._replace(netloc=f"{self._upstream.netloc.rpartition('@')[0]}@{host}:{port}").geturl()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, up_writer))
                both.create_task(_deliver(up_reader, writer))
        finally:
            up_writer.close()
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        before, question, rest = data.partition(b"PUB $JS.API.CONSUMER.INFO")
        writer.write(before)
        if question:
            await asyncio.sleep(0.1)
        writer.write(question + rest)
    writer.write_eof()


async def _deliver(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        frame = line
        if line.startswith((b"MSG", b"HMSG")):
            frame += await reader.readexactly(int(line.split()[-1]) + 2)
        if b" $JS.ACK." in line:
            asyncio.get_running_loop().call_later(0.3, writer.write, frame)
        else:
            writer.write(frame)


async def test_all_that_is_there_is_told_first_also_when_the_server_has_sent_it_later_than_that_it_was_sent(
    nats_server: NatsServer,
) -> None:
    async with Slow(nats_server) as url, asyncio.timeout(60):
        bus = await Bus.connect(url, name="n1.edge-0:1", node_id=N1)
        await bus.ensure_layout()
        for key in ("a", "b", "c"):
            await bus.kv(Bucket.CALLS).put(key, {})
        async with aclosing(bus.kv(Bucket.CALLS).watch()) as watch:
            told = []
            async for entry in watch:
                if entry is None:
                    break
                told.append(entry.key)
        await bus.close()
        assert told == ["a", "b", "c"]


async def test_a_bucket_that_is_larger_than_what_a_server_sends_unanswered_is_told_to_a_slow_reader(
    nats_server: NatsServer,
) -> None:
    """Flow control: it asks how far the reader is, and sends no more than 2 MB until that is answered."""
    bus = await Bus.connect(nats_server.url, name="n1.edge-0:1", node_id=N1)
    await bus.ensure_layout()
    bucket, value = bus.kv(Bucket.CALLS), {"x": "y" * 20_000}
    async with asyncio.timeout(60):
        await asyncio.gather(*(bucket.put(f"c{n}", value) for n in range(400)))
        async with aclosing(bucket.watch()) as watch:
            told = set()
            async for entry in watch:
                if entry is None:
                    break
                told.add(entry.key)
                await asyncio.sleep(0.002)  # more slowly than it is sent
    await bus.close()
    assert len(told) == 400
