"""Five bare machines become a cluster by one command, and it goes on while it is upgraded, killed, and told nonsense.

The machines are deployed once, and tests follow each other on them in the order in which they stand here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from nodes.commands import bench_takeover
from nodes.commands.takeover import SILENT_S
from nodes.rehearsal.hosted import Callees
from nodes.storage.sealing import Key
from protocols.wire.journal import CampaignPhase
from tests.ops.machines import rehearsed
from tests.ops.machines.backed_up import Kept, kept, new_key, restored
from tests.ops.machines.base import ROOT
from tests.ops.machines.deployed import SMALL, Controller, Played
from tests.ops.machines.machine import CONTROLLER, Machine, Machines, machines
from tests.ops.machines.rehearsed import begin, command, until
from tests.ops.machines.releases import another, release

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1500)]

CENTRALS: Final = ("central-1", "central-2", "central-3")
EDGES: Final = ("edge-1", "edge-2")
SPARE: Final = "edge-3"
"""Bare, until more are needed."""
SURVEY: Final = (ROOT / "grammars/scripts/survey.yaml").read_text()
TALK: Final = bench_takeover.SCRIPT.read_text().replace("turns: 100", "turns: 12")
"""A conversation of a minute or two."""
NEXT: Final = "0.1.1"
BROKEN: Final = "0.1.2"
WRONG: Final = {"nodes/speech/kag.py": b"import no_such_library\n"}
"""What is broken about it."""
NUMBER: Final = "+493012345678"
LOST: Final = "systemctl stop ringmaster nats-server; rm -rf /var/lib/ringmaster /var/lib/nats"
"""What makes a machine one that has nothing, but for packages and the release, which take long to bring."""
AT_ONCE: Final = 4
MANY: Final = 400


@dataclass(slots=True)
class Cluster:
    """What the tests have in common."""

    made: Machines
    controller: Controller
    callees: Callees
    deployed: Played
    releases: dict[str, Path]
    key: Key

    @property
    def nodes(self) -> dict[str, Machine]:
        """The machines that were deployed: all but the spare one."""
        return {name: machine for name, machine in self.made.items() if name != SPARE}

    async def versions(self) -> dict[str, str]:
        """Return the release that each node starts next."""
        links = {name: (await one.run("readlink /opt/ringmaster/current")).out for name, one in self.nodes.items()}
        return {name: link.strip().rpartition("/")[2] for name, link in links.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Five machines, deployed; and callees on the controller."""
    place = tmp_path_factory.mktemp("cluster")
    first = await asyncio.to_thread(release)
    releases = {
        "0.1.0": first,
        NEXT: await asyncio.to_thread(another, first, NEXT, place),
        BROKEN: await asyncio.to_thread(another, first, BROKEN, place, WRONG),
    }
    own = {"sip": {"allow": ["10.77.0.0/16"]}, "scale": {"least": len(EDGES) + 1, "most": len(EDGES) + 1}}
    variables = {
        **SMALL,
        "ringmaster_node_own_settings": {**SMALL["ringmaster_node_own_settings"], **own},
        "ringmaster_node_release": str(first),
        "ringmaster_secrets_also": [CONTROLLER],
        "ringmaster_backup_key": str(place / "backup.key"),
        "nats_store_mb": 2000,
    }
    async with machines([*CENTRALS, *EDGES, SPARE]) as made:
        await made.boot()
        controller = Controller(made, "edge_central", place, variables, also={"spare": [SPARE]})
        deployed = await controller.play("deploy.yml")
        assert deployed.status == 0, deployed.end
        urls = [f"tls://{made[name].address}:4222" for name in CENTRALS]
        scripts = {"survey": SURVEY, "talk": TALK}
        async with rehearsed.callees(made, controller, urls, scripts, place) as callees:
            yield Cluster(made, controller, callees, deployed, releases, new_key(place / "backup.key"))


async def test_five_bare_machines_become_a_cluster_and_a_second_run_changes_nothing(
    cluster: Cluster, say: Callable[[str], None]
) -> None:
    say(f"five machines: deployed within {cluster.deployed.took_s:.0f} s: {cluster.deployed.counts}")
    nodes = (await command(cluster.made["edge-1"], "cluster", "status", "--json")).out.splitlines()
    assert {json.loads(line)["state"] for line in nodes} == {"alive"}
    assert len(nodes) == 5
    second = await cluster.controller.play("deploy.yml")
    assert second.status == 0, second.end
    say(f"five machines: a second run took {second.took_s:.0f} s, changed={second.changed}")
    assert second.changed == 0, second.said
    for secret in cluster.controller.secrets.rglob("*"):
        if secret.suffix in (".keys", ".key", ".tar"):
            assert secret.read_bytes().startswith(b"$ANSIBLE_VAULT"), secret


