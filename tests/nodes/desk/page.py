"""A page at the desk's WebSocket, without the browser: says and reads what a page would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

PATIENCE_S = 100.0


class Page:
    """One page. Messages and frames that are passed over while another kind is waited for are gone."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, kind: str, **fields: object) -> None:
        """Say something of the table in `nodes/desk/control.py`."""
        await self.socket.send_str(json.dumps({"type": kind, **fields}))

    async def speak(self, frame: bytes) -> None:
        """Send 20 ms of mu-law."""
        await self.socket.send_bytes(frame)

    async def told(self, kind: str, **fields: object) -> dict[str, Any]:
        """Return the next message of this kind that carries these fields."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.socket.receive()
                assert message.type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED), f"no {kind}: closed"
                if message.type is aiohttp.WSMsgType.TEXT:
                    told: dict[str, Any] = json.loads(message.data)
                    if {"type": kind, **fields}.items() <= told.items():
                        return told

    async def hears(self) -> bytes:
        """Return the next frame."""
        async with asyncio.timeout(PATIENCE_S):
            while (message := await self.socket.receive()).type is not aiohttp.WSMsgType.BINARY:
                assert not self.socket.closed, "closed"
        return bytes(message.data)

    async def is_closed(self) -> int:
        """Return the code with which the desk closes the socket."""
        async with asyncio.timeout(PATIENCE_S):
            while (message := await self.socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
                pass
        return int(message.data)

    async def probed(self, call: str) -> None:
        """Answer the probe for this call."""
        await self.told("probe", call=call)
        await self.say("probed", call=call)

    async def is_offered(self, call: str) -> dict[str, Any]:
        """Show the context, and return it once the call is offered."""
        told = await self.told("context", call=call)
        await self.say("shown", call=call)
        await self.told("offer", call=call)
        context: dict[str, Any] = told["context"]
        return context


@asynccontextmanager
async def page(address: str, headers: dict[str, str] | None = None, **hello: object) -> AsyncIterator[Page]:
    """Open a page that says this hello; without one it says nothing. `headers`: those of a browser, with its cookie."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.ws_connect(f"{address}socket", headers=headers) as socket,
    ):
        made = Page(socket)
        if hello:
            await made.say("hello", **hello)
        yield made


__all__ = ["Page", "page"]
