"""Who may ask what: every role at every route, sessions and what ends them, secrets that are wrong, and other sites."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from nodes.admin import hashing
from nodes.admin.access import Access, Denied
from nodes.admin.guard import guard
from nodes.admin.hashing import Busy, Hasher, hashed
from nodes.admin.listener import served
from nodes.admin.roles import Role
from nodes.admin.routes import Route, handler_of
from nodes.admin.sessions import MOST_OF_ONE, Sessions
from nodes.admin.signin import Self, SignIn
from nodes.admin.throttle import MOST, Throttle
from nodes.admin.users import Users, changing, new_user
from nodes.config import Desk
from tests.nodes.admin.people import PASSWORD, door, let_in

ROLES = tuple(Role)


async def answer(request: web.Request) -> Self:
    return Self("", Role.AGENT)


Answer = tuple[int, dict, dict[str, str]]


class Site:
    """A served API with a route to read and one to order for each role. `state`: where its files are."""

    def __init__(self, access: Access, state: Path, address: str) -> None:
        self.access, self.state, self.address = access, state, address.rstrip("/")

    async def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict, dict[str, str]]:
        """Ask as these headers say; return status, body and headers."""
        data = None if body is None else json.dumps(body)
        known = {"Content-Type": "application/json"} if data else {}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, f"{self.address}{path}", data=data, headers={**known, **headers}) as reply,
        ):
            return reply.status, json.loads(await reply.text()), dict(reply.headers)

    async def cookie(self, name: str, password: str = PASSWORD) -> dict[str, str]:
        """Sign in; return the headers of a page of ours."""
        status, said, headers = await self.sign_in(name, password)
        assert status == 200, said
        return {"Cookie": headers["Set-Cookie"].partition(";")[0], "Origin": self.address}

    async def sign_in(self, name: str, password: str = PASSWORD) -> Answer:
        return await self.ask("POST", "/api/session", {"name": name, "password": password}, Origin=self.address)

    async def as_who(self, name: str) -> dict[str, str]:
        """The headers with which this user asks, whose name is their role's."""
        return {"Authorization": f"Bearer {name}.{PASSWORD}"} if name == "machine" else await self.cookie(name)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """One with a user of each role."""
    let_in(tmp_path, **{role.value: role for role in ROLES})
    access = door(tmp_path)
    table = (
        *SignIn(access).table(),
        *(Route("GET", f"/{role}", "", role, answer, Self) for role in ROLES),
        *(Route("POST", f"/{role}", "", role, answer, Self, dict) for role in ROLES),
    )
    app = web.Application(middlewares=[guard(access, table, ())])
    app.add_routes([web.route(one.method, one.path, handler_of(one)) for one in table])
    async with AsyncExitStack() as stack:
        yield Site(access, tmp_path, await stack.enter_async_context(served(app, Desk(port=0))))


# ---- roles --------------------------------------------------------------------------------------------------------


async def test_a_role_may_what_those_before_it_may_and_no_more(site: Site) -> None:
    for number, role in enumerate(ROLES):
        who = await site.as_who(role)
        for least_number, least in enumerate(ROLES):
            expected = 200 if number >= least_number else 403
            assert (await site.ask("GET", f"/{least}", **who))[0] == expected, (role, least)
            assert (await site.ask("POST", f"/{least}", {}, **who))[0] == expected, (role, least)


async def test_nobody_may_nothing_and_the_nodes_token_everything(site: Site) -> None:
    for role in ROLES:
        assert (await site.ask("GET", f"/{role}"))[0] == 401
        token = {"Authorization": f"Bearer {(site.state / 'token').read_text()}"}
        assert (await site.ask("POST", f"/{role}", {}, **token))[0] == 200


async def test_a_role_that_is_changed_holds_at_once(site: Site) -> None:
    who = await site.cookie("viewer")
    with changing(site.state / "users.json") as users:
        old = users["viewer"]
        users["viewer"] = type(old)(Role.AGENT, old.hash, old.generation, old.since)
    assert (await site.ask("GET", "/viewer", **who))[0] == 403


