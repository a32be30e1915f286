"""Who hears and speaks: the recognisers of a node, each in processes of its own, and which of them hears whom.

[speech]
processes = 2                          # of the first recogniser, `kaldi`
hears = ["en"]                         # languages that one of them hears; of scripts in others only keys are
[[speech.engines]]
name = "pocketsphinx"
[[speech.use]]                         # may change while the node runs: `ringmaster speech use`
engine = "pocketsphinx"
percent = 10
campaign = "spring"
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.tables import within

KALDI: Final = "kaldi"
"""The recogniser that every node has, and that hears where nothing else is said, or can."""
MIMIC3: Final = "mimic3"
MOST_USES: Final = 100


@dataclass(frozen=True, slots=True)
class Engine:
    """A further recogniser: `pocketsphinx`, or one that an installed package brings (`ringmaster speech list`)."""

    name: str
    processes: int = within(1, 1, 256)
    model: Path | None = None
    """Its model's directory; None: what it brings."""


@dataclass(frozen=True, slots=True)
class Use:
    """So many of a hundred calls are heard by this recogniser: of a campaign, or of all (empty)."""

    engine: str
    percent: float = within(100.0, 0, 100)
    campaign: str = ""


@dataclass(frozen=True, slots=True)
class Speech:
    """Processes that listen and speak; two, so that one may die."""

    processes: int = within(2, 1, 256)
    """Those that hear with kaldi."""
    voice: str = MIMIC3
    """`mimic3` (its voice is `models.voice`), `espeak-ng`, `flite`, or one that an installed package brings."""
    engines: tuple[Engine, ...] = ()
    use: tuple[Use, ...] = ()
    hears: tuple[str, ...] = ("en",)
    """Languages of scripts that one of the cluster's recognisers hears; in others callees answer with keys."""

    def __post_init__(self) -> None:
        names = [KALDI, *(one.name for one in self.engines)]
        if len(set(names)) < len(names):
            raise ValueError(f"engines: {', '.join(names)}: one is named twice (kaldi's are `processes`)")
        if not all(names):
            raise ValueError("engines: one has an empty name")
        campaigns = [one.campaign for one in self.use]
        if len(set(campaigns)) < len(campaigns) or len(campaigns) > MOST_USES:
            raise ValueError(f"use: one row for each campaign and one for all the others, {MOST_USES} at most")

    @property
    def names(self) -> tuple[str, ...]:
        """The recognisers of this node, the default first."""
        return KALDI, *(one.name for one in self.engines)

    @property
    def n_processes(self) -> int:
        """How many processes hear, with whichever."""
        return self.processes + sum(one.processes for one in self.engines)

    def of_process(self, name: str) -> Engine:
        """Return what a process hears with: `speech-0` and so on with kaldi, and then the others, in their order.

        >>> Speech(2, engines=(Engine("pocketsphinx"),)).of_process("speech-2").name
        'pocketsphinx'
        """
        number = int(name.rpartition("-")[2]) - self.processes
        for one in self.engines if number >= 0 else ():
            if number < one.processes:
                return one
            number -= one.processes
        return Engine(KALDI, self.processes)

    @property
    def strangers(self) -> list[str]:
        """Recognisers that `use` names, and this node does not have: nobody is heard by them."""
        return [one.engine for one in self.use if one.engine not in self.names]

    def chosen(self, call_id: str, campaign: str, of_script: str) -> str:
        """Return the recogniser that is to hear a call: its campaign's, its script's, that of all, or the default.

        A call that is among the per cent stays among them when they become more.

        >>> speech = Speech(engines=(Engine("other"),), use=(Use("other", 0, "spring"), Use("other")))
        >>> speech.chosen("c", "spring", ""), speech.chosen("c", "", ""), speech.chosen("c", "", "kaldi")
        ('kaldi', 'other', 'kaldi')
        """
        share = zlib.crc32(f"{call_id} hears".encode()) % 10_000 / 100
        of_campaign, of_all = ([one for one in self.use if one.campaign == each] for each in (campaign, ""))
        for use in of_campaign if campaign else ():
            if use.engine in self.names:
                return use.engine if share < use.percent else KALDI
        if of_script in self.names:
            return of_script
        for use in of_all:
            if use.engine in self.names and share < use.percent:
                return use.engine
        return KALDI


def changed(rows: Sequence[Use], wanted: Use) -> list[Use]:
    """Return who hears whom once a row is changed: those that say nothing any more are left out.

    >>> changed([Use("other", 10)], Use("other", 50)), changed([Use("other", 10)], Use("kaldi"))
    ([Use(engine='other', percent=50, campaign='')], [])
    """
    others = [one for one in rows if one.campaign != wanted.campaign]
    says_nothing = wanted.engine == KALDI and not wanted.campaign
    return others if says_nothing else [*others, wanted]


__all__ = ["KALDI", "MIMIC3", "Engine", "Speech", "Use", "changed"]
