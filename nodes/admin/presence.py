"""The node among the others: a heartbeat, an entry in `rm_nodes`, and the service `ringmaster-node`.

    nats sub 'rm.node.*.beat'
    nats req rm.node.n1.cmd.status ''
    nats req rm.node.n1.cmd.drain '{"on": true}'

Silence is judged by who listens, with a clock of its own: an entry that has expired or stays tells nothing.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

from nodes.admin.node import Node
from nodes.bus.bucket import Body
from nodes.bus.bus import Bus
from nodes.bus.service import Answer
from nodes.links.cluster_view import ClusterView
from nodes.links.errors import LinkError
from nodes.links.tasks import Tasks
from nodes.links.view import View
from protocols.wire.ids import NodeId
from protocols.wire.subjects import Bucket, node_beat

BEAT_S: Final = 2.0
SERVICE: Final = "ringmaster-node"


class Presence:
    """One node's presence. `url`: where its desk is."""

    def __init__(self, bus: Bus, node_id: NodeId, node: Node, cluster: ClusterView, url: str, version: str) -> None:
        self._bus, self._node_id, self._node, self._cluster = bus, node_id, node, cluster
        self._url, self._version = url, version
        self._view = View(bus, Bucket.NODES)
        self._began_s = time.monotonic()
        self._since = datetime.now(UTC)
        self._shown: Body = {}

    async def run(self) -> None:
        """Beat, and show the node whenever it has changed, for ever."""
        endpoints: dict[str, Answer] = {"status": self.status, "calls": self.calls, "drain": self.drain}
        metadata = {"node": self._node_id, "role": "node"}
        await self._bus.service(SERVICE, self._version, metadata, endpoints)
        async with Tasks() as tasks:
            tasks.spawn(self._view.run(lambda body: body.get("node") == self._node_id))
            while True:
                self._beat()
                await asyncio.sleep(BEAT_S)

    def _beat(self) -> None:
        if (body := self._body()) != self._shown:
            self._shown = body
            self._view.show(self._node_id, body)
        self._bus.publish(node_beat(self._node_id), {"node": self._node_id, "state": body["state"]})

    def _body(self) -> Body:
        return {
            "node": self._node_id,
            "state": self._state(),
            "since": self._since.isoformat(),
            "version": self._version,
            "desk": self._url,
            **self._node.description(),
            "processes": [f"{peer.name} {peer.state}" for peer in self._node.roster.processes],
        }

    def _state(self) -> str:
        if self._node.is_draining:
            return "draining"
        return "incomplete" if self._node.missing() else "up"

    # ---- what the service answers ----------------------------------------------------------------------------------

    def status(self, _: Body) -> Body:
        """How the node is."""
        states = [str(call["state"]) for call in self._calls().values()]
        calls = {state: states.count(state) for state in sorted(set(states))}
        return {**self._body(), "uptime_s": round(time.monotonic() - self._began_s, 1), "calls": calls}

    def calls(self, _: Body) -> Body:
        """The node's calls as everybody may see them."""
        return {"calls": self._calls()}

    async def drain(self, body: Body) -> Body:
        """Take no new calls, or (`{"on": false}`) take them again."""
        try:
            await self._node.drain(bool(body.get("on", True)))
        except LinkError as error:
            return {"state": self._state(), "error": str(error)}
        self._beat()
        return {"state": self._state(), "calls": len(self._calls())}

    def _calls(self) -> dict[str, Body]:
        calls = self._cluster.things(Bucket.CALLS)
        return {name: call for name, call in calls.items() if call.get("node") == self._node_id}


__all__ = ["BEAT_S", "SERVICE", "Presence"]
