"""`ringmaster recording`: a call's recording in a shell, wherever it lies; and what is said where it cannot be had."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.commands import recording
from nodes.config import Config
from nodes.storage.claims import Claims
from nodes.storage.keeper import Keeper
from nodes.storage.whole import NotThere, Whole
from protocols.wire.ids import CallId
from tests.nodes.storage.conftest import Bucket
from tests.nodes.storage.test_process import config, samples

__all__ = ["config"]  # a fixture

CALL = CallId("spring-a4-1")


def publish(config: Config, name: str, data: bytes) -> Path:
    path = config.paths.recordings / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    then = time.time() - 600
    os.utime(path, (then, then))
    return path


async def kept(config: Config, is_sent: bool) -> None:
    """Have all that is published encrypted, and sent to the store."""
    whole = Whole(config)
    keeper = Keeper(whole, Claims(), config.node.id)
    await keeper.seal_some()
    if is_sent:
        assert await keeper.send_some()
    keeper.close()
    whole.close()


@pytest.fixture
def opens(config: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command."""
    monkeypatch.setattr(recording, "configured", lambda args: config)

    def run(*words: str) -> int:
        parser = argparse.ArgumentParser()
        recording.describe(parser)
        return recording.run(parser.parse_args(words))

    return run


async def test_a_call_is_one_file_from_the_store_and_from_this_disk_encrypted_and_plain(
    config: Config,
    bucket: Bucket,
    opens: Callable[..., int],
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:  # fmt: skip
    publish(config, f"{CALL}.wav", samples(0, 300))
    await kept(config, is_sent=True)
    publish(config, f"{CALL}.1.wav", samples(300, 700))
    await kept(config, is_sent=False)
    publish(config, f"{CALL}.2.wav", samples(750, 900))
    assert sorted(path.suffix for path in config.paths.recordings.iterdir()) == [".sealed", ".wav"]
    assert len(bucket.keys) == 1
    silence = samples(0, 900)
    wanted = silence[: 60 + 700 * 640] + bytes(50 * 640) + samples(750, 900)[60:]
    assert opens(CALL, "-o", str(tmp_path / "out.wav")) == 0
    assert (tmp_path / "out.wav").read_bytes() == wanted
    assert (tmp_path / "out.wav").stat().st_mode & 0o077 == 0
    capsysbinary.readouterr()
    assert opens(CALL, "-o", "-") == 0
    assert capsysbinary.readouterr().out == wanted
    lines = [json.loads(line) for line in (config.paths.state / "audit.jsonl").read_text().splitlines()]
    assert [(line["what"], line["call_id"]) for line in lines] == [("recording.opened", CALL)] * 2
    with pytest.raises(recording.NotWritten, match=r"out\.wav: is there already"):
        opens(CALL, "-o", str(tmp_path / "out.wav"))


async def test_what_cannot_be_opened_is_said_with_what_is_missing(
    config: Config, bucket: Bucket, opens: Callable[..., int], tmp_path: Path
) -> None:
    path = tmp_path / "out.wav"
    out = str(path)
    with pytest.raises(NotThere, match=f"no recording of {CALL} in .*n2/recordings.* bucket {bucket.settings.bucket}"):
        opens(CALL, "-o", out)
    with pytest.raises(NotThere, match=r"'\.\./x' is no call's name"):
        opens("../x", "-o", out)
    publish(config, f"{CALL}.wav", samples(0, 300))
    await kept(config, is_sent=False)
    key = config.storage.keys[0]
    key.write_text(os.urandom(32).hex())
    with pytest.raises(NotThere, match=f"{CALL}: is encrypted with a key that is not here: .*storage.keys"):
        opens(CALL, "-o", out)
    key.unlink()
    with pytest.raises(FileNotFoundError, match=str(key)):
        opens(CALL, "-o", out)
    assert not path.exists()
    assert not (config.paths.state / "audit.jsonl").exists()


async def test_a_file_that_was_changed_leaves_nothing_half_written(
    config: Config, bucket: Bucket, opens: Callable[..., int], tmp_path: Path
) -> None:
    publish(config, f"{CALL}.wav", samples(0, 900))
    await kept(config, is_sent=False)
    sealed = config.paths.recordings / f"{CALL}.sealed"
    data = bytearray(sealed.read_bytes())
    data[-1] ^= 1
    sealed.write_bytes(data)
    with pytest.raises(NotThere, match="was changed since it was encrypted"):
        opens(CALL, "-o", str(tmp_path / "out.wav"))
    assert not (tmp_path / "out.wav").exists()


async def test_without_the_store_nobody_says_that_a_recording_is_whole(config: Config, tmp_path: Path) -> None:
    publish(config, f"{CALL}.wav", samples(0, 300))
    away = replace(config, storage=replace(config.storage, endpoint="http://127.0.0.1:9"))
    whole = Whole(away)
    with pytest.raises(NotThere, match="the store does not say what it has"):
        whole.parts(CALL)
    whole.close()
