"""Business APIs that a script asks: HTTP with a time-out, JSON back, and a breaker per host.

Whatever goes wrong is a value, because the script has words for it: an API that is down must not cost a call. What
comes back is a stranger's: read to its end, but no further than a limit that counts it unpacked, and nested no deeper
than a few levels. Connections are kept for the next call, a bounded number a host; nothing else is: no cookies, because
the next call is somebody else's.

A request carries an `Idempotency-Key` of the call's turn, the same in all lives of the call. A successor asks again
with it, unless it is a POST: that may have been done already, and only the script knows whether twice is harmless
(`repeat: true`). Where spans are told, it carries the request's `traceparent`, too.
"""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Final

import aiohttp
from yarl import URL

from grammars.conversation_state import Fetch, Fetched, FetchFailed
from nodes.bounds import is_too_deep
from nodes.breakers import Breakers
from nodes.edge.destinations import AddressRefused, Destinations, JudgingResolver
from nodes.reading import read_json
from nodes.telemetry import spans
from nodes.telemetry.logs import TRACE
from nodes.telemetry.trace import HEADER
from protocols.wire.ids import CallId

MAX_REPLY: Final = 64 * 1024
"""Bytes of a reply that are read, before and after unpacking: a few fields, not a document."""
TOO_MUCH: Final = ("too_long", "too_deep")
"""Replies that were cut off there, or nest deeper than `nodes.bounds` has it: the script goes on without."""
MAX_CONNECTIONS: Final = 64
MAX_PER_HOST: Final = 16
HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
KEEP_S: Final = 4.0
"""So long is an idle connection kept: less than servers do (5 s is the least that is common), or a POST goes to one
that its server is closing."""


class Fetcher:
    """The HTTP client of one edge. `has_examples`: it asks nobody, and answers with what the scripts say for that."""

    def __init__(self, allow: Collection[str] = (), *, has_examples: bool = False) -> None:
        self._destinations, self._has_examples = Destinations(allow), has_examples
        self._breakers = Breakers("fetch")
        self._session: aiohttp.ClientSession | None = None
        self._counts = Counter[str]()

    @property
    def figures(self) -> dict[str, float]:
        """How often it has asked, and the share of that for which no connection had to be made."""
        asked, made = self._counts["asked"], self._counts["connected"]
        share = max(0.0, 1 - made / asked) if asked else 0.0
        refused = {f"fetch_{reason}": float(self._counts[reason]) for reason in TOO_MUCH}
        return {"fetches": float(asked), "fetch_reuse_share": share, **refused, **self._breakers.figures()}

    async def fetch(self, call_id: CallId, wanted: Fetch, *, is_again: bool = False) -> Fetched | FetchFailed:
        """Ask and return the parsed JSON reply, or why there is none: breaker_open, timeout, http_503, not_json, ...

        `is_again`: an earlier life of the call may have asked already.
        """
        if self._has_examples:
            return FetchFailed("no_example") if wanted.example is None else Fetched(wanted.example)
        if is_again and wanted.method == "POST" and not wanted.repeats:
            return FetchFailed("not_repeated")
        try:
            url = URL(wanted.url)
        except ValueError:
            return FetchFailed("bad_url")
        host = url.host or ""
        if reason := self._destinations.refusal(host):
            return FetchFailed(reason)
        if not self._breakers.allows(host, time.monotonic()):
            return FetchFailed("breaker_open")
        with spans.stage("fetch", host=host, state=wanted.state) as told:
            answer = await self._ask(url, wanted, key_of(call_id, wanted))
            told["outcome"] = outcome = answer.reason if isinstance(answer, FetchFailed) else "done"
        self._counts[outcome] += outcome in TOO_MUCH
        self._breakers.record(host, isinstance(answer, Fetched), time.monotonic())
        return answer

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session:
            await self._session.close()

    async def _ask(self, url: URL, wanted: Fetch, key: str) -> Fetched | FetchFailed:
        self._counts["asked"] += 1
        try:
            async with self._open().request(
                wanted.method,
                url,
                json=wanted.body,
                headers={**HEADERS, "Idempotency-Key": key, **({HEADER: trace} if (trace := TRACE.get()) else {})},
                timeout=aiohttp.ClientTimeout(total=wanted.timeout_s),
                allow_redirects=False,
            ) as reply:
                if reply.status != 200:
                    return FetchFailed(f"http_{reply.status}")
                return await _read(reply)
        except TimeoutError:
            return FetchFailed("timeout")
        except aiohttp.ClientConnectorError as error:
            return FetchFailed(str(refused) if (refused := _refused(error)) else type(error).__name__)
        except UnicodeError:  # a host that no name can be, as a..b
            return FetchFailed("bad_url")
        except zlib.error:
            return FetchFailed("bad_encoding")
        except (aiohttp.ClientError, OSError) as error:
            return FetchFailed(type(error).__name__)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS,
                limit_per_host=MAX_PER_HOST,
                keepalive_timeout=KEEP_S,
                resolver=JudgingResolver(self._destinations),
            )
            counted = aiohttp.TraceConfig()
            counted.on_connection_create_end.append(self._connected)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # in our own steps, so that a bomb is met after 64 kB
                trace_configs=[counted],
            )
        return self._session

    async def _connected(self, *_: aiohttp.ClientSession | SimpleNamespace | object) -> None:
        self._counts["connected"] += 1


def key_of(call_id: CallId, wanted: Fetch) -> str:
    """Return the name of this request: the same in every life of the call, another one in every turn and state.

    >>> key_of(CallId("spring-a4ee2b-2"), Fetch("GET", "http://h/", None, 1.0, state="look_up", turn=3))
    'spring-a4ee2b-2.3.look_up'
    """
    return f"{call_id}.{wanted.turn}.{wanted.state}"


async def _read(reply: aiohttp.ClientResponse) -> Fetched | FetchFailed:
    """Read the body to its end and parse it. Both take microseconds for what is within the limit."""
    encoding = reply.headers.get("Content-Encoding", "identity").strip().lower()
    if (unpack := _unpacker(encoding)) is None:
        return FetchFailed("unknown_encoding")
    data, n_read = bytearray(), 0
    async for chunk in reply.content.iter_any():
        n_read += len(chunk)
        data += unpack(chunk, MAX_REPLY + 1 - len(data))
        if max(len(data), n_read) > MAX_REPLY:
            return FetchFailed("too_long")
    if is_too_deep(bytes(data)):
        return FetchFailed("too_deep")
    try:
        return Fetched(read_json(data))
    except (ValueError, RecursionError):
        return FetchFailed("not_json")


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes] | None:
    """Return what makes a piece of a body into at most so many bytes; None for an encoding that is not taken."""
    if encoding == "identity":
        return lambda chunk, most: chunk[:most]
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(wbits=47 if "gzip" in encoding else 15).decompress
    return None


def _refused(error: BaseException | None) -> AddressRefused | None:
    """Return our own refusal of the address, from below what aiohttp makes of it."""
    if error is None or isinstance(error, AddressRefused):
        return error
    return _refused(error.__cause__)


__all__ = ["Fetcher", "key_of"]
