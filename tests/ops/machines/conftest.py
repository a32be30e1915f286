"""Tests of machines are asked for by name: where none can be had they fail and say why, and do not skip."""

from __future__ import annotations

import pytest

from tests.ops.machines.machine import missing
from tests.soak.conftest import say

__all__ = ["say"]


@pytest.fixture(scope="session", autouse=True)
def _machines_can_be_had() -> None:
    if said := missing():
        pytest.fail("there are no machines to be had here:\n" + "\n".join(said), pytrace=False)
