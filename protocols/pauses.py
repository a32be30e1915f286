"""How long pauses are: those of who answers, where a question does not say otherwise, and the voice detector's tail."""

from __future__ import annotations

from typing import Final

COMPLETE_S: Final = 0.9
"""After an answer that may well go on ("two hundred | and fifty"): as long as people pause inside of one;
`ringmaster bench hearing` has the curve. VoiceXML's `completetimeout`."""
INCOMPLETE_S: Final = 1.5
"""After the beginning of one: whoever thinks about the third digit is not answered before the fourth. VoiceXML's
`incompletetimeout`."""
TAIL_S: Final = 0.8
"""So long nobody has spoken when media tells that speech has ended; until then they may have stopped or not."""

__all__ = ["COMPLETE_S", "INCOMPLETE_S", "TAIL_S"]
