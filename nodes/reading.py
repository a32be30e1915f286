"""JSON as bytes from outside: whatever is wrong with it is a `ValueError`, also that it nests deeper than parsers go.

msgspec tells of everything that is no JSON with its `DecodeError`, and of 3,000 open brackets with Python's own
`RecursionError`, which those who expect strangers' bytes did not: so all of `nodes` reads through here.
"""

from __future__ import annotations

from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")


@overload
def read_json(data: bytes | bytearray | str) -> Any: ...
@overload
def read_json(data: bytes | bytearray | str, wanted: type[T]) -> T: ...
def read_json(data: bytes | bytearray | str, wanted: Any = Any) -> Any:
    """Return the value, of the wanted type. Raises: `msgspec.DecodeError`, which is a `ValueError`, and nothing else.

    >>> read_json(b"[" * 100_000)
    Traceback (most recent call last):
    msgspec.DecodeError: nested too deeply
    """
    try:
        return msgspec.json.decode(data, type=wanted)
    except RecursionError as error:
        raise msgspec.DecodeError("nested too deeply") from error
    except ValueError as error:
        if isinstance(error, msgspec.DecodeError):
            raise
        raise msgspec.DecodeError(str(error)) from error


__all__ = ["read_json"]