async def test_a_campaign_is_rehearsed_on_the_deployed_cluster(cluster: Cluster, say: Callable[[str], None]) -> None:
    users = ["cooperative-1", "cooperative-2", "refuses-1", "busy-1", "optout-1", "cooperative-3"]
    where = cluster.made["central-1"]
    await begin(where, "spring", SURVEY, cluster.callees, users, AT_ONCE)
    status = await until(where, 300, "campaign", "status", "spring", is_so=lambda it: it["done"] == len(users))
    report = await until(where, 60, "report", "--campaign", "spring", is_so=lambda it: it["attempts"] >= len(users))
    say(f"a campaign on the cluster: {status['dispositions']}, answered {report['answered']}, lost {report['lost']}")
    assert report["lost"] == 0
    assert report["answered"] >= 4


async def test_a_rolling_upgrade_under_calls_loses_none(cluster: Cluster, say: Callable[[str], None]) -> None:
    before = await _talk(cluster, "upgrade")
    done = await cluster.controller.play(
        "upgrade.yml", ringmaster_node_version=NEXT, ringmaster_node_release=str(cluster.releases[NEXT])
    )
    assert done.status == 0, done.end
    assert set((await cluster.versions()).values()) == {NEXT}
    nodes = (await command(cluster.made["edge-1"], "cluster", "status", "--json")).out.splitlines()
    assert {json.loads(line)["version"] for line in nodes} == {NEXT}
    heard = await _silence(cluster, "upgrade", before)
    say(f"five nodes upgraded within {done.took_s:.0f} s under {AT_ONCE} calls at once: {heard}")
    assert heard.lost == 0


async def test_a_launcher_that_is_killed_loses_no_call_that_has_an_heir(
    cluster: Cluster, say: Callable[[str], None]
) -> None:
    before = await _talk(cluster, "kill")
    for name in EDGES:
        await _whole(cluster)
        await cluster.made[name].run(f"kill -9 {await _pid(cluster, name)}")
    await _whole(cluster)
    heard = await _silence(cluster, "kill", before)
    say(f"two launchers killed, one after the other, under {AT_ONCE} calls at once: {heard}")
    assert heard.lost == 0


async def test_a_broken_version_is_refused_before_anything_has_changed_and_the_last_one_comes_back(
    cluster: Cluster, say: Callable[[str], None]
) -> None:
    before = await cluster.versions()
    pids = {name: await _pid(cluster, name) for name in cluster.nodes}
    refused = await cluster.controller.play(
        "upgrade.yml", "--limit", ",".join(EDGES),
        ringmaster_node_version=BROKEN, ringmaster_node_release=str(cluster.releases[BROKEN]),
    )  # fmt: skip
    assert refused.status != 0
    assert "no_such_library" in refused.said
    assert await cluster.versions() == before
    assert {name: await _pid(cluster, name) for name in cluster.nodes} == pids
    say(f"a broken version: refused within {refused.took_s:.0f} s, nothing changed")
    back = await cluster.controller.play("rollback.yml")
    assert back.status == 0, back.end
    assert set((await cluster.versions()).values()) == {"0.1.0"}
    say(f"rolled back within {back.took_s:.0f} s")


async def test_a_machine_that_stands_by_becomes_an_edge_where_more_are_advised(
    cluster: Cluster, say: Callable[[str], None]
) -> None:
    where = cluster.made["central-1"]
    advice = await until(where, 150, "node", "scale", is_so=lambda it: it["desired"] == len(EDGES) + 1)
    assert (advice["nodes"], advice["leave"]) == (len(EDGES), [])
    done = await cluster.controller.play("scale.yml")
    assert done.status == 0, done.end
    advice = await until(where, 60, "node", "scale", is_so=lambda it: it["nodes"] == len(EDGES) + 1)
    assert {one["node"] for one in advice["machines"] if one["takes"]} == {*EDGES, SPARE}
    say(f"scale.yml: advised {len(EDGES) + 1} edges; a bare machine was one within {done.took_s:.0f} s")
    again = await cluster.controller.play("scale.yml")
    assert again.status == 0, again.end
    assert again.changed == 0, again.said
    drained = await cluster.controller.play("drain.yml", "--limit", EDGES[0])
    assert drained.status == 0, drained.end
    advice = await until(where, 150, "node", "scale", is_so=lambda it: it["desired"] > it["nodes"])
    back = await cluster.controller.play("scale.yml")
    assert back.status == 0, back.end
    advice = await until(where, 60, "node", "scale", is_so=lambda it: it["nodes"] == len(EDGES) + 1)
    say(f"scale.yml: an edge that was drained takes calls again within {back.took_s:.0f} s")
    before = await cluster.versions()
    refused = await cluster.controller.play("rollback.yml")
    assert refused.status != 0
    assert f"{SPARE} had no release before this one" in refused.said
    assert await cluster.versions() == before


async def test_a_bundle_for_whoever_helps_names_nobody(
    cluster: Cluster, say: Callable[[str], None], tmp_path: Path
) -> None:
    done = await cluster.controller.play("inspect.yml", ringmaster_bundle=str(tmp_path))
    assert done.status == 0, done.end
    bundle = _read(tmp_path)
    assert {path.parent.name for path in bundle} == {*cluster.made}
    assert not [path for path, said in bundle.items() if b"cooperative" in said], "the name of a callee"
    assert not [path for path, said in bundle.items() if b"Traceback" in said and path.name != "journal.jsonl"]
    n_bytes = sum(map(len, bundle.values()))
    say(f"inspect.yml: {len(bundle)} files, {n_bytes / 1e6:.1f} MB, within {done.took_s:.0f} s")


