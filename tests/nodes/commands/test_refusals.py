"""What cannot be run is told in one line that names the file, key, port or process, and with status 2."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from grammars import load
from nodes.commands.scripts import read_script
from nodes.config import Models
from tests.nodes.commands.conftest import Place


def test_a_wrong_configuration_is_refused_with_file_key_and_reason(place: Place) -> None:
    """The reasons are those of tests/nodes/test_config.py; here is what becomes of them."""
    for text, reason in (
        ("[sip]\nprot = 5060", "sip.prot: is not known; did you mean port?"),
        ("[sip\nport", "is not TOML: Expected ']' at the end of a table declaration (at line 1, column 5)"),
    ):
        (place.path / "bad.toml").write_text(text)
        told = place.run("up", "--config", "bad.toml").refused()
        assert told == f"ringmaster up: {place.path}/bad.toml: {reason}"


def test_a_configuration_that_cannot_be_read_is_named(place: Place) -> None:
    (place.path / "latin.toml").write_bytes(b'[node]\nid = "\xe9"')
    told = place.run("tree", "--config", "latin.toml").refused()
    assert told == "ringmaster tree: latin.toml: is not UTF-8: invalid continuation byte at byte 13"
    told = place.run("tree", more={"RINGMASTER_CONFIG": "no.toml"}).refused()
    assert told == "ringmaster tree: no.toml: No such file or directory"


def test_debug_shows_the_traceback(place: Place) -> None:
    assert "Traceback (most recent call last)" in place.run("tree", "--config", "no.toml", "--debug").err


def test_words_that_are_no_command_are_one_line_too(place: Place) -> None:
    for words in (("fly",), ("tree", "--jsno")):
        assert "--help)" in place.run(*words).refused()


def test_commands_say_that_no_node_is_up(place: Place) -> None:
    config = str(place.configure(""))
    (place.path / "state/run").mkdir(parents=True)
    (place.path / "state/lock").touch()  # as a killed launcher leaves them
    (place.path / "state/run/roster.json").write_text('{"revision": 1, "processes": []}')
    no_node = f"no node is up with state in {place.path}/state (start it: ringmaster up)"
    for words in (("tree",), ("call", "sip:a@127.0.0.1")):
        assert place.run(*words, "--config", config).refused() == f"ringmaster {words[0]}: {no_node}"


def test_who_waits_for_a_command_that_has_ended_is_told_what_it_said(place: Place) -> None:
    running = place.start("up", "--config", "nowhere.toml")
    with pytest.raises(AssertionError, match=r"has ended with 2:\n +ringmaster up: .*: No such file or directory"):
        place.until(lambda: False, running)


class TestUp:
    """`ringmaster up`, where something is missing or taken."""

    def refused(self, place: Place, tables: str) -> str:
        """Return the last line on standard error; nothing of the node is left."""
        done = place.run("up", "--config", str(place.configure(tables)))
        assert done.status == 2, done
        assert "Traceback" not in done.err
        place.nothing_is_left()
        return done.err.splitlines()[-1].removeprefix("ringmaster up: ")

    def test_a_port_in_use_is_named_with_its_key(self, place: Place) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            tcp.bind(("127.0.0.1", 0))
            tcp.listen()
            sip, nats = udp.getsockname()[1], tcp.getsockname()[1]
            told = self.refused(place, f"[sip]\nport = {sip}")
            assert told == f"sip.port: UDP 127.0.0.1:{sip}: Address already in use"
            told = self.refused(place, f"[sip]\nport = 0\n[nats]\nport = {nats}")
            assert told == f"configuration: nats.port: TCP 127.0.0.1:{nats}: Address already in use"

    def test_an_rtp_port_in_use_is_named(self, place: Place) -> None:
        file = place.configure("[sip]\nport = 0")
        first = int(file.read_text().partition("ports = [")[2].partition(",")[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", first + 4))
            told = place.run("up", "--config", str(file)).err
        assert told == f"ringmaster up: rtp.ports: UDP 127.0.0.1:{first + 4}: Address already in use\n"

    def test_an_address_of_another_machine_is_named(self, place: Place) -> None:
        told = self.refused(place, '[sip]\nbind = "192.0.2.1"')
        assert told == "sip.bind: UDP 192.0.2.1:5060: Cannot assign requested address"

    def test_a_nats_server_that_is_none_or_too_old_is_named(self, place: Place) -> None:
        for name, does, reason in (
            ("none", "", "configuration: nats.server: there is no nats-server {}"),
            ("old", "echo nats-server: v2.8.4", "nats-server 2.8.4 ({}) is older than 2.9"),
        ):
            server = place.path / name
            if does:
                server.write_text(f"#!/bin/sh\n{does}\n")
                server.chmod(0o755)
            told = self.refused(place, f'[sip]\nport = 0\n[nats]\nport = 0\nserver = "{name}"')
            assert told == reason.format(server)

    def test_a_state_directory_that_cannot_be_written_is_named(self, place: Place) -> None:
        (place.path / "state").write_text("a file")
        told = place.run("up", "--config", str(place.configure("[sip]\nport = 0"))).err
        assert told == f"ringmaster up: paths.state: {place.path}/state: File exists\n"

    def test_a_directory_run_that_is_not_a_nodes_is_left_alone(self, place: Place) -> None:
        precious = place.path / "state/run/precious"
        precious.parent.mkdir(parents=True)
        precious.touch()
        for _ in range(2):
            told = place.run("up", "--config", str(place.configure("[sip]\nport = 0"))).err
            assert f"paths.state: {precious.parent} exists and is not a node's" in told
        assert precious.exists()

    def test_a_recogniser_that_is_cut_short_is_named(self, place: Place) -> None:
        model = place.path / "model"
        shutil.copytree(Models().recogniser, model)
        os.truncate(model / "final.mdl", 100_000)
        told = self.refused(place, '[sip]\nport = 0\n[nats]\nport = 0\n[models]\nrecogniser = "model"')
        assert told == f"speech-0: {model}/final.mdl: cut short after 100000 bytes"

    def test_a_full_disk_is_named(self, place: Place) -> None:
        (place.path / "state").mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place.path / "state")]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("only root may mount a small disk")
        try:
            told = place.run("up", "--config", str(place.configure("[sip]\nport = 0\n[nats]\nport = 0"))).err
        finally:
            subprocess.run(["umount", str(place.path / "state")], check=True)
        assert "Traceback" not in told
        assert "No space left on device" in told.splitlines()[-1]


class TestFiles:
    """Campaigns and their files, which are read before anything is set up."""

    @pytest.fixture
    def files(self, place: Place) -> dict[str, Path]:
        """A campaign that is right."""
        made = {name: place.path / name for name in ("c.toml", "l.csv")}
        made["c.toml"].write_text('id = "spring"\n[plan]\nzone = "Europe/London"\n')
        made["l.csv"].write_text("number,name,consent\nsip:alex@callees,Alex,paper\n")
        return made

    def check(self, place: Place, what: str = "check", script: str = "hello") -> tuple[int, str, str]:
        """Return what checking a campaign's files comes to."""
        done = place.run("campaign", what, "c.toml", "--contacts", "l.csv", "--script", script)
        return done.status, done.out, done.err

    def test_a_campaign_that_is_right_is_counted(self, place: Place, files: dict[str, Path]) -> None:
        known = load(read_script("hello")).hash[:12]
        assert self.check(place)[:2] == (0, f"spring: 1 contacts, script {known}\n")

    def test_what_is_wrong_with_a_list_is_told_line_by_line(self, place: Place, files: dict[str, Path]) -> None:
        files["l.csv"].write_text("number,name\nsip:alex@callees,Alex\n12,Bo\nsip:a@b,Jo,no\nsip:alex@callees,Al\n")
        lines = [
            "l.csv:3: number: has no country: write it with + and the country code, or name a region",
            "l.csv:4: 3 cells, the heading has 2",
            "l.csv:5: number: the same as on line 2",
        ]
        for what in ("check", "rehearse"):
            status, out, err = self.check(place, what)
            assert (status, out) == (2, "")
            assert err.removeprefix("ringmaster campaign: ").splitlines() == lines

    def test_a_plan_is_refused_with_its_key(self, place: Place, files: dict[str, Path]) -> None:
        files["c.toml"].write_text('id = "spring"\n[plan]\nconcurency = 4\n')
        assert "c.toml: plan.concurency: is not known; did you mean concurrency?" in self.check(place)[2]
        files["c.toml"].write_text('id = "spring"\n[plan]\nzone = "Mars"\n')
        assert "'Mars' is not an IANA time zone" in self.check(place)[2]

    def test_files_that_are_not_there_are_named(self, place: Place, files: dict[str, Path]) -> None:
        assert "bye: no such file, and no shipped script of that name" in self.check(place, script="bye")[2]
        files["l.csv"].unlink()
        assert self.check(place)[2] == "ringmaster campaign: l.csv: No such file or directory\n"

    def test_a_directory_that_is_no_rehearsals_is_not_emptied(self, place: Place) -> None:
        (place.path / "home").mkdir()
        (place.path / "home/thesis.tex").touch()
        told = place.run("demo", "--state", "home").refused()
        assert told.endswith("home: is not empty, and not a rehearsal's: name another directory")
        assert (place.path / "home/thesis.tex").exists()
