"""What a script's `fetch` gets from servers of every kind, and where it never goes. Servers are real, on loopback."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import ssl
import subprocess
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from grammars.conversation_state import Fetch, Fetched, FetchFailed
from nodes.commands.campaign import REHEARSAL
from nodes.config import ConfigError, parse
from nodes.edge import destinations
from nodes.edge.destinations import Destinations
from nodes.edge.fetch import MAX_REPLY, Fetcher
from nodes.telemetry import spans
from nodes.telemetry.logs import traced
from nodes.telemetry.trace import of_call
from protocols.wire.ids import CallId
from tests.nodes.telemetry.sink import telling

CALL = CallId("spring-a4ee2b-1")
BODY = b'{"account": {"balance": "42.50", "due": "2026-12-01"}}'
ACCOUNT = Fetched({"account": {"balance": "42.50", "due": "2026-12-01"}})
LOOPBACK = ("127.0.0.0/8", "::1")


class Api:
    """A business API that answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] = self.account
        self.url = ""

    async def account(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=BODY, content_type="application/json")

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.answer(request)

    def gives(self, body: bytes, status: int = 200, **headers: str) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(body=body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

        self.answer = answer

    def sends(self, pieces: list[bytes], pause_s: float) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            reply = web.StreamResponse()
            await reply.prepare(request)
            try:
                for piece in pieces:
                    await reply.write(piece)
                    await asyncio.sleep(pause_s)
                await reply.write_eof()
            except ConnectionError:
                pass  # the client has read enough
            return reply

        self.answer = answer


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/accounts/1"
    yield made
    await runner.cleanup()


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    made = Fetcher(LOOPBACK)
    yield made
    await made.close()


def get(url: str, timeout_s: float = 2.0) -> Fetch:
    return Fetch("GET", url, None, timeout_s, state="look_up", turn=1)


def post(url: str, *, repeats: bool = False) -> Fetch:
    return Fetch("POST", url, {"pay_on": "2026-12-01"}, 2.0, state="book", turn=4, repeats=repeats)


# ---- what comes back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 20, len(BODY)])
async def test_a_reply_in_pieces_is_read_to_its_end(api: Api, fetcher: Fetcher, size: int) -> None:
    api.sends([BODY[at : at + size] for at in range(0, len(BODY), size)], pause_s=0.002)
    assert await fetcher.fetch(CALL, get(api.url)) == ACCOUNT


async def test_a_reply_in_two_segments_that_knows_its_length_is_read_to_its_end(fetcher: Fetcher) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:10])
        await writer.drain()
        await asyncio.sleep(0.03)
        writer.write(BODY[10:])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await fetcher.fetch(CALL, get(f"http://127.0.0.1:{port}/")) == ACCOUNT


async def test_a_reply_just_within_the_limit_is_taken_and_one_byte_more_is_not(api: Api, fetcher: Fetcher) -> None:
    for too_much, answer in ((0, Fetched), (1, FetchFailed)):
        api.gives(b'"' + b"x" * (MAX_REPLY - 2 + too_much) + b'"')
        assert type(await fetcher.fetch(CALL, get(api.url))) is answer


@pytest.mark.parametrize("packed", [gzip.compress(BODY), zlib.compress(BODY)], ids=["gzip", "deflate"])
async def test_a_packed_reply_is_unpacked(api: Api, fetcher: Fetcher, packed: bytes) -> None:
    api.gives(packed, Content_Encoding="gzip" if packed[:2] == b"\x1f\x8b" else "deflate")
    assert await fetcher.fetch(CALL, get(api.url)) == ACCOUNT


BOMB = gzip.compress(b"[" + b" " * 40_000_000 + b"]", compresslevel=1)
UNTAKEN: dict[str, tuple[bytes, dict[str, str], str]] = {
    "not JSON": (b"<html>", {}, "not_json"),
    "cut off": (BODY[:-1], {}, "not_json"),
    "a number of 60,000 digits": (b'{"a": 1' + b"0" * 60_000 + b"}", {}, "not_json"),
    "half a character": (b'"\\ud800"', {}, "not_json"),
    "3,000 brackets": (b"[" * 3000, {}, "too_deep"),
    "60,000 tables in each other": (b'{"a":' * 12_000, {}, "too_deep"),
    "more than a few fields": (b'"' + b"x" * 300_000 + b'"', {}, "too_long"),
    "a bomb": (BOMB, {"Content_Encoding": "gzip"}, "too_long"),
    "called gzip": (BODY, {"Content_Encoding": "gzip"}, "bad_encoding"),
    "packed in a way nobody asked for": (BODY, {"Content_Encoding": "br"}, "unknown_encoding"),
}


