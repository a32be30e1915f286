"""Who hears callers, over HTTP: which recognisers this node has, and to change to another while calls are up.

It is `ringmaster speech use`: a version of the settings that change while nodes run. The audit log has who asked, the
version's note, too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from aiohttp import web

from nodes.admin.access import WHO
from nodes.admin.node import Node
from nodes.admin.roles import Role
from nodes.admin.routes import Route
from nodes.config import Config
from nodes.config_running import over, with_use
from nodes.config_speech import Use
from nodes.links.errors import Refused
from nodes.links.settings import versions
from nodes.reading import read_json
from protocols.wire.settings import ApplySettings, GetSettings, SettingsApplied, Version


@dataclass(frozen=True, slots=True)
class Hearers:
    """The recognisers of this node, the default first; and which calls are heard by which. `version`: that says so."""

    recognisers: tuple[str, ...]
    use: tuple[Use, ...]
    version: int


class SpeechApi:
    """The handlers."""

    def __init__(self, node: Node, config: Config) -> None:
        self._node, self._config = node, config

    def table(self) -> tuple[Route, ...]:
        """Return the routes."""
        told, changed = "Recognisers, and which of them hears whom.", "Have calls be heard by another recogniser."
        return (
            Route("GET", "/api/speech", told, Role.VIEWER, self.told, Hearers),
            Route("POST", "/api/speech/use", changed, Role.ADMIN, self.use, SettingsApplied, Use),
        )

    async def told(self, request: web.Request) -> Hearers:
        """What holds."""
        now = await self._now()
        speech = over(self._config, now.settings).speech
        return Hearers(speech.names, speech.use, now.version)

    async def use(self, request: web.Request) -> SettingsApplied:
        """Change it."""
        wanted = read_json(await request.read(), Use)
        if wanted.engine not in self._config.speech.names:
            raise Refused(f"engine: {wanted.engine[:64]} is none; there are {', '.join(self._config.speech.names)}")
        if not 0 <= wanted.percent <= 100:
            raise Refused(f"percent: {wanted.percent} is not between 0 and 100")
        now, by = await self._now(), request[WHO].name
        settings = json.dumps(with_use(self._config, now.settings, wanted))
        why = f"{wanted.percent:g} % of calls heard by {wanted.engine}"
        return await self._node.of_settings(ApplySettings(now.version, settings, f"{by}@{self._config.node.id}", why))

    async def _now(self) -> Version:
        return versions(await self._node.of_settings(GetSettings()))[-1]


__all__ = ["SpeechApi"]
