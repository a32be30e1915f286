"""A server receives what a process spends its time on, with its role; one that is dead keeps nobody waiting."""

from __future__ import annotations

import asyncio
import gzip
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

import pytest

from nodes import config as configuration
from nodes.config import parse
from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from nodes.tables import ConfigError
from nodes.telemetry import profiles
from protocols.wire.ids import Identity
from protocols.wire.messages import GetStatus
from supervisors import Supervisor, running
from supervisors.process import OsProcess, ProcessReport, Standing
from tests.conftest import NatsServer, child_of_ours
from tests.nodes.central.test_process import _next

WORKS = """
import sys, time
from nodes.config import parse
from nodes.telemetry import profiles
from pathlib import Path
from protocols.wire.ids import Identity

def works_for_long(until):
    while time.thread_time() < until:
        sum(n * n for n in range(1000))

config = parse(sys.argv[1], "test", Path("/"))
profiles.configure(config.telemetry, Identity("n1.desk-0:1"), sys.argv[2])
assert ("pyroscope" in sys.modules) is (sys.argv[2] != "media")
works_for_long(time.thread_time() + 1.0)
profiles.close()
sys.stdin.read()  # what is under way may arrive
"""


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a protobuf message that are bytes, with their numbers (protobuf.dev, "Encoding")."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        match key & 7:
            case 0:
                _, at = varint(data, at)
            case 1 | 5 as fixed:
                at += 8 if fixed == 1 else 4
            case _:
                size, at = varint(data, at)
                yield key >> 3, data[at : at + size]
                at += size


def one(data: bytes, number: int) -> list[bytes]:
    return [value for found, value in fields(data) if found == number]


def pushed(body: bytes) -> tuple[dict[str, str], set[str]]:
    """Return a push's labels, and the words in its profile: names of functions and their files.

    Source: grafana/pyroscope, api/push/v1/push.proto (PushRequest, RawProfileSeries, RawSample); pprof's profile.proto.
    """
    (series,) = one(gzip.decompress(body), 1)
    labels = {
        key.decode(): value.decode() for label in one(series, 1) for key, value in [one(label, 1) + one(label, 2)]
    }
    (sample,) = one(series, 2)
    (profile,) = one(sample, 1)
    raw = gzip.decompress(profile) if profile.startswith(b"\x1f\x8b") else profile
    return labels, {word.decode() for word in one(raw, 6)}


@contextmanager
def server() -> Iterator[tuple[str, Queue[tuple[str, bytes]]]]:
    """A Pyroscope server, as far as an agent sees it: address, and what was pushed where."""
    received: Queue[tuple[str, bytes]] = Queue()

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Takes) as listening:
        serving = threading.Thread(target=listening.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", received
        finally:
            listening.shutdown()
            serving.join()


@contextmanager
def works(settings: str, role: str) -> Iterator[None]:
    """Have a process of this role work for a second; it ends with the block, and has done so without a fault."""
    root, command = Path(profiles.__file__).parents[2], [sys.executable, "-c", WORKS, settings, role]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield
        finally:
            _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def test_a_server_receives_where_a_process_spends_its_time_with_its_role_and_its_campaign() -> None:
    with server() as (address, received):
        with works(f"[telemetry]\npyroscope = '{address}'\npyroscope_tags = {{campaign = 'spring'}}", "desk"):
            path, body = received.get(timeout=300)
    labels, words = pushed(body)
    assert path == "/push.v1.PusherService/Push"
    ours = {"service_name": "ringmaster", "role": "desk", "node": "n1", "process": "desk-0", "campaign": "spring"}
    assert ours.items() <= labels.items()
    assert "works_for_long" in words


def test_media_is_never_sampled_and_nobody_is_where_no_server_is_named() -> None:
    with server() as (address, received):
        with works(f"[telemetry]\npyroscope = '{address}'", "media"):
            pass
        assert received.empty()
    profiles.configure(parse("", "test", Path("/")).telemetry, Identity("n1.desk-0:1"), "desk")
    assert "pyroscope" not in sys.modules


@pytest.mark.parametrize("is_there", [True, False], ids=["a server that takes and says nothing", "no server"])
async def test_a_process_starts_answers_and_stops_whatever_becomes_of_the_server(
    is_there: bool, nats_server: NatsServer, tmp_path: Path
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if is_there:
            silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        file = tmp_path / "ringmaster.toml"
        file.write_text(
            f"[nats]\nurl = '{nats_server.url}'\n[paths]\nstate = 'state'\n[telemetry]\npyroscope = '{address}'\n"
        )
        configuration.load(file).paths.run.mkdir(parents=True)
        reports: asyncio.Queue[ProcessReport] = asyncio.Queue()
        program = child_of_ours("central-0", file)
        operator = await Mesh.start(Identity("n1.command:1"))
        try:
            async with running(Supervisor([OsProcess.child("central-0", program, on_change=reports.put_nowait)])):
                ready = await _next(reports, Standing.ACTIVE)
                identity, endpoint = Identity(str(ready.info["identity"])), str(ready.info["endpoint"])
                central = Peer("central", "central-0", identity, endpoint, ready.pid or 0, State.ACTIVE)
                operator.roster(Roster(1, (central,)))
                assert (await operator.ask(identity, GetStatus(), timeout_s=60.0)).pid == ready.pid
            gone = await _next(reports, Standing.GONE)
        finally:
            await operator.close()
        assert gone.exit is not None
        assert gone.exit.code == 0, gone.exit.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pyroscope = '127.0.0.1:4040'", "pyroscope: is no address of a server, as http://127.0.0.1:4040"),
        ("pyroscope_tags = {role = 'x'}", "pyroscope_tags: role is a word of a-z and _"),
        ("pyroscope_tags = {'a-b' = 'x'}", "pyroscope_tags: a-b is a word"),
        ("pyroscope_tags = {campaign = ''}", "has a value of up to 64 characters"),
    ],
)
def test_what_is_no_server_and_no_tag_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as found:
        parse(f"[telemetry]\n{text}", "test", Path("/"))
    assert found.value.key == "telemetry"
    assert reason in found.value.reason
