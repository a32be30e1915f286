"""`ringmaster call sip:... --script FILE`: place one call on the running node and follow it live."""

from __future__ import annotations

import argparse
import asyncio
import uuid

from rich.console import Console

from nodes.commands.captions import Captions
from nodes.commands.client import Client, configured, connected
from nodes.commands.scripts import read_script
from nodes.errors import NodeError
from nodes.links.errors import LinkError
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId
from protocols.wire.messages import EndCall, PlaceCall


class NotPlaced(NodeError):
    """The node refuses the call, or does not answer."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Whom to call, with what."""
    parser.add_argument("target", help="a SIP URI, as sip:alice@192.0.2.1")
    parser.add_argument(
        "--script", default="hello", help="a script's file, or the name of a shipped one (default: hello)"
    )
    parser.add_argument(
        "--slot", action="append", default=[], metavar="NAME=VALUE", help="what a contact's column would say"
    )
    parser.add_argument("--ring", type=float, default=30.0, metavar="SECONDS", help="how long to let it ring")


def run(args: argparse.Namespace) -> int:
    """Place the call; 0 when it was answered."""
    slots = dict(pair.partition("=")[::2] for pair in args.slot)
    order = new_order(args.target, read_script(args.script), slots, args.ring)
    return asyncio.run(_run(args, order))


async def _run(args: argparse.Namespace, order: PlaceCall) -> int:
    async with connected(configured(args)) as client:
        captions = Captions(Console())
        captions.names[order.call_id] = args.target.partition(":")[2].partition("@")[0][:14]
        try:
            ended = await follow(client, order, captions)
        except asyncio.CancelledError:
            client.mesh.tell(client.one("edge").identity, EndCall(order.call_id))
            raise
        if recording := ended.fields.get("recording"):
            print(f"recording: {recording}")
        return 0 if ended.fields["duration_s"] else 1


def new_order(target: str, script: str, slots: dict[str, str], ring_s: float = 30.0) -> PlaceCall:
    """Return an order for one call that belongs to no campaign."""
    call_id = uuid.uuid4().hex
    return PlaceCall(AttemptId(call_id), CallId(call_id), target, script, slots, ring_s=ring_s)


async def follow(client: Client, order: PlaceCall, captions: Captions) -> CallEvent:
    """Place the call, caption it, and return its last event. Raises: NotUp, NotPlaced."""
    over: asyncio.Future[CallEvent] = asyncio.get_running_loop().create_future()

    def take(event: CallEvent) -> None:
        if event.call_id == order.call_id:
            captions.show(event)
            if event.kind is Kind.ENDED and not over.done():
                over.set_result(event)

    await client.events(take)
    try:
        await client.mesh.ask(client.one("edge").identity, order)
    except LinkError as error:
        raise NotPlaced(str(error)) from error
    return await over


__all__ = ["NotPlaced", "describe", "follow", "new_order", "run"]
