"""An engine without a model: every prompt is rendered at once, and every utterance means yes."""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from pathlib import Path

from grammars.script_pack import script_hash
from nodes.config import Config
from nodes.links.errors import Refused
from nodes.links.load import LoadTeller
from nodes.links.roster import Roster
from nodes.links.tasks import Tasks, closing
from nodes.mesh.mesh import Mesh
from nodes.mesh.pieces import SUFFIXES
from nodes.rehearsal.scripted.pace import Pace
from protocols.wire import messages as wire
from protocols.wire.ids import ChannelId, Identity, PromptHash, ScriptHash
from protocols.wire.load import SpeechLoad
from protocols.wire.pieces import Shelf
from supervisors.parent import Parent, Told


class ScriptedSpeech:
    """What it listens to, and for whom."""

    def __init__(self, mesh: Mesh, pace: Pace, prompts: Path) -> None:
        self._mesh, self._pace, self._prompts = mesh, pace, prompts
        self._hears: dict[ChannelId, wire.Hear] = {}
        self._scripts: set[ScriptHash] = set()
        self._n_heard = 0
        mesh.serve(wire.WarmScript, self.warm)
        mesh.serve(wire.Render, self.render)
        mesh.serve(wire.Hear, self.hear)
        mesh.serve(wire.Deafen, lambda order, _: self._hears.pop(order.channel_id, None))
        mesh.serve(wire.Audio, self.audio)
        mesh.serve(wire.GetStatus, self.status)

    def warm(self, order: wire.WarmScript, sender: Identity) -> wire.ScriptWarmed:
        """Know a script by its hash."""
        known = script_hash(order.script)
        self._scripts.add(known)
        return wire.ScriptWarmed(known, 0)

    def render(self, order: wire.Render, sender: Identity) -> wire.Prompt:
        """Name a sentence, and say that it takes as long as all do. Its file is empty, but there is one."""
        spoken = " ".join(part.text for part in order.parts)
        name = blake2b(spoken.encode(), digest_size=16).hexdigest()
        (self._prompts / f"{name}.{SUFFIXES[Shelf.PROMPTS]}").touch()
        return wire.Prompt(PromptHash(name), round(self._pace.prompt_s * 1000), spoken)

    def hear(self, order: wire.Hear, sender: Identity) -> wire.Done:
        """Listen from the next utterance on. Refused: `unknown_script`."""
        if order.script not in self._scripts:
            raise Refused("unknown_script")
        self._hears[order.channel_id] = order
        return wire.Done()

    def audio(self, batch: wire.Audio, sender: Identity) -> None:
        """Understand whoever is listened to."""
        now = time.monotonic()
        for frame in batch.frames:
            if (wanted := self._hears.get(frame.channel_id)) and wanted.rules:
                self._n_heard += 1
                meaning = wire.Meaning(wanted.rules[0], "yes", {"value": "yes"})
                heard = wire.Heard(
                    frame.channel_id, wanted.turn, frame.utterance, "yes", 0.99, frame.at_s, now, meaning
                )  # fmt: skip
                self._mesh.tell(wanted.owner, heard)

    def status(self, _: wire.GetStatus, sender: Identity) -> wire.Status:
        """How much it has heard."""
        return wire.Status("speech", os.getpid(), {"channels": float(len(self._hears)), "heard": float(self._n_heard)})

    def load(self, late_s: float) -> SpeechLoad:
        """Say that nothing waits."""
        return SpeechLoad(0.0, 0.0, 0.0, 0.0, 0.0)


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Stand in for a speech process until the launcher says stop."""
    async with closing(await Mesh.start(identity, config.paths.endpoint(identity))) as mesh, Tasks() as tasks:
        config.paths.prompts.mkdir(parents=True, exist_ok=True)
        speech = ScriptedSpeech(mesh, Pace.read(), config.paths.prompts)
        teller = LoadTeller(mesh, speech.load)
        await parent.ready({"identity": mesh.identity, "endpoint": mesh.endpoint})
        tasks.spawn(teller.run())
        async for order in parent.orders:
            if isinstance(order, Told) and "roster" in order.body:
                teller.roster = Roster.of(order.body["roster"])
                mesh.roster(teller.roster)


__all__ = ["ScriptedSpeech", "run"]
