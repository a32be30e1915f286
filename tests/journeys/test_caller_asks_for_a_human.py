"""A caller asks for a human: an agent who knows why hears them; whatever dies on the way, somebody has the caller."""

from __future__ import annotations

import asyncio
import json
import wave

import nats
import numpy as np

from nodes.bus.login import login
from nodes.rehearsal.earpiece import LOUD
from protocols.wire.events import Kind
from protocols.wire.roles import Role
from tests.journeys.following import Followed, Node
from tests.journeys.peers.desk import ASKS, agent, is_handed_over, picks_up, takes, takes_any, talk
from tests.journeys.peers.phone import phones


async def is_seen_from_outside(node: Node, call: Followed) -> None:
    """A bare NATS client sees the node, the call and the agent, and neither words nor numbers."""
    me = login(node.stage.config, Role.VIEWER)
    client = await nats.connect(me.url, inbox_prefix=me.inbox, **me.options)
    try:
        assert json.loads((await client.request("$SRV.PING")).data)["name"] == "ringmaster-node"
        calls, agents = [await client.jetstream().key_value(name) for name in ("rm_calls", "rm_agents")]
        view = json.loads((await calls.get(call.order.call_id)).value)
        assert view.keys() == {"node", "campaign", "state", "since", "rev"}
        assert (view["node"], view["state"]) == ("demo", "bridged")
        assert json.loads((await agents.get("ann")).value)["state"] == "talking"
    finally:
        await client.close()


async def test_the_agent_knows_why_before_they_hear_the_caller_and_then_the_two_talk(node: Node) -> None:
    async with agent(node, "ann") as ann, phones(1) as (phone,):
        call = await node.call(phone.uri, script=ASKS)
        await picks_up(phone)
        await call.event(Kind.PROMPT_ENDED, 2)
        await phone.say("yes")
        context = await takes(ann, call)
        assert context["handover_context"] == {"reason": "wants a person", "urgency": "normal", "skill": "service"}
        assert [turn["words"] for turn in context["dialog_history"]][-2] == "yes"
        assert context["user_profile"] == {"slots": {"name": "there"}}
        done = await call.event(Kind.HANDOVER_DONE, agent_id="ann")
        assert done.fields["connected_ms"] < 500
        assert done.fields["ms"] < 500
        await ann.told("bridged", call=call.order.call_id)
        await talk(ann, phone)
        await is_seen_from_outside(node, call)
        await ann.say("finish", call=call.order.call_id)
        ended = await call.ended()
        assert (ended.fields["disposition"], ended.fields["cause"]) == ("transferred", "agent")
        await ann.told("state", state="wrapup")
    with wave.open(ended.fields["recording"]) as file:
        assert file.getnchannels() == 2
        both = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    after = both[-int(8000 * (ended.wall - done.wall).total_seconds()) :]
    assert (np.abs(after.astype(np.int32)).max(axis=0) > LOUD).all(), "caller and agent are both on it"


async def test_whoever_leaves_the_other_is_not_left_alone(node: Node) -> None:
    async with phones(2) as (phone, other):
        async with agent(node, "ann") as ann, agent(node, "ben") as ben:
            call, short, *_ = await asyncio.gather(  # a page answers at once: one call may be ready before the other
                is_handed_over(node, phone), is_handed_over(node, other), takes_any(ann), takes_any(ben)
            )
            await asyncio.gather(call.event(Kind.HANDOVER_DONE), short.event(Kind.HANDOVER_DONE))
            other.hang_up()
            ended = await short.ended()
            assert (ended.fields["disposition"], ended.fields["by"]) == ("transferred", "them")
            served = ann if short.all(Kind.HANDOVER_DONE, agent_id="ann") else ben
            await served.told("state", state="wrapup")
        assert (await call.event(Kind.HANDOVER_FAILED)).fields["reason"] == "agent_lost"
        await call.event(Kind.STATE_ENTERED, state="sorry")
        await call.event(Kind.PROMPT_ENDED, 3)
        assert phone.earpiece.heard.voice_s > 1.0, "the apology is heard"
        await phone.say("no")
        assert (await call.ended()).fields["disposition"] == "completed", "the bot listens again"


async def test_where_nobody_is_nobody_is_waited_for(node: Node) -> None:
    async with phones(1) as (phone,):
        call = await is_handed_over(node, phone)
        failed = await call.event(Kind.HANDOVER_FAILED)
        assert failed.fields["reason"] == "no_agent"
        assert failed.fields["ms"] < 500
        await call.event(Kind.STATE_ENTERED, state="sorry")
        await node.end(call)
        await call.ended()


async def test_whatever_a_handover_is_doing_it_goes_on_when_the_edge_dies(node: Node) -> None:
    await node.whole()
    async with agent(node, "ann") as ann, agent(node, "ben") as ben, phones(3) as (talking, offered, waiting):
        talks = await is_handed_over(node, talking)  # ann has waited longest
        await takes(ann, talks)
        await talks.event(Kind.HANDOVER_DONE, agent_id="ann")
        offers = await is_handed_over(node, offered)
        await ben.probed(offers.order.call_id)
        await ben.is_offered(offers.order.call_id)
        waits = await is_handed_over(node, waiting)
        node.kill(node.active("edge"))
        await ben.say("accept", call=offers.order.call_id)
        await ben.told("context", call=offers.order.call_id)  # from the successor
        await ben.say("shown", call=offers.order.call_id)
        await offers.event(Kind.HANDOVER_DONE, agent_id="ben")
        await talk(ann, talking)
        await talk(ben, offered)
        await ann.say("finish", call=talks.order.call_id)
        assert (await talks.ended()).fields["cause"] == "agent"
        await ann.say("wrapped_up")
        await takes(ann, waits)
        await waits.event(Kind.HANDOVER_DONE, agent_id="ann")
        for call in (offers, waits):
            await node.end(call)
            await call.ended()


async def test_media_may_die_under_the_two_and_when_the_desk_dies_the_bot_is_back(node: Node) -> None:
    await node.whole()
    async with agent(node, "ann") as ann, phones(1) as (phone,):
        call = await is_handed_over(node, phone)
        await takes(ann, call)
        await call.event(Kind.HANDOVER_DONE)
        node.kill(node.active("media"))
        await talk(ann, phone)
        node.kill(node.active("desk"))
        assert (await call.event(Kind.HANDOVER_FAILED)).fields["reason"] == "agent_lost"
        await phone.hears_voice(0.5)
        await node.end(call)
        await call.ended()
    await node.until(lambda: node.stage.client.roster().active("desk"))