async def test_a_person_has_no_bearer_and_a_machine_no_page(site: Site) -> None:
    assert (await site.ask("GET", "/agent", Authorization=f"Bearer admin.{PASSWORD}"))[0] == 401
    assert (await site.sign_in("machine"))[0] == 401


# ---- sessions -----------------------------------------------------------------------------------------------------


async def test_a_sessions_cookie_is_for_our_pages_only_and_for_no_script(site: Site) -> None:
    _, said, headers = await site.sign_in("lead")
    assert said == {"name": "lead", "role": "lead"}
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(headers["Set-Cookie"].split("; "))
    assert "Secure" not in headers["Set-Cookie"]
    proxied = await site.access.sign_in("lead", PASSWORD, "")
    assert proxied not in (site.state / "sessions.json").read_text(), "only its hash is on disk"
    for file in ("sessions.json", "users.json", "token"):
        assert stat.S_IMODE((site.state / file).stat().st_mode) == 0o600
    assert PASSWORD not in (site.state / "users.json").read_text()


async def test_a_page_that_came_over_tls_gets_a_cookie_that_goes_over_tls(site: Site) -> None:
    secure = site.address.replace("http:", "https:")
    body = {"name": "lead", "password": PASSWORD}
    _, _, headers = await site.ask("POST", "/api/session", body, Origin=secure)
    assert "Secure" in headers["Set-Cookie"].split("; ")


async def test_signing_out_another_password_and_removal_end_a_session(site: Site) -> None:
    for ends in ("out", "passwd", "remove"):
        who, other = await site.cookie("agent"), await site.cookie("agent")
        assert (await site.ask("GET", "/agent", **who))[0] == 200
        if ends == "out":
            assert (await site.ask("DELETE", "/api/session", **who))[0] == 200
        with changing(site.state / "users.json") as users:
            if ends == "passwd":
                users["agent"] = new_user(Role.AGENT, PASSWORD)
            elif ends == "remove":
                del users["agent"]
        assert (await site.ask("GET", "/agent", **who))[0] == 401
        assert (await site.ask("GET", "/agent", **other))[0] == (200 if ends == "out" else 401)


async def test_sessions_outlive_the_desk_and_end_after_their_time(tmp_path: Path) -> None:
    let_in(tmp_path, ann=Role.AGENT)
    first = door(tmp_path, lifetime_s=3600.0).sessions
    secret = await first.begin("ann")
    later = door(tmp_path, lifetime_s=3600.0).sessions
    who = later.who(secret)
    assert (who.name, who.role) == ("ann", Role.AGENT)
    assert later.known(who.session) == who
    over = await door(tmp_path, lifetime_s=0.0).sessions.begin("ann")
    ended = door(tmp_path, lifetime_s=0.0).sessions
    assert ended.who(over) is None
    (tmp_path / "sessions.json").write_text('{"broken": ')
    assert door(tmp_path).sessions.who(secret) is None


async def test_a_clock_that_is_set_ends_no_session_of_a_running_desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_in(tmp_path, ann=Role.AGENT)
    sessions = door(tmp_path, lifetime_s=60.0).sessions
    secret = await sessions.begin("ann")
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert sessions.who(secret)


async def test_a_session_that_is_over_goes_on_for_who_is_in_a_call_but_not_for_who_was_removed(tmp_path: Path) -> None:
    let_in(tmp_path, ann=Role.AGENT)
    sessions = Sessions(tmp_path / "sessions.json", Users(tmp_path / "users.json"), 0.05)
    who = sessions.who(await sessions.begin("ann"))
    await asyncio.sleep(0.06)
    assert sessions.known(who.session) is None
    await sessions.begin("ann")
    assert sessions.known(who.session, is_busy=True) == who
    with changing(tmp_path / "users.json") as users:
        del users["ann"]
    assert sessions.known(who.session, is_busy=True) is None


