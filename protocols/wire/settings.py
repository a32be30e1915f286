"""Settings that change while nodes run: a version of them, and what may be asked of central about them.

The bucket `rm_config` has the newest version under one key, and the ten last ones as its history. A version is written
by central alone, by compare-and-set: whoever made theirs on an older one is told. Numbers only rise: nobody goes back
to a lower one, and a bucket that was lost is filled with the highest that any node has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

SETTINGS_KEY: Final = "settings"
MOST_WORDS: Final = 100
"""Characters of `by` and `why`."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version, as it stands in the bucket and on disks. `by`: who applied it; `why`: their note; `wall`: when."""

    version: int
    wall: str
    by: str
    why: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SettingsApplied:
    """`version`: the one that holds now. `is_new`: false where it says already what was to be applied."""

    version: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class ApplySettings:
    """Have these settings hold, in place of version `base` (0: there was none). `settings`: a JSON object.

    Refuses: `bad_settings:`, `unknown_trunk:`, `changed_meanwhile:`, `nats_away`, each with more words.
    """

    Reply: ClassVar[type[SettingsApplied]] = SettingsApplied
    base: int
    settings: str
    by: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class SettingsHistory:
    """The last versions, the newest at the end: a JSON array of `Version`."""

    versions: str


@dataclass(frozen=True, slots=True)
class GetSettings:
    """Say which versions there were. Refuses: `nats_away`."""

    Reply: ClassVar[type[SettingsHistory]] = SettingsHistory


@dataclass(frozen=True, slots=True)
class SettingsTaken:
    """The version by which a process goes: a `Version` as JSON, which a bucket that was lost is filled from."""

    version: str


@dataclass(frozen=True, slots=True)
class GetTaken:
    """Say by which version you go. Asked of whoever follows them, by central."""

    Reply: ClassVar[type[SettingsTaken]] = SettingsTaken


SETTINGS_MESSAGES: Final[tuple[type, ...]] = (
    ApplySettings, SettingsApplied, GetSettings, SettingsHistory, GetTaken, SettingsTaken,
)  # fmt: skip

__all__ = [
    "MOST_WORDS",
    "SETTINGS_KEY",
    "SETTINGS_MESSAGES",
    "ApplySettings",
    "GetSettings",
    "GetTaken",
    "SettingsApplied",
    "SettingsHistory",
    "SettingsTaken",
    "Version",
]
