"""Asks a consumer for its next messages: so many, and so many bytes, that neither side is ever flooded.

A server gives up on a client that does not take 64 MB from its socket, and what it had sent is then lost; so a request
names a limit in bytes (`max_bytes`, nats-server 2.9). nats-py's `fetch` knows a number of messages only.

What it does not: acknowledge, or notice that a message is missing (`consumer.py`).
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header, StatusCode

BYTES: Final = 8 * 1024 * 1024
"""Of one request: eight of the longest messages that a nats-server takes, an eighth of what it buffers for a client."""
NOTHING_LEFT: Final = frozenset((StatusCode.NO_MESSAGES, StatusCode.REQUEST_TIMEOUT, StatusCode.CONFLICT))
"""A request is over: nothing waits, its time is up, or the next message is beyond its bytes."""
GRACE_S: Final = 2.0
"""For the server's word that a request is over."""


class NoConsumer(nats.errors.Error):
    """Nobody answers for the consumer: it has expired, its stream is gone, or a leader is being elected."""


class Pull:
    """The messages of one consumer, on one connection."""

    def __init__(self, client: Client, stream: str, consumer: str) -> None:
        self._client, self._inbox = client, client.new_inbox()
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._came: asyncio.Queue[Msg] = asyncio.Queue()
        self._n_asked = 0
        self._subscription: Subscription | None = None

    @classmethod
    async def open(cls, client: Client, stream: str, consumer: str) -> Pull:
        """Return a pull on a consumer that exists."""
        pull = cls(client, stream, consumer)
        pull._subscription = await client.subscribe(f"{pull._inbox}.*", cb=pull._came.put)
        return pull

    async def fetch(self, n: int, timeout_s: float) -> list[Msg]:
        """Return what waits, up to `n` messages; when nothing does, the first that come within `timeout_s`, or nothing.

        Raises: `NoConsumer`, and what nats-py raises about its connection.
        """
        waiting = await self._waiting(n)
        if waiting or not timeout_s:
            return waiting
        first = await self._ask({"batch": 1, "expires": int(timeout_s * 1e9)}, 1, timeout_s)
        return [*first, *await self._waiting(n - 1)] if first and n > 1 else first

    async def close(self) -> None:
        """Leave; of a connection that is closed there is nothing left."""
        if self._subscription is not None:
            with suppress(nats.errors.ConnectionClosedError, nats.errors.BadSubscriptionError):
                await self._subscription.unsubscribe()

    async def _waiting(self, n: int) -> list[Msg]:
        return await self._ask({"batch": n, "max_bytes": BYTES, "no_wait": True}, n, 0.0)

    async def _ask(self, request: dict[str, Any], n: int, timeout_s: float) -> list[Msg]:
        """Return what comes of one request; what came late of an earlier one is a message all the same.

        The server's word that a request is over goes to the request's own address: an earlier one's says nothing.
        """
        if not self._client.is_connected:  # nats-py would keep the request, and send it when nobody waits any more
            raise nats.errors.ConnectionClosedError
        self._n_asked += 1
        reply = f"{self._inbox}.{self._n_asked}"
        await self._client.publish(self._subject, json.dumps(request).encode(), reply=reply)
        came: list[Msg] = []
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):
                while len(came) < n:
                    message = await self._came.get()
                    status = (message.headers or {}).get(Header.STATUS)
                    if status is None:
                        came.append(message)
                    elif message.subject != reply:
                        continue
                    elif status == StatusCode.SERVICE_UNAVAILABLE:
                        raise NoConsumer(self._subject)
                    elif status in NOTHING_LEFT:
                        break
        except TimeoutError:
            pass  # the server does not answer; what has come has come
        return came


__all__ = ["BYTES", "NoConsumer", "Pull"]
