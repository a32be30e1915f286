"""`ringmaster script check|talk`: what is wrong with a script, and how it talks, without a telephone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import date

from rich.console import Console

from grammars import conversation_state as says
from grammars.conversation import Conversation
from grammars.errors import ScriptError, UnknownWord
from grammars.lexicon import pronounce
from grammars.rules.compile import compile_rule
from grammars.rules.ruleset import RuleSet
from grammars.script import load
from grammars.script_model import Script
from grammars.spoken import verbalise
from nodes.commands.scripts import find_script
from protocols.floor import Listen, NotUnderstood, Pressed, PromptEnded, Silence, Understood
from protocols.handover import HandoverFailed


def describe(parser: argparse.ArgumentParser) -> None:
    """Check or talk, and to which script."""
    parser.add_argument("what", choices=("check", "talk"))
    parser.add_argument("script", nargs="+", help="a script's file, or the name of a shipped one")
    parser.add_argument("--slot", action="append", default=[], metavar="NAME=VALUE", help="talk: a contact's column")
    parser.add_argument("--json", action="store_true", help="check: one JSON object a script")


def run(args: argparse.Namespace) -> int:
    """0 when every script is right, or the talk came to its end."""
    if args.what == "check":
        return max(_check(name, args.json) for name in args.script)
    slots = dict(pair.partition("=")[::2] for pair in args.slot)
    return talk(load(find_script(args.script[0]).read_text()), slots, Console())


def _check(name: str, as_json: bool) -> int:
    path = find_script(name)
    try:
        script = load(path.read_text(encoding="utf-8"), _pronounceable)
        reasons: Sequence[tuple[int, str]] = ()
    except ScriptError as error:
        script, reasons = None, [(reason.line, reason.reason) for reason in error.reasons]
    except UnicodeDecodeError as error:
        script, reasons = None, [(1, f"not UTF-8: {error.reason} at byte {error.start}")]
    if as_json:
        print(json.dumps({"script": str(path), "ok": script is not None, "reasons": [list(one) for one in reasons]}))
    elif script:
        print(f"{path}: {script.flow} {script.version}, {len(script.states)} states, hash {script.hash[:12]}")
    for line, reason in () if as_json else reasons:
        print(f"{path}:{line}: {reason}")
    return 0 if script else 1


def _pronounceable(word: str) -> bool:
    try:
        return bool(pronounce(word))
    except UnknownWord:
        return False


def talk(script: Script, slots: dict[str, str], console: Console) -> int:
    """Run the conversation with a person at the keyboard. An empty line is silence; a single key is pressed."""
    if problems := script.problems(slots):
        console.print("needs --slot for: " + "; ".join(problems))
        return 2
    talking = _Talk(script, slots, console)
    talking.happened(says.Begin())
    while not talking.is_over:
        try:
            talking.hear(console.input("[green]you     [/]"))
        except EOFError:
            talking.happened(says.HungUp())
            break
    console.print(f"[bold]{talking.state.disposition}[/] {dict(talking.state.slots)}")
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
        if not typed.strip():
            return self.happened(Silence())
        if len(typed.strip()) == 1 and typed.strip() in "0123456789*#":
            return self.happened(Pressed(typed.strip()))
        heard = RuleSet({name: self._rules[name] for name in self._listen.rules}) if self._listen else None
        meaning = heard.read(typed) if heard else None
        if meaning is None:
            return self.happened(NotUnderstood(typed))
        self._console.print(f"[dim]        = {meaning.intent} {dict(meaning.slots) or ''}[/]")
        self.happened(Understood(meaning, typed))

    def happened(self, given: says.Input) -> None:
        """Step the conversation; what cannot be done at a keyboard fails, as it would on a bare node."""
        waiting: list[says.Input] = []
        for effect in self._conversation.step(given):
            match effect:
                case says.Say(prompts=prompts):
                    text = " ".join(verbalise(part.text, part.kind) for prompt in prompts for part in prompt)
                    self._console.print(f"[cyan]robot   {text}[/]", highlight=False)
                    waiting.append(PromptEnded())
                case Listen():
                    self._listen = effect
                case says.Fetch(url=url):
                    self._console.print(f"[dim]        asks {url}: nobody there[/]")
                    waiting.append(says.FetchFailed("keyboard"))
                case says.Enqueue(skill=skill):
                    self._console.print(f"[dim]        hands over to {skill}: nobody there[/]")
                    waiting.append(HandoverFailed("keyboard"))
                case says.HangUp():
                    self.is_over = True
                case _:
                    pass
        for one in waiting:
            self.happened(one)


__all__ = ["describe", "run", "talk"]
