"""The identities that travel between processes. Each is an opaque string; only its maker knows how it was made."""

from typing import Final, NewType

CallId = NewType("CallId", str)
"""One answered-or-not telephone call: all its legs and its conversation."""
AttemptId = NewType("AttemptId", str)
"""One dial of one contact: the id of its call, too, so that no edge dials it twice."""
CampaignId = NewType("CampaignId", str)
ChannelId = NewType("ChannelId", str)
"""One stream of call audio inside a media process: one RTP socket, or one audio link."""
Identity = NewType("Identity", str)
"""A process of this boot: `node.process:boot-epoch`. A restarted process is a new identity."""
NodeId = NewType("NodeId", str)
ScriptHash = NewType("ScriptHash", str)
"""blake2b-128 of a script's bytes, in hex: what a call is pinned to."""
PromptHash = NewType("PromptHash", str)
"""blake2b-128 of voice, rate and spoken text, in hex, and `FILLED` where some of that is a slot's: the name of a file
of G.711 mu-law."""
FILLED: Final = "s"
"""Ends the name of a prompt in which something is said that is one person's; no hash in hex does."""


def is_filled(prompt: str) -> bool:
    """Say whether a prompt, by its name, has the value of a slot in it: a name, an amount.

    >>> is_filled("9f86d081884c7d659a2feaa0c55ad015s"), is_filled("9f86d081884c7d659a2feaa0c55ad015"), is_filled("s")
    (True, False, False)
    """
    return len(prompt) == 33 and prompt.endswith(FILLED)


def node_of(identity: Identity) -> NodeId:
    """Return the node of a process.

    >>> node_of(Identity("n1.media-0:5f3a"))
    'n1'
    """
    return NodeId(identity.partition(".")[0])


def process_of(identity: Identity) -> str:
    """Return the name of a process on its node: its successor has the same.

    >>> process_of(Identity("n1.media-0:5f3a"))
    'media-0'
    """
    return identity.partition(".")[2].partition(":")[0]


__all__ = [
    "AttemptId",
    "CallId",
    "CampaignId",
    "ChannelId",
    "FILLED",
    "Identity",
    "NodeId",
    "PromptHash",
    "ScriptHash",
    "is_filled",
    "node_of",
    "process_of",
]
