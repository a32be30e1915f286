"""The one adapter to mimic3 (and onnxruntime below it): a voice directory in, samples out.

What it works around:

- `epitran`, which our voices do not use, imports `pkg_resources`, 37 MB and half a second: a stub takes its place;
- one system object speaks for one request: an abandoned one keeps its unspoken sentences for whoever comes next;
- mimic3's own session starts a spinning thread per core: ours has one thread, which waits;
- onnxruntime (1.31, on Linux too) reports its use to its maker and keeps a device id: switched off;
- each thread that speaks pays for gruut's tables anew: the caller keeps to one thread;
- an unknown voice would be downloaded: never here.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from nodes.speech.errors import BrokenModel, EngineFailed

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules.setdefault("epitran", ModuleType("epitran"))
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # audioop and pkg_resources, which mimic3 imports
    import onnxruntime
    from mimic3_tts.tts import Mimic3Settings, Mimic3TextToSpeechSystem
    from mimic3_tts.voice import Mimic3Voice
    from opentts_abc import AudioResult

__all__ = ["MimicVoice"]

NEEDED = ("config.json", "phonemes.txt", "generator.onnx")


class MimicVoice:
    """A mimic3 voice from a directory `<voices>/<language>/<name>`."""

    def __init__(self, directory: Path) -> None:
        """Load the network; 0.1 s. Raises: BrokenModel, which names the file."""
        for name in NEEDED:
            if not (directory / name).is_file():
                raise BrokenModel(directory / name, "missing")
            if not (directory / name).stat().st_size:
                raise BrokenModel(directory / name, "empty")
        self._key = f"{directory.parent.name}/{directory.name}"
        self._voice = _load(directory)
        version = directory / "VERSION"
        self.name = f"{self._key} {version.read_text().strip() if version.is_file() else ''}".strip()
        self.rate_hz: int = self._voice.config.audio.sample_rate

    def speak(self, words: str, rate: float) -> NDArray[np.int16]:
        """Say `words` (plain words: gruut reads digits and signs poorly), `rate` times as fast as usual.

        No words, no samples. Raises: EngineFailed.
        """
        # sample_rate is that of the breaks between sentences, not of the voice
        settings = Mimic3Settings(voice=self._key, no_download=True, sample_rate=self.rate_hz, rate=rate)
        system = Mimic3TextToSpeechSystem(settings)
        system._loaded_voices[self._key] = self._voice
        try:
            system.speak_text(words)
            results = system.end_utterance()
            said = b"".join(result.audio_bytes for result in results if isinstance(result, AudioResult))
        except Exception as error:  # three libraries without a common error; one prompt fails, not the voice
            raise EngineFailed(f"{self.name} cannot say it: {error!r}") from error
        return np.frombuffer(said, np.int16)


def _load(directory: Path) -> Mimic3Voice:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return Mimic3Voice.load_from_directory(directory, session_options=options, share_models=False)
    except Exception as error:  # as above; a cut network is the likely reason
        raise BrokenModel(directory / "generator.onnx", f"the synthesiser does not load it: {error}") from error
