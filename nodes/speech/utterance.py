"""One utterance: the audio since speech began, with what the turn detector needs to know of it."""

from __future__ import annotations

from protocols.wire.messages import AudioFrame

__all__ = ["BYTES_PER_MS", "FRAME_BYTES", "FRAME_MS", "LONGEST_MS", "Utterance"]

FRAME_MS = 20
FRAME_BYTES = 160
BYTES_PER_MS = FRAME_BYTES // FRAME_MS
_SILENCE = b"\xff" * FRAME_BYTES

_LOUDNESS = bytes(127 - (code & 127) for code in range(256))
"""mu-law code -> its magnitude, 0 to 127: a logarithm, 16 of which are 6 dB (ITU-T G.711)."""
SOUND, NOISE = 80, 21
"""What is not voiced is a sound all the same, no silence, when it is less than 30 dB below the loudest of the utterance
and 8 above its faintest: the `s` of "yes", the first breath of "one"."""
SOUNDS_MS = 200
"""So much of a silence may be sounds; what goes on for longer is the line's."""
LONGEST_MS = 15_000
"""An utterance is cut here: a caller who talks on, or a line that hums, is not answering."""


class Utterance:
    """The audio since speech began, with what the turn detector needs to know of it: frames in order, each once.

    Frames are numbered within an utterance and utterances within a channel, but the numbers are a media process's own:
    its successor begins again at one, in the middle of a word. What never goes back is the clock (`at_s`), so it has
    the last word on what is late; and numbers that change before the end was seen are the same speech, told by somebody
    else.
    """

    def __init__(self, start: bytes = b"", number: int = 0, next_index: int = 0, at_s: float = 0.0) -> None:
        """`start` is audio that is known already: the silence before, when speech goes on after an answer."""
        self.audio = bytearray(start)
        """8 kHz mu-law."""
        self.number = number
        """Of the newest frame."""
        self.last_voiced_s: float | None = None
        """When the last voiced frame was heard; None before the first."""
        self.is_over = False
        """Its frames have ended; who was silent may still `go_on`."""
        self.is_over_prompt = False
        """A prompt was played while the newest frame was heard."""
        self.is_said_over_prompt = False
        """And while the newest voiced one was."""
        self._unvoiced_ms = self._sounds_ms = 0
        self._loudest, self._faintest = 0, 127
        self._voiced_from: int | None = None
        self._voiced_until = 0
        self._next_index = next_index
        self._at_s = at_s

    @property
    def speech_ms(self) -> int:
        """From the first voiced frame to the last."""
        return 0 if self._voiced_from is None else self._voiced_until - self._voiced_from

    @property
    def silence_ms(self) -> int:
        """How long nothing has been said, once something was: neither a voice nor a sound."""
        return self._unvoiced_ms - min(self._sounds_ms, SOUNDS_MS)

    def is_newer(self, frame: AudioFrame) -> bool:
        """Whether the frame was heard after all of this."""
        return frame.at_s > self._at_s

    def add(self, frame: AudioFrame) -> bool:
        """Take the next frame; False for one that is late or was there before, which changes nothing.

        What was lost between two frames is silence. A payload of another length counts as lost.
        """
        is_next = frame.utterance == self.number and frame.index >= self._next_index
        if self.is_over or not (is_next or self.is_newer(frame)):
            return False
        n_lost = frame.index - self._next_index if is_next else 0
        self.audio += _SILENCE * min(n_lost, LONGEST_MS // FRAME_MS)
        self.audio += frame.payload if len(frame.payload) == FRAME_BYTES else _SILENCE
        self.number, self._next_index, self._at_s = frame.utterance, frame.index + 1, frame.at_s
        self._note(frame)
        return True

    @property
    def is_cut(self) -> bool:
        """It is too long, and nothing more is added."""
        return len(self.audio) >= LONGEST_MS * BYTES_PER_MS

    def go_on(self, frame: AudioFrame) -> None:
        """Be what a frame goes on with that came after the end of it: between the two, there was silence."""
        n_lost = max(0, round((frame.at_s - self._at_s) * 1000 / FRAME_MS) - 1)
        self.audio += _SILENCE * min(n_lost, LONGEST_MS // FRAME_MS)
        self._unvoiced_ms += n_lost * FRAME_MS
        self.number, self._next_index, self.is_over = frame.utterance, frame.index, False

    def rest(self) -> Utterance:
        """What may still come of this utterance after it was answered; begins with the silence that was waited out."""
        kept = bytes(self.audio[len(self.audio) - self._unvoiced_ms * BYTES_PER_MS :])
        return Utterance(kept, self.number, self._next_index, self._at_s)

    def _note(self, frame: AudioFrame) -> None:
        heard_ms = len(self.audio) // BYTES_PER_MS
        loudness = max(frame.payload.translate(_LOUDNESS), default=0)
        self._faintest = min(self._faintest, loudness)
        if frame.voiced:
            if self._voiced_from is None:
                self._voiced_from = heard_ms - FRAME_MS
            self._voiced_until = heard_ms
            self._unvoiced_ms = self._sounds_ms = 0
            self._loudest = max(self._loudest, loudness)
            self.last_voiced_s = frame.at_s
            self.is_said_over_prompt = frame.over_prompt
        elif self.last_voiced_s is not None:
            self._unvoiced_ms += FRAME_MS
            if loudness > max(self._loudest - SOUND, self._faintest + NOISE):
                self._sounds_ms += FRAME_MS
        self.is_over_prompt = frame.over_prompt
        self.is_over = frame.last or self.is_cut
