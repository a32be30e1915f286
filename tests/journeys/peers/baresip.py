"""baresip as a telephone: answers by itself, plays a wav into the call, records what it hears, presses keys when told.

Pitfalls of baresip 1.0, all met: it takes the port after its own as well (TLS); at the end of the wav it hangs up; its
network is chosen by address, not by name; every command acts on the call that it has now.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nodes import ports
from tests.journeys.peers.programs import HOST, program

CONFIG = """\
poll_method epoll
sip_listen {host}:{port}
audio_source aufile,{wav}
audio_player aubridge,nobody
audio_alert aubridge,nobody
audio_buffer 20-160
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtp_ports {first_rtp}-{last_rtp}
rtcp_mux no
jitter_buffer_delay 1-5
net_interface {host}
module_path /usr/lib/baresip/modules
module g711.so
module aubridge.so
module aufile.so
module sndfile.so
snd_path {recordings}
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
"""
ACCOUNT = "<sip:telephone@{host}:{port}>;regint=0;answermode={answers};audio_codecs=PCMU/8000\n"


class Baresip:
    """One telephone. `events`: what it tells of its calls, in order, as (type, parameter)."""

    def __init__(self, port: int, recordings: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.uri = f"sip:telephone@{HOST}:{port}"
        self._recordings, self._reader, self._writer = recordings, reader, writer
        self.events: list[tuple[str, str]] = []

    def command(self, name: str, parameters: str = "") -> None:
        """Give a command, as `sndcode 9`; what it answers is not looked at."""
        text = json.dumps({"command": name, "params": parameters, "token": ""})
        self._writer.write(f"{len(text)}:{text},".encode())

    async def tells(self, kind: str, parameter: str = "") -> None:
        """Return when it has told an event of this type, with this parameter if one is given."""
        while not any(told[0] == kind and parameter in ("", told[1]) for told in self.events):
            self.events.append(await self._next())

    def heard(self) -> Path:
        """Return the recording of what it has heard in its only call: 16-bit wav, 8 kHz."""
        (found,) = self._recordings.glob("*-dec.wav")
        return found

    async def _next(self) -> tuple[str, str]:
        while True:
            length = await self._reader.readuntil(b":")
            body = json.loads(await self._reader.readexactly(int(length[:-1])))
            await self._reader.readexactly(1)
            if body.get("event"):
                return body["type"], body.get("param", "")


@asynccontextmanager
async def baresip(
    wav: Path, directory: Path, *, answers: bool = True, certificate: Path | None = None
) -> AsyncIterator[Baresip]:
    """Run a telephone that plays `wav` into each call. `answers`: by itself, or at the command `accept`.

    `certificate`: a file with one and its key; then it has TLS, too, at the port after its own.
    """
    port, rtp, control = ports.take(2), ports.take(10), ports.take()
    recordings = directory / "recordings"
    recordings.mkdir(parents=True)
    config = CONFIG.format(
        host=HOST, port=port, control=control, wav=wav, first_rtp=rtp, last_rtp=rtp + 9, recordings=recordings
    )
    (directory / "config").write_text(config + (f"sip_certificate {certificate}\n" if certificate else ""))
    (directory / "accounts").write_text(ACCOUNT.format(host=HOST, port=port, answers="auto" if answers else "manual"))
    (directory / "contacts").touch()
    async with program(["baresip", "-f", str(directory)], port, directory / "log"):
        reader, writer = await _connect(control)
        try:
            yield Baresip(port, recordings, reader, writer)
        finally:
            writer.close()


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(60):
        while True:
            try:
                return await asyncio.open_connection(HOST, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


__all__ = ["Baresip", "baresip"]
