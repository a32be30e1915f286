"""Prompts are read once and forgotten by least recent use."""

from pathlib import Path

from nodes.media.prompts import Prompts
from protocols.wire.ids import PromptHash


def test_a_prompt_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.ulaw").write_bytes(b"sound")
    prompts = Prompts(tmp_path)
    assert prompts.get(PromptHash("a")) == b"sound"
    (tmp_path / "a.ulaw").unlink()
    assert prompts.get(PromptHash("a")) == b"sound"


def test_the_least_recently_used_are_forgotten_when_memory_is_full(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.ulaw").write_bytes(name.encode() * 100)
    prompts = Prompts(tmp_path, max_bytes=250)
    for name in "abac":
        prompts.get(PromptHash(name))
    for path in tmp_path.iterdir():
        path.unlink()
    assert [len(prompts.get(PromptHash(name))) for name in "abc"] == [100, 0, 100]
    assert prompts.missing == 1


def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    (tmp_path / "secret.ulaw").write_bytes(b"secret")
    (tmp_path / "prompts").mkdir()
    assert Prompts(tmp_path / "prompts").get(PromptHash("../secret")) == b""
