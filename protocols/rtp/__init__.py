"""Real-time audio on the wire (RFC 3550, 3551, 4733, 5761), on payload bytes, without a socket or a clock.

- `packet`: the twelve bytes and what follows them;
- `numbers`: what number the packet of this instant has, and unwrapping numbers that came round;
- `latch`: which source is the far end's, so that a stranger is neither heard nor answered;
- `jitter`: packets in as they come, 20 ms frames or gaps out as the clock asks;
- `reception`: what was lost and how unsteady the rest was;
- `dtmf`: telephone events, both ways;
- `rtcp`: sender and receiver reports.
"""

from protocols.rtp.jitter import Frame, Gap, JitterBuffer
from protocols.rtp.latch import Latch
from protocols.rtp.numbers import FRAME_S, Numbers
from protocols.rtp.packet import Packet, is_rtcp
from protocols.rtp.reception import Reception

__all__ = ["FRAME_S", "Frame", "Gap", "JitterBuffer", "Latch", "Numbers", "Packet", "Reception", "is_rtcp"]
