"""One channel, tick by tick: what came in, what goes out, what is heard and what is kept.

What it does: joins line, player, utterances and tap, and makes them be as the last `SetChannel` said. What it does not:
choose its instants (`plane`), nor remember anything that a successor would need: all of that is in `wanted`.

A tick has three steps, and a slot does each for all its channels before the next, so that what is sent is sent on time
whatever the rest costs: `receive` (out of the jitter buffer), `transmit`, `listen`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from nodes.audio.g711 import SILENCE, fade
from nodes.audio.tones import BeepDetector
from nodes.audio.vad import Speech, VoiceDetector
from nodes.links.errors import Refused
from nodes.media.echo import Echo, Held
from nodes.media.hearing import Sound
from nodes.media.line import Line
from nodes.media.link import Link
from nodes.media.player import Player
from nodes.media.prompts import Prompts
from nodes.media.recording import Tap, Writer
from nodes.media.utterance import Utterances
from protocols.errors import LocalProtocolError
from protocols.rtp import Gap
from protocols.rtp.dtmf import Press, press
from protocols.rtp.numbers import frames_since
from protocols.wire import messages as wire
from protocols.wire.messages import AudioFrame

_FADES: Final = 3
"""A lost frame is the last one 6 dB down, three times; longer gaps are silence."""

_MAX_ORDERS: Final = 16
"""Orders to press keys that may wait for each other."""


class Channel:
    """`line`: a telephone's socket, or a seat's link. `heard`: the far end's last 20 ms, mu-law; `has_audio` says
    whether there was anything."""

    def __init__(
        self,
        line: Line | Link,
        wanted: wire.Channel,
        tell: Callable[[object], None],
        prompts: Prompts,
        writer: Writer,
        echo: Echo,
    ) -> None:
        self.wanted = wanted
        self.line = line
        self._tell = tell
        self._writer = writer
        self._player = Player(prompts)
        self._utterances = Utterances(wanted.channel_id, wanted.born_s)
        self._voice, self._beep = VoiceDetector(), BeepDetector()
        self.echo = echo
        self._position: int | None = None
        self._at = 0.0
        self._tap: Tap | None = None
        self._keys: deque[Iterator[Press | None]] = deque()
        self._n_faded = _FADES
        self.heard, self.has_audio = SILENCE, False

    def set(self, wanted: wire.Channel) -> None:
        """Be like this from the next tick on. Raises: Refused when it cannot be; then nothing has changed."""
        self.line.set(wanted)
        self._player.set(wanted.playing)
        if wanted.born_s != self.wanted.born_s:
            self.echo.release()
            self._utterances = Utterances(wanted.channel_id, wanted.born_s)
        self._record(wanted.recording)
        before, self.wanted = self.wanted, wanted
        if (wanted.owner, wanted.epoch) != (before.owner, before.epoch):
            self._tell_again()

    def replay(self, at: float) -> list[AudioFrame]:
        """Return what a new engine must hear to take over: the utterance in progress, or one not yet answered."""
        had_engine = bool(self.wanted.engine)
        return self._utterances.replay(at) if had_engine or self._utterances.is_speaking else []

    def press(self, keys: str, ms: int) -> None:
        """Send these keys after those still being sent. Raises: Refused (`no_dtmf`, `no_such_key`, `too_many_keys`)."""
        if self.wanted.dtmf_type < 0:
            raise Refused("no_dtmf")
        if len(self._keys) >= _MAX_ORDERS:
            raise Refused("too_many_keys")
        try:
            self._keys.append(press(keys, ms))
        except LocalProtocolError as error:
            raise Refused(error.what) from None

    # ---- a tick -----------------------------------------------------------------------------------------------------

    def receive(self, at: float) -> None:
        """Take the caller's next 20 ms out of the jitter buffer; a short gap is filled with what was before it."""
        frame = self.line.playout(at)
        position, before = self.line.position, self._position
        if position is not None and before is not None and (moved := round((at - self._at) * 8000) + before - position):
            self.echo.moved(moved)
        self._position, self._at = position, at
        if not isinstance(frame, Gap):
            self.heard, self.has_audio, self._n_faded = frame, True, 0
        elif self._n_faded < _FADES:
            self.heard, self._n_faded = fade(self.heard), self._n_faded + 1
        elif self.has_audio:
            self.heard, self.has_audio = SILENCE, False

    def transmit(self, at: float, other: Channel | None) -> None:
        """Send 20 ms: keys, else the caller of the bridged channel, else the play, else silence."""
        ours = None if other else self._player.frame(at)
        audio = other.heard if other else ours or SILENCE
        self.echo.said(ours, at, self._player.frame)
        self.line.send(at, audio, self._next_press())
        if self._tap:
            ours = audio if self.wanted.sends else SILENCE
            self._tap.add(frames_since(self.wanted.born_s, at), self.heard, ours)
        play_id = self._player.ended(at)
        if play_id is not None:
            self._tell(wire.PlayEnded(self.wanted.channel_id, play_id, at))

    def listen(self, sound: Sound, at: float) -> list[AudioFrame]:
        """Tell of speech and beeps in what was received; return what the engine is to hear."""
        if self._beep.step(sound.pitch_hz, sound.level_dbov):
            self._tell(wire.BeepHeard(self.wanted.channel_id, at))
        voiced = self._voice.is_voiced(sound.samples, sound.level_dbov)
        over_prompt = self._player.has_more_to_say(at)
        echo = self.echo
        if not echo.is_on and not echo.held:
            return self._hear(sound.payload, voiced, at, over_prompt)
        utterances = self._utterances
        if echo.is_on:
            is_speaking = utterances.is_speaking and not utterances.is_pausing
            is_heard = not self._n_faded or is_speaking
            voiced = voiced and echo.stands_out(sound, is_speaking) and is_heard
            echo.heard(SILENCE if self._n_faded else self.heard)
        if not echo.held and not utterances.would_begin(voiced):
            return self._hear(sound.payload, voiced, at, over_prompt)
        echo.held.append(Held(sound.payload, voiced, at, over_prompt))
        is_nothing = utterances.is_speaking and echo.is_noise
        return [] if echo.is_on and not is_nothing else self.settle(is_ours=False)

    def settle(self, *, is_ours: bool) -> list[AudioFrame]:
        """Hear what was held up, as our own voice or as somebody's; return what the engine is to hear."""
        frames = []
        for payload, voiced, at, over_prompt in self.echo.release():
            frames += self._hear(payload, voiced and not is_ours, at, over_prompt)
        return frames

    def _hear(self, payload: bytes, voiced: bool, at: float, over_prompt: bool) -> list[AudioFrame]:
        channel_id, utterances = self.wanted.channel_id, self._utterances
        change, frames = utterances.step(payload, voiced, at, over_prompt=over_prompt)
        if change is Speech.STARTED:
            self._tell(wire.SpeechStarted(channel_id, utterances.number, utterances.started_at))
        elif change is Speech.ENDED:
            self._tell(wire.SpeechEnded(channel_id, utterances.number, utterances.voiced_at))
        return frames

    @property
    def is_decisive(self) -> bool:
        """Whether an engine may decide with the last frame that it was given."""
        return self._utterances.is_decisive

    # ---- the end ----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Hand the unfinished second of the recording to the writer."""
        if self._tap:
            self._tap.flush()

    def abandon(self) -> None:
        """Publish the recording; nobody waits for the rest."""
        self.flush()
        if self.wanted.recording:
            self._writer.finish(self.wanted.recording)

    async def close(self) -> wire.ChannelClosed:
        """Publish the recording and say what the channel carried."""
        self.flush()
        published = await self._writer.publish(self.wanted.recording) if self.wanted.recording else ""
        got = self.line.reception
        return wire.ChannelClosed(
            self.line.sent, got.received, got.lost, self.line.late, round(got.jitter_ms, 3), published
        )

    def _tell_again(self) -> None:
        """An owner's next life hears of the far end, of the play that has ended, and of the last utterance so far."""
        channel_id, utterances = self.wanted.channel_id, self._utterances
        self.line.tell_again()
        self._player.again()
        if utterances.number:
            self._tell(wire.SpeechStarted(channel_id, utterances.number, utterances.started_at))
            if not utterances.is_speaking:
                self._tell(wire.SpeechEnded(channel_id, utterances.number, utterances.voiced_at))

    def _record(self, base: str) -> None:
        if base == (self._tap.base if self._tap else ""):
            return
        if self._tap:
            self._tap.flush()
            self._writer.finish(self._tap.base)
        self._tap = Tap(base, self.wanted.port, self._writer.write) if base else None

    def _next_press(self) -> Press | None:
        while self._keys:
            try:
                return next(self._keys[0])
            except StopIteration:
                self._keys.popleft()
        return None


__all__ = ["Channel"]
