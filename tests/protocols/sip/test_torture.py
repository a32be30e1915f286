"""The torture messages of RFC 4475: each one, and what an end system has to make of it.

`ok`: taken up. A number: refused with it. `drop`: not answered at all. Where the RFC leaves a choice, ours is here.
"""

from pathlib import Path

import pytest

from protocols.machine import Transmit
from protocols.sip import Request, Responder, Response
from protocols.sip.message import parse
from protocols.sip.scope import objection

VERDICTS = {
    # 3.1.1 valid messages
    "wsinv": "ok", "intmeth": 501, "esc01": "ok", "escnull": 405, "esc02": 501, "lwsdisp": "ok", "longreq": "ok",
    "dblreq": 405, "semiuri": "ok", "transports": "ok", "mpart01": 405, "unreason": "ok", "noreason": "ok",
    # 3.1.2 invalid messages
    "badinv01": 400, "clerr": 400, "ncl": 400, "scalar02": 400, "scalarlg": "drop", "quotbal": 400, "ltgtruri": 400,
    "lwsruri": 400, "lwsstart": 400, "trws": 400, "escruri": 400, "baddate": "ok", "regbadct": 400, "badaspec": 400,
    "baddn": 400, "badvers": 505, "mismatch01": 400, "mismatch02": 400, "bigcode": "drop",
    # 3.2 transaction layer
    "badbranch": "ok",
    # 3.3 application layer
    "insuf": 400, "unkscm": 416, "novelsc": 416, "unksm2": 405, "bext01": 420, "invut": 415, "regaut01": 405,
    "multi01": 400, "mcl01": 400, "bcast": "drop", "zeromf": "ok", "cparam01": 405, "cparam02": 405, "regescrt": 405,
    "sdp01": 406,
    # 3.4 backward compatibility
    "inv2543": "ok",
}  # fmt: skip
"""REGISTER and MESSAGE are well-formed and refused by method, as we are no registrar. Nobody reads a Date."""

SOURCE = ("192.0.2.77", 5060)


def verdict(data: bytes) -> str | int:
    front = Responder()
    admitted = front.admit(data, SOURCE)
    match admitted:
        case None:
            return "drop"
        case Transmit():
            return code_of(admitted)
        case Response():
            return "ok"
        case Request():
            refused = objection(admitted)
            answer = front.answer(admitted, SOURCE)
            if refused and answer:
                assert code_of(answer) == refused.code
            return refused.code if refused else "ok"


def code_of(answer: Transmit) -> int:
    return int(answer.data.split()[1])


@pytest.mark.parametrize("name", VERDICTS)
def test_a_torture_message_gets_its_verdict(corpus: Path, name: str) -> None:
    assert verdict((corpus / f"{name}.dat").read_bytes()) == VERDICTS[name]


def test_all_49_are_here(corpus: Path) -> None:
    assert {path.stem for path in corpus.glob("*.dat")} == set(VERDICTS)
    assert len(VERDICTS) == 49


def test_the_first_of_two_requests_in_one_datagram_is_the_message(corpus: Path) -> None:
    """RFC 4475 s.3.1.1.8, RFC 3261 s.18.3."""
    message = parse((corpus / "dblreq.dat").read_bytes())
    assert isinstance(message, Request)
    assert (message.method, message.body) == ("REGISTER", b"")


def test_the_folded_and_spaced_message_is_read_whole(corpus: Path) -> None:
    """RFC 4475 s.3.1.1.1."""
    message = parse((corpus / "wsinv.dat").read_bytes())
    assert message.via.host == "192.0.2.2"
    assert (message.via.branch, message.cseq.number) == ("390skdjuw", 9)
    assert message.to.uri.text == "sip:vivekg@chair-dnrc.example.com"
