"""The launcher's word, as its children and the command line read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.histories import History
from nodes.links.roster import NOBODY, Roster, State
from protocols.errors import RemoteProtocolError
from protocols.wire.inspection import Failure
from supervisors.process import ProcessExit, ProcessReport, Standing


def process(name: str, state: str = "active", role: str = "media") -> dict[str, Any]:
    return {"role": role, "name": name, "identity": f"n1.{name}:1", "endpoint": "ipc:///x", "pid": 7, "state": state}


SAID = {"revision": 3, "processes": [process("media-0"), process("media-1"), process("media-2", "spare")]}


def test_active_and_spare_processes_are_found_by_role_in_the_launchers_order():
    roster = Roster.of(SAID)
    assert [peer.name for peer in roster.active("media")] == ["media-0", "media-1"]
    assert [peer.name for peer in roster.spare("media")] == ["media-2"]
    assert roster.active("edge") == []


def test_a_process_that_is_not_in_it_has_ended():
    roster = Roster.of(SAID)
    assert roster.by_identity("n1.media-2:1").state is State.SPARE
    assert roster.by_identity("n1.media-2:0") is None
    assert NOBODY.by_identity("n1.media-2:1") is None


def test_the_command_line_reads_the_same_from_the_file(tmp_path: Path):
    path = tmp_path / "roster.json"
    path.write_text(json.dumps(SAID))
    assert Roster.read(path) == Roster.of(SAID)


def test_a_file_that_is_being_looked_for_too_early_is_an_os_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Roster.read(tmp_path / "roster.json")


def test_a_wrong_field_is_named():
    with pytest.raises(RemoteProtocolError, match=r"processes\[0\]\.pid"):
        Roster.of({"revision": 1, "processes": [{**process("a"), "pid": "x"}]})


def test_what_became_of_the_others_is_the_launchers_word_and_may_be_absent():
    history = History("media-0", "Pair")
    history.take(ProcessReport("media-0", 7, Standing.ACTIVE, {}), 5.0)
    history.take(ProcessReport("media-0", 7, Standing.GONE, {}, ProcessExit(None, 9, "", ("bye",))), 6.0)
    launcher = {"pid": 1, "since_s": 2.0, "period_s": 60.0, "histories": [history.row()]}
    told = Roster.of(json.loads(json.dumps({**SAID, "launcher": launcher}))).launcher
    assert told is not None
    assert (told.pid, told.since_s, told.period_s) == (1, 2.0, 60.0)
    (one,) = told.histories
    assert (one.name, one.state, one.since_s, one.n_ended, one.ended_s) == ("media-0", "restarting", None, 1, (6.0,))
    assert one.failure == Failure("ended with signal 9", "", ("bye",))
    assert Roster.of(SAID).launcher is None


def test_whether_all_processes_of_a_role_are_there_is_the_launchers_word():
    histories = [History(f"media-{n}", "Pair").row() for n in range(3)] + [History("edge-0", "Pair").row()]
    said = {**SAID, "launcher": {"pid": 1, "since_s": 2.0, "period_s": 60.0, "histories": histories}}
    roster = Roster.of(json.loads(json.dumps(said)))
    assert [roster.n_wanted(role) for role in ("media", "edge", "desk")] == [3, 1, 0]
    assert not roster.has_all("media")
    assert not roster.has_all("edge")
    processes = [process(f"media-{n}") for n in range(3)]
    assert Roster.of(json.loads(json.dumps({**said, "processes": processes}))).has_all("media")
    assert Roster.of(SAID).has_all("media"), "it is not a launcher's word"
    assert not NOBODY.has_all("edge")


@given(st.binary(max_size=100))
def test_no_file_raises_anything_but_a_remote_error(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.mktemp("roster") / "roster.json"
    path.write_bytes(data)
    with pytest.raises(RemoteProtocolError):
        Roster.read(path)
