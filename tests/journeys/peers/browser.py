"""Headless Chromium with a microphone that plays a file, driven through its DevTools socket; loopback only.

It clicks, looks at the page, and measures what really comes out of the page's loudspeaker.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import signal
import tempfile
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from nodes.audio import g711
from nodes.rehearsal.voices import speak

CHROMIUM = "chromium"
PATIENCE_S = 100.0
LOOK_S = 0.05
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-quic",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
TAP = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    const tap = (window.tap = new AnalyserNode(this.context, { fftSize: 2048 }));
    connect.call(this, tap);
    window.loudest = 0;
    setInterval(() => {
      const samples = new Float32Array(tap.fftSize);
      tap.getFloatTimeDomainData(samples);
      window.loudest = Math.max(window.loudest, ...samples.map(Math.abs));
    }, 50);
  }
  return connect.call(this, to, ...rest);
};
"""
"""Listens in at the loudspeaker; `loudest` is the highest sample so far."""


class Navigated(AssertionError):
    """The page went to another address while it was asked something."""


class Page:
    """One page of one browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Give a DevTools command; return its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_S):
            while (answer := await self._socket.receive_json()).get("id") != number:
                pass
        if "navigated" in answer.get("error", {}).get("message", ""):
            raise Navigated(answer)
        assert "error" not in answer, answer
        return answer["result"]

    async def value(self, expression: str) -> Any:
        """Return what an expression is in the page."""
        given = await self.do("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return given["result"].get("value")

    async def click(self, name: str) -> None:
        """Press a button, as soon as it can be pressed."""
        await self.until(f"!!document.getElementById('{name}') && !document.getElementById('{name}').disabled")
        await self.do("Runtime.evaluate", expression=f"document.getElementById('{name}').click()", userGesture=True)

    async def until(self, expression: str) -> None:
        """Return once an expression is true in the page. Raises: AssertionError, with what the page shows instead."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await self._is_true(expression):
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"{expression}: {await self.value('document.body.innerText')}") from None

    async def _is_true(self, expression: str) -> bool:
        try:
            return bool(await self.value(expression))
        except Navigated:
            return False

    async def reads(self, name: str, text: str) -> None:
        """Return once an element says this."""
        await self.until(f"document.getElementById('{name}').textContent === {json.dumps(text)}")


@asynccontextmanager
async def browser(address: str, says: str) -> AsyncIterator[Page]:
    """Open a page whose microphone says these words again and again, with pauses."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "microphone.wav").write_bytes(await _microphone(says))
        process = await asyncio.create_subprocess_exec(
            CHROMIUM, *FLAGS, f"--user-data-dir={home / 'profile'}",
            f"--use-file-for-fake-audio-capture={home / 'microphone.wav'}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "TMPDIR": name},
        )  # fmt: skip
        try:
            port = await _port(home / "profile" / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as pages:
                    target = next(page for page in await pages.json() if page["type"] == "page")
                async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    await page.do("Page.enable")
                    await page.do("Page.addScriptToEvaluateOnNewDocument", source=TAP)
                    await page.do("Page.navigate", url=address)
                    await page.until("location.protocol === 'http:' && document.readyState === 'complete'")
                    yield page
        finally:
            process.terminate()
            await process.wait()
            await _all_gone(process.pid)


async def _all_gone(group: int) -> None:
    """Kill what the browser has left behind, and return when it writes into its profile no more."""
    with suppress(ProcessLookupError):
        for _ in range(40):  # a parent that reaps nobody leaves a group of dead processes
            os.killpg(group, signal.SIGKILL)
            await asyncio.sleep(LOOK_S)


async def _port(file: Path) -> int:
    """Return the port of the DevTools, which Chromium writes when it listens."""
    async with asyncio.timeout(PATIENCE_S):
        while not (lines := _lines(file)):
            await asyncio.sleep(LOOK_S)
    return int(lines[0])


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


async def _microphone(says: str) -> bytes:
    """A second of silence, the words, three seconds of silence: 16-bit wav at 48 kHz, which Chromium repeats."""
    words = g711.decode(await speak(says, "slt"))
    samples = np.concatenate([np.zeros(8000, np.int16), words, np.zeros(24000, np.int16)])
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(np.repeat(samples, 6).astype("<i2").tobytes())
    return out.getvalue()


__all__ = ["Page", "browser"]
