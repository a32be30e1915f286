"""`ringmaster doctor`: each thing that can be wrong, made wrong, is found and comes with what mends it."""

from __future__ import annotations

import os
import resource
import socket
from itertools import count
from pathlib import Path

import pytest

from nodes.commands import doctor, small_writes
from nodes.config import parse
from nodes.links import cluster_keys
from protocols.wire.ids import NodeId
from tests.nodes.commands.conftest import COMMAND, Place

THE_MACHINE_S = {"real-time scheduling", "control groups", "small writes"}
"""What a machine on which tests run may lack."""


def examine(place: Place, tables: str, *wrap: str, **more: str) -> tuple[int, dict[str, tuple[str, str, bool]]]:
    """Return the status and the findings: what -> what was found, what mends it, whether it is fatal."""
    file = place.configure(tables)
    done = place.run("doctor", "--json", "--config", str(file), more=more)
    rows = {str(row["what"]): (str(row["found"]), str(row["mend"]), bool(row["fatal"])) for row in done.rows}
    return done.status, rows


def test_a_machine_that_is_well_has_nothing_to_mend(place: Place) -> None:
    status, found = examine(place, "[sip]\nport = 0\n[nats]\nport = 0")
    assert status == 0
    assert {what: mend for what, (_, mend, _) in found.items() if mend and what not in THE_MACHINE_S} == {}
    assert [*found] == [
        "python", "recogniser", "voice", "rules", "database", "messages", "flite", "espeak-ng",
        "models.recogniser", "models.voice", "lexicon", "nats-server", "sip.port", "rtp.ports", "desk.port",
        "nats.port", "open files",
        "real-time scheduling", "control groups", "memory", "paths.state", "small writes",
    ]  # fmt: skip


def test_everything_that_is_wrong_is_found_at_once_and_can_be_mended(place: Place) -> None:
    (place.path / "state").write_text("a file")
    (place.path / "old").write_text("#!/bin/sh\necho v2.8.4\n")
    (place.path / "old").chmod(0o755)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        nats, sip = tcp.getsockname()[1], udp.getsockname()[1]
        tables = f'[sip]\nport = {sip}\n[nats]\nport = {nats}\nserver = "old"\n[models]\nrecogniser = "r"\nvoice = "v"'
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
            status, found = examine(place, tables, PATH="/nonexistent")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert status == 1
    wanted = {
        "flite": ("not on PATH", "apt-get install flite", False),
        "espeak-ng": ("not on PATH", "apt-get install espeak-ng", False),
        "models.recogniser": (f"{place.path}/r/KAG_VERSION: missing", "name another directory", True),
        "models.voice": (f"{place.path}/v/config.json: missing", "flite speaks meanwhile", False),
        "nats-server": ("is older than 2.9", "apt-get install nats-server", True),
        "nats.port": (f"{nats}: Address already in use", "set nats.port to a free one", True),
        "sip.port": (f"{sip}: Address already in use", "set sip.port to a free one", True),
        "open files": ("256", "ulimit -n 4096", False),
        "paths.state": ("state", "set paths.state", True),
    }
    for what, (said, mend, is_fatal) in wanted.items():
        assert said in found[what][0], what
        assert mend in found[what][1], what
        assert is_fatal == found[what][2], what


def test_people_read_a_line_for_each_and_below_it_what_mends_it(place: Place) -> None:
    done = place.run("doctor", "--config", str(place.configure('[nats]\nurl = "nats://127.0.0.1:1"')))
    lines = done.out.splitlines()
    at = next(n for n, line in enumerate(lines) if "nats.url" in line)
    assert lines[at].startswith("note  nats.url")
    assert "127.0.0.1:1: Connection refused" in lines[at]
    assert lines[at + 1].strip().startswith("start it there")
    assert COMMAND.name not in done.err


@pytest.mark.parametrize(
    ("tables", "is_made", "found", "mend"),
    [
        ("", False, None, None),
        ("[cluster]\nbind = '10.0.0.1'", False, "no keys of a cluster", "ringmaster cluster init"),
        ("[cluster]\nbind = '10.0.0.1'", True, "prod (", ""),
        ("", True, "prod (", "set cluster.bind, or this node is alone"),
    ],
)
def test_of_which_cluster_the_machine_is(
    tmp_path: Path, tables: str, is_made: bool, found: str | None, mend: str | None
) -> None:
    if is_made:
        cluster_keys.make(tmp_path / "state", "prod", NodeId("n1"))
    told = list(doctor._cluster(parse(f"[paths]\nstate = 'state'\n{tables}", "test", tmp_path)))
    assert [(found or "") in one.found and (mend or "") in one.mend for one in told] == (
        [] if found is None else [True]
    )
    assert all(bool(one.mend) == bool(mend) for one in told)


