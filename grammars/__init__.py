"""Language: what may be heard, what is said, and the conversation between them.

A script (`load`) is checked text; a `Conversation` runs it, step by step, without I/O. What is imported here is light:
rules are compiled in `grammars.rules.compile`, pronunciations found in `grammars.lang.en.lexicon`, only in speech;
and the reader of YAML comes with `load` when that is first used, because those who serve calls have no use for it.
"""

from typing import TYPE_CHECKING

from grammars.conversation import Conversation
from grammars.conversation_state import ConversationState, TalkPhase, Turn
from grammars.errors import BadRule, GrammarError, Reason, ScriptError, UnknownWord, WrongScript
from grammars.script_model import Script

if TYPE_CHECKING:
    from grammars.script import load


def __getattr__(name: str) -> object:
    """Import what is only imported when it is used (PEP 562)."""
    if name != "load":
        raise AttributeError(name)
    from grammars.script import load

    return load


__all__ = [
    "load", "Script", "Conversation", "ConversationState", "TalkPhase", "Turn",
    "GrammarError", "ScriptError", "Reason", "WrongScript", "BadRule", "UnknownWord",
]  # fmt: skip
