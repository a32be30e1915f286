"""However a command ends, and whenever: no process, socket or temporary file of it is left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable

import pytest

from tests.nodes.commands.conftest import PATIENCE_S, Place, until

REHEARSAL = ("campaign", "rehearse", "c.toml", "--contacts", "l.csv", "--script", "hello", "--state", "state")
STAGED = {
    "demo": ("demo", "--state", "state"),
    "rehearse": REHEARSAL,
    "bench": ("bench", "turn", "--state", "state"),
}


def write_campaign(place: Place, host: str = "callees") -> None:
    """Write the files that `REHEARSAL` names, to call somebody who is busy."""
    (place.path / "c.toml").write_text(
        'id = "spring"\n[plan]\nzone = "Europe/London"\nclock = "2026-03-03T10:00:00+00:00"\n[plan.retries]\n'
    )
    (place.path / "l.csv").write_text(f"number,consent\nsip:busy-1@{host},paper\n")


def at_once(place: Place) -> bool:
    """It has hardly begun."""
    return (place.path / "state").exists()


def while_starting(place: Place) -> bool:
    """The launcher has started the first of its processes, which are not ready."""
    return len(place.alive()) >= 4


ENDINGS = [
    ("demo", at_once, signal.SIGINT),
    ("demo", while_starting, signal.SIGTERM),
    ("rehearse", while_starting, signal.SIGHUP),
    ("bench", while_starting, signal.SIGINT),
]


@pytest.mark.parametrize(("command", "moment", "number"), ENDINGS)
def test_a_command_with_a_node_of_its_own_takes_it_along(
    place: Place, command: str, moment: Callable[[Place], bool], number: signal.Signals
) -> None:
    write_campaign(place)
    running = place.start(*STAGED[command])
    place.until(lambda: moment(place), running)
    running.send_signal(number)
    assert running.wait(PATIENCE_S) == 128 + number
    place.nothing_is_left()
    assert (place.out if command != "demo" else "", place.err) == ("", "")


def test_a_rehearsal_that_comes_to_its_end_leaves_nothing_and_one_line_of_json(place: Place) -> None:
    """And the address on the list, where somebody listens, is not dialled: who is busy is a callee of ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listed:
        listed.bind(("127.0.0.1", 0))
        listed.setblocking(False)
        write_campaign(place, f"127.0.0.1:{listed.getsockname()[1]}")
        done = place.run(*REHEARSAL, "--json")
        with pytest.raises(BlockingIOError):
            listed.recv(4096)
    (result,) = done.rows
    assert done.status == 0, done
    assert result["status"]["dispositions"] == {"busy": 1}  # type: ignore[index]
    assert "busy (busy)" in done.err
    place.nothing_is_left()


def test_a_rehearsal_whose_node_is_killed_says_so_and_leaves_nothing(place: Place) -> None:
    write_campaign(place)
    running = place.start(*REHEARSAL)
    place.until(lambda: while_starting(place), running)
    os.kill(launcher(place), signal.SIGKILL)
    assert running.wait(PATIENCE_S) == 2
    assert re.fullmatch(r"ringmaster campaign: the node: ended with signal 9.* \(log: .*node.log\)\n", place.err)
    place.nothing_is_left()


def test_a_rehearsal_shares_its_directory_with_nobody_and_leaves_nothing_when_killed(place: Place) -> None:
    write_campaign(place)
    running = place.start(*REHEARSAL)
    place.until(lambda: while_starting(place), running)
    assert f"another rehearsal (process {launcher(place)}) is using it" in place.run(*REHEARSAL).refused()
    running.kill()
    running.wait()
    place.nothing_is_left()


def test_a_node_whose_launcher_is_killed_is_gone_and_can_be_started_again(place: Place) -> None:
    words = ("up", "--config", str(place.configure("[sip]\nport = 0\n[nats]\nport = 0\n")))
    running = place.start(*words)
    place.until(lambda: len(place.alive()) >= 7, running)
    running.kill()
    running.wait()
    until(lambda: not place.alive())
    until(lambda: not place.sockets())
    again = place.start(*words)
    place.until(lambda: len(place.alive()) >= 7, again)
    for _ in range(2):  # whoever presses Ctrl-C twice does not want half of it
        again.send_signal(signal.SIGINT)
    assert again.wait(PATIENCE_S) == 0
    place.nothing_is_left()
    assert "Traceback" not in place.err


def launcher(place: Place) -> int:
    """Return the process id of a place's launcher."""
    return next(pid for pid, command in place.alive().items() if "nodes.launcher" in command)
