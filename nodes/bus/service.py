"""A node as a NATS micro service, so that `nats micro ls`, `info` and `stats`, and `nats req`, work on it as they are.

nats req rm.node.n1.cmd.status ''
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any, Final, TypeAlias

import msgspec
from nats.aio.client import Client
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, ServiceConfig

from nodes.reading import read_json
from nodes.telemetry import logs
from protocols.wire import subjects
from protocols.wire.ids import NodeId

Body: TypeAlias = dict[str, Any]
Answer: TypeAlias = Callable[[Body], Body | Awaitable[Body]]

DESCRIPTION: Final = "a node of Ringmaster: how it is, its calls, and its drain"
"""The CLI shows no service without one: it passes over an answer that its schema does not allow."""

log = logs.get(__name__)


async def attach(
    client: Client, node: NodeId, name: str, version: str, metadata: Mapping[str, str], endpoints: Mapping[str, Answer]
) -> None:
    """Have `client` answer for this node: each endpoint on its own subject, `rm.node.<node>.cmd.<endpoint>`.

    `version` is a semantic version. An endpoint gets the request's JSON object (empty for no bytes) and returns one.
    """
    told = ServiceConfig(name=name, version=version, description=DESCRIPTION, metadata=dict(metadata))
    service = await add_service(client, told)
    for verb, answer in endpoints.items():
        subject = subjects.node_command(node, verb)
        await service.add_endpoint(EndpointConfig(name=verb, subject=subject, handler=_handler(verb, answer)))


def _handler(verb: str, answer: Answer) -> Callable[[Request], Awaitable[None]]:
    async def handle(request: Request) -> None:
        try:
            body = read_json(request.data or b"{}", Body)
        except ValueError:
            return await request.respond_error("400", "the request is no JSON object")
        try:
            given = answer(body)
            reply = await given if isawaitable(given) else given
        except Exception:  # an operator's question must not end the node
            log.exception("service.failed", endpoint=verb)
            return await request.respond_error("500", f"{verb} failed; the node's log says how")
        await request.respond(msgspec.json.encode(reply))

    return handle


__all__ = ["Answer", "Body", "attach"]
