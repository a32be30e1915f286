"""`ringmaster call sip:... --script FILE`: place one call on the running node and follow it live."""

from __future__ import annotations

import argparse
import asyncio
import uuid
from contextlib import suppress

from grammars.script import load
from grammars.script_check import unheard
from grammars.script_pack import pack
from nodes.commands.captions import Captions
from nodes.commands.client import Client, configured, connected
from nodes.commands.scripts import BadScript, check_script, check_slots, read_slots
from nodes.commands.terminal import ENDING, console
from nodes.errors import NodeError
from nodes.links.errors import LinkError
from protocols.errors import RemoteProtocolError
from protocols.sip import identity
from protocols.sip.syntax import uri
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId
from protocols.wire.messages import EndCall, PlaceCall
from protocols.wire.subjects import call_events, numbered

LOOK_S = 1.0
"""How often to see whether the node is still there."""
HANG_UP_S = 2.0
"""How long a hang-up may take when the person at the keyboard wants to leave."""


class NotPlaced(NodeError):
    """The call cannot be placed: its target is none, or the node refuses, or does not answer."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Whom to call, with what."""
    parser.add_argument("target", help="a SIP URI, as sip:alice@192.0.2.1, or a number with +, for the first trunk")
    parser.add_argument(
        "--script", default="hello", help="a script's file, or the name of a shipped one (default: hello)"
    )
    parser.add_argument(
        "--slot", action="append", default=[], metavar="NAME=VALUE", help="what a contact's column would say"
    )
    parser.add_argument("--record", action="store_true", help="record the call, with the callee's consent")
    parser.add_argument("--ring", type=float, default=30.0, metavar="SECONDS", help="how long to let it ring")


def run(args: argparse.Namespace) -> int:
    """Place the call; 0 when it was answered. All that can be wrong is found before anything is dialled."""
    user = _user(args.target)
    checked, slots = check_script(args.script), read_slots(args.slot)
    check_slots(checked.script, slots)
    if not args.ring > 0:
        raise NotPlaced(f"--ring {args.ring:g}: must be above 0")
    config = configured(args)
    if reasons := [*unheard(checked.script, config.speech.hears)]:
        raise BadScript(checked.path, reasons)
    n_streams = config.recorder.streams
    order = new_order(args.target, checked.text, slots, args.ring, is_recorded=args.record, n_streams=n_streams)
    return ENDING.run(_run(args, order, user))


def _user(target: str) -> str:
    """Return what a call to this target is called. Raises: NotPlaced."""
    if target.startswith("+"):
        return target
    try:
        wanted = uri(identity.target(target))
    except RemoteProtocolError as error:
        raise NotPlaced(f"{target!r} {error.detail}") from error
    return wanted.user or wanted.host


async def _run(args: argparse.Namespace, order: PlaceCall, user: str) -> int:
    async with connected(configured(args)) as client:
        captions = Captions(console(), details=True)
        captions.names[order.call_id] = user
        try:
            ended = await follow(client, order, captions)
        except asyncio.CancelledError:
            with suppress(NodeError):
                for peer in await client.everywhere("edge"):  # another's, if it is there by now
                    await client.mesh.ask(peer.identity, EndCall(order.call_id), timeout_s=HANG_UP_S)
            raise
        if recording := ended.fields.get("recording"):
            print(f"recording: {recording}")
        return 0 if ended.fields["duration_s"] else 1


def new_order(
    target: str,
    script: str,
    slots: dict[str, str],
    ring_s: float = 30.0,
    *,
    is_recorded: bool = False,
    n_streams: int = 1,
) -> PlaceCall:
    """Return an order for one call that belongs to no campaign. `script`: its text. Raises: ScriptError."""
    name, packed = numbered(uuid.uuid4().hex, n_streams), pack(load(script))
    return PlaceCall(
        AttemptId(name), CallId(name), target, packed, slots, ring_s=ring_s, is_recorded=is_recorded
    )  # fmt: skip


async def follow(client: Client, order: PlaceCall, captions: Captions) -> CallEvent:
    """Place the call, caption it, and return its last event. Raises: NotUp, also when the node ends; NotPlaced."""
    over: asyncio.Future[CallEvent] = asyncio.get_running_loop().create_future()

    def take(event: CallEvent) -> None:
        if event.call_id == order.call_id:
            captions.show(event)
            if event.kind is Kind.ENDED and not over.done():
                over.set_result(event)

    await client.events(take, call_events(order.call_id))
    try:
        await client.ask("edge", order)
    except LinkError as error:
        raise NotPlaced(f"the node does not take the call: {error}") from error
    while not over.done():
        client.roster()
        await asyncio.wait([over], timeout=LOOK_S)
    return over.result()


__all__ = ["NotPlaced", "describe", "follow", "new_order", "run"]
