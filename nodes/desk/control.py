"""What a page and the desk say to each other over the WebSocket: JSON in text frames, audio in binary ones.

Audio is 20 ms of G.711 mu-law, 160 bytes, both ways. A text frame is one of these, with its name in `type`:

    the page says      fields                          when
    hello              token, agent, name, skills,     first, within 5 s; `agent` is empty for a phone
                       ready
    beat                                               every 10 s
    ready, not_ready                                   the agent wants calls, or no more after this one
    probed             call                            at once after `probe`
    shown              call                            the context is on the screen
    accept, decline    call                            the agent takes the call, or not
    finish             call                            the call is over for the agent
    wrapped_up                                         the after-call work is done
    call_me            script, slots                   a phone: call this browser

    the desk says      fields
    welcome            seat
    beat                                               to each beat: a page that hears none is on its own
    state              state (ready, talking, ...)
    probe              call                            are you there?
    context            call, context (four blocks)     show it, then say `shown`
    offer              call                            ring
    bridged            call                            you hear the caller from now on
    released           call                            it is not yours any more
    refused            reason                          this was not possible: one word
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from protocols.errors import RemoteProtocolError
from protocols.wire.ids import CallId

FRAME_BYTES: Final = 160
MAX_TEXT: Final = 64 * 1024
"""Bytes of a text frame: a script fits."""


def _written(name: str) -> str:
    """Return a class's name as it is written in `type`.

    >>> _written("NotReady")
    'not_ready'
    """
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class _Said(msgspec.Struct, frozen=True, tag=_written, tag_field="type"):
    """One text frame of a page."""


class Hello(_Said, frozen=True):
    """Who is there."""

    token: str
    agent: str = ""
    name: str = ""
    skills: tuple[str, ...] = ()
    ready: bool = False


class Beat(_Said, frozen=True):
    """The page lives."""


class Ready(_Said, frozen=True):
    """The agent wants calls."""


class NotReady(_Said, frozen=True):
    """The agent wants no more calls."""


class Probed(_Said, frozen=True):
    """The page has seen the probe for this call."""

    call: CallId


class Shown(_Said, frozen=True):
    """The context of this call is on the screen."""

    call: CallId


class Accept(_Said, frozen=True):
    """The person takes the call."""

    call: CallId


class Decline(_Said, frozen=True):
    """The person does not take the call."""

    call: CallId


class Finish(_Said, frozen=True):
    """The person ends the call."""

    call: CallId


class WrappedUp(_Said, frozen=True):
    """The after-call work is done."""


class CallMe(_Said, frozen=True):
    """Call this browser. `script`: a shipped script's name; `slots`: what a contact's columns would say."""

    script: str = "hello"
    slots: dict[str, str] = {}


Said: TypeAlias = (
    Hello | Beat | Ready | NotReady | Probed | Shown | Accept | Decline | Finish | WrappedUp | CallMe
)  # fmt: skip
_SAID: Final[msgspec.json.Decoder[Said]] = msgspec.json.Decoder(Said)


def read(text: str) -> Said:
    """Return what a page has said. Raises: `RemoteProtocolError` for what is not in the table.

    >>> read('{"type": "accept", "call": "c1"}')
    Accept(call='c1')
    """
    if len(text) > MAX_TEXT:
        raise RemoteProtocolError("too_long", f"{len(text)} characters")
    try:
        return _SAID.decode(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("malformed_control", str(error)) from error


def write(kind: str, **fields: Any) -> str:
    """Return what the desk says, as a text frame.

    >>> write("offer", call="c1")
    '{"type":"offer","call":"c1"}'
    """
    return msgspec.json.encode({"type": kind, **fields}).decode()


__all__ = [
    "Accept", "Beat", "CallMe", "Decline", "Finish", "Hello", "NotReady", "Probed", "Ready", "Said", "Shown",
    "WrappedUp", "FRAME_BYTES", "read", "write",
]  # fmt: skip