def test_a_state_of_a_cluster_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    cluster_keys.make(tmp_path, "prod", NodeId("n1"))
    (tmp_path / "cluster/nats.secret").write_text("cut")
    (told,) = doctor._cluster(parse("[paths]\nstate = '.'\n[cluster]\nbind = '10.0.0.1'", "test", tmp_path))
    assert "nats.secret" in told.found
    assert told.fatal


def test_ports_that_the_kernel_may_give_to_others_are_told(tmp_path: Path) -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first = low + low % 2 + 2000
    tables = f"[paths]\nstate = '.'\n[rtp]\nports = [{first}, {first + 9}]\n[media]\nchannels = 5\n[nats]\nport = 0"
    told = {one.what: one for one in doctor._ports(parse(tables, "test", tmp_path))}
    assert "set rtp.ports lower" in told["rtp.ports"].mend
    assert not told["rtp.ports"].fatal
    assert not told["sip.port"].mend.startswith("the kernel")


def test_real_time_scheduling_is_tried_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root of a container is root, and may not."""
    before = os.sched_getscheduler(0)
    told = {one.what: one for one in doctor._limits(parse("", "test", tmp_path))}
    assert (told["real-time scheduling"].found == "allowed") == (not told["real-time scheduling"].mend)
    assert os.sched_getscheduler(0) == before
    monkeypatch.setattr(os, "sched_setscheduler", refused)
    told = {one.what: one for one in doctor._limits(parse("", "test", tmp_path))}
    assert told["real-time scheduling"].found == "not allowed"


def refused(*_: object) -> None:
    raise PermissionError


def test_a_disk_that_is_too_slow_for_recordings_is_told_and_nothing_is_left_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse("[paths]\nstate = 'state'", "test", tmp_path)
    (told,) = doctor._small_writes(config)
    assert told.found.startswith(f"{tmp_path}: ")
    clock = [0.0]

    def slow(_: int) -> None:
        clock[0] += 0.01

    n = small_writes.per_second(tmp_path, slow, lambda: clock[0])
    assert (n, clock[0]) == (pytest.approx(100), pytest.approx(small_writes.FOR_S))
    assert small_writes.per_second(tmp_path, lambda _: None, iter(i * 1e-5 for i in count()).__next__) > 1000
    assert list(tmp_path.iterdir()) == []
    for n, mends in ((299.0, True), (301.0, False)):
        monkeypatch.setattr(small_writes, "per_second", lambda _, n=n: n)
        (told,) = doctor._small_writes(config)
        assert (told.found, bool(told.mend), told.fatal) == (f"{tmp_path}: {n:.0f} of 4 kB a second", mends, False)


def test_a_disk_that_cannot_be_written_is_no_surprise(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    (told,) = doctor._small_writes(parse("[paths]\nstate = 'state'", "test", tmp_path))
    assert (told.found, told.fatal) == (f"{tmp_path}/state: Not a directory", False)
    assert told.mend


def test_what_control_groups_there_are_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse("[paths]\nstate = '.'", "test", tmp_path)
    monkeypatch.setattr(doctor, "offered", lambda: ("cpu", "io", "memory"))
    (told,) = doctor._groups(config)
    assert (told.found, told.mend) == ("version 2, with cpu, io, memory", "")
    monkeypatch.setattr(doctor, "offered", lambda: ("cpu",))
    (told,) = doctor._groups(config)
    assert "unified_cgroup_hierarchy" in told.mend
    assert "(io, memory)" in told.mend
    monkeypatch.setattr(doctor.lock, "holder", lambda _: 7)
    monkeypatch.setattr(doctor, "own", lambda _: Path("/sys/fs/cgroup/system.slice/ringmaster.service/launcher"))
    (told,) = doctor._groups(config)
    assert told.found.endswith("the node's are below /sys/fs/cgroup/system.slice/ringmaster.service")
