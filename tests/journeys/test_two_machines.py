"""Two nodes, one cluster: what one has not, the other has; and whatever dies on the way, somebody has the caller.

The first carries calls; the second has a desk and a recorder, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nodes import ports
from nodes.links import cluster_keys, cluster_state
from protocols.wire.ids import NodeId
from tests.conftest import must_run
from tests.journeys.peers.desk import AT_ONCE, picks_up, talk
from tests.journeys.peers.phone import Phone, phones
from tests.nodes.commands.conftest import COMMAND, Done, Place, make
from tests.nodes.desk.page import Page, page

PATIENCE_S = 100.0
LOOK_S = 0.05
CALLS = ["nats", "central", "speech", "media", "edge", "desk"]
"""What the first does."""
DESK = ["recorder", "desk"]
"""What the second does."""


@dataclass
class Machine:
    """One node: its configuration, its state, and its launcher once it runs."""

    place: Place
    name: str
    launcher: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        return self.place.path / f"state-{self.name}"

    def configure(self, number: int, roles: list[str], more: str) -> None:
        first = ports.take(20)
        (self.place.path / f"{self.name}.toml").write_text(
            f"[node]\nid = '{self.name}'\nroles = {roles}\n[paths]\nstate = 'state-{self.name}'\n"
            f"[cluster]\nbind = '127.0.0.{number}'\nport = 0\nports = [0, 0]\n[sip]\nport = 0\n"
            f"[rtp]\nports = [{first}, {first + 19}]\n[media]\nchannels = 10\n[speech]\nprocesses = 1\n"
            f"[edge]\nprocesses = 1\n[models]\nvoice = 'missing'\n[desk]\nport = 0\n{more}"
        )

    async def run(self, command: str, *words: str) -> Done:
        """Run a command of `ringmaster` here."""
        config = str(self.place.path / f"{self.name}.toml")
        return await asyncio.to_thread(self.place.run, command, "--config", config, *words)

    async def does(self, command: str, *words: str) -> str:
        """Run one that succeeds; return what it says."""
        done = await self.run(command, *words)
        assert done.status == 0, done
        return done.out

    async def up(self) -> None:
        """Start it; return when it is up, and has found out that it may be in the cluster."""
        log = self.state.with_suffix(".log")
        with log.open("w") as lines:
            self.launcher = launcher = subprocess.Popen(  # noqa: ASYNC220  some milliseconds
                [COMMAND, "up", "--config", f"{self.name}.toml"],
                cwd=self.place.path, env=self.place.environment(), stdout=lines, stderr=lines, start_new_session=True,
            )  # fmt: skip

        def is_in() -> bool:
            must_run(launcher, log)
            return '"cluster.in"' in log.read_text()

        await until(is_in)

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask its API; return the answer, parsed if it is JSON. Fails unless it is 200."""
        headers = {"Authorization": f"Bearer {(self.state / 'run/token').read_text()}"}
        address = (self.state / "run/desk.url").read_text().rstrip("/")
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, address + path, json=body) as reply,
        ):
            text = await reply.read()
            assert reply.status == 200, text
            return json.loads(text) if "json" in reply.content_type else text

    async def is_ready(self) -> None:
        """Return when calls can be placed here, or elsewhere from here."""
        address = (self.state / "run/desk.url").read_text()
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{address}readyz") as reply:
                    if reply.status == 200:
                        return
                await asyncio.sleep(LOOK_S)

    @asynccontextmanager
    async def agent(self, name: str) -> AsyncIterator[Page]:
        """Somebody at its desk, ready."""
        address, token = ((self.state / "run" / file).read_text() for file in ("desk.url", "token"))
        async with page(address, token=token, agent=name, skills=["service"], ready=True) as made:
            await made.told("state", state="ready")
            yield made

    async def place_call(self, phone: Phone, *, is_recorded: bool = False) -> str:
        """Have a phone called, who is handed over at once; return the call's id."""
        order = {"target": phone.uri, "script": AT_ONCE, "is_recorded": is_recorded}
        placed = await self.ask("POST", "/api/calls", order)
        await picks_up(phone)
        return str(placed["call_id"])


