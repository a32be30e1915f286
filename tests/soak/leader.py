"""Says which nats-server leads the stream of events: run on a host, with its node's configuration as the argument."""

import asyncio
import sys
from pathlib import Path

import nats

from nodes.bus.login import login
from nodes.config import load
from protocols.wire.roles import Role
from protocols.wire.subjects import Stream


async def main() -> None:
    me = login(load(Path(sys.argv[1])), Role.CENTRAL)
    client = await nats.connect(me.url.split(","), inbox_prefix=me.inbox, connect_timeout=2, **me.options)
    found = await client.jetstream().stream_info(Stream.EVENTS)
    sys.stdout.write(found.cluster.leader if found.cluster and found.cluster.leader else "")
    await client.close()


asyncio.run(main())
