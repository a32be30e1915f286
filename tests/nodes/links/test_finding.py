"""A search reads every byte of every file, and says what it could not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.config import parse
from nodes.links.errors import Refused
from nodes.links.finding import BLOCK, Finder
from protocols.wire.forgetting import Find
from protocols.wire.ids import Identity

WHO = Identity("n1.command:1")


async def test_a_text_is_found_at_the_seam_of_two_blocks_and_files_are_named(tmp_path: Path) -> None:
    config = parse("[paths]\nstate = 'state'\n[recorder]\narchive = 'elsewhere'", "test", tmp_path)
    below = tmp_path / "state" / "nats" / "store"
    below.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (below / "1.blk").write_bytes(bytes(BLOCK - 3) + b"+1 202-555-0100" + bytes(BLOCK))
    (tmp_path / "elsewhere" / "a.parquet").write_bytes(b"nobody")
    (below / "link").symlink_to("/etc/passwd")
    finder = Finder(config)
    found = (await finder.find(Find(("2[-]?0[-]?2[-]?5", "nobody at all"), of_node=True), WHO)).places
    assert [(place.place.rpartition("/")[2], place.found) for place in found] == [
        ("elsewhere", ()), ("state", ("nats/store/1.blk",)),
    ]  # fmt: skip
    assert {place.note for place in found} == {""}
    assert (await finder.find(Find(("2025",)), WHO)).places == ()


@pytest.mark.parametrize("patterns", [(), ("(",), ("a",) * 51, ("a" * 1001,)])
async def test_a_pattern_that_is_none_is_refused(patterns: tuple[str, ...], tmp_path: Path) -> None:
    finder = Finder(parse("[paths]\nstate = 'state'", "test", tmp_path))
    with pytest.raises(Refused, match="bad_pattern"):
        await finder.find(Find(patterns, of_node=True), WHO)
