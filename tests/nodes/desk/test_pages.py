"""Pages and their socket: who may have a seat, what is no message, and a browser that is called."""

import asyncio
import time

import aiohttp
import pytest

from nodes.desk import browser
from nodes.desk.web import PAGES
from protocols.wire import desk as wire
from tests.nodes.desk.conftest import CALL, DESK, EDGE, TOKEN, Rig


async def fetched(rig: Rig, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{rig.address}{path}") as reply:
        return reply.status, reply.headers.get("Content-Security-Policy", "")


@pytest.mark.parametrize("path", ["agent", "phone", *(f"pages/{file.name}" for file in PAGES.iterdir())])
async def test_every_page_is_served_and_may_load_nothing_from_elsewhere(rig: Rig, path: str) -> None:
    status, policy = await fetched(rig, path)
    assert status == 200
    assert "default-src 'self'" in policy


@pytest.mark.parametrize(
    "path", ["pages/../web.py", "pages/..%2fweb.py", "pages/none.js", "pages/%00", f"pages/{'a' * 300}.js"]
)
async def test_nothing_but_the_pages_is_served(rig: Rig, path: str) -> None:
    assert (await fetched(rig, path))[0] in (401, 404)


@pytest.mark.parametrize("hello", [{"token": "wrong", "agent": "ann"}, {"agent": 7}, {"token": "t\u00f6ken"}])
async def test_a_page_without_the_token_has_no_seat(rig: Rig, hello: dict[str, object]) -> None:
    async with rig.page(hello) as page:
        assert await page.is_closed() == 4401
    assert rig.seats.agents == []


@pytest.mark.parametrize("first", ["", "[]", '{"type": "beat"}', '{"type": "hello"}', "\ud83d", "x" * 60_000])
async def test_a_page_that_does_not_say_hello_is_closed(rig: Rig, first: str) -> None:
    async with rig.page() as page:
        await page.socket.send_str(first.encode(errors="replace").decode())
        assert await page.is_closed() == 4401


async def test_what_is_no_message_is_refused_and_the_page_lives_on(rig: Rig) -> None:
    async with rig.agent() as ann:
        for text in ("", "null", '{"type": "accept"}', '{"type": "no_such"}', "[" * 5000):
            await ann.socket.send_str(text)
            await ann.told("refused", reason="malformed_control")
        await ann.speak(b"not a frame")
        await ann.say("accept", call="another's")
        await ann.say("shown", call="")
        assert await rig.reserve(ann) == "ann"


async def test_a_beat_is_answered_so_that_a_page_knows_of_a_desk_that_is_gone(rig: Rig) -> None:
    async with rig.agent() as ann:
        await ann.say("beat")
        await ann.told("beat")


async def test_a_page_that_says_nothing_and_answers_no_ping_is_gone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "SILENT_S", 0.4)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{rig.address}socket", autoping=False) as socket:
        await socket.send_json({"type": "hello", "token": TOKEN, "agent": "ann", "ready": True})
        async with asyncio.timeout(60):
            while not rig.seats.agents:
                await asyncio.sleep(0.01)
            while rig.seats.agents:  # the pings that come are not answered
                await asyncio.sleep(0.01)


async def test_a_page_that_answers_pings_is_there_also_after_a_pause_of_the_desk(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "SILENT_S", 0.4)
    async with rig.agent() as ann, asyncio.TaskGroup() as tasks:
        tasks.create_task(ann.told("beat"))  # it reads, and so it answers pings
        await asyncio.sleep(0.6)
        time.sleep(0.6)  # noqa: ASYNC251 - the desk stands still
        await asyncio.sleep(0.2)
        await ann.say("beat")


async def test_a_message_that_is_too_long_ends_the_page(rig: Rig) -> None:
    async with rig.agent() as ann:
        await ann.socket.send_str("x" * 100_000)
        assert await ann.is_closed() == 1009, "message too big (RFC 6455 s.7.4.1)"


# ---- a browser that is called -------------------------------------------------------------------------------------


async def test_a_browser_is_called_answers_hears_and_hangs_up(rig: Rig) -> None:
    async with rig.page({}) as page:
        await rig.call_browser(page)
        await page.say("accept", call=CALL)
        assert await rig.edge.told() == wire.SeatAccepted(CALL, "phone")
        rig.say_to_the_seat(b"\x01" * 160)
        assert await rig.edge.told() == wire.SeatHears(CALL, "phone")
        assert await page.hears() == b"\x01" * 160
        await page.say("finish", call=CALL)
        assert await rig.edge.told() == wire.SeatFinished(CALL, "phone")
        await page.told("released", call=CALL)


async def test_a_browser_that_does_not_answer_declines(rig: Rig) -> None:
    async with rig.page({}) as page:
        await rig.call_browser(page)
        await page.say("decline", call=CALL)
        assert await rig.edge.told() == wire.SeatDeclined(CALL, "phone")


async def test_the_robot_hangs_up_on_a_browser(rig: Rig) -> None:
    async with rig.page({}) as page:
        await rig.call_browser(page)
        rig.edge.mesh.tell(DESK, wire.ReleaseSeat(CALL, "phone"))
        await page.told("released", call=CALL)


async def test_a_browser_that_is_closed_has_hung_up(rig: Rig) -> None:
    async with rig.page({}) as page:
        await rig.call_browser(page)
    assert await rig.edge.told() == wire.SeatLost(CALL, "phone")


async def test_a_successor_of_the_edge_is_told_that_the_browser_has_answered(rig: Rig) -> None:
    async with rig.page({}) as page:
        await rig.call_browser(page)
        await page.say("accept", call=CALL)
        assert await rig.edge.told() == wire.SeatAccepted(CALL, "phone")
        rig.follow(EDGE)
        await rig.heir.mesh.ask(DESK, wire.KeepSeat(CALL, "phone"))
        assert await rig.heir.told() == wire.SeatAccepted(CALL, "phone")
