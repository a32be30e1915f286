"""The measurement measures: in a process of its own, because it takes the scheduling class of a media process."""

import json
import subprocess
import sys

_RUN = """
import asyncio, dataclasses, json
from nodes.media.bench import measure
print(json.dumps([dataclasses.asdict(row) for row in asyncio.run(measure([2, 5], seconds=2.0, recording=True))]))
"""


def test_every_packet_that_was_sent_is_received_and_what_is_spoken_is_heard() -> None:
    done = subprocess.run([sys.executable, "-c", _RUN], check=True, capture_output=True, text=True, timeout=300)
    rows = json.loads(done.stdout)
    assert [row["calls"] for row in rows] == [2, 5]
    for row in rows:
        assert 0.5 < row["received_share"] < 1.5
        assert row["frames_heard"] > 0
        assert 0 < row["floor_us"] < row["cpu_us"]
        assert row["late_p50_ms"] <= row["late_p99_ms"] <= row["late_max_ms"] + 0.1
