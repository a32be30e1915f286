"""Calls as a person follows them in the terminal: who says what, line by line, from their events.

      survey 3  robot   How satisfied are you, from one to ten?
      survey 3  callee  it's two = number 2
      survey 3  robot   I am sorry to hear that. Would you like to talk to a colleague
                        about it?

A line is a call's name, who speaks, and what was said; what does not fit goes on below itself.
"""

from __future__ import annotations

from itertools import cycle

from rich.console import Console
from rich.text import Text

from nodes.commands.terminal import hang
from protocols.wire.events import CallEvent, Kind

NAME, SPEAKER = 16, 6
"""Columns of the call's name and of who speaks."""
COLOURS = ("cyan", "magenta", "blue", "green", "yellow", "bright_cyan", "bright_magenta", "bright_blue")
"""Of calls, in turn, so that the eye can follow one of many."""
DETAILS = (Kind.RINGING,)
"""What is worth a line when there is but one call."""


class Captions:
    """Prints events as they come. `names`: call id -> what the call is called in front of its lines.

    A call without a name is called after its campaign, and numbered. `details`: leave nothing out.
    """

    def __init__(self, console: Console, *, details: bool = False) -> None:
        self._console, self._details = console, details
        self.names: dict[str, str] = {}
        self._colours: dict[str, str] = {}
        self._next_colour = cycle(COLOURS)

    def show(self, event: CallEvent) -> None:
        """Print one event, if there is something in it for a reader."""
        said = caption(event)
        if said and (self._details or event.kind not in DETAILS):
            self._line(self._name(event), *said)

    def say(self, line: str) -> None:
        """Print a line that is no call's."""
        self._line(Text(), "", Text(line, "bold red"))

    def _name(self, event: CallEvent) -> Text:
        first = (event.campaign_id or "call").partition("_")[0]
        number = len(self.names) + 1
        name = self.names.setdefault(event.call_id, f"{first[: NAME - 4]} {number}")
        if event.call_id not in self._colours:
            self._colours[event.call_id] = next(self._next_colour)
        return Text(name[:NAME], self._colours[event.call_id])

    def _line(self, name: Text, speaker: str, said: Text) -> None:
        name.align("right", NAME)
        hang(self._console, Text.assemble(name, "  ", (f"{speaker:<{SPEAKER}}", "dim"), "  "), said)


def caption(event: CallEvent) -> tuple[str, Text] | None:
    """Return who speaks (empty: nobody) and what; None for what only machines care about."""
    told = event.fields
    match event.kind:
        case Kind.PROMPT_STARTED:
            after = f"  {told['answer_ms']}ms" if "answer_ms" in told else ""
            return "robot", Text.assemble(str(told["spoken"]), (after, "dim"))
        case Kind.HEARD:
            return "callee", Text.assemble((str(told["words"]), "bold"), (f" = {_meant(event)}", "dim"))
        case Kind.NOMATCH:
            return "callee", Text.assemble((str(told["words"]) or "...", "bold"), (" not understood", "dim"))
        case Kind.NOINPUT:
            return "callee", Text("silence", "dim")
        case Kind.DTMF:
            return "callee", Text(f"presses {told['digit']}", "bold")
    fact = _fact(event)
    return ("", Text(*fact)) if fact else None


def _fact(event: CallEvent) -> tuple[str, str] | None:
    """Return what has happened in the call, and how it looks."""
    told = event.fields
    match event.kind:
        case Kind.RINGING:
            return "rings", "dim"
        case Kind.ANSWERED:
            return f"answers after {float(str(told['after_ms'])) / 1000:.1f} s", "dim"
        case Kind.PROMPT_ENDED if told.get("is_cut"):
            return "interrupted", "dim"
        case Kind.MACHINE_DETECTED:
            return f"an answering machine ({told.get('evidence', '')})", "dim"
        case Kind.OPT_OUT:
            return "opted out: on the do-not-call list", "yellow"
        case Kind.RECOVERED:
            return f"{WHO_DIED.get(str(told['what']), told['what'])} died; the call goes on", "yellow"
        case Kind.HANDOVER_DONE:
            return f"with agent {told['agent_id']} after {told['ms']} ms", "yellow"
        case Kind.HANDOVER_FAILED:
            return f"no agent: {told['reason']}", "yellow"
        case Kind.FETCH_FAILED:
            return f"the business API did not answer: {told['reason']}", "yellow"
        case Kind.ENDED:
            after = f" after {told['duration_s']:.1f} s" if told["duration_s"] else ""
            return f"{told['disposition']} ({told['cause']}){after}", "bold"
    return None


WHO_DIED = {"engine": "its speech engine", "call": "its edge"}


def _meant(event: CallEvent) -> str:
    slots = event.fields.get("slots")
    value = slots.get("value", "") if isinstance(slots, dict) else ""
    intent = str(event.fields["intent"])
    return f"{intent} {value}".strip() if value != intent else intent


__all__ = ["Captions", "caption"]
