"""A run of the conformance tests alone ends with their score."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.score import Score


def pytest_configure(config: pytest.Config) -> None:
    """Keep the score when nothing else was asked for."""
    if [Path(one).resolve() for one in config.args] == [Path(__file__).parent]:
        config.pluginmanager.register(Score(), "conformance-score")