async def until(what: Any) -> None:
    """Return once `what()` is so, which other processes do and tell nobody."""
    async with asyncio.timeout(PATIENCE_S):
        while not what():
            await asyncio.sleep(LOOK_S)


@pytest.fixture
async def machines(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine]]:
    """Both, up and in one cluster."""
    place = make(tmp_path)
    first, second = Machine(place, "n1"), Machine(place, "n2")
    port = ports.take()
    first.configure(1, CALLS, f"[nats]\nport = {port}\n")
    second.configure(2, DESK, "")
    try:
        cluster_keys.make(first.state, "prod", NodeId("n1"))
        cluster_state.add(first.state, [NodeId("n2")])
        keys = cluster_keys.keys_for(first.state, NodeId("n2"), (f"nats://127.0.0.1:{port}",))
        (place.path / "n2.keys").write_bytes(cluster_keys.packed(keys))
        await first.up()
        assert "n1 had nothing against it" in await second.does("cluster", "join", "n2.keys")
        await second.up()
        await second.is_ready()
        yield first, second
    finally:
        for pid in place.alive():
            os.kill(pid, signal.SIGKILL)
        for launcher in (first.launcher, second.launcher):
            if launcher:
                launcher.wait()


async def takes(made: Page, call: str) -> dict[str, Any]:
    """Answer the probe, show the context, accept; return the context."""
    await made.probed(call)
    context = await made.is_offered(call)
    await made.say("accept", call=call)
    return context


async def test_an_agent_at_one_machine_serves_the_callers_of_another_and_is_missed_when_theirs_dies(
    machines: tuple[Machine, Machine],
) -> None:
    first, second = machines
    rows = [json.loads(line) for line in (await second.does("cluster", "status", "--json")).splitlines()]
    assert [(row["node"], row["state"]) for row in rows] == [("n2", "alive"), ("n1", "alive")]
    ready = await second.ask("GET", "/readyz")
    assert (ready["ready"], ready["parts"]["edge"], ready["parts"]["cluster"]) == (True, "elsewhere", "ok")
    assert "attempts" in await first.does("report"), "the recorder is at the other machine"
    assert (await second.ask("GET", "/api/campaigns")) == {"campaigns": []}, "and central is at the first"

    async with second.agent("ben") as ben, phones(3) as (phone, other, last):
        call = await second.place_call(phone, is_recorded=True)
        context = await takes(ben, call)
        assert context["handover_context"]["reason"] == "wants a person"
        await ben.told("bridged", call=call)
        await talk(ben, phone)
        view = (await second.ask("GET", "/api/calls"))["calls"]
        assert [(one["call_id"], one["node"], one["state"]) for one in view] == [(call, "n1", "bridged")]
        await ben.say("finish", call=call)
        await phone.has_ended()
        file = first.state / "recordings" / f"{call}.wav"
        await until(file.exists)
        assert await second.ask("GET", f"/api/recordings?call={call}") == {
            "parts": [{"part": 0, "node": "n1", "n_bytes": file.stat().st_size, "is_stored": False}],
            "silent": [], "missing": [],
            "is_store_away": False,
        }  # fmt: skip
        assert await second.ask("GET", f"/api/recordings/audio?call={call}") == file.read_bytes()
        await ben.say("wrapped_up")

        call = await first.place_call(other)
        await takes(ben, call)
        await ben.told("bridged", call=call)
        waits = await first.place_call(last)  # at both desks: at one nobody is, at the other everybody is busy
        await last.is_quiet(1.0)
        async with first.agent("ann") as ann:
            await takes(ann, waits)
            await ann.told("bridged", call=waits)
            await talk(ben, other)
            assert second.launcher
            second.launcher.kill()
            await other.hears_voice(1.0)  # the bot has the caller, and says that nobody is there
            await talk(ann, last)