async def test_one_user_has_so_many_sessions_and_the_oldest_ends_for_another(tmp_path: Path) -> None:
    let_in(tmp_path, ann=Role.AGENT, ben=Role.AGENT)
    sessions = door(tmp_path).sessions
    bens = await sessions.begin("ben")
    begun = [await sessions.begin("ann") for _ in range(MOST_OF_ONE + 2)]
    assert [bool(sessions.who(one)) for one in begun] == [False, False, *[True] * MOST_OF_ONE]
    assert sessions.who(bens)


# ---- pages of other sites -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "strange"),
    [
        ("POST", {"Origin": ""}),
        ("POST", {"Origin": "http://evil.example"}),
        ("POST", {"Origin": "null"}),
        ("DELETE", {"Origin": ""}),
        ("GET", {"Origin": "http://evil.example"}),
        ("GET", {"Origin": "", "Sec-Fetch-Site": "cross-site"}),
        ("GET", {"Origin": "", "Sec-Fetch-Site": "same-site"}),
        ("POST", {"Sec-Fetch-Site": "same-site"}),
    ],
)
async def test_a_cookie_counts_only_where_a_page_of_ours_asks(site: Site, method: str, strange: dict[str, str]) -> None:
    given = {**(await site.cookie("admin")), **strange}
    headers = {name: value for name, value in given.items() if value}
    path = "/api/session" if method == "DELETE" else "/viewer"
    assert (await site.ask(method, path, {} if method == "POST" else None, **headers))[0] == 403


async def test_an_order_is_json_and_says_so(site: Site) -> None:
    who = await site.cookie("admin")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert (await site.ask("POST", "/viewer", {}, **who, **{"Content-Type": kind}))[0] == 415


# ---- secrets that are wrong ---------------------------------------------------------------------------------------


async def test_who_is_wrong_too_often_waits_and_is_told_for_how_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.access._names = Throttle(rate=1e-6, burst=3)
    for _ in range(3):
        assert (await site.sign_in("lead", "wrong"))[0] == 401
    status, _, headers = await site.sign_in("lead")
    assert status == 429
    assert int(headers["Retry-After"]) > 1000
    assert (await site.sign_in("admin"))[0] == 200, "the others' names are their own"
    site.access._addresses = Throttle(rate=1e-6, burst=2)
    for name in ("nobody", "no one"):
        assert (await site.sign_in(name, "wrong"))[0] == 401
    assert (await site.sign_in("admin"))[0] == 429


async def test_nobody_keeps_a_person_out_by_being_wrong_for_them(site: Site) -> None:
    async def tries(password: str, origin: str) -> int:
        try:
            await site.access.sign_in("lead", password, origin)
        except Denied as denied:
            return denied.status
        return 200

    at_work, at_home, stranger = "192.0.2.1", "192.0.2.2", "198.51.100.7"
    assert await tries(PASSWORD, at_work) == 200
    while await tries("wrong", stranger) == 401:
        pass
    assert await tries(PASSWORD, stranger) == 429
    assert await tries(PASSWORD, at_home) == 200, "who is wrong elsewhere is somebody else"
    site.access._anywhere = Throttle(rate=1e-6, burst=3)
    for n in range(3):
        assert await tries("wrong", f"198.51.100.{n}") == 401
    assert await tries("wrong", "198.51.100.9") == 429, "many who guess together are one"
    assert await tries(PASSWORD, at_home) == await tries(PASSWORD, at_work) == 200, "they were right here before"


async def test_a_machines_bearer_is_throttled_too_but_one_that_was_right_is_known(site: Site) -> None:
    right = {"Authorization": f"Bearer machine.{PASSWORD}"}
    assert (await site.ask("GET", "/machine", **right))[0] == 200
    site.access._names = Throttle(rate=1e-6, burst=2)
    for _ in range(2):
        assert (await site.ask("GET", "/machine", Authorization="Bearer machine.wrong"))[0] == 401
    assert (await site.ask("GET", "/machine", Authorization="Bearer machine.wrong"))[0] == 429
    assert (await site.ask("GET", "/machine", **right))[0] == 200
    let_in(site.state, machine=Role.MACHINE)
    assert (await site.ask("GET", "/machine", **right))[0] == 429, "a new secret is not known yet"


