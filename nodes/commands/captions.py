"""A call as a person follows it in the terminal: who says what, line by line, from its events."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from protocols.wire.events import CallEvent, Kind

BOT, CALLEE, FACT = "cyan", "green", "dim"


class Captions:
    """Prints events as they come. `names`: call id -> what the call is called in front of its lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.names: dict[str, str] = {}

    def show(self, event: CallEvent) -> None:
        """Print one event, if there is something in it for a reader."""
        if line := caption(event):
            who = self.names.get(event.call_id, event.call_id[:8])
            self._console.print(f"[bold]{escape(who):>14}[/]  {line}", highlight=False)

    def say(self, line: str) -> None:
        """Print a line that is no call's."""
        self._console.print(f"{'':>14}  [bold red]{escape(line)}[/]", highlight=False)


def caption(event: CallEvent) -> str:
    """Return the event as one line of rich markup; empty for what only machines care about."""
    told = event.fields
    match event.kind:
        case Kind.RINGING:
            return f"[{FACT}]rings[/]"
        case Kind.ANSWERED:
            return f"[{FACT}]answered after {told['after_ms']} ms[/]"
        case Kind.PROMPT_STARTED:
            answer = f" [{FACT}]({told['answer_ms']} ms)[/]" if "answer_ms" in told else ""
            return f"[{BOT}]robot   {escape(str(told['spoken']))}[/]{answer}"
        case Kind.HEARD:
            return f"[{CALLEE}]callee  {escape(str(told['words']))}[/] [{FACT}]= {escape(_meant(event))}[/]"
        case Kind.NOMATCH:
            return f"[{CALLEE}]callee  ...[/] [{FACT}]not understood[/]"
        case Kind.NOINPUT:
            return f"[{CALLEE}]callee[/]  [{FACT}]silence[/]"
        case Kind.DTMF:
            return f"[{CALLEE}]callee  presses {told['digit']}[/]"
        case Kind.PROMPT_ENDED if told.get("is_cut"):
            return f"[{FACT}]robot stops: interrupted[/]"
        case Kind.MACHINE_DETECTED:
            return f"[{FACT}]an answering machine ({told.get('evidence', '')})[/]"
        case Kind.OPT_OUT:
            return "[yellow]opted out: on the do-not-call list[/]"
        case Kind.RECOVERED:
            return f"[yellow]{told['what']} died; the call goes on[/]"
        case Kind.HANDOVER_DONE:
            return f"[yellow]with agent {escape(str(told['agent_id']))} after {told['ms']} ms[/]"
        case Kind.HANDOVER_FAILED:
            return f"[yellow]no agent: {escape(str(told['reason']))}[/]"
        case Kind.FETCH_FAILED:
            return f"[yellow]the business API did not answer: {escape(str(told['reason']))}[/]"
        case Kind.ENDED:
            return f"[bold]{told['disposition']}[/] [{FACT}]{told['cause']}, {told['duration_s']:.1f} s[/]"
        case _:
            return ""


def _meant(event: CallEvent) -> str:
    slots = event.fields.get("slots")
    value = slots.get("value", "") if isinstance(slots, dict) else ""
    intent = str(event.fields["intent"])
    return f"{intent} {value}".strip() if value != intent else intent


__all__ = ["Captions", "caption"]
