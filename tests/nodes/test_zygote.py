"""What a node's processes are forked from: it has loaded nothing that one of them must not have."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from nodes import config as configuration
from nodes.child import STAND_INS
from nodes.launcher import PROCESS
from supervisors import Restart, StartFailed, Supervisor, running
from supervisors.process import OsProcess, ProcessReport, Program
from supervisors.zygote import Zygote
from tests.nodes.test_child import ended

LOADED = """
import json, os, sys
from nodes import zygote
before = os.listdir("/proc/self/fd")
zygote.load()
print(json.dumps([len(os.listdir("/proc/self/task")), os.listdir("/proc/self/fd") == before, sorted(sys.modules)]))
"""
APART = {"pynini", "pywrapfst", "kaldi_active_grammar", "mimic3_tts", "gruut", "onnxruntime", "duckdb", "opentelemetry"}
PROBE = """
import os, threading
from pathlib import Path

async def run(parent, config, identity):
    told = {
        "ids": [os.getppid(), os.getsid(0) - os.getpid()],
        "comm": Path("/proc/self/comm").read_text().strip(),
        "command": Path("/proc/self/cmdline").read_bytes().rstrip(bytes(1)).decode().split(chr(0))[-1],
        "was run": PROCESS in Path("/proc/self/environ").read_bytes(),
        "node": config.node.id,
        "identity": identity.partition(":")[0],
    }
    raise RuntimeError(repr(told).replace("'", ""))
""".replace("PROCESS", repr(PROCESS.encode()))


def test_what_is_loaded_opens_nothing_starts_nothing_and_is_no_engine() -> None:
    """Also on a machine where libraries begin a thread for each core when they are loaded."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    n_threads, opens_nothing, modules = json.loads(done.stdout)
    assert (n_threads, opens_nothing) == (1, True)
    assert APART.intersection(modules) == set()
    assert {"nodes.edge.process", "nodes.media.process"} <= {*modules}


async def test_a_process_that_is_forked_is_who_it_is_told_to_be_and_fails_as_one_that_is_run(tmp_path: Path) -> None:
    file = tmp_path / "ringmaster.toml"
    file.write_text(f"[node]\nid = 'n7'\n[paths]\nstate = '{tmp_path}/state'\n")
    (tmp_path / "probe.py").write_text(PROBE)
    reports = asyncio.Queue[ProcessReport]()
    argv = (sys.executable, "-m", "nodes.zygote")
    path = f"{os.getcwd()}:{tmp_path}"
    with closing(Zygote(Program(argv, env={"PYTHONPATH": path}, ready_s=90.0))) as zygote:
        async with running(Supervisor([zygote.child("zygote")])):
            env = {**configuration.pinned({configuration.ENVIRONMENT: str(file)}), configuration.ENVIRONMENT: str(file)}
            env |= {PROCESS: "media-0 media", STAND_INS: "media=probe", "PYTHONPATH": path}
            program = Program((sys.executable, "-m", "nodes.child"), env=env, zygote=zygote)
            child = OsProcess.child("media-0", program, on_change=reports.put_nowait, restart=Restart.TEMPORARY)
            with pytest.raises(StartFailed):
                async with running(Supervisor([child])):
                    raise AssertionError("started")
            exit = await ended(reports)
    last = json.loads(exit.stderr[-1])
    assert (exit.code, last["event"], last["process"]) == (1, "process.failed", "media-0")
    told = {
        "ids": [os.getpid(), 0],
        "comm": "media-0",
        "command": "nodes.child",
        "was run": False,
        "node": "n7",
        "identity": "n7.media-0",
    }
    assert last["error"] == "RuntimeError: " + repr(told).replace("'", "")  # the log leaves out what is quoted
