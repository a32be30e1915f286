"""Written text into words: what the synthesiser is given, and what a caller would say for the same value.

The synthesiser's own reading of numbers is poor ("555-0199" becomes five hundred and fifty five ...), so everything
it gets goes through here. How is the language's to say (`grammars/lang`); the rules that hear the same words are
written separately, and the tests hold one against the other.
"""

from grammars.spoken.kinds import normalise, unspeakable, verbalise, words_of

__all__ = ["verbalise", "normalise", "unspeakable", "words_of"]
