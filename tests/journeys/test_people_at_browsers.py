"""People at real browsers: one button and the robot calls it, and an agent who takes a call on the desk's page."""

from __future__ import annotations

import asyncio

from nodes.admin.roles import Role
from protocols.wire.events import CallEvent, Kind
from tests.journeys.following import LOOK_S, PATIENCE_S, Node
from tests.journeys.peers.browser import browser
from tests.journeys.peers.desk import door, is_handed_over
from tests.journeys.peers.phone import phones
from tests.nodes.admin.people import PASSWORD, let_in


async def test_one_button_and_the_robot_calls_the_browser(node: Node) -> None:
    events: asyncio.Queue[CallEvent] = asyncio.Queue()
    await node.stage.client.events(events.put_nowait)
    address, token = await door(node)
    async with browser(f"{address}phone?script=hello#{token}", says="yes") as page:
        await page.click("button")
        await page.reads("button", "Answer")
        await page.click("button")
        await page.reads("state", "You are talking with the robot.")
        await page.reads("state", "The call is over.")
        assert await page.value("window.loudest") > 0.05, "the robot's voice came out of the loudspeaker"
    told = [events.get_nowait() for _ in range(events.qsize())]
    call_id = next(event.call_id for event in told if event.kind is Kind.PLACING)
    ours = [event for event in told if event.call_id == call_id]
    assert [event.fields["intent"] for event in ours if event.kind is Kind.HEARD] == ["yes"]
    assert (ours[-1].fields["disposition"], ours[-1].fields["by"]) == ("completed", "us")


async def test_an_agent_takes_a_call_on_the_page(node: Node) -> None:
    address, token = await door(node)
    async with browser(f"{address}agent#{token}", says="how can i help you") as page, phones(1) as (phone,):
        await page.value("document.getElementById('agent').value = 'ann'")
        await page.click("signin_button")
        await page.reads("state", "ready")
        call = await is_handed_over(node, phone)
        await page.click("accept")
        await page.reads("state", "talking")
        assert await page.value("document.getElementById('reason').textContent") == "wants a person (normal)"
        await page.value("window.loudest = 0")
        await asyncio.gather(phone.say("can you hear me"), phone.hears_voice(0.5))
        await page.until("window.loudest > 0.05")
        await page.click("finish")
        assert (await call.ended()).fields["cause"] == "agent"
        await page.click("wrapped_up")
        await page.reads("state", "ready")


async def test_an_agent_who_has_signed_in_is_brought_back_to_their_seat_after_the_desk_has_died(node: Node) -> None:
    address, token = await door(node)
    let_in(node.stage.config.paths.state, ann=Role.AGENT)
    async with browser(f"{address}agent", says="hello") as page:
        await page.until("location.pathname === '/signin' && !document.getElementById('signin').hidden")
        await page.value("document.getElementById('name').value = 'ann'")
        for password, said in (("wrong", "Name or password is wrong."), (PASSWORD, "")):
            await page.value(f"document.getElementById('password').value = '{password}'")
            await page.click("signin_button")
            await page.reads("trouble", said)
        await page.until("location.pathname === '/agent' && document.getElementById('who').textContent === 'ann'")
        await page.click("signin_button")
        await page.reads("state", "ready")
        await page.click("not_ready")
        await page.reads("state", "not_ready")
        node.kill(node.active("desk"))
        await page.reads("state", "coming back")
        await page.reads("state", "not_ready")
        assert await door(node) == (address, token)
        await page.click("ready")
        await page.reads("state", "ready")
        assert (await node.figures("desk"))["agents_ready"] == 1.0
        await page.click("signout")
        await page.until("location.pathname === '/signin'")
        async with asyncio.timeout(PATIENCE_S):
            while (await node.figures("desk"))["agents_ready"]:
                await asyncio.sleep(LOOK_S)
