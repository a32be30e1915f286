"""What strangers send to the HTTP server, byte by byte: it is refused, it holds up nobody, and it costs little."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from nodes.admin import guard as guarding
from nodes.admin import listener
from nodes.admin.guard import MAX_BODY, guard
from nodes.admin.listener import served
from nodes.admin.roles import Role
from nodes.admin.routes import Route, handler_of
from nodes.config import Desk
from tests.nodes.admin import people

TOKEN = "t" * 32
WITH_TOKEN = f"Authorization: Bearer {TOKEN}\r\n"


async def hello(_: web.Request) -> web.Response:
    return web.json_response({"ok": True})


async def order(request: web.Request) -> web.Response:
    return web.json_response({"bytes": len(await request.read())})


async def broken(_: web.Request) -> web.Response:
    raise RuntimeError("a bug")


TABLE = (
    Route("GET", "/open", "", None, hello),
    Route("POST", "/order", "", Role.MACHINE, order, order=dict),
    Route("GET", "/broken", "", Role.VIEWER, broken),
)


@asynccontextmanager
async def door(**settings: int) -> AsyncIterator[int]:
    """Serve an open route, one that takes an order, and one that fails; yield the port."""
    with TemporaryDirectory() as state:
        (Path(state) / "token").write_text(TOKEN)
        app = web.Application(middlewares=[guard(people.door(Path(state)), TABLE, ())], client_max_size=MAX_BODY)
        app.add_routes([web.route(one.method, one.path, handler_of(one)) for one in TABLE])
        async with served(app, Desk(port=0, **settings)) as address:
            yield int(address.rpartition(":")[2].strip("/"))


async def answered(port: int, *sent: bytes) -> tuple[int, dict[str, str]]:
    """Send bytes, and return the status and JSON of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(60):
        for part in sent:
            writer.write(part)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body = await reader.readexactly(length)
    writer.close()
    return int(head.split()[1]), json.loads(body)


