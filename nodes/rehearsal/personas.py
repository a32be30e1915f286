"""The manners of callees, as a table: what each does that an ordinary, cooperative callee does not.

The recipe is a dialer's own load test: what the far end does is chosen by the dialled name (anchors: VICIdial).
`sip:interrupts-3@host` is the third one who interrupts; the number is the seed's. On a line that sends
back what it hears it is `sip:interrupts-3-echo@host`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Persona:
    """One manner. Everything not said is what the cooperative callee does."""

    reject: int = 0
    """Answer the INVITE with this status code."""
    picks_up: bool = True
    greeting: str = "hello"
    """The first words; empty: waits in silence."""
    beep: bool = False
    """After the greeting a tone, and nothing more is said: a machine."""
    speaks: bool = True
    intent: str = ""
    """The global intent that is said instead of the first answer."""
    yes_no: str = ""
    """This answer where yes or no is asked for the first time."""
    barges_in_s: float = 0.0
    """Answer so many seconds after a prompt has begun, instead of after its end."""
    hangs_up_after: int = 0
    """Hang up after so many prompts."""
    echo_db: float = 0.0
    """Their line sends back what it hears, so loud against what it was; 0: it does not."""
    echo_ms: float = 0.0
    """And so late."""


PERSONAS: Mapping[str, Persona] = {
    "cooperative": Persona(),
    "refuses": Persona(yes_no="no"),
    "interrupts": Persona(barges_in_s=1.5),
    "silent": Persona(greeting="", speaks=False),
    "human": Persona(intent="human"),
    "optout": Persona(intent="stop"),
    "voicemail": Persona(
        greeting=(
            "hello you have reached the voice mail of the johnson family we are sorry that we cannot come to the "
            "phone right now please leave your name and your number after the tone and we will call you back"
        ),
        beep=True,
        speaks=False,
    ),
    "hangsup": Persona(hangs_up_after=1),
    "busy": Persona(reject=486),
    "noanswer": Persona(picks_up=False),
}

LINES: Mapping[str, tuple[float, float]] = {"echo": (-14.0, 45.0), "late": (-20.0, 180.0)}
"""Echo in dB and ms, by the last part of the dialled name: a near exchange's, and a mobile's."""


def persona_of(user: str) -> Persona:
    """Return the manner of the dialled name, on its line; an unknown one cooperates.

    >>> persona_of("busy-2").reject, persona_of("anybody").reject
    (486, 0)
    >>> persona_of("refuses-2-echo").yes_no, persona_of("refuses-2-echo").echo_db
    ('no', -14.0)
    """
    manner, *rest = user.split("-")
    persona = PERSONAS.get(manner, PERSONAS["cooperative"])
    echo_db, echo_ms = LINES.get(rest[-1] if rest else "", (0.0, 0.0))
    return replace(persona, echo_db=echo_db, echo_ms=echo_ms)


__all__ = ["LINES", "PERSONAS", "Persona", "persona_of"]
