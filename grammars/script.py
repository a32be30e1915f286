"""Reading a script: strict YAML in, a `Script` out, or every reason why not, each with its line.

This module reads the form: which fields there are and what each must be. `script_check.py` judges the sense: that every
state can be reached and left, that silence, opt-out and identification are seen to. A script with either kind of fault
is refused whole, before a call is placed; a running call keeps the script it began with, by its hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from grammars import script_check
from grammars.doubt import ANSWER, SURE, USUAL, YES_NO, words
from grammars.errors import BadRule, Reason, ScriptError
from grammars.lang import ENGLISH, LANGUAGES, pack
from grammars.rules.spec import INTENTS, MOST_PHRASES, RuleSpec
from grammars.script_model import (
    DISPOSITIONS,
    RULE_KINDS,
    URGENCIES,
    Action,
    Choice,
    Enqueue,
    Fetch,
    Gather,
    Hangup,
    Ladder,
    Redirect,
    Script,
    Slot,
    State,
    Verb,
)
from grammars.script_pack import MAX_PACKED, script_hash
from grammars.script_pack import pack as packed_script
from grammars.script_tree import Items, Reading, Table, Text, Tree, parse, plain
from grammars.spoken import unspeakable
from grammars.template import Kind, Sentence, Template, Value
from protocols.floor import Bargein
from protocols.pauses import COMPLETE_S, INCOMPLETE_S
from protocols.wire.ids import ScriptHash

_MOST_STATES = 200
_MOST_ACTIONS = 20
"""Actions to choose from at one place; a global choice is one of every state."""
_VERBS = ("listen", "fetch", "enqueue", "hangup", "redirect")
_LADDERS = ("nomatch", "noinput")
TIMEOUTS = ("noinput_s", "speech_s", "complete_s", "incomplete_s")
"""VoiceXML's `timeout`, `maxspeechtimeout`, `completetimeout` and `incompletetimeout`."""
_SLOT = re.compile(r"\{([^{}]*)\}")
_MARKUP = re.compile(r"</?[A-Za-z]")
_LABEL = r"[^/?#{}\s@:.\[\]]{1,63}"
_URL = re.compile(rf"https?://([^/{{}}\s@]*@)?(\[[0-9A-Fa-f:.]+\]|{_LABEL}(\.{_LABEL})*\.?)(:[0-9]+)?([/?#]\S*)?")


def load(text: str, pronounceable: Callable[[str], bool] | None = None) -> Script:
    """Return the script in `text`, checked.

    `pronounceable` says of a word whether it can be spoken and heard; without it words are not judged.
    Raises `ScriptError` with every reason found. Loading takes milliseconds: keep the result by its text.
    """
    reader = _Reader()
    script = reader.script(parse(text))
    if reasons := reader.reasons or script_check.check(script, pronounceable):
        raise ScriptError(reasons)
    packed = packed_script(script)
    if len(packed) > MAX_PACKED:
        raise ScriptError([Reason(1, f"the script is too long: packed it has {len(packed)} bytes, not {MAX_PACKED}")])
    return replace(script, hash=script_hash(packed))


