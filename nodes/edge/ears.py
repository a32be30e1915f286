"""The call's side of speech: which engine hears it and speaks for it, and what to do when that engine dies.

Any engine can take over from any other: a prompt is rendered there, an utterance in progress is replayed to it by the
media process. What is warmed and rendered is known for the whole edge; whom a call listens with is its own.

Where a node has several recognisers (`nodes.config_speech`) a call is heard by the one that is chosen for it, looked up
anew with each question: so they are exchanged while calls are up. What somebody is saying just then is replayed to the
new one, but for what was answered. The others come after the chosen one, the default first; so do those that fail.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grammars.script_pack import script_hash
from nodes.breakers import Breakers
from nodes.call.effects import HearCallee, Prepare, Sentences, Speak
from nodes.call.inputs import Hears, NoEngineLeft, Spoken
from nodes.config_speech import KALDI, Speech
from nodes.errors import NodeError
from nodes.links.errors import LinkError, PeerGone, Refused
from nodes.links.roster import Peer, Roster
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.wire.ids import CallId, ChannelId, Identity, ScriptHash, is_filled, process_of
from protocols.wire.messages import Deafen, Hear, Part, Prompt, Render, WarmScript

log = logs.get(__name__)
MAX_RENDERED: Final = 4096
"""Sentences whose files are remembered; the least recently said is forgotten first."""
MAX_WARM: Final = 1024
"""Engines, each with a script that it has; the one that was asked for longest ago is told it once more."""
WARM_S: Final = 30.0
"""So long may an engine take for a script: compiling its grammars and rendering its prompts."""
HEAR_S: Final = 1.0
AWAIT_ENGINE_S: Final = 15.0
"""So long does a call wait for an engine when all have just died: a start takes 4 s, more when the node is busy."""
AWAIT_FIRST_S: Final = 60.0
"""And so long does one that goes on in a node that has just been started: what the launcher gives a process."""
FAILING: Final = "engine_failing"
OTHER_LANGUAGE: Final = "other_language"
"""Refusals that another recogniser may not give."""
BAD_SCRIPT: Final = "bad_script"
TOO_LONG: Final = "prompt_too_long"
"""Refusals that are the script's fault, and so every engine's. After any other the next engine is asked."""


class NoEngine(NodeError):
    """No speech engine is up, or none could do it. `cause`: of the call's end."""

    cause = "no_engine"


class TooLong(NoEngine):
    """A sentence is longer than any engine says: this call's fault."""

    cause = TOO_LONG


ONE_KIND: Final = Speech()


