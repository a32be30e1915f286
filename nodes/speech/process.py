"""The speech process: one recogniser and one voice behind the mesh, both tried before it says that it is ready.

What it does: turns messages into calls of `Listening`, `Ears` and `Synthesiser`, and refuses by word what they cannot
do. What it does not: anything else. The engine speaks to itself first, so that no caller waits for what a first
utterance loads, and a model that does not hear is known before a call is.

The recogniser's library answers an impossible state by aborting the process. That is the launcher's to see; callers
are heard by the next engine, to which their utterance is replayed.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import random
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from grammars.errors import GrammarError
from grammars.lang.en.lexicon import index_gruut
from grammars.rules.spec import RuleSpec
from grammars.script_pack import unpack
from nodes import priority
from nodes.config import Config
from nodes.config_speech import KALDI, MIMIC3
from nodes.links.errors import Refused
from nodes.links.load import LoadTeller
from nodes.links.members import Members
from nodes.links.roster import Roster
from nodes.links.tasks import Tasks, closing
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from nodes.speech import engines
from nodes.speech.channel import Surroundings
from nodes.speech.confidence import ACCEPT
from nodes.speech.ears import Ears
from nodes.speech.errors import EngineFailed, EngineHangs, PromptTooLong, SpeechError
from nodes.speech.flite import FliteVoice
from nodes.speech.guard import Guard, Guarded
from nodes.speech.listening import Listening
from nodes.speech.recogniser import Capabilities, Ear
from nodes.speech.synthesiser import Synthesiser
from nodes.speech.turn import Guess
from nodes.speech.voice import Voice
from nodes.telemetry import logs, spans
from protocols.wire import messages as wire
from protocols.wire.ids import Identity, process_of
from supervisors.parent import Parent, Told

__all__ = ["Served", "run"]

log = logs.get(__name__)
NOISE_BYTES = 4000
"""Half a second."""
FIRST_S = 30.0
"""So long may the first utterances take: a tenth of a second on an idle machine."""


@dataclass(frozen=True, slots=True)
class Listener:
    """The parts of this process that hear."""

    ears: Ears
    listening: Listening
    guard: Guard
    capabilities: Capabilities


class Served:
    """What other processes may ask of this one: a handler for each message."""

    def __init__(
        self, mesh: Mesh, listener: Listener, voice: Synthesiser, counts: Counter[str], hears: Collection[str]
    ) -> None:
        """`hears`: languages that one of the cluster's recognisers hears."""
        self._mesh, self._voice, self._counts, self._hears = mesh, voice, counts, hears
        self._ears, self._listening = listener.ears, listener.listening
        self._guard, self._languages = listener.guard, listener.capabilities.languages
        mesh.serve(wire.WarmScript, self.warm)
        mesh.serve(wire.Render, self.render)
        mesh.serve(wire.Hear, self.hear)
        mesh.serve(wire.Deafen, self.deafen)
        mesh.serve(wire.Audio, self.audio)
        mesh.serve(wire.GetStatus, self.status)

    async def warm(self, order: wire.WarmScript, sender: Identity) -> wire.ScriptWarmed:
        """Compile the script's rules and render its sentences. A language that nobody hears is answered with keys.

        Refused: `bad_script: ...`, `other_language: ...`, `engine_failed`.
        """
        began = time.monotonic()
        try:
            script = unpack(order.script)
            if script.language not in self._languages and (script.keyless or script.language in self._hears):
                raise Refused(f"other_language: {script.language}, not {', '.join(self._languages)}")
            with spans.stage("warm"):
                await self._ears.warm(script)
                for sentence in script.prompts:
                    await self._voice.render(sentence)
        except (GrammarError, PromptTooLong) as error:
            raise Refused(f"bad_script: {error}") from error
        except SpeechError as error:
            log.warning("speech.warm_failed", reason=str(error))
            raise self._failed("warm_failed", error) from error
        return wire.ScriptWarmed(script.hash, round((time.monotonic() - began) * 1000))

    async def render(self, order: wire.Render, sender: Identity) -> wire.Prompt:
        """Have a sentence on disk. Refused: `engine_failed`, `prompt_too_long`."""
        try:
            with spans.stage("render"):
                return await self._voice.render(order.parts)
        except PromptTooLong as error:
            self._counts["prompts_too_long"] += 1
            raise Refused(error.word) from error
        except SpeechError as error:
            log.warning("speech.render_failed", reason=str(error))
            raise self._failed("render_failed", error) from error

    def hear(self, order: wire.Hear, sender: Identity) -> wire.Done:
        """Hear a channel from its next utterance on.

        Refused: `unknown_script` (warm it again), `unknown_rule`; `engine_failing`: too much of what was heard was not.
        """
        if not self._guard.allows():
            self._counts["refused_failing"] += 1
            raise Refused("engine_failing")
        try:
            self._listening.hear(order)
        except SpeechError as error:
            raise Refused(error.word) from error
        return wire.Done()

    def deafen(self, order: wire.Deafen, sender: Identity) -> None:
        """Forget a channel."""
        self._listening.deafen(order.channel_id)

    def audio(self, batch: wire.Audio, sender: Identity) -> None:
        """Take what callers say."""
        self._listening.audio(batch.frames)

    def status(self, _: wire.GetStatus, sender: Identity) -> wire.Status:
        """How this engine is; `voice_of_last_resort` is 1 when the configured voice did not start."""
        figures = {
            "channels": float(self._listening.n_channels),
            "scripts": float(len(self._ears)),
            "prompts_rendered": float(self._voice.n_rendered),
            "voice_of_last_resort": float(isinstance(self._voice.voice, FliteVoice)),
        }
        counted = {**self._counts, **{f"mesh_{word}": count for word, count in self._mesh.counts.items()}}
        return wire.Status("speech", os.getpid(), figures | {word: float(n) for word, n in counted.items()})

    def _failed(self, counted: str, error: SpeechError) -> Refused:
        self._counts[counted] += 1
        return Refused(error.word)


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Be a speech process until the launcher says stop.

    Raises: BrokenModel, which names the file, when the recogniser cannot start.
    """
    faulthandler.enable()  # the recogniser's abort then names the line that called it
    kind = config.speech.of_process(process_of(identity))
    guard = Guard(refuses=kind.name != KALDI)  # where the default fails, there is nobody better
    recogniser = engines.start(kind.name, config.models.recogniser if kind.name == KALDI else kind.model)
    ears = Ears(Guarded(recogniser, guard), config.paths.run / f"{identity.partition(':')[0]}.ears")
    voice = Synthesiser(config.paths.prompts, lambda: start_voice(config.models.voice, config.speech.voice))
    with (
        contextlib.closing(ears),
        contextlib.closing(voice),
        ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decoder") as decoders,
    ):
        await warm_up(ears, voice, kind.name)
        priority.claim("hearing")  # the decoders' threads begin later, and are like the one that begins them
        async with (
            closing(await Mesh.start(identity, config.paths.endpoint(identity), Outside.of(config))) as mesh,
            Tasks() as tasks,
        ):
            counts = Counter[str]()
            around = Surroundings(decoders, mesh.tell, time.monotonic, today, counts)
            teller = LoadTeller(mesh, lambda late_s: around.backlog.told(late_s, time.monotonic()))
            tasks.spawn(teller.run())
            members = Members(mesh, config)
            tasks.spawn(guard.watch())
            listener = Listener(ears, Listening(ears, around, tasks), guard, recogniser.capabilities)
            Served(mesh, listener, voice, counts, config.speech.hears)
            await parent.ready(mesh.whereabouts())
            async for order in parent.orders:
                if isinstance(order, Told) and "roster" in order.body:
                    teller.roster = Roster.of(order.body["roster"])
                    mesh.roster(teller.roster)
                    members.follow(teller.roster)


def start_voice(directory: Path, name: str = MIMIC3) -> Voice:
    """Return the voice of this name, mimic3's in `directory`; flite's when it does not start.

    Raises: EngineFailed without flite.
    """
    try:
        return engines.start_voice(name, directory)  # seconds of imports, on the thread that will speak
    except SpeechError as error:
        log.error("speech.voice_of_last_resort", voice=str(directory) if name == MIMIC3 else name, reason=str(error))
        try:
            return FliteVoice()
        except EngineFailed as failed:
            raise EngineFailed(f"the voice {name}: {error}; and the last resort: {failed}") from error


async def warm_up(ears: Ears, voice: Synthesiser, name: str) -> None:
    """Speak and hear once.

    Raises: BrokenModel, EngineHangs; EngineFailed, also for a recogniser that is sure of noise.
    """
    index_gruut()
    began = time.monotonic()
    ear, _ = await asyncio.gather(ears.build("warm-up", {"yes_no": RuleSpec("yes_no")}), voice.start())
    said = await voice.render([wire.Part("Yes.")])
    try:
        async with asyncio.timeout(FIRST_S):
            heard = await asyncio.to_thread(_hear_once, ear, voice.path(said.prompt).read_bytes())
            noise = await asyncio.to_thread(_hear_once, ear, random.Random(1).randbytes(NOISE_BYTES))
    except TimeoutError as error:
        raise EngineHangs(FIRST_S) from error
    ear.close()
    if noise.meaning and noise.confidence >= ACCEPT:
        raise EngineFailed(
            f"{name} hears {noise.words!r} in noise, with confidence {noise.confidence:.2f}: it is of no use"
        )
    after_ms = round((time.monotonic() - began) * 1000)
    log.info("speech.ready", recogniser=name, voice=voice.voice.name, heard=heard.words, after_ms=after_ms)


def _hear_once(ear: Ear, audio: bytes) -> Guess:
    decoding = ear.begin(["yes_no"], today())
    decoding.feed(audio)
    return decoding.finish(speech_ms=len(audio) // 8)


def today() -> date:
    """The day on this machine's clock, which relative dates refer to."""
    return datetime.now().astimezone().date()
