"""The errors of the room: what can be wrong with a node that its operator can mend, in one clear line.

NodeError
  ConfigError   (nodes/config.py)  the configuration, with file, key and reason
  NoMedia       (nodes/edge)       no media process has a free port
  ...           each process's own, beside the code that raises it
"""


class NodeError(Exception):
    """The root. Its text is shown to the operator as it is: it names the file, key, port or process."""


__all__ = ["NodeError"]