class Engines:
    """All speech engines as this edge sees them. One for the process."""

    def __init__(self, mesh: Mesh, prompts: Path, speech: Speech = ONE_KIND) -> None:
        """`prompts`: where they put what they have rendered. `speech`: the recognisers, and who hears whom."""
        self._mesh, self._prompts = mesh, prompts
        self.speech = speech
        self._peers: list[Peer] = []
        self._changed = asyncio.Event()
        self._await_s = AWAIT_FIRST_S
        self._warm: OrderedDict[tuple[Identity, ScriptHash], None] = OrderedDict()
        self._warming: set[tuple[Identity, bytes]] = set()
        self._rendered: OrderedDict[tuple[Part, ...], Prompt] = OrderedDict()
        self.on_prompt: Callable[[str, Prompt], None] = lambda key, prompt: None
        """Hears of each prompt that a call may play."""
        self.on_forget: Callable[[], None] = lambda: None
        """Hears that prompts are removed, on all machines."""
        self._breakers = Breakers("engine")
        self._recognisers = Breakers("recogniser", least=4, window_s=60.0, open_s=30.0)
        """Those beside the default: whether questions that they heard outlived them. One that dies of what it hears
        would be asked again as soon as it is up."""
        self._deaf: OrderedDict[tuple[Identity, ScriptHash], None] = OrderedDict()
        """Engines, each with a script whose language it does not hear."""
        self._n_retries = 0
        """What an engine did not do, and the next one was asked."""

    @property
    def owner(self) -> Identity:
        """Who is told what they hear."""
        return self._mesh.identity

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word on which engines live."""
        self._peers = roster.active("speech")
        living = {peer.identity for peer in self._peers}
        for engine in self._breakers.failing - living:
            self._breakers.forget(engine)
        self._warm = OrderedDict((pair, None) for pair in self._warm if pair[0] in living)
        self._deaf = OrderedDict((pair, None) for pair in self._deaf if pair[0] in living)
        if self._peers:
            self._await_s = AWAIT_ENGINE_S
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def living(self) -> frozenset[Identity]:
        """The incarnations that are up."""
        return frozenset(peer.identity for peer in self._peers)

    def lives(self, engine: Identity) -> bool:
        """Say whether this incarnation is up."""
        return any(peer.identity == engine for peer in self._peers)

    async def ordered(self, key: str) -> list[Identity]:
        """Return the engines in a call's own order, so that calls spread and one's successor is settled.

        Those that fail more than half of what they are asked come last, but for one trial now and then. Waits for one
        to come up. Raises: NoEngine.
        """
        return [engine for _, _, engine in await self._ordered(key)]

    async def _ordered(self, key: str) -> list[tuple[bool, int, Identity]]:
        """Return the same, each with whether it fails and its place."""
        if not self._peers:
            try:
                async with asyncio.timeout(self._await_s):
                    while not self._peers:
                        await self._changed.wait()
            except TimeoutError as error:
                raise NoEngine(f"no speech engine for {self._await_s:g} s") from error
        first = zlib.crc32(key.encode()) % len(self._peers)
        order = [peer.identity for peer in (*self._peers[first:], *self._peers[:first])]
        now = time.monotonic()
        return sorted((not self._breakers.allows(engine, now), n, engine) for n, engine in enumerate(order))

    async def _in_turn(
        self, key: str, rank: Callable[[Identity], tuple[int, ...]] = lambda engine: ()
    ) -> AsyncIterator[Identity]:
        """Yield each engine once, in the call's order; `rank`: of those that do not fail, the least come first.

        Where one has ended while it was asked there may be a new one, or will be: it is waited for. Raises: NoEngine.
        """
        asked: set[Identity] = set()
        while left := [one for one in await self._ordered(key) if one[2] not in asked]:
            for _, _, _, engine in sorted((is_out, rank(engine), n, engine) for is_out, n, engine in left):
                asked.add(engine)
                yield engine

    def figures(self) -> dict[str, float]:
        """What an operator sees of it."""
        told = {**self._breakers.figures(), **self._recognisers.figures()}
        return {**told, "retries_engine": float(self._n_retries)}

    def kind(self, engine: Identity) -> str:
        """Return the recogniser that a process hears with."""
        return self.speech.of_process(process_of(engine)).name

    def _preference(self, wanted: str) -> Callable[[Identity], int]:
        """Return which processes come first for a call that is to be heard by a recogniser: its own, the default's."""
        order = {KALDI: 1, wanted: 0}
        return lambda engine: order.get(self.kind(engine), 2)

    def _told(self, engine: Identity, error: LinkError | None) -> None:
        """Learn whether an engine could do what it was asked. A process that has ended is the launcher's word."""
        self._n_retries += error is not None
        if not isinstance(error, PeerGone):
            self._breakers.record(engine, error is None, time.monotonic())

    async def warm(self, key: str, script: bytes, wanted: str = KALDI) -> None:
        """Have the script ready on the first engine of the call's order that can, of this recogniser if there is one.

        Raises: NoEngine.
        """
        prefer = self._preference(KALDI if wanted in self._recognisers.failing else wanted)
        async for engine in self._in_turn(key, lambda engine: (prefer(engine),)):
            if await self._has_warmed(engine, script):
                return
        raise NoEngine("no speech engine could take the script")

    async def warm_all(self, script: bytes) -> None:
        """Have the script ready on all engines, one after the other: on whichever a call moves to, it is heard at once.

        What cannot be warmed now is warmed when it is needed.
        """
        for wanted in [(peer.identity, script) for peer in self._peers]:
            if wanted in self._warming:
                continue
            self._warming.add(wanted)
            try:
                await self._has_warmed(*wanted)
            except NoEngine as error:
                log.warning("engine.not_warm", engine=wanted[0], reason=str(error))
            finally:
                self._warming.discard(wanted)

    async def warm_everywhere(self, key: str, script: bytes) -> bool:
        """Have the script ready on all engines, those that come meanwhile too; say whether all of them have it.

        Waits for one to come up.
        """
        try:
            await self.ordered(key)
        except NoEngine as error:
            log.warning("engine.not_warm", reason=str(error))
            return False
        before: frozenset[Identity] = frozenset()
        while (cold := self._cold(script)) and cold != before:
            before = cold
            await self.warm_all(script)
        return not self._cold(script)

    def _cold(self, script: bytes) -> frozenset[Identity]:
        """Return the engines that do not have the script."""
        name = script_hash(script)
        have = self._warm.keys() | self._deaf.keys()
        return frozenset(peer.identity for peer in self._peers if (peer.identity, name) not in have)

    async def _has_warmed(self, engine: Identity, script: bytes) -> bool:
        pair = engine, script_hash(script)
        if pair in self._deaf:
            return False
        if pair in self._warm:
            self._warm.move_to_end(pair)
            return True
        try:
            await self._mesh.ask(engine, WarmScript(script), timeout_s=WARM_S)
        except LinkError as error:
            if isinstance(error, Refused) and error.reason.startswith(BAD_SCRIPT):
                raise NoEngine(f"the speech engine refuses the script: {error.reason}") from error
            if self._is_deaf(pair, error):
                return False
            self._told(engine, error)
            log.warning("engine.not_warm", engine=engine, reason=str(error))
            return False
        self._told(engine, None)
        self._warm[pair] = None
        if len(self._warm) > MAX_WARM:
            self._warm.popitem(last=False)
        return True

    def known(self, sentences: Sentences) -> tuple[Prompt, ...] | None:
        """Return the files of what is to be said, if all are on disk."""
        found = tuple(prompt for one in sentences if (prompt := self._known(one)))
        return found if len(found) == len(sentences) else None

    def forget(self) -> None:
        """Forget what was said with somebody's words in it."""
        self._rendered = OrderedDict(one for one in self._rendered.items() if not is_filled(one[1].prompt))
        self.on_forget()

    def _known(self, sentence: tuple[Part, ...]) -> Prompt | None:
        """Return a sentence's file. One with a slot's value may have been removed: somebody was forgotten."""
        prompt = self._rendered.get(sentence)
        if prompt is None or (is_filled(prompt.prompt) and not (self._prompts / f"{prompt.prompt}.ulaw").exists()):
            return None
        self._rendered.move_to_end(sentence)
        return prompt

    async def render(self, key: str, sentence: tuple[Part, ...]) -> Prompt:
        """Return the file of one sentence, rendered now if it has not been. Raises: NoEngine."""
        prompt = await self._render(key, sentence)
        self.on_prompt(key, prompt)
        return prompt

    async def _render(self, key: str, sentence: tuple[Part, ...]) -> Prompt:
        if known := self._known(sentence):
            return known
        async for engine in self._in_turn(key):
            try:
                prompt: Prompt = await self._mesh.ask(engine, Render(sentence), timeout_s=5.0)
            except LinkError as error:
                if isinstance(error, Refused) and error.reason == TOO_LONG:
                    raise TooLong("a sentence is longer than what an engine says") from error
                self._told(engine, error)
                log.warning("engine.not_rendered", engine=engine, call_id=key, reason=str(error))
                continue
            self._told(engine, None)
            self._rendered[sentence] = prompt
            if len(self._rendered) > MAX_RENDERED:
                self._rendered.popitem(last=False)
            return prompt
        raise NoEngine("no speech engine could speak")

    async def listen(self, hear: Hear, packed: bytes, before: Identity, wanted: str = KALDI) -> Identity:
        """Have an engine hear a callee from the next utterance on; return which.

        `wanted`: the recogniser to hear them; of its processes `before`, while that one lives. Raises: NoEngine.
        Whoever stops waiting for the answer does not want it: a new engine is told so.
        """
        now = time.monotonic()
        if before and (was := self.kind(before)) != KALDI:
            self._recognisers.record(was, self.lives(before), now)
        if wanted != KALDI and not self._recognisers.allows(wanted, now):
            wanted = KALDI
        prefer = self._preference(wanted)
        async for engine in self._in_turn(hear.channel_id, lambda engine: (prefer(engine), engine != before)):
            if (engine, hear.script) in self._deaf:
                continue
            try:
                if await self._hears(engine, hear, packed):
                    return engine
            except asyncio.CancelledError:
                if engine != before:  # that one is told by who stops
                    self._mesh.tell(engine, Deafen(hear.channel_id))
                raise
        raise NoEngine("no speech engine could listen")

    async def _hears(self, engine: Identity, hear: Hear, packed: bytes) -> bool:
        try:
            try:
                await self._mesh.ask(engine, hear, timeout_s=HEAR_S)
            except Refused as error:
                if error.reason == FAILING:
                    raise
                await self._mesh.ask(engine, WarmScript(packed), timeout_s=WARM_S)  # it is new, and does not know it
                await self._mesh.ask(engine, hear, timeout_s=HEAR_S)
        except LinkError as error:
            if not self._is_deaf((engine, hear.script), error):
                self._told(engine, error)
                log.warning("engine.deaf", engine=engine, call_id=hear.channel_id, reason=str(error))
            return False
        self._told(engine, None)
        return True

    def _is_deaf(self, pair: tuple[Identity, ScriptHash], error: LinkError) -> bool:
        """Say whether an engine does not hear a script's language, which is no fault of its, and remember it."""
        if not (isinstance(error, Refused) and error.reason.startswith(OTHER_LANGUAGE)):
            return False
        log.info("engine.other_language", engine=pair[0], reason=error.reason)
        self._deaf[pair] = None
        if len(self._deaf) > MAX_WARM:
            self._deaf.popitem(last=False)
        return True


