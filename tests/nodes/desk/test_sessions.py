"""People with a session at the desk's socket: their own seat, no other, and only as long as the session lasts."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import aiohttp
import pytest

from nodes.admin.roles import Role
from nodes.admin.users import changing, new_user
from nodes.desk import web
from tests.nodes.admin.people import PASSWORD, let_in
from tests.nodes.desk.conftest import CALL, MOST, Rig
from tests.nodes.desk.page import Page, page


async def signed_in(rig: Rig, name: str, role: Role) -> dict[str, str]:
    """Return the headers of a browser in which somebody has signed in."""
    let_in(rig.state, **{name: role})
    origin = {"Origin": rig.address.rstrip("/")}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.post(
            f"{rig.address}api/session", json={"name": name, "password": PASSWORD}, headers=origin
        ) as reply,
    ):  # fmt: skip
        assert reply.status == 200
        return {**origin, "Cookie": reply.headers["Set-Cookie"].partition(";")[0]}


def seat(rig: Rig, headers: dict[str, str], agent: str = "ann") -> AbstractAsyncContextManager[Page]:
    return page(rig.address, headers, token="", agent=agent, ready=True)


async def test_an_agents_session_takes_the_agents_own_seat_and_no_other(rig: Rig) -> None:
    headers = await signed_in(rig, "ann", Role.AGENT)
    async with seat(rig, headers) as ann:
        await ann.told("state", state="ready")
        for other in ("ben", "", "Ann"):
            async with seat(rig, headers, other) as refused:
                assert await refused.is_closed() == 4400
        assert [one.name for one in rig.seats.agents] == ["ann"]


@pytest.mark.parametrize(
    ("role", "agent", "code"),
    [
        (Role.VIEWER, "ann", 4400),
        (Role.VIEWER, "", 4400),
        (Role.LEAD, "ben", 4400),
        (Role.LEAD, "ann", 0),
        (Role.ADMIN, "ann", 0),
    ],
)
async def test_who_takes_calls_sits_at_their_own_seat_whoever_they_are(
    rig: Rig, role: Role, agent: str, code: int
) -> None:
    async with seat(rig, await signed_in(rig, "ann", role), agent) as ann:
        if code:
            assert await ann.is_closed() == code
        else:
            await ann.told("state", state="ready")


async def test_a_lead_may_have_the_robot_call_their_browser(rig: Rig) -> None:
    async with seat(rig, await signed_in(rig, "lea", Role.LEAD), "") as lea:
        await rig.call_browser(lea)


@pytest.mark.parametrize("strange", [{"Origin": ""}, {"Sec-Fetch-Site": "same-site"}, {"Cookie": "ringmaster_n1=x"}])
async def test_a_socket_counts_its_cookie_only_where_a_page_of_ours_opened_it(
    rig: Rig, strange: dict[str, str]
) -> None:
    given = {**(await signed_in(rig, "ann", Role.AGENT)), **strange}
    async with seat(rig, {name: value for name, value in given.items() if value}) as ann:
        assert await ann.is_closed() == 4401
    assert rig.seats.agents == []


@pytest.mark.parametrize("ends", ["out", "passwd", "remove", "role"])
async def test_the_end_of_a_session_closes_its_seat_also_in_a_call(
    rig: Rig, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "LOOK_S", 0.02)
    headers = await signed_in(rig, "ann", Role.AGENT)
    async with seat(rig, headers) as ann:
        await ann.told("state", state="ready")
        await rig.bridge(ann, CALL)
        if ends == "out":
            async with aiohttp.ClientSession() as session, session.delete(
                f"{rig.address}api/session", headers=headers
            ) as reply:  # fmt: skip
                assert reply.status == 200
        else:
            with changing(rig.state / "users.json") as users:
                old = users.pop("ann")
                if ends == "passwd":
                    users["ann"] = new_user(Role.AGENT, PASSWORD)
                elif ends == "role":
                    users["ann"] = type(old)(Role.VIEWER, old.hash, old.generation, old.since)
        assert await ann.is_closed() == 4401


async def test_a_session_whose_time_is_over_is_closed_after_the_call(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LOOK_S", 0.02)
    headers = await signed_in(rig, "ann", Role.AGENT)
    async with seat(rig, headers) as ann:
        await ann.told("state", state="ready")
        await rig.bridge(ann, CALL)
        rig.end_sessions()
        await asyncio.sleep(0.1)
        await ann.say("finish", call=CALL)
        rig.release(CALL, "ann")
        await ann.told("released", call=CALL)
        assert await ann.is_closed() == 4401


async def test_sockets_that_do_not_say_who_they_are_give_way_and_agents_stay(rig: Rig) -> None:
    headers = await signed_in(rig, "ann", Role.AGENT)
    async with AsyncExitStack() as stack:
        for _ in range(MOST + 2):
            await stack.enter_async_context(page(rig.address))
        ann = await stack.enter_async_context(seat(rig, headers))
        await ann.told("state", state="ready")
        for _ in range(MOST + 2):
            await stack.enter_async_context(page(rig.address))
        await ann.say("beat")
        await ann.told("beat")
