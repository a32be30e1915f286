"""Ports that are nobody else's until they are bound: chosen by processes that know nothing of each other."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path

import pytest

from nodes import ports
from nodes.ports import HUNDRED, NoPorts, Ports, not_given

AMONG = range(61_000, 65_000)
"""Only tests choose from these; those of another run on this machine do, too."""
PATIENCE_S = 100.0

TAKES = """
import sys
from nodes.ports import NoPorts, Ports
ours = Ports(range(*map(int, sys.argv[1:3])))
for line in sys.stdin:
    n = int(line)
    try:
        print(ours.take(n), flush=True)
    except NoPorts:
        print(0, flush=True)
"""
FORKS = """
import os, sys
from nodes import ports
first = ports.take()
if os.fork() == 0:
    print(first, ports.take(), flush=True)
    sys.stdin.read()
"""


class Another:
    """A process that takes ports when it is told to."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.running = running

    def begin(self, n: int) -> None:
        assert self.running.stdin
        self.running.stdin.write(f"{n}\n")
        self.running.stdin.flush()

    def took(self) -> int:
        """Return the first; 0: there were none."""
        assert self.running.stdout
        return int(self.running.stdout.readline())

    def take(self, n: int) -> int:
        self.begin(n)
        return self.took()


@contextmanager
def another(among: range = AMONG) -> Iterator[Another]:
    argv = [sys.executable, "-c", TAKES, str(among.start), str(among.stop)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield Another(running)
        finally:
            running.kill()


def until(what: Callable[[], object]) -> None:
    """Return once it is so; another run of these tests may be in the way for a moment."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


def hundred_of(port: int) -> range:
    return range(port // HUNDRED * HUNDRED, port // HUNDRED * HUNDRED + HUNDRED)


def is_held(hundred: range) -> bool:
    return f"@ringmaster-ports-{hundred.start}\n" in Path("/proc/net/unix").read_text()


def test_processes_that_choose_at_the_same_time_never_choose_the_same_ports() -> None:
    found: list[set[int]] = []
    with ExitStack() as stack:
        several = [stack.enter_context(another()) for _ in range(3)]
        for n in [1, 20, 7, 60, 2, 130, 33] * 2:
            for each in several:
                each.begin(n)
            firsts = [each.took() for each in several]
            found += [{*range(first, first + n)} for first in firsts if first]
    assert len(found) > 20
    assert all(not one & other for one, other in combinations(found, 2))
    assert all(port in AMONG for one in found for port in one)


def test_what_a_process_holds_is_refused_to_others_until_it_is_killed() -> None:
    with another() as one:
        among = hundred_of(one.take(1))
        with pytest.raises(NoPorts, match=f"no 1 free ports in one piece between {among.start} and {among.stop - 1}"):
            Ports(among).take()
        one.running.kill()
        one.running.wait()
    with another(among) as other:
        until(lambda: other.take(1))


def test_what_is_held_for_a_block_is_given_back_after_it() -> None:
    with Ports(AMONG).held(2 * HUNDRED) as first:
        assert is_held(hundred_of(first))
        assert is_held(hundred_of(first + HUNDRED))
        with another(range(first, first + 2 * HUNDRED)) as other:
            assert other.take(1) == 0
    until(lambda: not is_held(hundred_of(first)) and not is_held(hundred_of(first + HUNDRED)))


def test_a_fork_has_ports_of_its_own_and_does_not_keep_those_of_its_parent() -> None:
    argv = [sys.executable, "-c", FORKS]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        theirs, its_own = (hundred_of(int(word)) for word in parent.stdout.readline().split())
        parent.wait()
        assert theirs != its_own
        assert is_held(its_own), "the fork lives"
        until(lambda: not is_held(theirs))


def test_a_program_that_is_run_keeps_nothing_of_who_runs_it() -> None:
    ours = Ports(AMONG)
    hundred = hundred_of(ours.take())
    with subprocess.Popen(["sleep", "60"], close_fds=False) as running:
        try:
            assert is_held(hundred)
            ours.forget()
            until(lambda: not is_held(hundred))
        finally:
            running.kill()


def test_ports_that_somebody_has_bound_are_passed_over_whatever_the_address_and_the_kind() -> None:
    ours = Ports(AMONG)
    first = ours.take()
    with ExitStack() as stack:
        for port, kind in ((first + 2, socket.SOCK_DGRAM), (first + 4, socket.SOCK_STREAM)):
            one = stack.enter_context(socket.socket(socket.AF_INET, kind))
            one.bind(("127.0.0.2", port))
        assert [ours.take(2), ours.take(2)] == [first + 6, first + 8]
    ours.forget()


def test_a_first_port_is_even_and_no_port_is_given_twice() -> None:
    ours, taken = Ports(AMONG), set[int]()
    for n in (1, 2, 3, 20, 1, 150, 5):
        first = ours.take(n)
        assert first % 2 == 0
        assert not taken & {*range(first, first + n)}
        taken |= {*range(first, first + n)}
    ours.forget()


def test_they_come_from_where_the_kernel_gives_none_to_who_asks_for_any() -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    with ports.held(1) as first:
        assert first in not_given(low, high)


def test_of_many_ports_the_kernel_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    class Told:
        def __init__(self, text: str) -> None:
            self.text = text

        def read_text(self, encoding: str) -> str:
            reads.append(self.text)
            return self.text

    monkeypatch.setattr(ports, "_GIVEN", Told("32768\t60999\n"))
    monkeypatch.setattr(ports, "_RESERVED", Told("40000-40199\n"))
    assert not ports.is_given(range(20_000, 20_200))
    assert not ports.is_given(range(40_000, 40_200))
    assert ports.is_given(range(40_000, 40_202))
    assert len(reads) == 6
