"""The nats-server of a development machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from nodes.bus import server
from nodes.config import ConfigError, parse
from nodes.links.errors import ServerTooOld
from tests.conftest import NatsServer


def config(state: Path, port: int = 0, program: str = ""):
    named = f"server = '{program}'" if program else ""
    return parse(f"[nats]\nport = {port}\n{named}\n[paths]\nstate = '{state}'", "test", state)


def test_port_0_becomes_a_free_one_that_every_process_can_look_up(tmp_path: Path):
    here = config(tmp_path)
    planned = server.embedded(here)
    assert planned.url == server.url(here) != "nats://127.0.0.1:0"
    assert planned.url.removeprefix("nats://") in (tmp_path / "nats/nats-server.conf").read_text()


async def test_who_starts_a_server_that_has_ended_is_told_what_it_said(tmp_path: Path):
    made = NatsServer(server.find(), tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(made.plan.url.rpartition(":")[2])))
        with pytest.raises(AssertionError, match=r"(?s)has ended with 1:\n.*bind: address already in use"):
            await made.start()


def test_a_port_that_was_given_is_used(tmp_path: Path):
    assert server.embedded(config(tmp_path, port=14222)).url == "nats://127.0.0.1:14222"


def test_a_configured_address_goes_before_the_embedded_server(tmp_path: Path):
    there = parse("[nats]\nurl = 'nats://192.0.2.1:4222'", "test", tmp_path)
    assert server.url(there) == "nats://192.0.2.1:4222"


def test_the_room_of_a_server_elsewhere_is_what_is_configured_whatever_an_embedded_one_once_had(tmp_path: Path):
    server.embedded(parse(f"[nats]\nport = 0\nstore_mb = 7\n[paths]\nstate = '{tmp_path}'", "test", tmp_path))
    there = f"[nats]\nurl = 'nats://192.0.2.1:4222'\nstore_mb = 9\n[paths]\nstate = '{tmp_path}'"
    assert server.room(parse(there, "test", tmp_path)) == 9 * server.MB


def test_a_server_that_is_not_there_is_a_configuration_error(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nats\.server"):
        server.embedded(config(tmp_path, program="/nonexistent/nats-server"))


@pytest.mark.parametrize(("said", "found"), [("nats-server: v2.8.4", "2.8.4"), ("hello", "unknown")])
def test_a_server_below_2_9_is_refused_by_its_version(tmp_path: Path, said: str, found: str):
    old = tmp_path / "nats-server"
    old.write_text(f"#!/bin/sh\necho '{said}'\n")
    old.chmod(0o755)
    with pytest.raises(ServerTooOld, match=found):
        server.embedded(config(tmp_path, program=str(old)))


def test_a_program_that_cannot_run_is_a_configuration_error(tmp_path: Path):
    (tmp_path / "nats-server").write_text("not a program")
    with pytest.raises(ConfigError, match=r"nats\.server"):
        server.embedded(config(tmp_path, program=str(tmp_path / "nats-server")))


def test_a_state_directory_with_odd_characters_is_written_as_it_is(tmp_path: Path):
    odd = tmp_path / 'a "b"'
    server.embedded(parse(f"[nats]\nport = 0\n[paths]\nstate = '{odd}'", "test", tmp_path))
    assert r"a \"b\"" in (odd / "nats/nats-server.conf").read_text()
