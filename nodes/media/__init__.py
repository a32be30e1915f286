"""The media process: the sound of calls. It knows nothing of a call but what `SetChannel` says.

    socket -> line -> jitter buffer -> channel -> line -> socket
                                        |- player (prompts)      what the callee hears
                                        |- utterance             what the engine hears
                                        '- tap -> recording      what is kept

- `process`: serves the messages of `protocols.wire.messages`, thin;
- `plane`: all channels of the process, one slot of them at a time; `pacer` says when;
- `channel`: one channel, tick by tick; `line` is its socket and its far end, or `link` a seat at a desk;
- `player`, `prompts`: what is said; `hearing`, `utterance`: what is heard; `echo`: that it is not our own voice;
- `recording`: two-channel files, written by a thread;
- `bench`, `reflector`: how many calls a core can hold.
"""

from __future__ import annotations

__all__: list[str] = []
