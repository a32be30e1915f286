"""Signal code on arrays: no socket, no clock, no state beyond what a filter remembers.

- `g711`: mu-law and A-law, as tables;
- `resample`: 8 kHz to 16 kHz and back, a millisecond late;
- `mix`: several voices in one;
- `tones`: finds a steady tone, makes tones and keys;
- `vad`: speech or not, and where an utterance begins and ends.
"""

from __future__ import annotations

__all__: list[str] = []
