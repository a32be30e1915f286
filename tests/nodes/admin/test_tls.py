"""TLS of the desk's own: spoken when there is a certificate, renewed without a restart; strangers hold up nobody."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from nodes.admin import listener
from nodes.admin.certificate import NoCertificate
from nodes.admin.listener import served
from nodes.config import Desk


def vouch(root: Path, name: str = "127.0.0.1", password: str = "") -> Desk:
    """Write a certificate for this name and its key; return the settings with them."""
    files = root / "certificate.pem", root / "key.pem"
    secret = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    command = (
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *secret, "-days", "2",
        "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{name}", "-out", str(files[0]), "-keyout", str(files[1]),
    )  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return Desk(port=0, certificate=files[0], key=files[1])


def app() -> web.Application:
    async def secure(request: web.Request) -> web.Response:
        return web.json_response({"secure": request.secure})

    made = web.Application()
    made.add_routes([web.get("/", secure)])
    return made


async def asked(address: str, trusted: Path) -> dict[str, bool]:
    context = ssl.create_default_context(cafile=trusted)
    async with aiohttp.ClientSession() as session, session.get(address, ssl=context) as reply:
        return await reply.json()


async def test_with_a_certificate_the_desk_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    settings = vouch(tmp_path)
    assert settings.certificate
    async with served(app(), settings) as address:
        assert address.startswith("https://127.0.0.1:")
        assert await asked(address, settings.certificate) == {"secure": True}
        port = int(address.rpartition(":")[2].strip("/"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"HTTP" not in await reader.read()
        writer.close()


async def test_who_shakes_no_hands_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_S", 0.1)
    settings = vouch(tmp_path)
    async with served(app(), settings) as address, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2].strip("/")))
        assert await reader.read() == b""
        writer.close()


async def test_a_certificate_is_renewed_without_a_restart_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    settings = vouch(tmp_path)
    assert settings.certificate
    before = settings.certificate.read_bytes()
    async with served(app(), settings) as address:
        with capture_logs() as lines:
            settings.certificate.write_text("broken")
            (tmp_path / "before.pem").write_bytes(before)
            for _ in range(2):
                assert await asked(address, tmp_path / "before.pem") == {"secure": True}
            vouch(tmp_path)
            assert await asked(address, settings.certificate) == {"secure": True}
        assert [line["event"] for line in lines] == ["certificate.unusable", "certificate.renewed"]


@pytest.mark.parametrize("wrong", ["gone", "broken", "locked"])
async def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path, wrong: str) -> None:
    settings = vouch(tmp_path, password="a password" if wrong == "locked" else "")
    assert settings.key
    if wrong == "gone":
        settings.key.unlink()
    elif wrong == "broken":
        settings.key.write_text("broken")
    with pytest.raises(NoCertificate, match=r"desk\.key"):
        async with served(app(), settings):
            pass
