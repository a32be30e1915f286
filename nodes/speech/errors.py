"""What can be wrong with an engine.

SpeechError (a NodeError)
  NoSuchEngine    no recogniser or voice of this name, or its library is not installed
  BrokenModel     a model or voice on disk is not what the engine needs: names the file
  EngineFailed    the library gave up on one utterance or prompt; the next one may well succeed
  PromptTooLong   nobody says so much in one sentence
  EngineHangs     a call into the library does not come back: the process ends
  EngineBusy      every decoder is in use; the utterance is not heard
  UnknownScript   nobody warmed this script here
  UnknownRule     the script has no such rule
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nodes.errors import NodeError

__all__ = [
    "BrokenModel", "EngineBusy", "EngineFailed", "EngineHangs", "NoSuchEngine", "PromptTooLong", "SpeechError",
    "UnknownRule", "UnknownScript",
]  # fmt: skip


class SpeechError(NodeError):
    """Root of what this process can say about its engines. `word` is what an asker is refused with."""

    word: ClassVar[str] = "engine_failed"


class NoSuchEngine(SpeechError):
    """Nothing of this name can be started; the message says what can, or how."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name, self.why = name, why


class BrokenModel(SpeechError):
    """A model file is missing, empty or cut short."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


class EngineFailed(SpeechError):
    """The library reported an error while it worked on one utterance or prompt."""


class EngineHangs(SpeechError):
    """The library has not come back for `for_s` seconds; only the end of the process ends that."""

    def __init__(self, for_s: float) -> None:
        super().__init__(f"the recogniser has not come back for {for_s:.0f} s")
        self.for_s = for_s


class PromptTooLong(SpeechError):
    """A sentence of `n_characters`: it is the asker's fault, and no other engine would say it."""

    word = "prompt_too_long"

    def __init__(self, n_characters: int, most: int) -> None:
        super().__init__(f"a sentence of {n_characters} characters, more than {most}")
        self.n_characters = n_characters


class EngineBusy(SpeechError):
    """All `n_utterances` that can be heard at once are being heard."""

    def __init__(self, n_utterances: int) -> None:
        super().__init__(f"{n_utterances} utterances are being heard")
        self.n_utterances = n_utterances


class UnknownScript(SpeechError):
    """No ear for this script; warm it first."""

    word = "unknown_script"

    def __init__(self, script: str) -> None:
        super().__init__(f"script {script} is not warm")
        self.script = script


class UnknownRule(SpeechError):
    """The script declares no rule of this name."""

    word = "unknown_rule"

    def __init__(self, rule: str) -> None:
        super().__init__(f"no rule {rule!r}")
        self.rule = rule