async def speak(engines: Engines, call_id: CallId, effect: Speak) -> Spoken | NoEngineLeft:
    """Have the sentences on disk, in order."""
    try:
        return Spoken(effect.number, tuple([await engines.render(call_id, one) for one in effect.sentences]))
    except NoEngine as error:
        log.error("call.no_engine", call_id=call_id, reason=str(error))
        return NoEngineLeft(effect.number, error.cause)


@dataclass(frozen=True, slots=True)
class By:
    """Who is to hear a callee, and from when on: what was said before has been answered."""

    recogniser: str = KALDI
    after_s: float = 0.0


async def hear(
    engines: Engines, call_id: CallId, packed: bytes, script: ScriptHash, effect: HearCallee, by: By
) -> Hears | NoEngineLeft:
    """Have an engine hear the callee with this script, packed in case that it is new to it."""
    asked = effect.listen
    order = Hear(
        ChannelId(call_id),
        engines.owner,
        script,
        asked.rules,
        asked.turn,
        asked.complete_s,
        asked.incomplete_s,
        by.after_s,
    )
    try:
        return Hears(effect.number, await engines.listen(order, packed, effect.before, by.recogniser))
    except NoEngine as error:
        log.error("call.no_engine", call_id=call_id, reason=str(error))
        return NoEngineLeft(effect.number)


async def prepare(engines: Engines, call_id: CallId, packed: bytes, effect: Prepare) -> None:
    """Have every engine know the script, and the sentences on disk; what is missing, when it is needed."""
    await engines.warm_all(packed)
    try:
        for sentence in effect.sentences:
            await engines.render(call_id, sentence)
    except NoEngine as error:
        log.warning("call.not_prepared", call_id=call_id, reason=str(error))


__all__ = ["By", "Engines", "NoEngine", "hear", "prepare", "speak"]
