"""`ringmaster doctor`: each thing that can be wrong, made wrong, is found and comes with what mends it."""

from __future__ import annotations

import resource
import socket
from pathlib import Path

import pytest

from nodes.commands import doctor
from nodes.config import parse
from nodes.links import cluster_keys
from protocols.wire.ids import NodeId
from tests.nodes.commands.conftest import COMMAND, Place


def examine(place: Place, tables: str, *wrap: str, **more: str) -> tuple[int, dict[str, tuple[str, str, bool]]]:
    """Return the status and the findings: what -> what was found, what mends it, whether it is fatal."""
    file = place.configure(tables)
    done = place.run("doctor", "--json", "--config", str(file), more=more)
    rows = {str(row["what"]): (str(row["found"]), str(row["mend"]), bool(row["fatal"])) for row in done.rows}
    return done.status, rows


def test_a_machine_that_is_well_has_nothing_to_mend(place: Place) -> None:
    status, found = examine(place, "[sip]\nport = 0\n[nats]\nport = 0")
    assert status == 0
    assert {what: mend for what, (_, mend, _) in found.items() if mend and what != "real-time scheduling"} == {}
    assert [*found] == [
        "python", "recogniser", "voice", "rules", "database", "messages", "flite", "models.recogniser", "models.voice",
        "lexicon", "nats-server", "sip.port", "rtp.ports", "desk.port", "nats.port", "open files",
        "real-time scheduling", "memory", "paths.state",
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
