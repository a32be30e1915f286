"""The served API does what its document says; `make soak SOAK=document` asks as every role, and for longer."""

from pathlib import Path

import pytest

from nodes.admin.roles import Role
from nodes.links import trees
from tests.nodes.admin.conftest import Rig
from tests.nodes.admin.document import held


async def test_the_api_does_what_its_document_says(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "OVER_S", 0.01)
    await held(rig, Role.LEAD, 1, tmp_path)
