"""What a collector is told of real calls: one tree each, told by four processes, also where one of them is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from nodes.commands.stage import Stage, stage
from nodes.telemetry.trace import HEADER, Traceparent, of_call, parse
from protocols.wire.ids import CallId
from tests.journeys.peers.phone import Phone, phones
from tests.nodes.telemetry.collector import Collector, Told, collector, is_one_tree

NEEDED = {"recorder": 1, "speech": 1, "media": 1, "edge": 1, "central": 1, "desk": 1}
SETTINGS = """
[speech]
processes = 1
[fetch]
allow = ["127.0.0.1"]
[telemetry]
otlp = "{url}"
"""
TALK = """
flow: trace
version: 1
initial: ask
slots:
  state: text
global:
  identify: The robot of Acme. Press nine to stop.
  stop: {{redirect: opted_out}}
  machine: {{redirect: left}}
  exhausted: {{redirect: goodbye}}
  nomatch:
    1: {{redirect: goodbye}}
  noinput:
    1: {{redirect: goodbye}}
states:
  ask:
    say: Any news?
    listen: {{rule: yes_no, timeouts: {{noinput_s: 30}}}}
    on:
      match:
        yes: {{redirect: look}}
        no: {{redirect: goodbye}}
  look:
    fetch: {{url: "{url}/orders", slots: {{state: state}}}}
    on:
      event:
        fetched: {{redirect: goodbye}}
        failed: {{redirect: goodbye}}
  goodbye:
    say: Bye.
    hangup: completed
  opted_out:
    hangup: opted_out
  left:
    hangup: machine
"""


@dataclass
class Rig:
    """A node that tells a collector, and the business API that its scripts ask."""

    stage: Stage
    told: Collector
    asked: list[Traceparent | None]
    script: str

    async def call(self, phone: Phone) -> Traceparent:
        """Have the API place a call, and answer it; return where it is in its trace once the bot has asked."""
        run = self.stage.config.paths.run
        order = {"target": phone.uri, "script": self.script}
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {(run / 'token').read_text()}"}
            address = f"{(run / 'desk.url').read_text()}api/calls"
            async with session.post(address, json=order, headers=headers) as reply:
                assert reply.status == 200, await reply.text()
                call_id = CallId((await reply.json())["call_id"])
        await phone.rings()
        await phone.answer()
        await phone.say("hello")
        await phone.hears_voice(0.5)
        await phone.is_quiet(0.8)
        return of_call(call_id)

    async def tree(self, call: Traceparent) -> list[Told]:
        """Return the spans of a call, once they are one tree with the last that comes."""
        of = self.told.of

        def is_whole() -> bool:
            names = {one.name for one in of(call.trace_id)}
            return {"call", "record", "fetch", "recognise"} <= names and is_one_tree(of(call.trace_id))

        await self.told.until(is_whole)
        return of(call.trace_id)


@asynccontextmanager
async def rig(state: Path) -> AsyncIterator[Rig]:
    asked: list[Traceparent | None] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(parse(request.headers.get(HEADER, "")))
        return web.json_response({"state": "sent"})

    async with collector(web.get("/orders", answer)) as told:
        script = TALK.format(url=told.url)
        async with stage(state, {"trace": script}, 1, NEEDED, SETTINGS.format(url=told.url)) as play:
            yield Rig(play, told, asked, script)


async def test_a_call_is_one_tree_told_by_four_processes_and_so_is_one_whose_edge_is_killed(tmp_path: Path) -> None:
    async with rig(tmp_path / "state") as node, phones(2) as (whole, broken):
        call, survivor = await asyncio.gather(node.call(whole), node.call(broken))
        await whole.say("yes")
        assert (await whole.has_ended()).cause == "remote_hangup", "the script has come to its end"
        tree = await node.tree(call)
        (edge,) = node.stage.client.roster().active("edge")
        os.kill(edge.pid, signal.SIGKILL)
        await node.told.until(lambda: node.stage.client.roster().active("edge") not in ([], [edge]))
        await broken.say("yes")
        assert (await broken.has_ended()).cause == "remote_hangup"
        grown = await node.tree(survivor)
    for spans, root in ((tree, call), (grown, survivor)):
        assert is_one_tree(spans)
        assert len({one.process for one in spans}) >= 4
        assert {(one.name, one.span_id) for one in spans if not one.parent} == {("call", root.span_id)}
        by_name = {one.name: one for one in spans}
        (turn,) = {one.span_id for one in spans if one.name == "turn"}
        assert turn == root.below("turn", 0).span_id
        assert by_name["fetch"].parent == by_name["recognise"].parent == turn
        assert by_name["recognise"].began_ns <= by_name["fetch"].began_ns
        assert all(one.began_ns <= one.ended_ns for one in spans)
        assert {"order", "dial", "turn", "fetch", "recognise", "record"} <= by_name.keys()
    assert [here.span_id for here in node.asked if here] == [
        one.span_id for spans in (tree, grown) for one in spans if one.name == "fetch"
    ], "the API has been told whose child its own spans are"
    assert len({one.life for one in grown if one.process == "edge-0"}) == 2, "one has begun it, another has ended it"