def request(path: str, headers: str = WITH_TOKEN, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode("latin-1")


# ---- bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/open", "/order", "/nothing"])
@pytest.mark.parametrize("headers", ["", WITH_TOKEN])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP"])
async def test_a_packed_body_is_refused_as_it_came(path: str, headers: str, coding: str) -> None:
    async with door() as port:
        for method in ("GET", "POST"):
            head = request(path, f"{headers}Content-Encoding: {coding}\r\nContent-Length: 5\r\n", method)
            status, said = await answered(port, head, b"bytes")
            assert status == 415
            assert "Content-Encoding" in said["error"]


async def test_ten_bombs_cost_no_memory_and_hold_up_nobody() -> None:
    bomb = gzip.compress(b"\0" * 100_000_000, 1)
    head = request("/open", f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n", "POST")
    async with door() as port:
        before = rss()
        thrown = [asyncio.ensure_future(answered(port, head, bomb)) for _ in range(10)]
        assert await answered(port, request("/open")) == (200, {"ok": True})
        assert [status for status, _ in await asyncio.gather(*thrown)] == [415] * 10
        assert rss() - before < 50_000_000, "a billion zeros were never there"


def rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_the_body_of_somebody_unknown_is_not_waited_for() -> None:
    async with door() as port:
        head = request("/order", "Content-Type: application/json\r\nContent-Length: 1000\r\n", "POST")
        assert (await answered(port, head))[0] == 401


async def test_a_body_is_limited_however_it_comes_and_read_where_one_is_wanted() -> None:
    plain = "Content-Type: application/json\r\n" + WITH_TOKEN
    async with door() as port:
        order = request("/order", f"{plain}Content-Length: 7\r\n", "POST")
        assert await answered(port, order, b"{}     ") == (200, {"bytes": 7})
        long = request("/order", f"{plain}Content-Length: {MAX_BODY + 1}\r\n", "POST")
        assert (await answered(port, long))[0] == 413
        chunks = request("/order", f"{plain}Transfer-Encoding: chunked\r\n", "POST")
        assert (await answered(port, chunks, b"%x\r\n" % (MAX_BODY + 1), b"a" * (MAX_BODY + 1), b"\r\n0\r\n\r\n"))[
            0
        ] == 413
        unwanted = request("/open", f"{plain}Content-Length: 2\r\n")
        assert (await answered(port, unwanted, b"{}"))[0] == 400


async def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "BODY_S", 0.1)
    async with door() as port:
        head = request("/order", f"{WITH_TOKEN}Content-Type: application/json\r\nContent-Length: 9\r\n", "POST")
        assert (await answered(port, head, b"{"))[0] == 408


# ---- what is no request, or a strange one -------------------------------------------------------------------------

STRANGE: dict[str, tuple[int, bytes]] = {
    "bearer that is no ASCII": (401, request("/order", "Authorization: Bearer \xff\xfe\r\n", "POST")),
    "bearer that is no UTF-8": (401, request("/open2", "Authorization: Bearer \xed\xa0\x80\r\n")),
    "empty bearer": (401, request("/broken", "Authorization: Bearer \r\n")),
    "7,000 letters": (401, request("/broken", f"Authorization: Bearer {'a' * 7000}\r\n")),
    "a name of 300 letters": (404, request("/" + "a" * 300)),
    "a name of 5,000 letters": (404, request("/" + "a" * 5000)),
    "a zero in the name": (404, request("/a%00")),
    "half a letter in the name": (404, request("/%ff%ed%a0%80")),
    "out of the house": (404, request("/..%2f..%2fetc%2fpasswd")),
    "another method": (405, request("/order")),
    "another method, by nobody": (405, request("/order", "", "TRACE")),
    "another method, with a body": (405, request("/open", "Content-Length: 2\r\n", "PUT") + b"{}"),
    "a method of no one": (400, request("/order", method="BREW")),
    "a page of another site": (403, request("/order", f"{WITH_TOKEN}Origin: http://evil.example\r\n")),
    "no origin at all": (403, request("/order", f"{WITH_TOKEN}Origin: null\r\n")),
    "two lengths": (400, request("/order", "Content-Length: 4\r\nContent-Length: 5\r\n", "POST")),
    "a length with a sign": (400, request("/order", "Content-Length: +5\r\n", "POST")),
    "length and chunks": (400, request("/order", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "POST")),
    "chunks by another name": (400, request("/order", "Transfer-Encoding: xchunked\r\n", "POST")),
    "a header of 60,000 letters": (400, request("/open", f"X: {'a' * 60_000}\r\n")),
    "2,000 headers": (400, request("/open", "".join(f"X{n}: a\r\n" for n in range(2000)))),
    "a zero in a header": (400, request("/open", "X: a\0b\r\n")),
    "a space before the colon": (400, request("/open", "X : a\r\n")),
    "no HTTP": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "a bug of ours": (500, request("/broken")),
}


@pytest.mark.parametrize("name", STRANGE)
async def test_what_is_strange_is_answered_as_the_api_tells_errors_and_without_a_traceback(name: str) -> None:
    status, sent = STRANGE[name]
    async with door() as port:
        with capture_logs() as lines:
            given, said = await answered(port, sent)
        assert given == status
        assert set(said) == {"error"}
        assert "Traceback" not in said["error"]
        assert [line["event"] for line in lines] == (["http.failed"] if status == 500 else [])


# ---- connections --------------------------------------------------------------------------------------------------


async def test_a_head_that_does_not_arrive_is_given_up_however_slowly_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_S", 0.2)
    async with door() as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /open HTTP/1.1\r\n")
        while not await ended(reader, 0.02):
            writer.write(b"X: a\r\n")
        writer.close()


async def ended(reader: asyncio.StreamReader, within_s: float = 5.0) -> bool:
    """Whether the other end has closed the connection."""
    try:
        async with asyncio.timeout(within_s):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def test_who_keeps_us_waiting_gives_way_and_shuts_nobody_out() -> None:
    async with door(connections=8, connections_per_address=8) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
        assert await answered(port, request("/open")) == (200, {"ok": True})
        gone = [await ended(reader, 0.2) for reader, _ in held[:15]]
        assert all(gone)
        for _, writer in held:
            writer.close()


async def test_without_a_file_for_a_connection_the_log_says_so_once_a_second_and_then_the_door_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "RETRY_S", 0.2)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with door() as port, asyncio.timeout(60):
        callers = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]  # the loop has not turned since
        os.close(lowest := os.dup(0))
        began = time.monotonic()
        with capture_logs() as lines:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
            try:
                while len(lines) < 3:
                    await asyncio.sleep(0.01)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert time.monotonic() - began > 0.4, "three lines take two waits"
        assert {(line["event"], line["error"]) for line in lines} == {("http.cannot_accept", "Too many open files")}
        for caller in callers:
            caller.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(caller, request("/open"))
            assert (await asyncio.get_running_loop().sock_recv(caller, 1000)).startswith(b"HTTP/1.1 200")
            caller.close()
