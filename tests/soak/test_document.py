"""The served API held to its document by schemathesis, as nobody and as every role.

make soak SOAK=document          three minutes; the last lines are its own counts
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.admin.roles import Role
from nodes.links import trees
from tests.nodes.admin.conftest import Rig, rig  # noqa: F401  a fixture
from tests.nodes.admin.document import NOBODY, held

N_EXAMPLES = 100


@pytest.mark.parametrize("who", [NOBODY, *Role])
async def test_the_api_does_what_its_document_says_whoever_asks(
    rig: Rig,  # noqa: F811
    who: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    say: Callable[[str], None],
) -> None:
    monkeypatch.setattr(trees, "OVER_S", 0.01)
    said = await held(rig, who, N_EXAMPLES, tmp_path)
    say(f"{who}: {next(line.strip() for line in said.splitlines() if 'generated' in line)}")
