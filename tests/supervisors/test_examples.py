"""The examples in the docstrings of the kernel are true."""

import doctest
import importlib
import pkgutil

import pytest

import supervisors

MODULES = ["supervisors", *(f"supervisors.{module.name}" for module in pkgutil.iter_modules(supervisors.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_front_door_has_what_it_says() -> None:
    assert len(set(supervisors.__all__)) == len(supervisors.__all__)
    for name in supervisors.__all__:
        assert hasattr(supervisors, name), name
