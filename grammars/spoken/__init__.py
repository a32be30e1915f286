"""Written text into words: what the synthesiser is given, and what a caller would say for the same value.

The synthesiser's own reading of numbers is poor ("555-0199" becomes five hundred and fifty five ...), so everything
it gets goes through here. Pure Python and tables; the rules that hear the same words are written separately
(`grammars/rules`), and the tests hold one against the other.
"""

from grammars.spoken.free_text import normalise, unspeakable
from grammars.spoken.kinds import KINDS, verbalise
from grammars.spoken.words import words_of

__all__ = ["verbalise", "normalise", "unspeakable", "words_of", "KINDS"]
