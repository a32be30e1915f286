"""Decoders between utterances: kept, freed, never more than there may be."""

import pytest

from nodes.speech.errors import EngineBusy, EngineFailed
from nodes.speech.pool import Pool


class Makes:
    def __init__(self) -> None:
        self.n, self.fails = 0, False
        self.freed: list[int] = []

    def __call__(self) -> int:
        if self.fails:
            raise EngineFailed("no memory")
        self.n += 1
        return self.n


def pool(makes: Makes, most: int = 3, kept: int = 2) -> Pool[int]:
    return Pool(makes, makes.freed.append, most=most, kept=kept)


def test_one_that_comes_back_is_there_for_the_next_and_one_that_suits_comes_first() -> None:
    of = pool(Makes())
    first, second = of.take(), of.take()
    of.give_back(first)
    of.give_back(second)
    assert of.take(lambda one: one == first) == first
    assert of.take(lambda one: one == first) == second, "better than a new one"


def test_there_are_so_many_at_most_and_one_that_is_back_or_has_failed_makes_room() -> None:
    of = pool(makes := Makes())
    taken = [of.take() for _ in range(3)]
    with pytest.raises(EngineBusy):
        of.take()
    of.discard(taken.pop())
    assert of.take() == 4
    assert makes.freed == [3]


def test_one_that_could_not_be_made_takes_nobodys_place() -> None:
    of = pool(makes := Makes(), most=1)
    makes.fails = True
    for _ in range(3):
        with pytest.raises(EngineFailed):
            of.take()
    makes.fails = False
    assert of.take() == 1


def test_more_than_are_kept_are_freed_and_all_once_nobody_hears_any_more() -> None:
    of = pool(makes := Makes())
    taken = [of.take() for _ in range(3)]
    for one in taken:
        of.give_back(one)
    assert makes.freed == [3]
    under_way = of.take()
    of.close()
    assert makes.freed == [3, 1]
    of.give_back(under_way)
    assert makes.freed == [3, 1, 2]
