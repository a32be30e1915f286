"""Work beside a process's main line: what fails alone is restarted alone, and a process that cannot work ends."""

import asyncio

import pytest

from nodes.links.work import working
from supervisors import Backoff, TreeDown
from supervisors.testing import virtual

PAUSE = Backoff(first_s=0.5, top_s=0.5, jitter=0.0, reset_after_s=60.0)


class Piece:
    """Fails so many times, then goes on; or ends."""

    def __init__(self, n_fails: int = 0, ends: bool = False) -> None:
        self.n_fails, self.ends = n_fails, ends
        self.began_s: list[float] = []
        self.n_cancelled = 0

    async def go_on(self) -> None:
        loop = asyncio.get_running_loop()
        self.began_s.append(loop.time())
        await asyncio.sleep(0.1)
        if len(self.began_s) <= self.n_fails:
            raise RuntimeError("a bug")
        try:
            await asyncio.sleep(0.0 if self.ends else 3600.0)
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise


@virtual
async def test_what_fails_is_begun_anew_after_a_pause_and_nothing_else_is() -> None:
    clumsy, steady = Piece(n_fails=2), Piece()
    async with working({"clumsy": clumsy.go_on, "steady": steady.go_on}, pause=PAUSE):
        await asyncio.sleep(10.0)
    assert clumsy.began_s == pytest.approx([0.0, 0.6, 1.2])
    assert steady.began_s == [0.0]
    assert (clumsy.n_cancelled, steady.n_cancelled) == (1, 1)  # they have ended with the block


@virtual
async def test_what_is_done_is_not_begun_again() -> None:
    piece = Piece(ends=True)
    async with working({"once": piece.go_on}):
        await asyncio.sleep(10.0)
    assert len(piece.began_s) == 1


@virtual
async def test_a_process_in_which_a_piece_cannot_go_on_ends() -> None:
    clumsy = Piece(n_fails=100)
    with pytest.raises(TreeDown):
        async with working({"clumsy": clumsy.go_on}, intensity=3, pause=PAUSE):
            await asyncio.sleep(3600.0)
    assert len(clumsy.began_s) == 4


@virtual
async def test_why_a_piece_has_failed_is_told_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    async with working({"clumsy": Piece(n_fails=1).go_on}, pause=PAUSE):
        await asyncio.sleep(10.0)
    said = "".join(capsys.readouterr())
    assert "work.failed" in said
    assert "a bug" in said
