"""Where recordings go: `[storage]` and `[owners]`, read and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.config import Config, ConfigError, parse

STORE = '[storage]\nbucket = "calls"\naccess_key = "AK"\nsecret = "s3.secret"\n'


def read(text: str) -> Config:
    return parse(text, "test", Path("/srv"))


def test_a_store_owners_and_keys_are_read() -> None:
    config = read(
        f"{STORE}endpoint = 'https://s3.example.net'\nprefix = 'rm/'\nkeys = ['new.key', 'old.key']\n"
        "[owners.acme]\nquota_mb = 500\nkeys = ['/etc/acme.key']\n[owners.b]\ndirectory = '/data/b'"
    )
    assert config.storage.keys == (Path("/srv/new.key"), Path("/srv/old.key"))
    assert config.owners["acme"].keys == (Path("/etc/acme.key"),)
    assert config.recording_roots == (
        Path("/srv/var/recordings"), Path("/srv/var/recordings/acme"), Path("/data/b"),
    )  # fmt: skip
    assert config.recordings_of("") == Path("/srv/var/recordings")


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        ("", False),
        ("[storage]\nkeeps = true", True),
        ("[storage]\nretention_days = 30", True),
        ("[storage]\nkeys = ['k']", True),
        (STORE, True),
        ("[owners.acme]", True),
        (STORE + '[node]\nroles = ["nats", "central", "desk"]', False),
        (STORE + '[node]\nroles = ["nats", "central", "recorder"]', True),
    ],
)
def test_recordings_are_kept_where_there_are_some_and_something_is_to_be_done(text: str, keeps: bool) -> None:
    assert read(text).keeps_recordings is keeps


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[storage]\nbucket = 'A_B'", "storage: bucket: 'A_B' is no bucket's name"),
        ("[storage]\naccess_key = 'AK'", "storage: bucket: is missing, and access_key is there"),
        ("[storage]\nbucket = 'calls'", "storage: access_key: is missing"),
        ("[storage]\nbucket = 'calls'\naccess_key = 'AK'", "storage: secret: is missing"),
        (STORE + "endpoint = 's3.example.net'", "is not https://HOST:PORT"),
        (STORE + "endpoint = 'https://s3:x'", "is not https://HOST:PORT"),
        (STORE + "endpoint = 'http://s3.example.net'", "in the clear"),
        (STORE + "prefix = '../'", "storage: prefix: "),
        (STORE + "prefix = 'rm'", "storage: prefix: "),
        ("[owners.'../x']", "owners: '../x' is not 1 to 64"),
        ("[owners.a]\ndirectory = '/x'\n[owners.b]\ndirectory = '/x'", "owners: two have the same directory, /x"),
        ("[owners.a]\nprefix = 'x/'\n[owners.b]\nprefix = 'x/'", "owners: two have the same prefix, x/"),
        ("[owners.a]\nquota_mb = -1", "owners.a.quota_mb: -1 is not between"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert reason in str(refused.value)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "http://localhost:9000/", "https://10.0.0.9"])
def test_a_store_of_this_machine_alone_needs_no_tls(endpoint: str) -> None:
    assert read(STORE + f"endpoint = {endpoint!r}").storage.endpoint == endpoint
