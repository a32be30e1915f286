"""Language: what may be heard, what is said, and the conversation between them.

A script (`load`) is checked text; a `Conversation` runs it, step by step, without I/O. What is imported here is light:
rules are compiled in `grammars.rules.compile`, pronunciations found in `grammars.lexicon`, both only where speech is.
"""

from grammars.conversation import Conversation
from grammars.conversation_state import ConversationState, Phase, Turn
from grammars.errors import BadRule, GrammarError, Reason, ScriptError, UnknownWord, WrongScript
from grammars.script import load
from grammars.script_model import Script

__all__ = [
    "load", "Script", "Conversation", "ConversationState", "Phase", "Turn",
    "GrammarError", "ScriptError", "Reason", "WrongScript", "BadRule", "UnknownWord",
]  # fmt: skip