@pytest.mark.parametrize("kind", UNTAKEN)
async def test_a_reply_that_cannot_be_used_is_a_reason_and_nothing_else(api: Api, fetcher: Fetcher, kind: str) -> None:
    body, headers, reason = UNTAKEN[kind]
    api.gives(body, **headers)
    answer = await fetcher.fetch(CALL, get(api.url))
    assert answer == FetchFailed(reason)
    counted = {word: n for word, n in fetcher.figures.items() if word in ("fetch_too_long", "fetch_too_deep")}
    assert counted == {**dict.fromkeys(counted, 0.0), **({f"fetch_{reason}": 1.0} if "too" in reason else {})}


async def test_no_reply_holds_the_loop(api: Api, fetcher: Fetcher) -> None:
    api.gives(BOMB, Content_Encoding="gzip")
    before = time.thread_time()
    await fetcher.fetch(CALL, get(api.url))
    assert time.thread_time() - before < 0.1  # the server, in the same thread, included; the bomb unpacked takes 0.2 s


async def test_a_reply_that_drips_is_given_up_when_its_time_is_over(api: Api, fetcher: Fetcher) -> None:
    api.sends([b" "] * 100, pause_s=0.02)
    assert await fetcher.fetch(CALL, get(api.url, timeout_s=0.1)) == FetchFailed("timeout")


async def test_a_redirect_is_not_followed(api: Api, fetcher: Fetcher) -> None:
    api.gives(b"", 302, Location=api.url + "/elsewhere")
    assert await fetcher.fetch(CALL, get(api.url)) == FetchFailed("http_302")
    assert len(api.asked) == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(fetcher: Fetcher, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(  # noqa: ASYNC221  a few milliseconds
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        answer = await fetcher.fetch(CALL, get(f"https://127.0.0.1:{port}/"))
    assert answer == FetchFailed("ClientConnectorCertificateError")
    assert not any(heard)


# ---- where it goes ------------------------------------------------------------------------------------------------

METADATA = (
    "169.254.169.254", "169.254.170.2", "[fd00:ec2::254]", "metadata.google.internal", "METADATA.google.internal.",
    "100.100.100.200", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fe80::1]", "0.0.0.0",
)  # fmt: skip


@pytest.mark.parametrize("host", METADATA)
async def test_no_setting_lets_a_script_ask_a_metadata_service(host: str) -> None:
    everything = Fetcher(["0.0.0.0/0", "::/0", host.strip("[]")])
    answer = await everything.fetch(CALL, get(f"http://{host}/latest/meta-data/"))
    assert isinstance(answer, FetchFailed)
    assert "no script may ask" in answer.reason
    await everything.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "10.0.0.1", "192.168.1.1", "[fd12::1]"])
async def test_an_address_that_is_not_public_is_refused_with_the_setting_that_would_allow_it(host: str) -> None:
    strict = Fetcher()
    answer = await strict.fetch(CALL, get(f"http://{host}:9/"))
    assert isinstance(answer, FetchFailed)
    assert "fetch.allow" in answer.reason
    await strict.close()


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
async def test_an_address_in_disguise_is_no_way_to_loopback(api: Api, host: str) -> None:
    strict = Fetcher()
    assert isinstance(await strict.fetch(CALL, get(api.url.replace("127.0.0.1", host))), FetchFailed)
    assert not api.asked
    await strict.close()


@pytest.mark.parametrize("allowed", ["localhost", "127.0.0.1", "127.0.0.0/8", "LOCALHOST"])
async def test_what_the_setting_names_is_asked(api: Api, allowed: str) -> None:
    told = Fetcher([allowed, "::1"])
    assert await told.fetch(CALL, get(api.url.replace("127.0.0.1", "localhost"))) == ACCOUNT
    await told.close()