async def test_somebody_who_does_not_exist_takes_as_long_as_somebody_who_does(site: Site) -> None:
    hasher, known = Hasher(), hashed("secret")
    assert not await hasher.matches(None, "secret")
    took = []
    for one in (known, None, known, None, known, None):
        began = time.perf_counter()
        assert not await hasher.matches(one, "wrong")
        took.append(time.perf_counter() - began)
    assert min(took[1::2]) > min(took[::2]) / 2


async def test_the_loop_goes_on_while_secrets_are_compared_and_too_many_are_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hashing, "MAX_WAITING", 4)
    hasher, known = Hasher(), hashed("secret")
    waiting = [asyncio.ensure_future(hasher.matches(known, "secret")) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await hasher.matches(known, "secret")
    turns = 0
    while not waiting[0].done():
        turns += 1
        await asyncio.sleep(0.001)
    assert turns > 5
    assert all(await asyncio.gather(*waiting))


def test_the_throttle_forgets_the_one_who_failed_longest_ago() -> None:
    throttle = Throttle(rate=1.0, burst=1.0)
    for number in range(MOST + 1):
        throttle.failed(str(number), now=0.0)
    assert len(throttle) == MOST
    assert throttle.wait_s("0", 0.0) == 0.0
    assert throttle.wait_s("1", 0.0) == 1.0


@pytest.mark.parametrize("name", ["", "\ud800", "x" * 5000, "../users", "a.b", "\0", "ann\r\nX: y"])
async def test_strange_names_and_passwords_are_wrong_and_nothing_else(site: Site, name: str) -> None:
    body = json.loads(json.dumps({"name": name, "password": name}))
    status, said, _ = await site.ask("POST", "/api/session", body, Origin=site.address)
    assert status in (400, 401)
    assert said["error"]


# ---- what was done ------------------------------------------------------------------------------------------------


async def test_what_was_done_and_by_whom_is_written_down_without_numbers_or_words(site: Site) -> None:
    writing = asyncio.ensure_future(site.access.audit.run())
    who = await site.cookie("lead")
    await site.ask("POST", "/viewer", {"target": "+49301234567"}, **who)
    await site.ask("POST", "/admin", {}, **who)
    await site.sign_in("lead", "wrong")
    await site.ask("DELETE", "/api/session", **who)
    writing.cancel()
    await asyncio.wait([writing])
    file = site.state / "audit.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(one["what"], one.get("who")) for one in told] == [
        ("session.begun", "lead"),
        ("POST /viewer", "lead"),
        ("POST /admin", None),
        ("session.refused", None),
        ("DELETE /api/session", "lead"),
    ]
    assert all(one["from"] == "127.0.0.1" and one["at"] for one in told)
    assert "4930" not in file.read_text()
    assert (told[2]["name"], told[3]["name"]) == ("lead", "lead")


async def test_strangers_cannot_fill_the_audit(site: Site) -> None:
    for _ in range(1000):
        site.access.audit.refused("session.refused", "192.0.2.1", name="x")
    site.access.audit._write()
    assert len((site.state / "audit.jsonl").read_text().splitlines()) < 30


def test_a_users_file_that_is_broken_lets_nobody_in_until_it_is_whole(tmp_path: Path) -> None:
    let_in(tmp_path, ann=Role.AGENT)
    users, file = Users(tmp_path / "users.json"), tmp_path / "users.json"
    whole = file.read_bytes()
    for broken in (whole[:-20], b"\xff", b"[" * 5000, b'{"users": {"ann": {"role": "king"}}}'):
        assert users.find("ann")
        file.write_bytes(broken)
        assert users.find("ann") is None
        file.write_bytes(whole)
    os.unlink(file)
    assert users.find("ann") is None