class _Reader(Reading):
    """Reads each part of a script; later parts know the slots, rules and ladders of the earlier ones."""

    def __init__(self) -> None:
        super().__init__()
        self._language = ENGLISH
        self._slots: Mapping[str, Slot] = {}
        self._rules: dict[str, RuleSpec] = {}
        self._ladders: Mapping[str, Ladder] = {}
        self._confirms: Mapping[str, Template] = {}
        self._n_phrases = 0

    def script(self, tree: Tree) -> Script:
        """Read the whole."""
        needed = ("flow", "version", "initial", "global", "states")
        top = self.fields(tree, "the script", (*needed, "slots", "language", "recogniser"), needed)
        self._language = self.one_of(top.get("language"), "language", LANGUAGES, ENGLISH)
        self._rules = {name: RuleSpec(name, language=self._language) for name in (*INTENTS, YES_NO)}
        self._slots = {name: self._slot(each) for name, each in self.named(top.get("slots"), "slots")}
        common = self._common(top.get("global", Table(tree.line, {})))
        self._ladders = {name: self._ladder(common[name]) for name in _LADDERS if name in common}
        self._confirms = self._confirm(common.get("confirm"))
        states = dict(self.named(top.get("states"), "states"))
        if len(states) > _MOST_STATES:
            self.refuse(top["states"].line, f"a script has {_MOST_STATES} states at most")
            states = {}
        intents = {name: self._choice(common[name], name) for name in INTENTS if name in common}
        identify = self._template(common.get("identify"), "identify")
        known = _built_in(identify, words(self._language).get("wait", "")) | intents
        return Script(
            hash=ScriptHash(""),
            flow=self.text(top.get("flow"), "flow"),
            version=self.text(top.get("version"), "version"),
            initial=self._initial(top.get("initial")),
            slots=self._slots,
            rules=self._rules,
            identify=identify,
            intents=known,
            machine=self._choice(common.get("machine"), "machine"),
            exhausted=self._choice(common.get("exhausted"), "exhausted"),
            turns=int(self.number(common.get("turns"), "turns", 3, 100, 30)),
            states={name: self._state(name, each) for name, each in states.items()},
            language=self._language,
            recogniser=self.text(top["recogniser"], "recogniser") if "recogniser" in top else "",
            confirm={what: text for what, text in self._confirms.items() if what in (ANSWER, *known)},
        )

    def _initial(self, tree: Tree | None) -> Action:
        return Action(tree.line if tree else 1, redirect=self.text(tree, "initial"))

    def _common(self, tree: Tree) -> dict[str, Tree]:
        needed = ("identify", "stop", "machine", "exhausted")
        known = ("identify", *INTENTS, "machine", "exhausted", "turns", "confirm", *_LADDERS)
        return self.fields(tree, "global", known, needed)

    # ---- words and slots ------------------------------------------------------------------------------------------

    def _slot(self, tree: Tree) -> Slot:
        full = tree if isinstance(tree, Table) else Table(tree.line, {"kind": tree})
        entries = self.fields(full, "a slot", ("kind", "contact", "default"), ("kind",))
        kind = Kind(self.one_of(entries.get("kind"), "the kind", list(Kind), Kind.TEXT))
        default = self.text(entries.get("default"), "default")
        if default and not kind.fits(default):
            self.refuse(entries["default"].line, f"the default {default!r} is no {kind}")
        return Slot(tree.line, kind, self.flag(entries.get("contact"), "contact"), default)

    def _template(self, tree: Tree | None, what: str) -> Template:
        """Read words for the callee, split where a sentence ends."""
        raw = " ".join(self.text(tree, what).split())
        line = tree.line if tree else 0
        sentences = [each for each in pack(self._language).sentence_end.split(raw) if each]
        if _MARKUP.search(raw):
            self.refuse(line, f"{what} has markup, which is not spoken: write words; a comma or a full stop is a pause")
        if strange := unspeakable(raw, self._language):
            self.refuse(line, f"{what}: no voice here can say {strange!r}")
        longest = pack(self._language).longest_sentence
        if any(len(sentence) > longest for sentence in sentences):
            self.refuse(line, f"{what} has a sentence of more than {longest} characters: split it")
        return Template(line, tuple(self._sentence(sentence, line) for sentence in sentences))

    def _whole(self, tree: Tree | None, what: str) -> Template:
        """Read a text that is not for speaking, in one piece."""
        line = tree.line if tree else 0
        return Template(line, (self._sentence(self.text(tree, what), line),))

    def _sentence(self, raw: str, line: int) -> Sentence:
        pieces = _SLOT.split(raw)  # words, slot, words, slot, ..., words
        if any(brace in words for words in pieces[::2] for brace in "{}"):
            self.refuse(line, "a brace without its other half; slots are written {name} or {name:kind}")
        read = [self._value(piece, line) if at % 2 else piece for at, piece in enumerate(pieces)]
        return tuple(piece for piece in read if piece)

    def _value(self, raw: str, line: int) -> Value:
        name, _, kind = raw.partition(":")
        if name not in self._slots:
            self.refuse(line, f"there is no slot {name!r}")
            return Value(name, Kind.TEXT)
        return Value(
            name, Kind(self.one_of(Text(line, kind or self._slots[name].kind), "the kind", list(Kind), "text"))
        )

    def _confirm(self, tree: Tree | None) -> dict[str, Template]:
        """Read what is asked about what was perhaps not said: the script's words, else those of its language."""
        usual = {what: Text(0, text) for what, text in words(self._language).items() if what in (*SURE, ANSWER)}
        given = self.fields(tree, "confirm", (*SURE, ANSWER)) if tree else {}
        return {what: self._asked(what, each) for what, each in (usual | given).items()}

    def _asked(self, what: str, tree: Tree) -> Template:
        before, hole, after = self.text(tree, what).partition("{}")
        if bool(hole) is not (what == ANSWER) or "{" in before + after:
            self.refuse(tree.line, f"{what}: {{}} stands for an answer, once; there is no other slot here")
        pieces = (before, Value("", Kind.TEXT), after) if hole else (before,)
        return Template(tree.line, (tuple(piece for piece in pieces if piece),))

    # ---- actions --------------------------------------------------------------------------------------------------

    def _choice(self, tree: Tree | None, what: str) -> Choice:
        if tree is None:
            return ()
        options = tree.items if isinstance(tree, Items) else (tree,)
        choice = tuple(self._action(option, what) for option in options)
        if len(choice) > _MOST_ACTIONS:
            self.refuse(tree.line, f"{what} has more than {_MOST_ACTIONS} actions to choose from")
            return choice[:1]
        for action in choice[:-1]:
            if not action.when:
                self.refuse(action.line, f"{what}: what follows is never taken, because this has no `when`")
        if not choice or choice[-1].when:
            self.refuse(tree.line, f"{what}: the last action must have no `when`")
        return choice

    def _action(self, tree: Tree, what: str) -> Action:
        entries = self.fields(tree, what, ("when", "say", "tag", "reprompt", "redirect"))
        action = Action(
            line=tree.line,
            say=self._template(entries.get("say"), "say"),
            tag=self.text(entries.get("tag"), "tag"),
            reprompt=self.flag(entries.get("reprompt"), "reprompt"),
            redirect=self.text(entries.get("redirect"), "redirect"),
            when={name: self._wanted(each) for name, each in self.named(entries.get("when"), "when")},
        )
        if action.reprompt and action.redirect:
            self.refuse(tree.line, f"{what}: either `reprompt` or `redirect`")
        if not (action.say or action.reprompt or action.redirect) and isinstance(tree, Table):
            self.refuse(tree.line, f"{what} does nothing: it needs `say`, `reprompt` or `redirect`")
        return action

    def _wanted(self, tree: Tree) -> bool | tuple[str, ...]:
        if isinstance(tree, Text) and not tree.quoted and tree.value in ("true", "false"):
            return tree.value == "true"
        values = tree.items if isinstance(tree, Items) else (tree,)
        return tuple(self.text(value, "a value of `when`") for value in values)

    def _ladder(self, tree: Tree) -> Ladder:
        ladder = {
            self._count(step, each): self._choice(each, step) for step, each in self.table(tree, "a ladder").items()
        }
        if 1 not in ladder:
            self.refuse(tree.line, "a ladder begins with 1")
        return ladder

    def _count(self, raw: str, tree: Tree) -> int:
        return int(self.number(Text(tree.line, raw if raw.isdigit() else "-"), "a count", 1, 9, 1))

    # ---- states ---------------------------------------------------------------------------------------------------

    def _state(self, name: str, tree: Tree) -> State:
        entries = self.fields(tree, f"state {name}", ("say", "tag", *_VERBS, "on"))
        verbs = [verb for verb in _VERBS if verb in entries]
        if len(verbs) != 1:
            self.refuse(tree.line, f"state {name} needs exactly one of {', '.join(_VERBS)}")
        say = self._template(entries.get("say"), "say")
        verb = self._verb(name, verbs[0], entries) if len(verbs) == 1 else Hangup("failed")
        return State(tree.line, say, self.text(entries.get("tag"), "tag"), verb)

    def _verb(self, name: str, verb: str, entries: Mapping[str, Tree]) -> Verb:
        given = entries[verb]
        on = entries.get("on", Table(given.line, {}))
        if verb == "listen":
            return self._gather(name, given, on)
        if verb in ("fetch", "enqueue"):
            events = self._events(verb, on)
            return self._fetch(given, events) if verb == "fetch" else self._enqueue(given, events)
        if "on" in entries:
            self.refuse(on.line, f"nothing can happen in state {name} that `on` could answer")
        if verb == "redirect":
            return Redirect(self.text(given, "redirect"))
        return Hangup(self.one_of(given, "hangup", DISPOSITIONS, "failed"))

    def _events(self, verb: str, on: Tree) -> dict[str, Choice]:
        names = ("fetched", "failed") if verb == "fetch" else ("failed",)
        event = self.fields(on, "on", ("event",)).get("event", Table(on.line, {}))
        entries = self.fields(event, "event", names)
        for name in names:
            if name not in entries:
                self.refuse(event.line, f"{verb} must say what to do when it has {name}: on: event: {name}")
        return {name: self._choice(each, name) for name, each in entries.items()}

    def _gather(self, name: str, tree: Tree, on: Tree) -> Gather:
        entries = self.fields(tree, "listen", ("rule", "slot", "bargein", "timeouts", "confirm"), ("rule",))
        times = self.fields(entries.get("timeouts", Table(tree.line, {})), "timeouts", TIMEOUTS)
        events = self.fields(on, "on", ("match", *_LADDERS, "dtmf"), ("match",))
        own = {ladder: self._ladder(events[ladder]) for ladder in _LADDERS if ladder in events}
        for ladder in _LADDERS:
            if ladder not in own and ladder not in self._ladders:
                self.refuse(on.line, f"state {name} has no {ladder!r}, and there is none in global")
        branches = events.get("match", Table(on.line, {}))
        keys = self.table(events.get("dtmf", Table(on.line, {})), "dtmf")
        slot = entries.get("slot", tree)
        rule = self._rule(name, entries["rule"]) if "rule" in entries else ""
        return Gather(
            rule=rule,
            slot=self.text(slot, "slot") if slot is not tree else "",
            bargein=Bargein(self.one_of(entries.get("bargein"), "bargein", list(Bargein), Bargein.GRAMMAR)),
            noinput_s=self.number(times.get("noinput_s"), "noinput_s", 1, 30, 5.0),
            speech_s=self.number(times.get("speech_s"), "speech_s", 2, 60, 15.0),
            complete_s=self.number(times.get("complete_s"), "complete_s", 0.15, 2.5, COMPLETE_S),
            incomplete_s=self.number(times.get("incomplete_s"), "incomplete_s", 0.8, 2.5, INCOMPLETE_S),
            match={answer: self._choice(each, answer) for answer, each in self.table(branches, "match").items()},
            nomatch=own.get("nomatch", self._ladders.get("nomatch", {})),
            noinput=own.get("noinput", self._ladders.get("noinput", {})),
            dtmf={key: self.text(each, f"key {key}") for key, each in keys.items()},
            confirm=self._confirmed_below(entries.get("confirm"), rule),
            lines={"slot": slot.line, "match": branches.line} | {key: each.line for key, each in keys.items()},
        )

    def _confirmed_below(self, tree: Tree | None, rule: str) -> float:
        name, has_words = self._rules[rule].name if rule in self._rules else "", ANSWER in self._confirms
        if tree and name == YES_NO:
            self.refuse(tree.line, "a yes or no is not asked about: the answer would be one")
        if tree and not has_words:
            self.refuse(tree.line, "this language has no words to confirm with: give them in global, confirm: answer")
        return self.number(tree, "confirm", 0, 1, USUAL.get(name, 0.0) if has_words else 0.0)

    def _rule(self, state: str, tree: Tree) -> str:
        """Read a rule: its name alone, or a mapping of its name to its parameters. Returns the rule's id."""
        if isinstance(tree, Table) and len(tree.entries) == 1:
            ((name, given),) = tree.entries.items()
            params, rule_id = self._params(given), f"{name}:{state}"
        else:
            name, params = self.text(tree, "rule"), {}
            rule_id = name
        if name in INTENTS:
            self.refuse(tree.line, f"{name!r} is heard in every state; listen to one of {', '.join(RULE_KINDS)}")
        if self._n_phrases > MOST_PHRASES:
            self.refuse(tree.line, f"the script's choices stand for more than {MOST_PHRASES} phrases")
            return rule_id
        try:
            spec = self._rules[rule_id] = RuleSpec(name, params, self._language)
            self._n_phrases += sum(map(len, spec.options.values()))
        except BadRule as wrong:
            self.refuse(tree.line, str(wrong))
        return rule_id

    def _params(self, tree: Tree) -> dict[str, object]:
        return {name: plain(each) for name, each in self.table(tree, "parameters").items()}

    def _fetch(self, tree: Tree, events: Mapping[str, Choice]) -> Fetch:
        known = ("method", "url", "body", "timeout_s", "slots", "repeat", "example")
        entries = self.fields(tree, "fetch", known, ("url", "slots"))
        url, body = entries.get("url"), entries.get("body")
        if url and not _URL.fullmatch(self.text(url, "url")):
            self.refuse(url.line, "url must be http:// or https://, a host without slots, and a path")
        method = self.one_of(entries.get("method"), "method", ("GET", "POST"), "GET")
        if body and method == "GET":
            self.refuse(body.line, "a body is for POST")
        paths = {name: self.text(each, name) for name, each in self.named(entries.get("slots"), "slots")}
        return Fetch(
            line=tree.line,
            method=method,
            url=self._whole(url, "url"),
            body={name: self._whole(each, name) for name, each in self.named(body, "body")} if body else None,
            timeout_s=self.number(entries.get("timeout_s"), "timeout_s", 0.1, 10, 3.0),
            slots=paths,
            fetched=events.get("fetched", ()),
            failed=events.get("failed", ()),
            repeats=self.flag(entries.get("repeat"), "repeat"),
            example=self._example(entries.get("example"), paths),
        )

    def _example(self, tree: Tree | None, paths: Mapping[str, str]) -> dict[str, str]:
        example = {name: self.text(each, name) for name, each in self.named(tree, "example")}
        if tree is not None and example.keys() != paths.keys():
            self.refuse(tree.line, f"the example must give a value to {', '.join(paths)}, and to nothing else")
            return {}
        for name, value in example.items():
            if tree and name in self._slots and not self._slots[name].kind.fits(value):
                self.refuse(tree.line, f"the example {value!r} is no {self._slots[name].kind}")
        return example

    def _enqueue(self, tree: Tree, events: Mapping[str, Choice]) -> Enqueue:
        entries = self.fields(tree, "enqueue", ("skill", "reason", "urgency"), ("reason",))
        skill = self.text(entries.get("skill"), "skill", "any")
        urgency = self.one_of(entries.get("urgency"), "urgency", URGENCIES, "normal")
        return Enqueue(skill, self.text(entries.get("reason"), "reason"), urgency, events.get("failed", ()))


def _built_in(identify: Template, waits: str) -> dict[str, Choice]:
    """What intents do in a script that does not say otherwise; who is unsure has not answered: `nomatch`."""
    line = identify.line
    return {
        "repeat": (Action(line, reprompt=True),),
        "who": (Action(line, say=identify, reprompt=True),),
        "wait": (Action(line, say=Template(line, ((waits,),) if waits else ())),),
        "unsure": (),
    }
