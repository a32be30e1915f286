"""`ringmaster script check|talk`: what is wrong with a script, and how it talks, without a telephone."""

from __future__ import annotations

import argparse
import sys
from datetime import date

from rich.console import Console
from rich.text import Text

from grammars import conversation_state as says
from grammars.conversation import Conversation
from grammars.rules.compile import compile_rule
from grammars.rules.ruleset import RuleSet
from grammars.script_model import Script
from nodes.commands.scripts import BadScript, BadSlots, check_script, check_slots, find_script, read_slots
from nodes.commands.terminal import console, emit, hang
from nodes.speech.synthesiser import spoken
from protocols.floor import Listen, NotUnderstood, Pressed, PromptEnded, Silence, Understood
from protocols.handover import HandoverFailed

KEYS = "0123456789*#"


def describe(parser: argparse.ArgumentParser) -> None:
    """Check or talk, and to which script."""
    parser.add_argument("what", choices=("check", "talk"))
    parser.add_argument("script", nargs="+", help="a script's file, or the name of a shipped one")
    parser.add_argument("--slot", action="append", default=[], metavar="NAME=VALUE", help="talk: a contact's column")
    parser.add_argument("--json", action="store_true", help="check: one JSON object a script")


def run(args: argparse.Namespace) -> int:
    """0 when every script is right, or the talk came to its end."""
    if args.what == "check":
        return max([_check(name, args.json) for name in args.script])
    if len(args.script) > 1:
        raise BadSlots(f"talk: one script at a time, not {len(args.script)}")
    script, slots = check_script(args.script[0]).script, read_slots(args.slot)
    check_slots(script, slots)
    return talk(script, slots, console())


def _check(name: str, as_json: bool) -> int:
    """Say what is wrong with a script, one line each as compilers do, or that nothing is."""
    path, reasons = find_script(name), []
    try:
        script = check_script(name).script
    except BadScript as error:
        script, reasons = None, [[each.line, each.reason] for each in error.reasons]
    if as_json:
        emit({"script": str(path), "ok": script is not None, "reasons": reasons})
    elif script:
        print(f"{path}: {script.flow} {script.version}, {len(script.states)} states, hash {script.hash[:12]}")
    for line, reason in [] if as_json else reasons:
        print(f"{path}:{line}: {reason}")
    return 0 if script else 1


def talk(script: Script, slots: dict[str, str], to: Console) -> int:
    """Run the conversation with a person at the keyboard, or with the lines of a file, until one of them hangs up."""
    to.print("You are the callee: type an answer, a key (0-9 * #), nothing for silence; Ctrl-D hangs up.", style="dim")
    if not sys.stdin.isatty():
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]  # a text file, as it is here
    talking = _Talk(script, slots, to)
    talking.happened(says.Begin())
    while not talking.is_over:
        try:
            typed = to.input(Text("you     ", "green"))
        except EOFError:
            to.print("(hangs up)", style="dim")
            talking.happened(says.HungUp())
            break
        if not sys.stdin.isatty():
            to.print(typed, markup=False)  # what a terminal would have shown
        talking.hear(typed)
    known = " ".join(f"{name}={value!r}" for name, value in dict(talking.state.slots).items())
    hang(to, Text(f"{talking.state.disposition}  ", "bold"), Text(known, "dim"))
    return 0


class _Talk:
    """The conversation machine, with the keyboard for ears and the screen for a mouth."""

    def __init__(self, script: Script, slots: dict[str, str], console: Console) -> None:
        self._conversation = Conversation(script, says.ConversationState.new(script, slots))
        self._rules = {name: compile_rule(spec, date.today()) for name, spec in script.rules.items()}  # noqa: DTZ011  here and now
        self._console = console
        self._listen: Listen | None = None
        self.is_over = False

    @property
    def state(self) -> says.ConversationState:
        return self._conversation.state

    def hear(self, typed: str) -> None:
        """Take a line for an answer."""
        text = typed.strip()
        if not text:
            return self.happened(Silence())
        rules = self._listen.rules if self._listen else ()
        if meaning := RuleSet({name: self._rules[name] for name in rules}).read(text):
            values = [value for value in dict(meaning.slots).values() if value != meaning.intent]
            self._note(" ".join(["=", meaning.intent, *values]))
            return self.happened(Understood(meaning, text))
        self.happened(Pressed(text) if text in tuple(KEYS) else NotUnderstood(text))

    def happened(self, given: says.Input) -> None:
        """Step the conversation; what cannot be done at a keyboard fails, as it would on a bare node."""
        waiting: list[says.Input] = []
        for effect in self._conversation.step(given):
            match effect:
                case says.Say(prompts=prompts):
                    text = " ".join(map(spoken, prompts))
                    hang(self._console, Text("robot   ", "dim"), Text(text, "cyan"))
                    waiting.append(PromptEnded())
                case Listen():
                    self._listen = effect
                case says.Fetch(url=url):
                    self._note(f"asks {url}, where at a keyboard nobody answers")
                    waiting.append(says.FetchFailed("keyboard"))
                case says.Enqueue(skill=skill):
                    self._note(f"hands over to an agent for {skill}, of whom at a keyboard there is none")
                    waiting.append(HandoverFailed("keyboard"))
                case says.HangUp():
                    self.is_over = True
                case _:
                    pass
        for one in waiting:
            self.happened(one)

    def _note(self, text: str) -> None:
        hang(self._console, Text(" " * 8), Text(text, "dim"))


__all__ = ["describe", "run", "talk"]