async def test_the_address_that_is_judged_is_the_one_that_is_connected_to(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that says something else each time it is asked: every answer is judged, none is looked up twice."""
    port = int(api.url.split(":")[2].split("/")[0])
    answers = iter(["169.254.169.254", "127.0.0.1", "127.0.0.1"])

    class Rebinding:
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
            return [{"hostname": host, "host": next(answers), "port": port, "family": 2, "proto": 0, "flags": 0}]

        async def close(self) -> None: ...

    monkeypatch.setattr(destinations, "ThreadedResolver", Rebinding)
    for allow, asked in (([], 0), ([], 0), (["127.0.0.1"], 1)):
        fetcher = Fetcher(allow)
        answer = await fetcher.fetch(CALL, get(f"http://rebind.example:{port}/"))
        assert (len(api.asked), isinstance(answer, Fetched)) == (asked, bool(asked)), answer
        await fetcher.close()


@given(st.ip_addresses())
def test_without_a_setting_only_public_addresses_are_asked(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not Destinations([]).refusal("any.example", str(address)):
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize("wrong", ["", "two words", "http://host/", "10.0.0.0/", "*"])
def test_a_setting_that_names_nothing_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"fetch.*allow"):
        parse(f'[fetch]\nallow = ["{wrong}"]', "x.toml", Path("/"))


# ---- once, and on kept connections --------------------------------------------------------------------------------


async def test_a_turn_has_one_idempotency_key_in_all_lives_of_the_call(api: Api) -> None:
    for is_again in (False, True):  # each life is another process with another client
        life = Fetcher(LOOPBACK)
        assert await life.fetch(CALL, get(api.url), is_again=is_again) == ACCOUNT
        await life.close()
    first, second = (request.headers["Idempotency-Key"] for request in api.asked)
    assert first == second


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 64}.example"])
async def test_a_host_that_no_name_can_be_is_a_value_too(fetcher: Fetcher, host: str) -> None:
    assert await fetcher.fetch(CALL, get(f"http://{host}/")) == FetchFailed("bad_url")


async def test_other_turns_states_and_calls_have_other_keys(api: Api, fetcher: Fetcher) -> None:
    wanted = [(CALL, "look_up", 1), (CALL, "look_up", 2), (CALL, "book", 1), (CallId("other"), "look_up", 1)]
    for call, state, turn in wanted:
        await fetcher.fetch(call, Fetch("GET", api.url, None, 2.0, state=state, turn=turn))
    assert len({request.headers["Idempotency-Key"] for request in api.asked}) == len(wanted)


async def test_a_post_is_not_repeated_by_a_successor_unless_the_script_says_so(api: Api, fetcher: Fetcher) -> None:
    assert await fetcher.fetch(CALL, post(api.url), is_again=True) == FetchFailed("not_repeated")
    assert not api.asked
    assert await fetcher.fetch(CALL, post(api.url, repeats=True), is_again=True) == ACCOUNT


async def test_where_spans_are_told_a_request_is_one_and_its_header_names_it(api: Api, fetcher: Fetcher) -> None:
    await fetcher.fetch(CALL, get(api.url))
    with telling() as told, traced(spans.begun(CALL, 0)):
        await fetcher.fetch(CALL, get(api.url))
        api.gives(b"", status=503)
        await fetcher.fetch(CALL, get(api.url))
    assert "traceparent" not in api.asked[0].headers
    assert [request.headers["traceparent"] for request in api.asked[1:]] == [str(span.at) for span in told]
    assert [span.attributes["outcome"] for span in told] == ["done", "http_503"]
    assert {span.parent for span in told} == {of_call(CALL).below("turn", 0).span_id}


async def test_connections_are_kept_for_the_next_call_and_counted(api: Api, fetcher: Fetcher) -> None:
    for turn in range(10):
        await fetcher.fetch(CallId(f"c{turn}"), get(api.url))
    assert {"fetches": 10.0, "fetch_reuse_share": 0.9}.items() <= fetcher.figures.items()


async def test_calls_at_once_share_a_bounded_number_of_connections(api: Api, fetcher: Fetcher) -> None:
    now, most = 0, 0

    async def busy(request: web.Request) -> web.StreamResponse:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return await api.account(request)

    api.answer = busy
    answers = await asyncio.gather(*(fetcher.fetch(CallId(f"c{n}"), get(api.url)) for n in range(60)))
    assert answers == [ACCOUNT] * 60
    assert most <= 16


async def test_what_an_api_sets_for_one_call_is_not_told_by_the_next(api: Api, fetcher: Fetcher) -> None:
    api.gives(BODY, Set_Cookie="session=ann; Path=/")
    for call in ("ann", "ben"):
        await fetcher.fetch(CallId(call), get(api.url))
    assert [request.headers.get("Cookie") for request in api.asked] == [None, None]


async def test_a_host_that_fails_is_left_alone_for_a_while_and_the_others_are_not(api: Api, fetcher: Fetcher) -> None:
    api.gives(b"", 503)
    for _ in range(12):
        answer = await fetcher.fetch(CALL, get(api.url))
    assert answer == FetchFailed("breaker_open")
    assert fetcher.figures["fetch_breakers_open"] == 1.0
    api.answer = api.account
    assert await fetcher.fetch(CALL, get(api.url.replace("127.0.0.1", "localhost"))) == ACCOUNT


async def test_in_a_rehearsal_nobody_is_asked_and_the_script_says_what_they_would_have_answered(api: Api) -> None:
    rehearsing = Fetcher(LOOPBACK, has_examples=parse(REHEARSAL, "rehearsal", Path("/")).fetch.examples)
    wanted = [get(api.url), replace(get(api.url), example={"a": "1"}), replace(post(api.url), example={"b": "2"})]
    answers = [await rehearsing.fetch(CALL, one) for one in wanted]
    assert answers == [FetchFailed("no_example"), Fetched({"a": "1"}), Fetched({"b": "2"})]
    assert not api.asked
    await rehearsing.close()
