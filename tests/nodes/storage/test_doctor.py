"""What `ringmaster doctor` says of keys and the store."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from nodes.commands.doctor import Finding, _storage
from nodes.config import Config
from tests.nodes.storage.conftest import Bucket


def found(config: Config) -> dict[str, Finding]:
    return {one.what: one for one in _storage(config)}


def test_doctor_reads_the_keys_and_reaches_the_store(bucket: Bucket, tmp_path: Path) -> None:
    (key := tmp_path / "rec.key").write_text(os.urandom(32).hex())
    key.chmod(0o600)
    config = Config(storage=replace(bucket.settings, keys=(key,)))
    assert {what: (one.found, one.mend) for what, one in found(config).items()} == {
        "storage.keys": ("1 keys", ""), "storage.bucket": (f"{bucket.settings.bucket} answers", ""),
    }  # fmt: skip
    key.chmod(0o644)
    assert found(config)["storage.keys"].fatal
    assert "chmod 600" in found(config)["storage.keys"].found
    gone = replace(config, storage=replace(config.storage, bucket="nobodys", keys=()))
    told = found(gone)["storage.bucket"]
    assert (told.fatal, "NoSuchBucket" in told.found) == (False, True)
    assert found(Config()) == {}
