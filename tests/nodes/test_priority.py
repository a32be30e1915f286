"""Who goes first: real processes, in sessions of their own and in ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nodes.priority import NICE

GROUP = Path("/proc/self/autogroup")
CLAIM = f"""
import os
from nodes import priority
if not priority.claim("edge"):
    raise SystemExit(77)
with priority.first("successor", then="edge"):
    assert os.getpriority(os.PRIO_PROCESS, 0) == priority.NICE["successor"]
print(os.getpriority(os.PRIO_PROCESS, 0), open("{GROUP}").read().rpartition(" ")[2])
"""
NOT_ALLOWED = 77


def claimed(*, leads_its_session: bool) -> tuple[int, str]:
    """Return the nice values of a process that has claimed its role's, and of its session's group; empty: it has none.

    A session of the machine's first group has none: so it is with one that was begun outside of where we run.
    """
    if not GROUP.exists():
        pytest.skip("this kernel has no groups of sessions")
    done = subprocess.run([sys.executable, "-c", CLAIM], start_new_session=leads_its_session, capture_output=True,
                          text=True)  # fmt: skip
    if done.returncode == NOT_ALLOWED:
        pytest.skip("we may not have a nice value below 0")
    assert not done.returncode, done.stderr
    own, _, group = done.stdout.partition(" ")
    return int(own), group.strip()


def test_a_process_that_leads_its_session_has_the_sessions_group_count_as_much_as_itself() -> None:
    """Else its nice value would count for nothing against other processes, each of which leads its own."""
    assert claimed(leads_its_session=True) == (NICE["edge"], str(NICE["edge"]))


def test_whoever_shares_a_session_with_others_leaves_its_group_as_it_is() -> None:
    before = GROUP.read_text().rpartition(" ")[2].strip() if GROUP.exists() else ""
    assert claimed(leads_its_session=False) == (NICE["edge"], before)
