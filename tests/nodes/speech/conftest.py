"""One real speech process for all tests of this folder, and callees with synthetic voices.

The engine never runs inside pytest: the recogniser and pynini, which other tests load, cannot share a process.
"""

import asyncio
import copy
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from grammars import Script, load
from grammars.script_model import Gather
from grammars.script_pack import pack
from nodes.audio import g711
from nodes.audio.vad import VoiceDetector, levels
from nodes.config import ENVIRONMENT
from nodes.launcher import PROCESS
from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from nodes.speech.telephone import at_8_khz
from protocols.pauses import COMPLETE_S
from protocols.wire import messages as wire
from protocols.wire.ids import ChannelId, Identity
from supervisors import Supervisor, running
from supervisors.process import OsProcess, ProcessReport, Program, Standing

READY_S = 60.0
HEARD_S = 10.0
EDGE = Identity("n1.edge-0:1")
SCRIPT = (Path(__file__).parent / "every_rule.yaml").read_text()


@dataclass(frozen=True)
class Engine:
    """The process under test."""

    identity: Identity
    endpoint: str
    pid: int
    state: Path


class Node:
    """A launcher with one child, on a thread of its own: the engine outlives the loops of the tests."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._config = state / "ringmaster.toml"
        self._config.write_text(f'[paths]\nstate = "{state}"\n')
        self._ready = threading.Event()
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def start(self) -> Engine:
        self._thread.start()
        assert self._ready.wait(READY_S), "the speech process did not become ready"
        info = self._report.info
        return Engine(Identity(str(info["identity"])), str(info["endpoint"]), self._report.pid, self._state)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        program = Program(
            argv=(sys.executable, "-m", "nodes.child"),
            env={ENVIRONMENT: str(self._config), PROCESS: "speech-0 speech"},
            ready_s=READY_S,
        )
        child = OsProcess.child("speech-0", program, on_change=self._changed)
        async with running(Supervisor([child])):
            await self._stop.wait()

    def _changed(self, report: ProcessReport) -> None:
        if report.standing is Standing.ACTIVE:
            self._report = report
            self._ready.set()


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A warmed speech process."""
    state = tmp_path_factory.mktemp("node")
    (state / "run").mkdir()
    node = Node(state)
    yield node.start()
    node.stop()


@pytest.fixture
async def edge(engine: Engine, tmp_path: Path) -> AsyncIterator[Mesh]:
    """An edge that knows the engine."""
    mesh = await Mesh.start(EDGE, f"ipc://{tmp_path}/edge")
    mesh.roster(Roster(1, (Peer("speech", "speech-0", engine.identity, engine.endpoint, engine.pid, State.ACTIVE),)))
    yield mesh
    await mesh.close()


@pytest.fixture(scope="session")
def script() -> Script:
    """A script with a state for each kind of rule."""
    return load(SCRIPT)


@pytest.fixture
async def caller(engine: Engine, edge: Mesh, script: Script, request: pytest.FixtureRequest) -> "Caller":
    """Somebody on the line, heard by the engine with the script of this folder."""
    await edge.ask(engine.identity, wire.WarmScript(pack(load(SCRIPT))), timeout_s=30.0)
    return Caller(engine.identity, edge, script, ChannelId(request.node.name))


class Caller:
    """One channel as edge and media see it: asks to hear, sends frames, gets what was heard."""

    def __init__(self, engine: Identity, edge: Mesh, script: Script, channel: ChannelId) -> None:
        self.engine, self.edge, self.script, self.channel = engine, edge, script, channel
        self.heard: asyncio.Queue[wire.Heard] = asyncio.Queue()
        self.partials: asyncio.Queue[wire.Partial] = asyncio.Queue()
        self._callers = {channel: self}
        self._n_said = 0
        self._at_s = time.monotonic()
        edge.serve(wire.Heard, lambda heard, _: self._callers[heard.channel_id].heard.put_nowait(heard))
        edge.serve(wire.Partial, lambda partial, _: self._callers[partial.channel_id].partials.put_nowait(partial))

    def another(self, channel: str) -> "Caller":
        """A second caller, at the same edge."""
        other = copy.copy(self)
        other.channel, other.heard, other.partials = ChannelId(channel), asyncio.Queue(), asyncio.Queue()
        self._callers[other.channel] = other
        return other

    def rules(self, state: str) -> tuple[str, ...]:
        """What is listened to in a state: its own rule and what may be said anywhere."""
        return self.script.heard_in(cast(Gather, self.script.states[state].verb))

    async def listen(
        self, state: str, turn: int = 1, complete_s: float = COMPLETE_S, after_s: float = 0.0
    ) -> None:  # fmt: skip
        """Have the next utterance heard as in this state."""
        hear = wire.Hear(
            self.channel, EDGE, self.script.hash, self.rules(state), turn, complete_s, after_s=after_s
        )  # fmt: skip
        await self.edge.ask(self.engine, hear)

    def frames(self, audio: bytes, *, is_over: bool = True) -> tuple[wire.AudioFrame, ...]:
        """The next utterance, as the media process would cut and mark it."""
        self._n_said += 1
        detector = VoiceDetector()
        frames = []
        for index, at in enumerate(range(0, len(audio) // 160 * 160, 160)):
            payload = audio[at : at + 160]
            samples = g711.decode(payload)
            voiced = detector.is_voiced(samples.tobytes(), levels(samples[None].astype(np.float32))[0])
            self._at_s += 0.02
            frames.append(wire.AudioFrame(self.channel, self._n_said, index, voiced, payload, self._at_s))
        if is_over:
            frames[-1] = replace(frames[-1], last=True)
        return tuple(frames)

    def send(self, frames: Sequence[wire.AudioFrame]) -> None:
        """Send frames, a few at a time as they come from a slot."""
        for at in range(0, len(frames), 5):
            assert self.edge.tell(self.engine, wire.Audio(tuple(frames[at : at + 5])))

    async def answer(self, state: str, audio: bytes, turn: int = 1) -> wire.Heard:
        """Say this in a state and return what was heard."""
        await self.listen(state, turn)
        self.send(self.frames(audio))
        return await self.next_heard()

    async def next_heard(self) -> wire.Heard:
        """What the engine tells next."""
        async with asyncio.timeout(HEARD_S):
            return await self.heard.get()

    async def settle(self) -> None:
        """Return when the engine has taken all that was sent: its answers keep the order of what it is sent."""
        await self.edge.ask(self.engine, wire.GetStatus())


@cache
def _voice(text: str, name: str = "kal16", before_ms: int = 300, after_ms: int = 820) -> bytes:
    """A synthetic voice on the telephone, with silence around it: 8 kHz mu-law, peaks at half scale."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        if name == "espeak":
            subprocess.run(["espeak-ng", "-v", "en-us+f2", "-w", file.name, text], check=True)
        else:
            subprocess.run(["flite", "-voice", name, "-t", text, "-o", file.name], check=True)
        with wave.open(file.name) as audio:
            samples = np.frombuffer(audio.readframes(audio.getnframes()), np.int16)
            low = at_8_khz(samples, audio.getframerate()).astype(np.float32)
    spoken = g711.encode((low * (16000 / np.abs(low).max())).astype(np.int16))
    return _silence(before_ms) + spoken + _silence(after_ms)


def _silence(ms: int) -> bytes:
    """Digital silence."""
    return b"\xff" * (8 * ms)


@pytest.fixture
def voice() -> Callable[..., bytes]:
    """`voice(text, name, before_ms, after_ms)`."""
    return _voice


@pytest.fixture
def silence() -> Callable[[int], bytes]:
    """`silence(ms)`."""
    return _silence
