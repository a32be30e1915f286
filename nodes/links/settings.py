"""The settings by which a process goes: its file's, with the newest version of `rm_config` laid over them.

What it does: starts from the version on this machine's disk, so that NATS may be away; takes each new one as it comes;
for central, writes new ones by compare-and-set. What it does not: say what may change (`nodes.config_running`).

A version that cannot be read, or names what this release does not know, is not taken: the last one stays, and the
number of the other is shown (`figures`). A bucket that was lost takes nothing back either, be it empty or filled with
an older version: nobody takes a lower number than theirs, and central writes the highest that any node has.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from nodes.bus.bucket import Bucket, Entry
from nodes.config import Config, ConfigError
from nodes.config_running import check, over, strangers
from nodes.files import write_private
from nodes.links.errors import BusAway, LinkError, Refused
from nodes.links.members import Members
from nodes.mesh.mesh import Mesh
from nodes.reading import read_json
from nodes.telemetry import logs
from protocols.wire.cluster import Member, NodeState
from protocols.wire.ids import Identity
from protocols.wire.settings import (
    MOST_WORDS,
    SETTINGS_KEY,
    ApplySettings,
    GetSettings,
    GetTaken,
    SettingsApplied,
    SettingsHistory,
    SettingsTaken,
    Version,
)

NONE: Final = Version(0, "", "", "")
"""The version that holds where nothing was ever applied."""
FILE: Final = "settings.json"
"""In the state directory: the version that was taken last."""
RETRY_S: Final = 1.0
ASK_S: Final = 2.0
BEHIND_S: Final = 2.0
"""So often central looks again for a version that another node says it has."""
FOLLOWERS: Final = frozenset(("edge", "central"))
"""The roles that go by settings."""

log = logs.get(__name__)


class Settings:
    """Those of one process. `config`: what holds now; `changed` is told each next one."""

    def __init__(self, config: Config, bucket: Bucket, *, may_write: bool = False) -> None:
        """`may_write`: central's, who alone may write the bucket."""
        self._of_file, self._bucket, self._may_write = config, bucket, may_write
        self._path = config.paths.state / FILE
        self.config = config
        self.changed: Callable[[Config], None] = lambda config: None
        self._taken = NONE
        self._mesh: Mesh | None = None
        self._members: Members | None = None
        self._is_behind = asyncio.Event()
        """Some node has a higher version than ours."""
        self._refused = 0
        """The number of the version that could not be taken, if it is the newest."""
        self._from_disk()

    @property
    def versions(self) -> tuple[int, int]:
        """The version that holds, 0: the file alone; and a newer one that could not be taken, 0: none."""
        return self._taken.version, self._refused

    def figures(self) -> dict[str, float]:
        """What an operator sees of it."""
        return dict(zip(("settings", "settings_refused"), map(float, self.versions), strict=True))

    async def follow(self) -> None:
        """Take every new version, for ever."""
        while True:
            try:
                async with aclosing(self._bucket.watch()) as told:
                    is_there = False
                    async for entry in told:
                        if entry is None:
                            if not is_there:
                                await self._put_right()
                        elif entry.key == SETTINGS_KEY:
                            is_there = entry.value is not None
                            await self._take(entry.value)
            except BusAway as error:  # only `_put_right` says so
                log.warning("settings.not_filled", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def follow_others(self) -> None:
        """Have the bucket hold what a node has that knows more than we do, for ever."""
        while True:
            await self._is_behind.wait()
            self._is_behind.clear()
            try:
                await self._put_right()
            except BusAway as error:
                log.warning("settings.not_filled", error=str(error))
            if any(map(self._knows_more, self._others())):  # it did not work, or what was written has not come here yet
                await asyncio.sleep(BEHIND_S)
                self._is_behind.set()

    def serve(self, mesh: Mesh) -> None:
        """Say by which version we go."""
        mesh.serve(GetTaken, lambda asked, sender: SettingsTaken(msgspec.json.encode(self._taken).decode()))

    def lead(self, mesh: Mesh, members: Members) -> None:
        """Answer what operators ask of central, and know what the other nodes of the cluster have."""
        self._mesh, self._members = mesh, members
        members.on_change(lambda member: self._is_behind.set() if self._knows_more(member) else None)
        mesh.serve(ApplySettings, self.apply)
        mesh.serve(GetSettings, self.history)

    async def apply(self, asked: ApplySettings, sender: Identity) -> SettingsApplied:
        """Write a new version, if nobody else has meanwhile. Refuses as `ApplySettings` says."""
        try:
            settings = read_json(asked.settings.encode(), dict[str, Any])
            check(settings)
        except (ValueError, ConfigError) as error:
            raise Refused(f"bad_settings: {str(error).removeprefix('settings: ')}") from error
        elsewhere = {name for one in self._others() for name in one.word.trunks}
        if unknown := [name for name in strangers(self._of_file, settings) if name not in elsewhere]:
            raise Refused(f"unknown_trunk: {unknown[0]}")
        try:
            return await self._write(asked, settings)
        except BusAway as error:
            raise Refused(f"nats_away: {error}") from error

    async def history(self, _: GetSettings, sender: Identity) -> SettingsHistory:
        """Return the versions that there were. Refuses: `nats_away`."""
        try:
            entries = await self._bucket.history(SETTINGS_KEY)
        except BusAway as error:
            raise Refused(f"nats_away: {error}") from error
        versions = [one for one in map(_version, entries) if one is not None]
        return SettingsHistory(json.dumps(msgspec.to_builtins(versions)))

    async def _write(self, asked: ApplySettings, settings: dict[str, Any]) -> SettingsApplied:
        there = await self._bucket.get(SETTINGS_KEY)
        now = _version(there) or NONE
        if asked.base != now.version:
            raise Refused(f"changed_meanwhile: version {now.version} is there, by {now.by or 'nobody'}")
        if settings == now.settings and now.version:
            return SettingsApplied(now.version, is_new=False)
        number = max(now.version, self._taken.version, *(one.word.settings for one in self._others())) + 1
        by, why = asked.by[:MOST_WORDS], asked.why[:MOST_WORDS]
        body = msgspec.to_builtins(Version(number, datetime.now(UTC).isoformat(timespec="seconds"), by, why, settings))
        if there is None:
            done = await self._bucket.create(SETTINGS_KEY, body)
        else:
            done = await self._bucket.update(SETTINGS_KEY, body, there.revision)
        if done is None:
            raise Refused("changed_meanwhile: another version was applied in this moment")
        log.warning("settings.applied", version=number, by=by)
        return SettingsApplied(number, is_new=True)

    async def _put_right(self) -> None:
        """Have the bucket hold the highest version that anybody goes by: it may be empty or older. Raises: BusAway."""
        if not self._may_write:
            return
        there = await self._bucket.get(SETTINGS_KEY)
        now = _version(there) or NONE
        above = max(now.version, *self.versions)
        told = [await self._told_by(one) for one in self._others() if one.word.settings > above]
        highest = max((now, self._taken, *filter(None, told)), key=lambda one: one.version)
        if highest.version == now.version:
            return
        body = msgspec.to_builtins(highest)
        if there is None:
            done = await self._bucket.create(SETTINGS_KEY, body)
        else:
            done = await self._bucket.update(SETTINGS_KEY, body, there.revision)
        if done is not None:  # else another central has, and we are told
            log.warning("settings.filled", version=highest.version, instead_of=now.version)

    async def _told_by(self, other: Member) -> Version | None:
        """Return the version by which another node goes; None when it does not say so, or not in words of ours."""
        who = [one.identity for one in other.word.processes if one.is_active and one.role in FOLLOWERS]
        try:
            assert self._mesh is not None, "it has told us who the others are"
            told = await self._mesh.ask(who[0], GetTaken(), timeout_s=ASK_S)
            version = read_json(told.version.encode(), Version)
            check(version.settings)
        except (LinkError, IndexError, msgspec.MsgspecError, ConfigError) as error:
            log.warning("settings.not_told", node=other.word.node, error=str(error))
            return None
        return version

    def _others(self) -> list[Member]:
        """Return the other nodes that live."""
        nodes = self._members.nodes if self._members else ()
        return [one for one in nodes if one.state is NodeState.ALIVE]

    def _knows_more(self, member: Member) -> bool:
        return member.word.settings > max(self.versions)

    async def _take(self, body: dict[str, Any] | None) -> None:
        number = body.get("version") if body else None
        if (
            isinstance(number, int) and number < self._taken.version
        ):  # of a bucket that was lost, and filled by one behind
            await self._put_right()
            return
        if body is None or not self._hold(body):
            return
        try:
            await asyncio.to_thread(write_private, self._path, msgspec.json.encode(self._taken))
        except OSError as error:  # it holds; without NATS at the next start, an older one would
            log.error("settings.not_written", error=str(error))

    def _hold(self, body: dict[str, Any]) -> bool:
        """Go by a version from now on; returns whether it is another one."""
        try:
            version = msgspec.convert(body, Version)
            config = over(self._of_file, version.settings)
        except (msgspec.ValidationError, ConfigError) as error:
            number = body.get("version")
            self._refused = number if isinstance(number, int) and number > 0 else self._taken.version + 1
            log.error("settings.refused", version=self._refused, error=str(error))
            return False
        self._refused = 0
        if version == self._taken:
            return False
        if unknown := strangers(self._of_file, version.settings):
            log.warning("settings.no_such_trunk", version=version.version, trunks=unknown)
        if config.speech.strangers:
            log.warning("settings.no_such_engine", version=version.version, engines=config.speech.strangers)
        self._taken, self.config = version, config
        log.info("settings.taken", version=version.version, by=version.by)
        self.changed(config)
        return True

    def _from_disk(self) -> None:
        try:
            self._hold(read_json(self._path.read_bytes(), dict[str, Any]))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.error("settings.not_read", error=str(error))


def _version(entry: Entry | None) -> Version | None:
    """Return what an entry holds; None where it is no version."""
    if entry is None or entry.value is None:
        return None
    try:
        return msgspec.convert(entry.value, Version)
    except msgspec.ValidationError:
        return None


def versions(told: SettingsHistory) -> list[Version]:
    """Return the versions that there were, from `NONE` to the newest."""
    return [NONE, *msgspec.convert(read_json(told.versions.encode(), list[object]), list[Version])]


__all__ = ["FILE", "NONE", "Settings", "versions"]
