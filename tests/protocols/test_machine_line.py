"""The test line itself, and the promises that every machine of the room makes."""

import ast
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protocols import Address, Effect, Expired, LocalProtocolError, Notify, ProtocolError, RemoteProtocolError, Transmit
from protocols.testing import LossyLine, calm, stormy

HERE, THERE = ("10.0.0.1", 1), ("10.0.0.2", 2)
IMPURE = {"asyncio", "os", "random", "secrets", "selectors", "socket", "subprocess", "threading", "time"}
MODULES = sorted((Path(__file__).parents[2] / "protocols").rglob("*.py"))


@dataclass
class Echo:
    """Sends back what it gets, `late_s` after it got it."""

    late_s: float = 0.0
    _due: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def deadline(self) -> float | None:
        return self._due[0][0] if self._due else None

    def step(self, given: bytes | Expired, now: float) -> list[Effect[bytes]]:
        match given:
            case bytes():
                self._due.append((now + self.late_s, given))
                return [Notify(given)]
            case Expired():
                return [Transmit(self._due.pop(0)[1])]


def received(data: bytes, source: Address) -> bytes:
    return data


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_module_of_protocols_can_reach_a_socket_a_clock_or_dice(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {one.name.partition(".")[0] for one in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert not imported & IMPURE


def test_errors_carry_what_was_wrong_and_the_code_to_answer_with() -> None:
    error = RemoteProtocolError("unknown_version", "SIP/7.0", 505)
    assert (error.what, error.detail, error.code, str(error)) == (
        "unknown_version",
        "SIP/7.0",
        505,
        "unknown_version: SIP/7.0",
    )
    assert isinstance(error, ProtocolError)
    assert not isinstance(error, LocalProtocolError)


def test_on_a_calm_line_everything_arrives_once_after_the_delay() -> None:
    line = LossyLine(calm(0.1))
    one, other = line.join(Echo(), HERE, received), line.join(Echo(late_s=1), THERE, received)
    line.give(one, b"hello")
    line.run(0.2)
    assert (one.told, other.told) == ([b"hello"], [b"hello"])
    line.run(1.05)
    assert one.told == [b"hello", b"hello"], "the echo is late by 1 s, and has flown twice"
    assert line.now == pytest.approx(1.25)


def test_the_same_storm_twice_gives_the_same_story() -> None:
    def story() -> tuple[list[bytes], list[bytes]]:
        line = LossyLine(stormy(random.Random(5).randbytes))
        one, other = line.join(Echo(0.5), HERE, received), line.join(Echo(0.5), THERE, received)
        for number in range(20):
            line.give(one, bytes([number]))
        line.run(5)
        return one.told, other.told

    first = story()
    assert first == story()
    assert first[1] != sorted(first[1]), "a storm reorders"


def test_what_is_sent_to_an_address_without_a_machine_is_gone() -> None:
    class Lost(Echo):
        def step(self, given: bytes | Expired, now: float) -> list[Effect[bytes]]:
            return [Transmit(b"x", ("10.9.9.9", 9))] if isinstance(given, bytes) else []

    line = LossyLine()
    one = line.join(Lost(), HERE, received)
    line.give(one, b"x")
    line.run(1)
    assert (one.sent, one.told) == ([b"x"], [])


def test_a_machine_that_goes_round_in_circles_is_found_out() -> None:
    class Restless:
        deadline = 0.0

        def step(self, given: Expired, now: float) -> list[Effect[None]]:
            return []

    line = LossyLine()
    line.join(Restless(), HERE, received)
    with pytest.raises(AssertionError, match="circles"):
        line.run(1)
