"""The errors of the room: what can be wrong with a node that its operator can mend, in one clear line.

NodeError
  ConfigError   (nodes/tables.py)    the configuration, with file, key and reason
  AlreadyUp     (nodes/lock.py)      another node runs with the same state directory
  PortTaken     (nodes/holdings.py)  a port that the configuration names is in use
  LinkError     (nodes/links)        a bus, or the process at its other end
  SpeechError   (nodes/speech)       a model, a voice, an engine
  ...           each process's and command's own, beside the code that raises it
"""

from __future__ import annotations

import errno
from typing import Final

DEBUG: Final = "RINGMASTER_DEBUG"
"""The environment variable that asks for tracebacks; `--debug` sets it."""


class NodeError(Exception):
    """The root. Its text is shown to the operator as it is: it names the file, key, port or process."""


def in_words(error: BaseException) -> str:
    """Return what an operator is told of an error: of several, the first; a surprise with its type.

    >>> in_words(FileNotFoundError(2, "No such file or directory", "contacts.csv"))
    'contacts.csv: No such file or directory'
    >>> in_words(ExceptionGroup("", [KeyError("x")]))
    "KeyError: 'x'"
    """
    if isinstance(error, BaseExceptionGroup):
        return in_words(error.exceptions[0])
    if isinstance(error, NodeError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)  # of a copy, its target is
        file = (is_full and error.filename2) or error.filename
        return f"{file}: {error.strerror}" if file else error.strerror
    return f"{type(error).__name__}: {error}"


__all__ = ["DEBUG", "NodeError", "in_words"]
