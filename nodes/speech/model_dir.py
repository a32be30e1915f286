"""A recogniser's model directory: the shipped half copied, the lexicon half written for the words of one script.

The library writes caches beside the model and takes the words a grammar may use from four files there, so every
ear has a private directory. It always holds the filler: 40 one-phone words, `&p`, for the rejection loop.

The four files follow the layout of kaldi-active-grammar 3.2.0:

- `words.base.txt`: `word id`; the nonterminals sit above a gap, because the library numbers its own words from the
  last one below `#nonterm_begin` upward;
- `lexiconp_disambig.base.txt`: `word<TAB>1.0 phones`, where a pronunciation that equals or begins another one ends
  in a disambiguation symbol `#1..#13` (`#14` is the library's own, for silence);
- `align_lexicon.base.int`: `id id phones`, silence first, and a line without phones for each nonterminal;
- `wdisambig_words.int`: the id of `#0`.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from nodes.speech.errors import BrokenModel

__all__ = ["FILLER", "PHONES", "Lexicon", "Pronunciation", "check", "pronunciations", "write"]

Pronunciation = Sequence[str]
"""X-SAMPA phones without stress, `["n", "oU"]`."""
Lexicon = Mapping[str, Sequence[Pronunciation]]

PHONES: tuple[str, ...] = tuple(
    "A { V O aU aI b tS d D E 3 eI f g h I i dZ k l m N n oU OI p r s S t T U u v w j Z z @".split()
)
"""What the shipped network tells apart, beside silence: gruut's en-us set without stress, one to one."""

FILLER: dict[str, list[list[str]]] = {f"&{phone}": [[phone]] for phone in PHONES}
"""One word per phone: a loop of these explains any speech, so what a grammar explains no better is not its phrase."""

STATIC = (
    "KAG_VERSION", "disambig.int", "final.dubm", "final.ie", "final.mat", "final.mdl", "global_cmvn.stats",
    "ivector_extractor.conf", "left_context_phones.txt", "mfcc.conf", "nonterminals.txt", "online_cmvn.conf",
    "phones.txt", "splice.conf", "tree", "wdisambig_phones.int",
)  # fmt: skip
"""The files that do not depend on words."""

_NONTERMINALS_FROM = 500_000
_N_DISAMBIG = 13


def check(model: Path) -> None:
    """Raise BrokenModel, which names the file, when `model` cannot be a whole recogniser model.

    The network is the one file large enough to be cut short by a copy; it begins with Kaldi's binary mark and ends
    with its (empty) priors.
    """
    for name in STATIC:
        path = model / name
        if not path.is_file():
            raise BrokenModel(path, "missing")
        if not path.stat().st_size:
            raise BrokenModel(path, "empty")
    network = (model / "final.mdl").read_bytes()
    if not network.startswith(b"\0B<TransitionModel>"):
        raise BrokenModel(model / "final.mdl", "not a Kaldi network")
    if b"<Priors>" not in network[-64:]:
        raise BrokenModel(model / "final.mdl", f"cut short after {len(network)} bytes")


def pronunciations(model: Path) -> list[Pronunciation]:
    """Those of the words the model was shipped with: the common words of telephone answers."""
    lines = (line.split("\t") for line in _lines(model / "lexiconp_disambig.base.txt"))
    spoken = [entry.split()[1:] for word, entry in lines if not word.startswith(("&", "!"))]
    return [[phone[:-2] for phone in phones if not phone.startswith("#")] for phones in spoken]


def write(model: Path, into: Path, lexicon: Lexicon) -> None:
    """Make `into` a model directory of its own for the words of `lexicon` and the filler.

    Raises: BrokenModel when `model` is not whole.
    """
    check(model)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name in STATIC:
        shutil.copyfile(model / name, into / name)
    _write_lexicon(into, {**lexicon, **FILLER})


def _write_lexicon(into: Path, lexicon: Lexicon) -> None:
    phone_ids = {phone: int(number) for phone, number in map(str.split, _lines(into / "phones.txt"))}
    words = ["<eps>", "!SIL", *sorted(lexicon), "#0", "<s>", "</s>"]
    nonterminals = ["#nonterm_begin", "#nonterm_end", *_lines(into / "nonterminals.txt")]
    ids = dict(chain(_numbered(words, 0), _numbered(nonterminals, _NONTERMINALS_FROM)))
    entries = [("!SIL", ["SIL"]), *((word, _positions(p)) for word in sorted(lexicon) for p in lexicon[word])]

    _put(into / "words.base.txt", (f"{word} {number}" for word, number in ids.items()))
    _put(into / "wdisambig_words.int", [str(ids["#0"])])
    _put(into / "lexiconp_disambig.base.txt", (f"{word}\t1.0 {' '.join(p)}" for word, p in _disambiguated(entries)))
    spoken = (f"{ids[word]} {ids[word]} {' '.join(str(phone_ids[phone]) for phone in p)}" for word, p in entries)
    silent = (f"{ids[name]} {ids[name]}" for name in nonterminals[2:])
    _put(into / "align_lexicon.base.int", ["0 0 1", *spoken, *silent])


def _positions(phones: Pronunciation) -> list[str]:
    """Phones with their place in the word: begin, inside, end, or single.

    >>> _positions(["j", "E", "s"]), _positions(["oU"])
    (['j_B', 'E_I', 's_E'], ['oU_S'])
    """
    if len(phones) == 1:
        return [f"{phones[0]}_S"]
    return [f"{phones[0]}_B", *(f"{phone}_I" for phone in phones[1:-1]), f"{phones[-1]}_E"]


def _disambiguated(entries: Sequence[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Entries whose phones another entry shares or continues, ended by `#1`, `#2`, ... so that none is ambiguous.

    >>> _disambiguated([("no", ["n_B", "oU_E"]), ("know", ["n_B", "oU_E"]), ("yes", ["j_B", "E_I", "s_E"])])
    [('no', ['n_B', 'oU_E', '#1']), ('know', ['n_B', 'oU_E', '#2']), ('yes', ['j_B', 'E_I', 's_E'])]
    """
    shared = Counter(tuple(phones) for _, phones in entries)
    prefixes = {tuple(phones[:n]) for _, phones in entries for n in range(1, len(phones))}
    used: Counter[tuple[str, ...]] = Counter()
    result = []
    for word, phones in entries:
        key = tuple(phones)
        if shared[key] > 1 or key in prefixes:
            used[key] += 1
            if used[key] > _N_DISAMBIG:
                raise ValueError(f"more than {_N_DISAMBIG} words sound like {word!r}")
            phones = [*phones, f"#{used[key]}"]
        result.append((word, phones))
    return result


def _numbered(words: Iterable[str], start: int) -> Iterable[tuple[str, int]]:
    return ((word, number) for number, word in enumerate(words, start))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _put(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
