"""Several test hosts as one cluster: keys for each, a NATS of one or more servers, nodes that know of each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.config import ROLES
from nodes.links import cluster_keys, cluster_state
from nodes.rehearsal import hosted
from nodes.rehearsal.hosted import NATS, NATS_PORT, NOTHING, HostedNode, Settings
from nodes.rehearsal.hosts import Host
from protocols.wire.ids import NodeId

NAME: Final = "rehearsal"
ROUTE_PORT: Final = 6222


@dataclass(frozen=True, slots=True)
class HostedCluster:
    """Nodes by their ids, which are their hosts' names; and where others reach NATS."""

    nodes: dict[str, HostedNode]
    nats_url: str


@asynccontextmanager
async def cluster(
    hosts: Sequence[Host],
    servers: Sequence[Host],
    callees: Host,
    settings: Settings = NOTHING,
    channels: int = hosted.CHANNELS,
    env: Mapping[str, str] = hosted.NO_VARIABLES,
) -> AsyncIterator[HostedCluster]:
    """Have a node on each of `hosts`, started; they are of one cluster, and so is whoever keeps callees on `callees`.

    `servers`: the hosts of its nats-servers, one or three; one that is none of `hosts` has a node that does nothing
    else. Raises: NotRun.
    """
    url = ",".join(f"nats://{host.address}:{NATS_PORT}" for host in servers)
    everybody = list({host.name: host for host in (*hosts, *servers)}.values())
    share_keys([*everybody, *([] if callees in everybody else [callees])], url)
    async with AsyncExitStack() as stack:
        made = {
            host.name: await stack.enter_async_context(
                hosted.node(
                    host, hosted.merged(_settings(host, hosts, servers, url), settings), channels=channels, env=env
                )
            )
            for host in everybody
        }
        yield HostedCluster({host.name: made[host.name] for host in hosts}, url)


def share_keys(hosts: Sequence[Host], url: str) -> None:
    """Make a cluster of hosts: what `ringmaster cluster` does on each. Raises: NodeError, OSError."""
    first, *others = hosts
    state = _state(first)
    state.mkdir(parents=True, exist_ok=True)
    cluster_keys.make(state, NAME, NodeId(first.name))
    cluster_state.add(state, [NodeId(host.name) for host in others])
    for host in others:
        cluster_keys.unpack(cluster_keys.keys_for(state, NodeId(host.name), tuple(url.split(","))), _state(host))


def _state(host: Host) -> Path:
    return host.path(host.directory / hosted.STATE)


def _settings(host: Host, hosts: Sequence[Host], servers: Sequence[Host], url: str) -> Settings:
    """Return what makes a node one of the cluster, and has it run a nats-server or find one."""
    is_node, is_server = host in hosts, host in servers
    roles = [role for role in ROLES if (is_server if role == NATS else is_node)]
    routes = [f"{other.address}:{ROUTE_PORT}" for other in servers if other is not host]
    own: dict[str, object] = {"bind": host.address, "port": NATS_PORT, "insecure": True, "routes": routes}
    nats = own if is_server else {"url": url}
    return {
        "node": {"roles": roles},
        "cluster": {"bind": host.address},
        "nats": {**nats, "replicas": min(3, len(servers))},
    }


__all__ = ["HostedCluster", "cluster", "share_keys"]