async def test_fresh_machines_take_the_places_of_all_that_were_lost(
    cluster: Cluster, say: Callable[[str], None], tmp_path: Path
) -> None:
    where = cluster.made["central-1"]
    done = await command(where, "dnc", "add", NUMBER, "--why", "asked")
    assert done.status == 0, done.err
    done = await cluster.controller.play("backup.yml", ringmaster_backups=str(tmp_path / "before"))
    assert done.status == 0, done.end
    before = await asyncio.to_thread(_kept, tmp_path / "before", cluster.key)
    assert {*cluster.nodes} <= {*before}
    say(f"{len(before)} machines: backed up within {done.took_s:.0f} s: {before['central-1']}")

    for machine in cluster.made.values():
        gone = await machine.run(LOST)
        assert gone.status == 0, gone.err
    done = await cluster.controller.play("deploy.yml")
    assert done.status == 0, done.end
    done = await cluster.controller.play("restore.yml", ringmaster_backups=str(tmp_path / "before"))
    assert done.status == 0, done.end
    say(f"all of them were lost, and are restored within {done.took_s:.0f} s: {restored(done.said)}")

    done = await cluster.controller.play("backup.yml", ringmaster_backups=str(tmp_path / "after"))
    assert done.status == 0, done.end
    after = await asyncio.to_thread(_kept, tmp_path / "after", cluster.key)
    assert after == {name: _paused(one) for name, one in before.items()}
    numbers = [line for one in after.values() for line in one.do_not_call]
    assert numbers
    users = ["cooperative-again"]
    await begin(where, "again", SURVEY, cluster.callees, users, 1)
    status = await until(where, 300, "campaign", "status", "again", is_so=lambda it: it["done"] == len(users))
    say(f"they call again: {status['dispositions']}")


def _paused(one: Kept) -> Kept:
    """Return it with what was running paused: nobody is dialled before somebody says so."""
    became = {CampaignPhase.RUNNING: CampaignPhase.PAUSED}
    return replace(one, phases={name: became.get(phase, phase) for name, phase in one.phases.items()})


def _kept(backups: Path, key: Key) -> dict[str, Kept]:
    """Return what each machine has in the one backup that is there."""
    return {path.name: kept(path, key) for path in sorted(backups.glob("20*/*"))}


def _read(directory: Path) -> dict[Path, bytes]:
    """Return all files below a directory."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@dataclass(frozen=True, slots=True)
class Heard:
    """What callees heard of what was done to those who talked with them."""

    calls: int
    lost: int
    gap_ms: float

    def __str__(self) -> str:
        return f"{self.calls} calls, {self.lost} lost, longest gap {self.gap_ms:.0f} ms"


async def _talk(cluster: Cluster, campaign: str) -> int:
    """Have people talk, until there is nobody left to be called; return how many have talked before."""
    before = len(cluster.callees.lived())
    users = [f"cooperative-{campaign}{n}" for n in range(MANY)]
    await begin(cluster.made["central-1"], campaign, TALK, cluster.callees, users, AT_ONCE)
    await _whole(cluster, AT_ONCE)
    return before


async def _silence(cluster: Cluster, campaign: str, before: int) -> Heard:
    """Call nobody any more, and return what was heard once everybody has hung up."""
    where = cluster.made["central-1"]
    await until(where, 60, "campaign", "stop", campaign, is_so=lambda it: it["phase"] == "stopped")
    await until(where, 400, "campaign", "status", campaign, is_so=lambda it: not it["in_flight"])
    report = await until(where, 60, "report", "--campaign", campaign, is_so=lambda it: it["answered"])
    lived = [one for one in cluster.callees.lived()[before:] if one["answered"]]
    lost = [
        one for one in lived if one["cause"] == "never_ended" or one["last_packet_s"] < one["ended_s"] - SILENT_S
    ]  # fmt: skip
    return Heard(len(lived), max(len(lost), report["lost"]), max(one["worst_gap_ms"] for one in lived))


async def _whole(cluster: Cluster, n_calls: int = 0) -> None:
    """Return once all nodes are alive, so many calls are up, and each has an heir elsewhere. Raises: AssertionError."""
    end_s = time.monotonic() + 180
    while True:
        done = await command(cluster.made["central-1"], "cluster", "status", "--json")
        nodes: list[dict[str, Any]] = [json.loads(line) for line in done.out.splitlines()]
        is_alive = len(nodes) == len(cluster.nodes) and {one["state"] for one in nodes} == {"alive"}
        if is_alive and sum(one["calls"] for one in nodes) >= n_calls and not any(one["without_heir"] for one in nodes):
            return
        assert time.monotonic() < end_s, done.out + done.err
        await asyncio.sleep(1.0)


async def _pid(cluster: Cluster, name: str) -> str:
    return (await cluster.made[name].run("systemctl show --property=MainPID --value ringmaster.service")).out.strip()
