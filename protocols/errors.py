"""The errors of this room.

    ProtocolError
      LocalProtocolError      we asked for something the protocol forbids: a bug on our side
      RemoteProtocolError     they sent something the protocol forbids: never leaves its machine

A machine catches `RemoteProtocolError` where the bytes come in and turns it into an effect: an answer such as 400,
or a counted drop. `LocalProtocolError` reaches the caller, whose supervisor restarts them.
"""


class ProtocolError(Exception):
    """The root of this room's errors. `what` names the rule that was broken, in one word or a few."""

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(f"{what}: {detail}" if detail else what)
        self.what = what
        self.detail = detail


class LocalProtocolError(ProtocolError):
    """We broke the rule: the call site is wrong, no peer can cause it."""


class RemoteProtocolError(ProtocolError):
    """They broke the rule. `code` is the status a server would answer with (400 where the protocol has none)."""

    def __init__(self, what: str, detail: str = "", code: int = 400) -> None:
        super().__init__(what, detail)
        self.code = code


__all__ = ["LocalProtocolError", "ProtocolError", "RemoteProtocolError"]
