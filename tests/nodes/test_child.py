"""What a process says last: the reason of its end, wherever in it something broke."""

import asyncio
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from nodes import config as configuration
from nodes.histories import History
from nodes.launcher import PROCESS
from supervisors import Restart, StartFailed, Supervisor, running
from supervisors.process import OsProcess, ProcessExit, ProcessReport, Program
from tests.conftest import NatsServer

BROKEN = """
import asyncio
from nodes.{role} import {module} as module

async def broken(self, *_):
    await asyncio.sleep(0.05)
    raise RuntimeError("the reason")

module.{what} = broken
from nodes.child import main
main()
"""


CURIOUS = """
import asyncio, sys
from nodes.central import process

async def run(*_):
    ask = "import os; print(sorted(name for name in os.environ if 'top secret' in os.environ[name]))"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", ask, stdout=asyncio.subprocess.PIPE)
    told, _ = await child.communicate()
    raise RuntimeError(told.decode().strip())

process.run = run
from nodes.child import main
main()
"""


@pytest.mark.parametrize(
    ("role", "module", "what"),
    [
        ("central", "process", "Central.run"),
        ("edge", "views", "Views.run"),
    ],
)
async def test_a_bug_in_a_background_task_is_the_last_line_and_in_the_launchers_history(
    role: str, module: str, what: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    exit, history = await end_of(role, BROKEN.format(role=role, module=module, what=what), nats_server.url, tmp_path)
    assert exit.code == 1
    last = json.loads(exit.stderr[-1])
    assert (last["event"], last["error"], last["process"]) == ("process.failed", "RuntimeError: the reason", role)
    assert last["traceback"][-1] == "RuntimeError: the reason"
    assert "in broken" in last["traceback"][-2]
    failure = history.row()["failure"]
    assert isinstance(failure, dict)
    assert failure["error"] == "RuntimeError: the reason"
    assert failure["lines"] == last["traceback"][-5:]


async def test_what_an_operator_can_mend_is_told_in_words(tmp_path: Path) -> None:
    code = "from nodes.child import main\nmain()"
    exit, _ = await end_of("central", code, "nats://127.0.0.1:1", tmp_path, settings="[central]\nbase = 'x'\n")
    last = json.loads(exit.stderr[-1])
    assert exit.code == 2
    assert last["event"] == "process.failed"
    assert "central.base" in last["error"]
    assert "traceback" not in last


async def test_what_a_process_starts_to_read_strangers_bytes_does_not_have_the_trunks_passwords(tmp_path: Path) -> None:
    settings = "[sip]\ntrunks = [{ name = 't', host = 'carrier.example', user = 'u', password = 'top secret' }]\n"
    exit, _ = await end_of("central", CURIOUS, "nats://127.0.0.1:1", tmp_path, settings)
    assert json.loads(exit.stderr[-1])["error"] == "RuntimeError: []"


async def end_of(role: str, code: str, url: str, directory: Path, settings: str = "") -> tuple[ProcessExit, History]:
    """Run a process of this role that `code` begins, until it ends."""
    file = directory / "ringmaster.toml"
    file.write_text(f"[nats]\nurl = '{url}'\n[paths]\nstate = '{directory}/state'\n")
    configuration.load(file).paths.run.mkdir(parents=True)
    file.write_text(file.read_text() + settings)
    history, reports = History(role, "OsProcess"), asyncio.Queue[ProcessReport]()

    def changed(report: ProcessReport) -> None:
        history.take(report, 0.0)
        reports.put_nowait(report)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip:
        sip.bind(("127.0.0.1", 0))
        env = {**configuration.pinned({configuration.ENVIRONMENT: str(file)}), configuration.ENVIRONMENT: str(file)}
        env |= {PROCESS: f"{role} {role}", "PYTHONPATH": os.getcwd()}
        program = Program((sys.executable, "-c", code), env=env, sockets={"sip": sip})
        child = OsProcess.child(role, program, on_change=changed, restart=Restart.TEMPORARY)
        with suppress(StartFailed):
            async with running(Supervisor([child])):
                return await ended(reports), history
        return await ended(reports), history


async def ended(reports: asyncio.Queue[ProcessReport]) -> ProcessExit:
    """Wait for the end of the process."""
    async with asyncio.timeout(60):
        while (exit := (await reports.get()).exit) is None:
            pass
        return exit
