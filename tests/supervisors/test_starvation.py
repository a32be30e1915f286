"""How long a thread has waited for a processor: real threads, on a core that others want too."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from supervisors.starvation import ProcessStarvation, Starvation

CORE = min(os.sched_getaffinity(0))
SPIN = f"import os; os.sched_setaffinity(0, [{CORE}]); print(flush=True)\nwhile True: pass"
BESIDE = f"""
import os, threading, time
def spin():
    os.sched_setaffinity(0, [{CORE}])
    print(flush=True)
    while True: pass
threading.Thread(target=spin, daemon=True).start()
time.sleep(3600)
"""
SLEEP = "import time; print(flush=True); time.sleep(3600)"


def spinning(code: str) -> subprocess.Popen[str]:
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    program.stdout.readline()
    return program


def ended(program: subprocess.Popen[str]) -> None:
    program.kill()
    program.communicate()


def waits(starvation: Starvation, until: Callable[[float], bool]) -> float:
    """Add up what is told, until it is enough; within 20 s."""
    waited_s, latest_s = 0.0, time.monotonic() + 20
    while not until(waited_s) and time.monotonic() < latest_s:
        time.sleep(0.02)
        waited_s += starvation.since()
    return waited_s


def test_who_shares_a_core_waits_for_a_part_of_the_time() -> None:
    programs = [spinning(SPIN) for _ in range(3)]
    try:
        starvations, began_s = [Starvation(program.pid) for program in programs], time.monotonic()
        waited_s = [waits(one, lambda so_far: so_far > 0.2) for one in starvations]
        passed_s = time.monotonic() - began_s
    finally:
        for program in programs:
            ended(program)
    assert min(waited_s) > 0.2
    assert max(waited_s) <= passed_s + 0.1


def test_who_never_gets_the_core_waits_all_the_time() -> None:
    """The kernel counts a wait when it is over: this one is not."""
    first, second = spinning(SPIN), spinning(SPIN)
    try:
        os.sched_setscheduler(second.pid, os.SCHED_IDLE, os.sched_param(0))
        starvation, began_s = Starvation(second.pid), time.monotonic()
        waited_s = waits(starvation, lambda so_far: so_far > 0.5)
        passed_s = time.monotonic() - began_s
    finally:
        ended(first)
        ended(second)
    assert 0.5 < waited_s <= passed_s + 0.1


def test_a_process_waits_while_any_of_its_threads_does_and_never_for_longer_than_passes() -> None:
    first, second = spinning(SPIN), spinning(BESIDE)
    try:
        main, whole, began_s = Starvation(second.pid), ProcessStarvation(second.pid), time.monotonic()
        waited_s = 0.0
        while waited_s < 0.2 and time.monotonic() < began_s + 20:
            time.sleep(0.02)
            waited_s += whole.since()
        passed_s = time.monotonic() - began_s
        assert main.since() < 0.1, "its main thread sleeps"
        os.kill(second.pid, 19)
        os.waitid(os.P_PID, second.pid, os.WSTOPPED | os.WNOWAIT)
        whole.since()
        time.sleep(0.3)
        assert whole.since() < 0.1
    finally:
        ended(first)
        ended(second)
    assert 0.2 <= waited_s <= passed_s
    time.sleep(0.02)
    assert whole.since() == 0.0, "it has ended"
    whole.close()


@pytest.mark.parametrize("is_stopped", [True, False])
def test_who_sleeps_or_is_stopped_waits_for_no_processor(is_stopped: bool) -> None:
    program = spinning(SLEEP)
    try:
        if is_stopped:
            os.kill(program.pid, 19)
            os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        starvation = Starvation(program.pid)
        time.sleep(0.3)
        assert starvation.since() < 0.1
    finally:
        ended(program)


def test_a_thread_that_has_ended_waits_for_nothing() -> None:
    ids: list[int] = []
    thread = threading.Thread(target=lambda: ids.append(threading.get_native_id()))
    thread.start()
    thread.join()
    starvation = Starvation(ids[0])
    assert starvation.since() + starvation.since() < 0.1
    starvation.close()
    program = spinning(SLEEP)
    starvation = Starvation(program.pid)
    ended(program)
    assert starvation.since() == 0.0
    starvation.close()
    assert starvation.since() == 0.0
