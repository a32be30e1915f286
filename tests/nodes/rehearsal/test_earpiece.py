"""A callee's keys, as a telephone sends them."""

import asyncio
import socket

from nodes.rehearsal.earpiece import FRAME_S, Earpiece
from protocols.rtp.dtmf import KeyReceiver, TelephoneEvent
from protocols.rtp.packet import Packet

KEYS = 101


async def test_a_key_is_heard_once_by_who_listens_to_telephone_events_and_the_stream_goes_on() -> None:
    keys, numbers, told = KeyReceiver(), list[int](), ""
    earpiece = Earpiece("127.0.0.1")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
            far.bind(("127.0.0.1", 0))
            far.setblocking(False)
            earpiece.start(far.getsockname(), KEYS)
            earpiece.press("9")
            assert earpiece.is_speaking
            async with asyncio.timeout(30):
                while earpiece.is_speaking or len(numbers) < 20:
                    packet = Packet.parse(await asyncio.get_running_loop().sock_recv(far, 2048))
                    numbers.append(packet.sequence)
                    if packet.payload_type == KEYS:
                        event = TelephoneEvent.parse(packet.payload)
                        told += keys.hear(event, packet.timestamp, len(numbers) * FRAME_S)
    finally:
        earpiece.close()
    assert told == "9"
    assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]


async def test_without_an_agreement_on_keys_none_is_sent() -> None:
    earpiece = Earpiece("127.0.0.1")
    try:
        earpiece.start(("127.0.0.1", 9))
        earpiece.press("9")
        assert not earpiece.is_speaking
    finally:
        earpiece.close()
