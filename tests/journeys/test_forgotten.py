"""A person who has been called and recorded is forgotten: no byte of any file has their number or their words; of
somebody else everything is as it was."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import aiohttp
import duckdb
import pytest

from nodes.commands import central, forget
from nodes.commands.stage import SETTINGS, Stage
from nodes.links.contact_key import contact_key
from nodes.rehearsal.process import REPORTS
from protocols.wire.campaigns import Plan, contact_id
from protocols.wire.ids import CampaignId, is_filled
from protocols.wire.reports import Export
from tests.journeys.conftest import TALK
from tests.journeys.following import Node

PATIENCE_S = 60.0
LOOK_S = 0.1
SPRING = CampaignId("spring")
TALK = TALK.replace("Thank you. Did it", "Thank you for {code}. Did it")
"""In which something of theirs is said to them, too."""


def _having(directory: Path, text: str) -> list[str]:
    """Return the files below a directory in which a text is, whatever files they are."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != REPORTS)  # the callees' own
    return sorted(str(path.relative_to(directory)) for path in files if text.encode() in path.read_bytes().lower())


async def _called(node: Node, targets: list[str]) -> None:
    """Have these people called, and wait until all of it is over and written down."""
    play = node.stage
    plan = Plan(opens_min=0, closes_min=24 * 60, zone="Etc/UTC", recording="asked")
    listed = "number,consent\n" + "".join(f"{target},signed\n" for target in targets)
    await central.bring(play.client, central.Campaign(SPRING, plan), "spring.csv", listed.encode(), TALK)
    await central.steer(play.client, SPRING, "running")
    async with asyncio.timeout(PATIENCE_S):
        while (await central.status(play.client, SPRING)).done < len(targets):
            await asyncio.sleep(LOOK_S)
        while len([*play.config.paths.recordings.glob("spring-*.wav")]) < len(targets):
            await asyncio.sleep(LOOK_S)


def _words(events: list[tuple[Any, ...]]) -> str:
    """Return the longest that somebody has said."""
    return max((json.loads(row[-1]).get("words", "") for row in events), key=len)


async def _exported(play: Stage, name: str) -> Path:
    recorder = play.client.one("recorder").identity
    return Path((await play.client.mesh.ask(recorder, Export(name), 30.0)).directory)


def _rows(export: Path, contact: str) -> dict[str, list[Any]]:
    """Return all rows of an export that are of a contact."""
    found = {}
    for table, of in (("events", "attempt_id"), ("ledger", "contact_id"), ("outcomes", "contact_id")):
        files = f"'{export}/{table}/**/*.parquet'" if table == "events" else f"'{export}/{table}.parquet'"
        source = f"read_parquet({files}, hive_partitioning = false)"
        said = f"SELECT * FROM {source} WHERE contains({of}, '{contact}') ORDER BY ALL"
        found[table] = duckdb.sql(said).fetchall()
    return found


async def _forgets(play: Stage, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the command, in this process; return its status, and its rows."""
    parser, rows = argparse.ArgumentParser(), list[dict[str, Any]]()
    parser.add_argument("--config")
    forget.describe(parser)
    monkeypatch.setattr(forget, "emit", rows.append)
    args = parser.parse_args([*words, "--json", "--config", str(play.config.paths.state / SETTINGS)])
    return await forget.carry_out(args), rows


async def _over_http(play: Stage, method: str, **order: Any) -> Any:
    token, address = ((play.config.paths.run / name).read_text() for name in ("token", "desk.url"))
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.request(method, f"{address}api/forget", **order) as reply,
    ):
        assert reply.status == 200, await reply.text()
        return await reply.json()


async def test_who_is_forgotten_is_in_no_byte_any_more_and_nobody_else_lacks_anything(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.whole()
    play = node.stage
    state, recordings = play.config.paths.state, play.config.paths.recordings
    she, he = play.callee("cooperative-471100"), play.callee("cooperative-881200")
    await _called(node, [she, he])
    key = contact_key(state)
    hers, his = contact_id(she, key), contact_id(he, key)
    export = await _exported(play, "before")
    before, said = _rows(export, his), _words(_rows(export, hers)["events"])
    assert all(before.values()), before
    assert said not in str(before)
    assert [path for path in play.config.paths.prompts.iterdir() if is_filled(path.stem)]
    assert _having(state, "cooperative-471100")
    assert _having(state, said)
    _, rows = await _forgets(play, monkeypatch, she, "--prove", "--words", said)
    found = {file for row in rows for file in row.get("found", ())}
    assert found <= {REPORTS}, (said, found)  # the callees are in this directory, too, and remember her words
    assert not [row for row in rows if row.get("state") or row.get("note", "").startswith("not read")], rows
    removed = {(row["process"].partition(".")[2], row["place"]): row["removed"] for row in rows if "removed" in row}
    assert removed["recorder-0", "events"] == removed["recorder-0", "exports"] - 2 >= 5
    assert (removed["recorder-0", "ledger"], removed["edge-0", "recordings"]) == (1, 1)
    assert removed["edge-0", "prompts with values in them"] >= 1
    assert not [path for path in play.config.paths.prompts.iterdir() if is_filled(path.stem)]
    assert removed["central-0", "events, RM_EVENTS"] == removed["recorder-0", "events"]
    assert _having(state, "cooperative-471100") == _having(state, said) == []
    assert [file.name.partition(".")[0] for file in recordings.glob("spring-*.wav")] == [f"spring-{his}-1"]
    assert _having(state, _words(before["events"]))
    assert _rows(await _exported(play, "after"), his) == before == _rows(export, his)
    assert not any(_rows(export, hers).values())
    status, again = await _forgets(play, monkeypatch, she)
    assert status == 0, again
    assert await _over_http(play, "POST", json={"target": she}) == {"campaigns": 0, "contact_id": hers, "at": ANY}
    async with asyncio.timeout(PATIENCE_S):
        while not (await _over_http(play, "GET", params={"contact": hers}))["is_done"]:
            await asyncio.sleep(LOOK_S)
    assert hers in (state / "audit.jsonl").read_text()
    status, his_rows = await _forgets(play, monkeypatch, he, "--only-prove")
    assert status == 1
    assert "NATS, OBJ_rm_journal" in {row["place"] for row in his_rows if row["found"]}
